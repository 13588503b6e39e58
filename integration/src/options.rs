//! The command line of a program of suites.

use std::path::PathBuf;

use crate::runtime::Kind;
use crate::trial::Entries;

/// Printed for a wrong command line.
pub fn usage(program: &str) -> String {
    format!(
        "\
usage: {program} list
       {program} run NAME...|all [--runtime runc|crun|youki[=PATH]]... [--only TEXT] [--entries all|shim]
                                [--table FILE] [--product PATH | --bare-only] [--long]
                                [--whole-machine]

  --runtime    a real runtime that is used, may stand more than once; runc and crun are the default
  --only       of each suite only the cases whose name contains TEXT
  --entries    by which commands an attack is tried: all of its own, which is the default, or of those
               only what containerd's shim calls
  --table      writes the tables to FILE as Markdown too
  --product    the runc-strict binary under trial; the environment's RUNC_STRICT is the default
  --bare-only  try only the bare runtimes: shows that each hole is really open
  --long       the long form of what takes a short one by default: every fault on every runtime, a minute of probes
  --whole-machine  also the cases that change this machine's own engine and restart it"
    )
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// The suites' names.
    List,
    /// A run.
    Run(Options),
}

/// How to run the suites.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Names of suites; `all` stands for every one.
    pub suites: Vec<String>,
    /// Which runtimes, and where one is when it isn't installed in the usual folders.
    pub runtimes: Vec<(Kind, Option<PathBuf>)>,
    /// A part of the wanted cases' names.
    pub only: Option<String>,
    /// By which of an attack's own commands it is tried.
    pub entries: Entries,
    /// Whether what takes long is done whole.
    pub long: bool,
    /// Whether cases may change the machine's own engine.
    pub whole_machine: bool,
    /// Where the tables are written to.
    pub table: Option<PathBuf>,
    /// `None` means bare only.
    pub product: Option<PathBuf>,
}

/// Reads the words after the program's name. `product` is what the environment says.
///
/// # Errors
/// One line that says what is wrong.
pub fn parse(words: &[String], product: Option<PathBuf>) -> Result<Request, String> {
    match words.split_first() {
        Some((command, [])) if command == "list" => Ok(Request::List),
        Some((command, rest)) if command == "run" => parse_run(rest, product).map(Request::Run),
        _ => Err("give a command: list or run".to_owned()),
    }
}

fn parse_run(words: &[String], product: Option<PathBuf>) -> Result<Options, String> {
    let mut options = Options {
        suites: Vec::new(),
        runtimes: Vec::new(),
        only: None,
        entries: Entries::All,
        long: false,
        whole_machine: false,
        table: None,
        product,
    };
    let mut bare_only = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--runtime" => options.runtimes.push(runtime(&value()?)?),
            "--only" => options.only = Some(value()?),
            "--entries" => options.entries = entries(&value()?)?,
            "--table" => options.table = Some(PathBuf::from(value()?)),
            "--product" => options.product = Some(PathBuf::from(value()?)),
            "--bare-only" => bare_only = true,
            "--long" => options.long = true,
            "--whole-machine" => options.whole_machine = true,
            flag if flag.starts_with('-') => return Err(format!("unknown flag \"{flag}\"")),
            name => options.suites.push(name.to_owned()),
        }
    }
    if options.suites.is_empty() {
        return Err("name a suite, or all".to_owned());
    }
    if options.runtimes.is_empty() {
        options.runtimes = Kind::DEFAULT.map(|kind| (kind, None)).to_vec();
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

fn entries(word: &str) -> Result<Entries, String> {
    match word {
        "all" => Ok(Entries::All),
        "shim" => Ok(Entries::Shim),
        _ => Err(format!("unknown entries \"{word}\": all or shim")),
    }
}

/// `NAME` or `NAME=PATH`.
fn runtime(word: &str) -> Result<(Kind, Option<PathBuf>), String> {
    let (name, path) = match word.split_once('=') {
        Some((name, path)) => (name, Some(PathBuf::from(path))),
        None => (word, None),
    };
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    let kind = found.ok_or_else(|| format!("unknown runtime \"{name}\": runc, crun or youki"))?;
    Ok((kind, path))
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
            runtimes: vec![(Kind::Crun, None)],
            only: None,
            entries: Entries::All,
            long: false,
            whole_machine: false,
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
    fn a_runtime_may_lie_anywhere() {
        let parsed = parse(&words("run all --product /a --runtime runc --runtime youki=/b/youki"), None);
        let expected = vec![(Kind::Runc, None), (Kind::Youki, Some(PathBuf::from("/b/youki")))];
        assert!(matches!(parsed, Ok(Request::Run(options)) if options.runtimes == expected));
    }

    #[test]
    fn an_unknown_flag_is_named() {
        assert_eq!(parse(&words("run all --fast"), None), Err("unknown flag \"--fast\"".to_owned()));
    }
}
