//! The journal of a transaction: a file of JSON lines below our own folder. The first line says who, what and where, with
//! the whole plan; then a line before each call; and one at the end. Each line is written before what it announces is
//! done, so that whatever a killed process has begun can be undone by the next one. A last line that is torn announces
//! something that was not begun.
//!
//! The first line is forced to the disk. The others needn't be: what a process has written outlives it, and when the
//! whole machine goes down, the cgroups that they are about go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Hold, Runtime};
use crate::error::{Error, Result};
use crate::node::cgroup::Identity;
use crate::node::process::ProcessKey;
use crate::node::{clock, file, folder};
use crate::policy::subject::Pod;
use crate::quote::told;
use crate::resize::plan::Step;
use crate::resize::snapshot::ReclaimWay;

/// The folder of the journals.
const TRANSACTIONS: &str = "transactions";

/// The version of the format.
const FORMAT: u32 = 1;

/// How many finished transactions are kept.
const KEPT: usize = 200;

/// How old a journal without its first line has to be to count as given up.
const STILLBORN: Duration = Duration::from_secs(60);

/// How much of a journal's end is looked at to tell whether it is over: longer than a usual last line.
const TAIL: u64 = 4096;

/// A journal of a thousand containers is a megabyte.
const LIMIT: u64 = 256 * 1024 * 1024;

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Head {
    /// The version of the format.
    pub v: u32,
    /// The transaction's name.
    pub transaction: String,
    /// When it began, in RFC 3339.
    pub time: String,
    /// Whose it is: while this process lives, nobody else touches it.
    pub owner: ProcessKey,
    /// `set`, `apply` or `rollback`.
    pub command: String,
    /// The transaction that it undoes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub undoes: Option<String>,
    /// The locks that it holds, one for each pod.
    pub locks: BTreeSet<String>,
    /// The pods, as far as they are known.
    pub pods: Vec<Pod>,
    /// How memory is reclaimed there.
    pub way: ReclaimWay,
    /// The cgroups, by the plan's keys.
    pub cgroups: BTreeMap<String, Cgroup>,
    /// What shall be done, in order.
    pub plan: Vec<Step>,
    /// The overrides that are set or ended when all of it is done.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sticky: Vec<Hold>,
}

/// A cgroup in the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cgroup {
    /// Which one it is.
    pub identity: Identity,
    /// Its container, where the runtime changes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runtime: Option<Runtime>,
    /// The unit of systemd that owns it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<String>,
    /// The container's first process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub init: Option<ProcessKey>,
    /// Its pod's name, where there are several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pod: Option<String>,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Everything is as asked.
    Committed,
    /// Everything is as it was.
    RolledBack,
    /// Something is neither; the line says what.
    Failed,
}

/// The lines after the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
enum Line {
    /// These steps of the plan are about to be done: the first, and how many.
    Begin { begin: usize, steps: usize },
    /// It is over.
    End { end: End, why: Option<String>, remains: Vec<String>, time: String },
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    head: Head,
    begun: Begun,
}

/// Which steps of a plan were begun, by their places in it. Pods go on side by side, so that it need not be the first ones.
#[derive(Debug, Clone, Default)]
struct Begun(BTreeSet<usize>);

impl Begun {
    /// The steps that were begun, in the order of the plan: that is the order within each pod, and pods don't depend on
    /// each other.
    fn of(&self, plan: &[Step]) -> Vec<Step> {
        self.0.iter().filter_map(|at| plan.get(*at)).cloned().collect()
    }
}

/// A journal that was read.
#[derive(Debug)]
pub struct Story {
    /// Its file.
    pub path: PathBuf,
    /// Its first line.
    pub head: Head,
    begun: Begun,
    /// How it ended; `None` if it didn't.
    pub end: Option<End>,
    /// Why it didn't come to its own end.
    pub why: Option<String>,
    /// What is neither as it was nor as asked.
    pub remains: Vec<String>,
}

