//! The command line of `cri-suites`: the same as that of `suites`.

use std::path::PathBuf;

use crate::bench::Kind;

/// Printed for a wrong command line.
pub(crate) const USAGE: &str = "\
usage: cri-suites list
       cri-suites run NAME...|all [--runtime runc|crun|both] [--only TEXT] [--table FILE] [--product PATH]

  --runtime    which real runtimes are used; both is the default
  --only       of each suite only the cases whose name contains TEXT
  --table      writes the tables to FILE as Markdown too
  --product    the runc-strict binary under trial; the environment's RUNC_STRICT is the default";

/// What was asked for.
pub(crate) enum Request {
    List,
    Run(Options),
}

/// How to run the suites.
pub(crate) struct Options {
    /// Names of suites; `all` stands for every one.
    pub(crate) suites: Vec<String>,
    pub(crate) runtimes: Vec<Kind>,
    pub(crate) only: Option<String>,
    pub(crate) table: Option<PathBuf>,
    pub(crate) product: PathBuf,
}

/// Reads the words after the program's name. `product` is what the environment says.
///
/// # Errors
/// One line that says what is wrong.
pub(crate) fn parse(words: &[String], product: Option<PathBuf>) -> Result<Request, String> {
    let rest = match words.split_first() {
        Some((command, [])) if command == "list" => return Ok(Request::List),
        Some((command, rest)) if command == "run" => rest,
        _ => return Err("give a command: list or run".to_owned()),
    };
    let (mut suites, mut runtimes, mut only, mut table, mut product) =
        (Vec::new(), Kind::ALL.to_vec(), None, None, product);
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--runtime" => runtimes = wanted(&value()?)?,
            "--only" => only = Some(value()?),
            "--table" => table = Some(PathBuf::from(value()?)),
            "--product" => product = Some(PathBuf::from(value()?)),
            flag if flag.starts_with('-') => return Err(format!("unknown flag \"{flag}\"")),
            name => suites.push(name.to_owned()),
        }
    }
    if suites.is_empty() {
        return Err("name a suite, or all".to_owned());
    }
    let product = product.ok_or("no product under trial: set RUNC_STRICT, or give --product PATH")?;
    Ok(Request::Run(Options { suites, runtimes, only, table, product }))
}

fn wanted(word: &str) -> Result<Vec<Kind>, String> {
    if word == "both" {
        return Ok(Kind::ALL.to_vec());
    }
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == word);
    found.map(|kind| vec![kind]).ok_or_else(|| format!("unknown runtime \"{word}\": runc, crun or both"))
}
