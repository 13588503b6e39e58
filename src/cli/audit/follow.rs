//! `audit --follow`: shows lines as they are written, over rotations, and tells when a container ends.
//!
//! A container's init isn't known when its line is written: the runtime is about to make it. So the process that
//! creates it is waited for first (ours, which has become the runtime); once it has ended the runtime's state names
//! the init, or the container is gone already.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Reader;
use crate::cli::selection::Found;
use crate::error::{Error, Result};
use crate::node::config::Config;
use crate::node::log_files::{self, FileKey, LogFile};
use crate::node::log_reader::Lines;
use crate::node::process::ProcessKey;
use crate::node::record::{self, Key};
use crate::node::watch::{Event, Watch};
use crate::policy::gid::Gid;
use crate::policy::subject::Pod;

/// How many rotated files are still read from: a writer that had opened the log before it was renamed writes there.
const OLD_TAILS: usize = 2;

pub(super) fn run(reader: &mut Reader, with_past: bool) -> Result<()> {
    let path = Config::load()?.audit.path;
    // Through links, so that it is the file's own folder that is watched.
    let path = std::fs::canonicalize(&path)
        .or_else(|_| std::path::absolute(&path))
        .map_err(Error::io("resolve", &path))?;
    let mut watch = Watch::new(path.parent().unwrap_or_else(|| Path::new("/")))?;
    let mut log = Log { path, tails: Vec::new() };
    log.begin(reader, with_past)?;
    let mut containers = Containers::default();
    containers.begin(reader, &mut watch)?;
    loop {
        reader.printer.flush()?;
        for event in watch.wait()? {
            match event {
                Event::Folder => log.read(reader)?,
                Event::Ended(token) => containers.ended(token, reader, &mut watch)?,
            }
        }
        for (root, id) in std::mem::take(&mut reader.started) {
            containers.started(&root, &id, reader, &mut watch)?;
        }
    }
}

/// The log, and the files that it was before it was rotated.
struct Log {
    path: PathBuf,
    tails: Vec<Tail>,
}

/// A file that is read as it grows.
struct Tail {
    path: PathBuf,
    key: FileKey,
    lines: Lines<File>,
}

impl Log {
    /// Reads what there is, or passes it over.
    fn begin(&mut self, reader: &mut Reader, with_past: bool) -> Result<()> {
        let mut found = log_files::open(&self.path)?;
        let live = found.files.pop_if(|file| file.path == self.path);
        if with_past {
            reader.read_all(found)?;
        }
        if let Some(file) = live {
            self.add(file, !with_past)?;
        }
        self.read(reader)?;
        // The records say what runs; the past lines don't.
        reader.started.clear();
        Ok(())
    }

    /// Reads what is new, in this file and in those that a rotation has put in its place.
    fn read(&mut self, reader: &mut Reader) -> Result<()> {
        loop {
            for tail in &mut self.tails {
                tail.read(reader)?;
            }
            let now = log_files::key_of(&self.path);
            let current = self.tails.last().map(|tail| tail.key);
            if now.is_none() || now == current {
                return Ok(());
            }
            let mut found = log_files::open(&self.path)?;
            // Between two looks it may have been rotated more than once.
            match found.files.iter().position(|file| Some(file.key) == current) {
                Some(at) => drop(found.files.drain(..=at)),
                None => drop(found.files.drain(..found.files.len().saturating_sub(1))),
            }
            let passed = found.files.len().saturating_sub(1);
            for file in found.files.drain(..passed) {
                self.add(file, false)?;
                self.tails.iter_mut().try_for_each(|tail| tail.read(reader))?;
            }
            match found.files.pop() {
                Some(file) => self.add(file, false)?,
                None => return Ok(()),
            }
        }
    }

    fn add(&mut self, file: LogFile, at_end: bool) -> Result<()> {
        let (path, key) = (file.path.clone(), file.key);
        // What is compressed isn't written to; it was the log before we looked.
        let Some(mut file) = file.into_plain() else { return Ok(()) };
        let mut torn = false;
        if at_end {
            let end = file.seek(SeekFrom::End(0)).map_err(Error::io("read", &path))?;
            let mut last = [b'\n'];
            let read = end.checked_sub(1).map(|before| file.read_exact_at(&mut last, before));
            torn = read.is_some() && last != [b'\n'];
        }
        let mut lines = Lines::new(file);
        if torn {
            lines.skip_to_line_end();
        }
        self.tails.push(Tail { path, key, lines });
        let surplus = self.tails.len().saturating_sub(OLD_TAILS + 1);
        self.tails.drain(..surplus);
        Ok(())
    }
}

