//! The bench's command line.

/// Printed for a wrong one.
pub(crate) const USAGE: &str = "\
usage: bench PRODUCT [way|runtimes|containerd|see|resize|podman]... [--turns N] [--pods N] [--lines N] [--write FILE]

  PRODUCT   the runc-strict that is measured; without a part all are
  --turns   turns of each row; each part has its own default
  --pods    pods of resize, 250 unless told
  --lines   lines of the log that see searches, a million unless told
  --write   writes the page to FILE";

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Way,
    Runtimes,
    Containerd,
    See,
    Resize,
    Podman,
}

const PARTS: [(&str, Part); 6] = [
    ("way", Part::Way),
    ("runtimes", Part::Runtimes),
    ("containerd", Part::Containerd),
    ("see", Part::See),
    ("resize", Part::Resize),
    ("podman", Part::Podman),
];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) product: String,
    pub(crate) parts: Vec<Part>,
    pub(crate) turns: Option<usize>,
    pub(crate) pods: usize,
    pub(crate) lines: usize,
    pub(crate) write: Option<String>,
}

/// Reads the words after the program's name.
///
/// # Errors
/// One line that says what is wrong.
pub(crate) fn parse(words: &[String]) -> Result<Options, String> {
    let mut words = words.iter();
    let product = words.next().ok_or("give the program that is to be measured")?.clone();
    let mut options = Options {
        product,
        parts: Vec::new(),
        turns: None,
        pods: crate::resize::PODS,
        lines: 1_000_000,
        write: None,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--turns" => options.turns = Some(count(word, &value()?)?),
            "--pods" => options.pods = count(word, &value()?)?,
            "--lines" => options.lines = count(word, &value()?)?,
            "--write" => options.write = Some(value()?),
            name => {
                let found = PARTS.iter().find(|(known, _)| *known == name);
                options.parts.push(found.ok_or_else(|| format!("there is no part \"{name}\""))?.1);
            }
        }
    }
    if options.parts.is_empty() {
        options.parts = PARTS.map(|(_, part)| part).to_vec();
    }
    Ok(options)
}

fn count(flag: &str, word: &str) -> Result<usize, String> {
    let number = word.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{flag} needs a number above 0, and \"{word}\" is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn without_a_part_all_are_measured() {
        assert_eq!(parsed("product").unwrap().parts.len(), PARTS.len());
    }

    #[test]
    fn parts_and_options_may_stand_in_any_order() {
        let options = parsed("product --turns 7 see way --write page.md").unwrap();
        assert_eq!((options.parts, options.turns), (vec![Part::See, Part::Way], Some(7)));
        assert_eq!(options.write.as_deref(), Some("page.md"));
    }

    #[test]
    fn what_is_none_is_named() {
        assert_eq!(parsed("product fast").unwrap_err(), "there is no part \"fast\"");
        assert!(parsed("product --turns 0").unwrap_err().contains("\"0\" is none"));
        assert!(parsed("product --turns").unwrap_err().contains("needs a value"));
        assert!(parsed("").is_err());
    }
}
