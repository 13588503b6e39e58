//! From words to an [`Invocation`]: which of the few things that we do does this command line ask for?
//!
//! Two readings, on purpose. `create`, `run`, `exec` and `restore` are read strictly by a table and handed on in
//! canonical form; what the table doesn't know is refused by name. Every other command line is somebody else's:
//! it is only looked at, never changed, and nothing in it can make us refuse.

pub mod grammar;
pub mod scan;
mod update;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use grammar::{Arity, GLOBALS, OWN, Verb};
use scan::{Given, Step, Unread};

use crate::quote::quoted;
use crate::spec::CommandLine;

pub use update::{Source, Update};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// One of our own sub-commands; clap reads the words.
    Own,
    /// Somebody else's command: execve at once.
    Pass,
    /// `delete`: the record is forgotten, then as [`Invocation::Pass`].
    Delete(Target),
    /// `create` or `run`.
    Start(Start),
    /// `exec`.
    Exec(Exec),
    /// `restore`.
    Restore(Start),
    /// `update`: where nothing is overridden, as [`Invocation::Pass`].
    Update(Update),
}

/// The container that a command speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// `--root`, as given.
    pub root: Option<PathBuf>,
    /// The container's id, as given.
    pub id: OsString,
}

/// The flags before the command.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    given: Vec<Given>,
}

impl Globals {
    /// The value of `name`, as given last.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        value_of(&self.given, name)
    }

    /// The runtime's state folder, as given.
    pub fn root(&self) -> Option<PathBuf> {
        self.value("root").filter(|r| !r.is_empty()).map(PathBuf::from)
    }

    /// The flags that `words` begin with, as far as they are known: enough to find where an error is told.
    pub fn leading(mut words: &[OsString]) -> Globals {
        let mut globals = Globals::default();
        loop {
            let taken = match scan::step(words, GLOBALS) {
                Ok(Step::Flag(given, taken)) => {
                    globals.given.push(given);
                    taken
                }
                Ok(Step::Off) => 1,
                Ok(Step::Operand) | Err(_) => return globals,
            };
            words = words.get(taken..).unwrap_or_default();
        }
    }

    fn has(&self, name: &str) -> bool {
        self.given.iter().any(|g| g.name == name)
    }

    /// Adds a flag; the same again is no second flag, another value for the same name is a contradiction.
    fn add(&mut self, new: Given) -> Result<(), String> {
        if let Some(old) = self.given.iter().find(|g| g.name == new.name) {
            if *old == new {
                return Ok(());
            }
            return Err(format!("flag \"--{}\" is given twice with different values", new.name));
        }
        self.given.push(new);
        Ok(())
    }
}

/// `create`, `run` or `restore`: a container is made from a bundle.
#[derive(Debug)]
pub struct Start {
    /// Which of them.
    pub verb: Verb,
    /// The flags before the command.
    pub globals: Globals,
    /// `--bundle` as given; none, or an empty one, means the working directory.
    pub bundle: Option<PathBuf>,
    /// The container's id.
    pub id: OsString,
    flags: Vec<Given>,
}

impl Start {
    /// The canonical words for the real runtime, with an absolute bundle.
    pub fn words(&self, bundle: &OsStr) -> Vec<OsString> {
        let mut words = opening(&self.globals, self.verb);
        scan::emit(&Given { name: "bundle", value: Some(bundle.to_os_string()) }, &mut words);
        self.flags.iter().for_each(|g| scan::emit(g, &mut words));
        words.push(self.id.clone());
        words
    }
}

/// `exec`: a further process in a container.
#[derive(Debug)]
pub struct Exec {
    /// The flags before the command.
    pub globals: Globals,
    /// What describes the process.
    pub process: ProcessSource,
    /// How many file descriptors from 3 on belong to the process.
    pub preserve_fds: u32,
    /// The container's id.
    pub id: OsString,
    flags: Vec<Given>,
}

/// What describes the process of an exec.
#[derive(Debug)]
pub enum ProcessSource {
    /// `--process FILE`.
    Document(PathBuf),
    /// The words after the id, and flags.
    Words(CommandLine),
}

impl Exec {
    /// The canonical words for the real runtime, with `process` as the document.
    pub fn words(&self, process: &OsStr) -> Vec<OsString> {
        let mut words = opening(&self.globals, Verb::Exec);
        scan::emit(&Given { name: "process", value: Some(process.to_os_string()) }, &mut words);
        self.flags.iter().for_each(|g| scan::emit(g, &mut words));
        words.push(self.id.clone());
        words
    }
}