impl Tail {
    fn read(&mut self, reader: &mut Reader) -> Result<()> {
        // Truncated in place (logrotate's copytruncate): it begins anew.
        let file = self.lines.source();
        let size = file.metadata().map_err(Error::io("stat", &self.path))?.len();
        let at = file.stream_position().map_err(Error::io("read", &self.path))?;
        if size < at {
            file.rewind().map_err(Error::io("read", &self.path))?;
            self.lines.restart();
        }
        let path = self.path.clone();
        reader.drain(&mut self.lines, &path)
    }
}

/// The containers that are waited for, by the token of a process.
#[derive(Default)]
struct Containers {
    watched: HashMap<u64, Watched>,
}

struct Watched {
    key: Key,
    pod: Pod,
    /// Whether the process is the container's own; else it is the one that creates it.
    own: bool,
}

impl Containers {
    /// Waits for those that run.
    fn begin(&mut self, reader: &mut Reader, watch: &mut Watch) -> Result<()> {
        for key in record::all().unwrap_or_default() {
            let Ok(record) = record::stored(&key) else { continue };
            let wanted = reader.search.wanted();
            let gid = wanted
                .gid
                .is_none_or(|gid| Gid::new(gid).is_some_and(|g| record.identity.groups.contains(g)));
            if wanted.denied || !gid || !wanted.takes_container(&record.id, &record.pod) {
                continue;
            }
            let init = Found::look(key.clone()).init;
            let creator = Some(record.creator).filter(|creator| creator.lives());
            let process = creator.map(|key| (key, false)).or_else(|| init.map(|key| (key, true)));
            if let Some((process, own)) = process {
                self.wait_for(process, Watched { key, pod: record.pod, own }, watch)?;
            }
        }
        Ok(())
    }

    /// A line says that a container is being made.
    fn started(&mut self, root: &str, id: &str, reader: &mut Reader, watch: &mut Watch) -> Result<()> {
        let Ok(key) = Key::new(PathBuf::from(root), OsStr::new(id)) else { return Ok(()) };
        let Ok(record) = record::stored(&key) else { return Ok(()) };
        let watched = Watched { key, pod: record.pod, own: false };
        match self.wait_for(record.creator, watched, watch)? {
            None => Ok(()),
            Some(watched) => self.made(watched, reader, watch),
        }
    }

    /// A process has ended.
    fn ended(&mut self, token: u64, reader: &mut Reader, watch: &mut Watch) -> Result<()> {
        match self.watched.remove(&token) {
            None => Ok(()),
            Some(watched) if watched.own => tell(&watched, reader),
            Some(watched) => self.made(watched, reader, watch),
        }
    }

    /// The runtime is done with creating the container: its init is known, or it is gone.
    fn made(&mut self, watched: Watched, reader: &mut Reader, watch: &mut Watch) -> Result<()> {
        let rest = match Found::look(watched.key.clone()).init {
            Some(init) => self.wait_for(init, Watched { own: true, ..watched }, watch)?,
            None => Some(watched),
        };
        rest.map_or(Ok(()), |watched| tell(&watched, reader))
    }

    /// Waits for the end of `process`; gives the container back if that has ended already.
    fn wait_for(
        &mut self,
        process: ProcessKey,
        watched: Watched,
        watch: &mut Watch,
    ) -> Result<Option<Watched>> {
        match watch.process(process) {
            Ok(Some(token)) => {
                self.watched.insert(token, watched);
                Ok(None)
            }
            Ok(None) => Ok(Some(watched)),
            // The lines go on.
            Err(why) => {
                let _ = writeln!(std::io::stderr(), "runc-strict: {why}; its container's end won't be told");
                Ok(None)
            }
        }
    }
}

fn tell(watched: &Watched, reader: &mut Reader) -> Result<()> {
    let told = reader.printer.ended(&watched.key.id, &watched.key.root, &watched.pod);
    told.map_err(Error::io("write to", "stdout".as_ref()))
}
