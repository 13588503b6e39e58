//! The command line of `suites`.

use std::path::PathBuf;

use crate::runtime::Kind;

/// Printed for a wrong command line.
pub(crate) const USAGE: &str = "\
usage: suites list
       suites run NAME...|all [--runtime runc|crun|both] [--only TEXT] [--table FILE]
                                [--product PATH | --bare-only]

  --runtime    which real runtimes are used; both is the default
  --only       of each suite only the cases whose name contains TEXT
  --table      writes the tables to FILE as Markdown too
  --product    the runc-strict binary under trial; the environment's RUNC_STRICT is the default
  --bare-only  try only the bare runtimes: shows that each hole is really open";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    List,
    Run(Options),
}

/// How to run the suites.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Names of suites; `all` stands for every one.
    pub(crate) suites: Vec<String>,
    pub(crate) runtimes: Vec<Kind>,
    pub(crate) only: Option<String>,
    pub(crate) table: Option<PathBuf>,
    /// `None` means bare only.
    pub(crate) product: Option<PathBuf>,
}

/// Reads the words after the program's name. `product` is what the environment says.
///
/// # Errors
/// One line that says what is wrong.
pub(crate) fn parse(words: &[String], product: Option<PathBuf>) -> Result<Request, String> {
    match words.split_first() {
        Some((command, [])) if command == "list" => Ok(Request::List),
        Some((command, rest)) if command == "run" => parse_run(rest, product).map(Request::Run),
        _ => Err("give a command: list or run".to_owned()),
    }
}

fn parse_run(words: &[String], product: Option<PathBuf>) -> Result<Options, String> {
    let mut options =
        Options { suites: Vec::new(), runtimes: Kind::ALL.to_vec(), only: None, table: None, product };
    let mut bare_only = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--runtime" => options.runtimes = runtimes(&value()?)?,
            "--only" => options.only = Some(value()?),
            "--table" => options.table = Some(PathBuf::from(value()?)),
            "--product" => options.product = Some(PathBuf::from(value()?)),
            "--bare-only" => bare_only = true,
            flag if flag.starts_with('-') => return Err(format!("unknown flag \"{flag}\"")),
            name => options.suites.push(name.to_owned()),
        }
    }
    if options.suites.is_empty() {
        return Err("name a suite, or all".to_owned());
    }
    if bare_only {
        options.product = None;
    } else if options.product.is_none() {
        return Err(
            "no product under trial: set RUNC_STRICT, or give --product PATH or --bare-only".to_owned()
        );
    }
    Ok(options)
}

fn runtimes(word: &str) -> Result<Vec<Kind>, String> {
    if word == "both" {
        return Ok(Kind::ALL.to_vec());
    }
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == word);
    found.map(|kind| vec![kind]).ok_or_else(|| format!("unknown runtime \"{word}\": runc, crun or both"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_run_without_a_product_is_refused_unless_only_bare_runtimes_are_tried() {
        assert!(parse(&words("run doors"), None).is_err());
        let expected = Options {
            suites: vec!["doors".to_owned()],
            runtimes: vec![Kind::Crun],
            only: None,
            table: None,
            product: None,
        };
        assert_eq!(parse(&words("run doors --bare-only --runtime crun"), None), Ok(Request::Run(expected)));
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let parsed = parse(&words("run all --product /a"), Some(PathBuf::from("/b")));
        assert!(matches!(parsed, Ok(Request::Run(options)) if options.product == Some(PathBuf::from("/a"))));
    }

    #[test]
    fn an_unknown_flag_is_named() {
        assert_eq!(parse(&words("run all --fast"), None), Err("unknown flag \"--fast\"".to_owned()));
    }
}