/// A command line that we don't hand on.
#[derive(Debug)]
pub struct Refused {
    /// The command, where it was found: it decides the exit code.
    pub verb: Verb,
    /// The flags that were read before the fault: they say where the refusal is reported.
    pub globals: Globals,
    /// What is wrong, with the word quoted.
    pub message: String,
}

/// Reads the words after `argv[0]`.
///
/// # Errors
/// Only a command line that would start a process can be refused.
pub fn parse(words: &[OsString]) -> Result<Invocation, Box<Refused>> {
    let mut globals = Globals::default();
    let mut contradiction = None;
    let mut at = 0;
    let command = loop {
        let rest = words.get(at..).unwrap_or_default();
        match scan::step(rest, GLOBALS) {
            Ok(Step::Flag(given, taken)) => {
                if let Err(message) = globals.add(given) {
                    contradiction.get_or_insert(message);
                }
                at += taken;
            }
            Ok(Step::Off) => at += 1,
            Ok(Step::Operand) => break rest.first(),
            Err(why) => return unreadable_globals(words, rest, globals, &why),
        }
    };
    let Some(command) = command else {
        return Ok(if globals.has("help") { Invocation::Own } else { Invocation::Pass });
    };
    // runc answers `--help create` and `--version create` without looking at the command.
    if globals.has("help") || globals.has("version") {
        return Ok(Invocation::Pass);
    }
    let rest = words.get(at + 1..).unwrap_or_default();
    if let Some(verb) = Verb::ALL.into_iter().find(|v| command == v.word()) {
        let result = match contradiction {
            Some(message) => Err(message),
            None => strict(verb, &globals, rest),
        };
        return result.map_err(|message| Box::new(Refused { verb, globals, message }));
    }
    if at == 0 && OWN.iter().any(|own| command == own) {
        return Ok(Invocation::Own);
    }
    if command == "delete"
        && let Some(id) = rest.iter().find(|w| !w.as_bytes().starts_with(b"-"))
    {
        return Ok(Invocation::Delete(Target { root: globals.root(), id: id.clone() }));
    }
    if command == "update"
        && contradiction.is_none()
        && let Some(update) = Update::read(globals, rest)
    {
        return Ok(Invocation::Update(update));
    }
    Ok(Invocation::Pass)
}

/// An unknown global flag: we no longer know which word is the command. If none of the later words could be one
/// of the four, nothing can be started, and the line passes.
fn unreadable_globals(
    words: &[OsString],
    rest: &[OsString],
    globals: Globals,
    why: &Unread,
) -> Result<Invocation, Box<Refused>> {
    let verb = Verb::ALL.into_iter().find(|v| rest.iter().any(|w| w == v.word()));
    match verb {
        None => Ok(Invocation::Pass),
        Some(verb) => {
            debug_assert!(!words.is_empty());
            let message = format!("{} before the command", describe(why));
            Err(Box::new(Refused { verb, globals, message }))
        }
    }
}

fn strict(verb: Verb, globals: &Globals, rest: &[OsString]) -> Result<Invocation, String> {
    if globals.value("root").is_some_and(OsStr::is_empty) {
        // runc and crun take it for the working directory, and no engine says it.
        return Err("flag \"--root\" is empty; name the runtime's state folder".to_owned());
    }
    let mut flags: Vec<Given> = Vec::new();
    let mut operands: Vec<OsString> = Vec::new();
    let mut at = 0;
    while let Some(words) = rest.get(at..).filter(|w| !w.is_empty()) {
        match scan::step(words, verb.flags()) {
            Ok(Step::Flag(given, taken)) => {
                if given.name == "help" {
                    return Ok(Invocation::Pass);
                }
                let single = verb.flags().iter().any(|f| f.long == given.name && f.arity == Arity::Value);
                if single && flags.iter().any(|g| g.name == given.name) {
                    return Err(format!("flag \"--{}\" is given twice", given.name));
                }
                flags.push(given);
                at += taken;
            }
            Ok(Step::Off) => at += 1,
            Ok(Step::Operand) => {
                operands.push(words.first().cloned().unwrap_or_default());
                at += 1;
                if verb == Verb::Exec {
                    break; // what follows the id belongs to the process
                }
            }
            // CRI-O asks what a runtime can do by `restore --lsm-mount-context`, with no value: the runtime
            // answers with an error of its own, and nothing can be restored by such a line.
            Err(Unread::NoValue(_)) if verb == Verb::Restore => return Ok(Invocation::Pass),
            Err(why) => return Err(describe(&why)),
        }
    }
    let mut operands = operands.into_iter();
    let id = operands.next().ok_or("the container's id is missing")?;
    if let Some(second) = operands.next() {
        return Err(format!("one container id is expected, and {} follows it", quoted(second.as_bytes())));
    }
    if id.is_empty() {
        return Err("the container's id is empty".to_owned());
    }
    let globals = globals.clone();
    if verb == Verb::Exec {
        let rest = rest.get(at..).unwrap_or_default().to_vec();
        return exec(globals, flags, id, rest).map(Invocation::Exec);
    }
    let bundle = take(&mut flags, "bundle").filter(|b| !b.is_empty()).map(PathBuf::from);
    let start = Start { verb, globals, bundle, id, flags };
    Ok(if verb == Verb::Restore { Invocation::Restore(start) } else { Invocation::Start(start) })
}