impl Story {
    /// The steps that were begun, in order.
    pub fn applied(&self) -> Vec<Step> {
        self.begun.of(&self.head.plan)
    }

    /// How many steps of the plan were begun.
    pub fn begun(&self) -> usize {
        self.begun.0.len()
    }

    /// True if everything is as it was, or as asked.
    pub fn is_over(&self) -> bool {
        self.end.is_some_and(|end| end != End::Failed)
    }

    /// True if its process was killed in the middle.
    pub fn is_abandoned(&self) -> bool {
        self.end.is_none() && !self.head.owner.lives()
    }
}

impl Journal {
    /// Begins a transaction; `head`'s format, name, time and owner are filled in.
    ///
    /// # Errors
    /// That it can't be written: then nothing may be changed.
    pub fn begin(mut head: Head) -> Result<Journal> {
        let place = folder::make(&[TRANSACTIONS])?;
        prune(&place);
        head.v = FORMAT;
        head.owner = ProcessKey::current()?;
        loop {
            head.time = clock::now();
            // 2026-11-23T03:20:13.123456Z
            head.transaction = head.time.chars().filter(char::is_ascii_digit).collect();
            let path = place.join(&head.transaction);
            let made = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
            let file = match made {
                Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => continue,
                other => other.map_err(Error::io("make the journal", &path))?,
            };
            let mut journal = Journal { path, file, head, begun: Begun::default() };
            let written = serde_json::to_vec(&journal.head).map_err(|why| Error::Other(why.to_string()));
            let written = written.and_then(|line| journal.line(line)).and_then(|()| journal.sync(&place));
            return match written {
                Ok(()) => Ok(journal),
                Err(why) => {
                    let _ = fs::remove_file(&journal.path);
                    Err(why)
                }
            };
        }
    }

    /// Goes on with the journal of another process, to end it.
    ///
    /// # Errors
    /// That it can't be opened.
    pub fn resume(story: &Story) -> Result<Journal> {
        let mut file =
            OpenOptions::new().append(true).open(&story.path).map_err(Error::io("open", &story.path))?;
        // a torn line ends here
        file.write_all(b"\n").map_err(Error::io("write the journal", &story.path))?;
        Ok(Journal { path: story.path.clone(), file, head: story.head.clone(), begun: story.begun.clone() })
    }

    /// The transaction's name.
    pub fn name(&self) -> &str {
        &self.head.transaction
    }

    /// The steps that were begun, in order.
    pub fn applied(&self) -> Vec<Step> {
        self.begun.of(&self.head.plan)
    }

    /// Announces these steps of the plan.
    ///
    /// # Errors
    /// That it can't be written: then they may not be done.
    pub fn announce(&mut self, steps: Range<usize>) -> Result<()> {
        let line = Line::Begin { begin: steps.start, steps: steps.len() };
        let line = serde_json::to_vec(&line).map_err(|why| Error::Other(why.to_string()))?;
        self.line(line)?;
        self.begun.0.extend(steps);
        Ok(())
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// That it can't be written; the next run will then undo what was done.
    pub fn end(mut self, end: End, why: Option<String>, remains: Vec<String>) -> Result<()> {
        let line = Line::End { end, why, remains, time: clock::now() };
        self.line(serde_json::to_vec(&line).map_err(|why| Error::Other(why.to_string()))?)
    }

    fn line(&mut self, mut line: Vec<u8>) -> Result<()> {
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write the journal", &self.path))
    }

    /// Forces what was written to the disk, and the name of the file, too.
    fn sync(&self, place: &Path) -> Result<()> {
        self.file.sync_data().map_err(Error::io("write the journal", &self.path))?;
        File::open(place).and_then(|folder| folder.sync_all()).map_err(Error::io("write the folder", place))
    }
}

/// All transactions, the oldest first. A file that can't be read is told by its error.
///
/// # Errors
/// That the folder can't be read; where there is none, there was no transaction.
pub fn all() -> Result<Vec<Result<Story>>> {
    let place = folder::path()?.join(TRANSACTIONS);
    Ok(names(&place)?.iter().map(|name| read(&place.join(name))).filter(|one| !is_empty(one)).collect())
}

/// The transactions that aren't over, the oldest first: those under way, those whose process was killed, and those that
/// could not be rolled back. What is over is told by its last line, so that long journals aren't read for nothing.
///
/// # Errors
/// That the folder can't be read.
pub fn unfinished() -> Result<Vec<Story>> {
    let place = folder::path()?.join(TRANSACTIONS);
    let paths = names(&place)?.into_iter().map(|name| place.join(name)).filter(|path| !is_over(path));
    Ok(paths.filter_map(|path| read(&path).ok()).filter(|story| !story.is_over()).collect())
}

/// True if the last line says so.
fn is_over(path: &Path) -> bool {
    let tail = || {
        let mut file = File::open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes).map(|_| bytes)
    };
    let bytes = tail().unwrap_or_default();
    let last = bytes.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    matches!(serde_json::from_slice(last), Ok(Line::End { end, .. }) if end != End::Failed)
}