fn exec(globals: Globals, mut flags: Vec<Given>, id: OsString, rest: Vec<OsString>) -> Result<Exec, String> {
    let document = take(&mut flags, "process").filter(|p| !p.is_empty()).map(PathBuf::from);
    if document.is_none()
        && let Some(given) = flags.iter().find(|g| CHANGES_IDENTITY.contains(&g.name))
    {
        return Err(format!(
            "flag \"--{}\" would change the identity of the process; describe it in a document and pass \"--process FILE\"",
            given.name
        ));
    }
    let (described, flags): (Vec<Given>, Vec<Given>) = flags
        .into_iter()
        .partition(|g| DESCRIBES_PROCESS.contains(&g.name) || CHANGES_IDENTITY.contains(&g.name));
    let process = match document {
        // With a document runc looks neither at these flags nor at the words after the id.
        Some(path) => ProcessSource::Document(path),
        None => ProcessSource::Words(command_line(&described, &rest)?),
    };
    let preserve_fds = match value_of(&flags, "preserve-fds") {
        None => 0,
        Some(text) => text.to_str().and_then(|t| t.parse().ok()).ok_or_else(|| {
            format!("flag \"--preserve-fds\" needs a number, not {}", quoted(text.as_bytes()))
        })?,
    };
    Ok(Exec { globals, process, preserve_fds, id, flags })
}

/// Flags of exec that a document makes pointless.
const DESCRIBES_PROCESS: [&str; 6] = ["cwd", "env", "tty", "no-new-privs", "process-label", "apparmor"];

/// Flags of exec that would give the process another identity than the container's.
const CHANGES_IDENTITY: [&str; 3] = ["user", "additional-gids", "cap"];

fn command_line(given: &[Given], rest: &[OsString]) -> Result<CommandLine, String> {
    let text = |word: &OsStr| match word.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("{} is not UTF-8, and no document can hold it", quoted(word.as_bytes()))),
    };
    let has = |name: &str| given.iter().any(|g| g.name == name);
    let one = |name: &str| value_of(given, name).map(text).transpose();
    if rest.is_empty() {
        return Err("the command is missing; write it behind the container's id".to_owned());
    }
    Ok(CommandLine {
        args: rest.iter().map(|word| text(word)).collect::<Result<_, _>>()?,
        cwd: one("cwd")?.filter(|cwd| !cwd.is_empty()),
        env: given
            .iter()
            .filter(|g| g.name == "env")
            .filter_map(|g| g.value.as_deref().map(text))
            .collect::<Result<_, _>>()?,
        terminal: has("tty"),
        no_new_privileges: has("no-new-privs"),
        selinux_label: one("process-label")?.filter(|label| !label.is_empty()),
        apparmor_profile: one("apparmor")?.filter(|profile| !profile.is_empty()),
    })
}

fn opening(globals: &Globals, verb: Verb) -> Vec<OsString> {
    let mut words = Vec::with_capacity(16);
    globals.given.iter().for_each(|g| scan::emit(g, &mut words));
    words.push(OsString::from(verb.word()));
    words
}

fn take(flags: &mut Vec<Given>, name: &str) -> Option<OsString> {
    let at = flags.iter().position(|g| g.name == name)?;
    flags.remove(at).value
}

fn value_of<'g>(given: &'g [Given], name: &str) -> Option<&'g OsStr> {
    given.iter().rev().find(|g| g.name == name).and_then(|g| g.value.as_deref())
}

fn describe(why: &Unread) -> String {
    match why {
        Unread::Unknown(word) => format!("unknown flag {}", quoted(word.as_bytes())),
        Unread::NoValue(name) => format!("flag \"--{name}\" needs a value"),
        Unread::NotBool(name, text) => {
            format!("flag \"--{name}\" takes true or false, not {}", quoted(text.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests;