/// A transaction by its name.
///
/// # Errors
/// That there is none, or that it can't be read.
pub fn story(name: &str) -> Result<Story> {
    let place = folder::path()?.join(TRANSACTIONS);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_digit()) || !place.join(name).exists() {
        let name = crate::quote::quoted(name.as_bytes());
        let hint = "see runc-strict cgroup-updater history";
        return Err(Error::Other(format!("there is no transaction {name}; {hint}")));
    }
    read(&place.join(name))
}

fn names(place: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(place) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("read the folder", place))?,
    };
    let named = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        named.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect();
    names.sort();
    Ok(names)
}

/// A journal without a first line was never begun, or is being begun.
fn is_empty(story: &Result<Story>) -> bool {
    matches!(story, Err(Error::Content { why, .. }) if why == EMPTY)
}

const EMPTY: &str = "is a journal without its first line";

fn read(path: &Path) -> Result<Story> {
    let text = file::read_text(path, LIMIT)?;
    let damaged = |why: String| Error::Content { path: path.to_path_buf(), why };
    let Some((first, rest)) = text.split_once('\n') else { return Err(damaged(EMPTY.to_owned())) };
    let head: Head =
        serde_json::from_str(first).map_err(|why| damaged(format!("is a damaged journal: {}", told(why))))?;
    if head.v != FORMAT {
        return Err(damaged(format!("has format {}, and this program reads format {FORMAT}", head.v)));
    }
    let mut story = Story {
        path: path.to_path_buf(),
        head,
        begun: Begun::default(),
        end: None,
        why: None,
        remains: Vec::new(),
    };
    let plan = story.head.plan.len();
    for line in rest.lines() {
        match serde_json::from_str(line) {
            Ok(Line::Begin { begin, steps }) => {
                story.begun.0.extend(begin.min(plan)..begin.saturating_add(steps).min(plan));
            }
            Ok(Line::End { end, why, remains, .. }) => {
                (story.end, story.why, story.remains) = (Some(end), why, remains);
            }
            // torn: what it announced was not begun
            Err(_) => {}
        }
    }
    Ok(story)
}

/// Forgets the oldest transactions that came to an end, and journals whose process was killed before the first line.
fn prune(place: &Path) {
    let Ok(names) = names(place) else { return };
    let surplus = names.len().saturating_sub(KEPT);
    for (at, name) in names.iter().enumerate() {
        let path = place.join(name);
        let found = fs::metadata(&path);
        let age = found.as_ref().ok().and_then(|found| found.modified().ok()?.elapsed().ok());
        // a younger one may be about to get its first line
        let stillborn = found.is_ok_and(|found| found.len() == 0) && age.is_some_and(|age| age > STILLBORN);
        let over = || {
            let story = read(&path);
            is_empty(&story) || story.is_ok_and(|story| story.is_over())
        };
        if stillborn || at < surplus && over() {
            let _ = fs::remove_file(&path);
        }
    }
}
