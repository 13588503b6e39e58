//! The whole program as one sentence: read the command line; for what starts a process, read who it would be, judge
//! it, write the judgement down, and become the real runtime; for everything else become the real runtime at once.

use std::cell::LazyCell;
use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use crate::argv::grammar::Verb;
use crate::argv::{self, Exec, Globals, Invocation, ProcessSource, Start, Target, Update};
use crate::cli;
use crate::error::{Error, Result};
use crate::node::bundle::{self, ConfigFile};
use crate::node::config::{self, Config, Restore};
use crate::node::container::{self, Container};
use crate::node::containerd;
use crate::node::process::ProcessKey;
use crate::node::record::{self, Key, Record};
use crate::node::version::{self, Binary, Known, Version};
use crate::node::{file, log as road, memory, overrides, runtime, state};
use crate::outcome::{Account, Judged, Stop, judged};
use crate::policy::subject::{Declared, Process, Runtime as Lookup};
use crate::policy::{Edits, Finding, Reason, Verdict, decide, decide_exec};
use crate::spec::{ProcessObject, Splice, Value};
use crate::update;

/// Does what `words` (argv without the program's name) ask for. It comes back with an exit code only if it didn't
/// become the real runtime.
///
/// A create and an exec are part of it when it is compiled, and all else stands apart, so that what they run and the stack that
/// they take lie close together.
pub fn run(words: &[OsString]) -> u8 {
    match argv::parse(words) {
        Ok(Invocation::Own) => cli::run(words),
        Ok(Invocation::Pass) => pass(words),
        Ok(Invocation::Delete(target)) => {
            forget(&target);
            pass(words)
        }
        Ok(Invocation::Update(update)) => limit(&update, words),
        Ok(Invocation::Start(start)) => {
            judged(start.verb, &start.globals, &start.id, |account| create(&start, account))
        }
        Ok(Invocation::Exec(exec)) => {
            judged(Verb::Exec, &exec.globals, &exec.id, |account| enter(&exec, account))
        }
        Ok(Invocation::Restore(start)) => {
            judged(start.verb, &start.globals, &start.id, |account| restore(&start, account))
        }
        Err(refused) => judged(refused.verb, &refused.globals, OsStr::new(""), |_| {
            Err(Stop::Words(refused.message.clone()))
        }),
    }
}

/// Somebody else's command: the real runtime gets the words byte for byte.
fn pass(words: &[OsString]) -> u8 {
    let Err(why) = runtime::for_pass_through().and_then(|path| runtime::become_it(&path, words));
    tell(words, &why)
}

/// update: somebody else's command too, but what a person has set to stay is put into its document.
#[inline(never)]
fn limit(update: &Update, words: &[OsString]) -> u8 {
    let settings = config::for_pass_through();
    let Err(why) = runtime::configured(&settings).and_then(|path| {
        let merged = update::merged(update, words, &settings, &path);
        runtime::become_it(&path, merged.as_deref().unwrap_or(words))
    });
    tell(words, &why)
}

/// Engines show what stands in the log that they named; the runtime would have told there why it fails.
fn tell(words: &[OsString], why: &Error) -> u8 {
    road::install(&Globals::leading(words));
    log::error!("{why}");
    1
}

/// A deleted container's record is of no use; that it can't be found is no reason to stop a delete.
#[inline(never)]
fn forget(target: &Target) {
    let kind = || runtime::for_pass_through().map_or(version::Kind::Unknown, |path| version::of(&path).kind);
    if let Ok(key) = state::root(target.root.as_deref(), kind).and_then(|root| Key::new(root, &target.id)) {
        overrides::forget(&key);
    }
}

/// create, run: judge the bundle, write the judgement into it, and remember it for every exec.
fn create(start: &Start, account: &mut Account) -> Judged<Infallible> {
    let (config, runtime, found, version) = setting(account)?;
    let root = state::root(start.globals.root().as_deref(), || version.kind)?;
    let key = Key::new(root, &start.id)?;
    account.root = key.root.to_string_lossy().into_owned();
    let bundle = start.bundle.clone().unwrap_or_else(|| PathBuf::from("."));
    let bundle = std::path::absolute(&bundle).map_err(Error::io("resolve", &bundle))?;

    let file = ConfigFile::of_bundle(&bundle)?;
    let document = file.document()?;
    let mut subject = bundle::subject(&bundle, &key.id, &file, &document, &config, &version)?;
    account.pod = subject.pod.clone();
    account.before = subject.process.groups.clone();
    containerd::complete(&mut subject, &config, &key.root, &key.id)?;

    let verdict = decide(&subject, &config.policy());
    account.judged(&verdict);
    if config.check_before_update && !version.checks_before_update() {
        account.findings.push(Finding::NoCheckBeforeUpdate { runtime: version.name() });
    }
    let (identity, edits) = match verdict {
        Verdict::Deny(reason) => return Err(Stop::Refused(reason)),
        Verdict::Keep(identity) => (identity, None),
        Verdict::Change(change) => (change.identity, Some(change.edits)),
    };
    let record = Record {
        format: Record::FORMAT,
        id: key.id.clone(),
        root: key.root.clone(),
        bundle: bundle.clone(),
        creator: ProcessKey::current()?,
        time: account.time.clone(),
        runtime: account.runtime.clone(),
        looks_up_names: version.looks_up_names(),
        binary: version.binary(&found),
        engine: config.engine.name().to_owned(),
        pod: subject.pod,
        before: subject.process.groups,
        declared: matches!(subject.declared, Declared::Known { .. }),
        identity,
        bond: None,
    };
    // The record comes first: it tells a later delete in which bundle a killed process left a temporary file.
    let remembered = record::write(&key, &record)?;
    let limits = match remembered {
        true => update::reapplied(&key, &record.pod, &document, account),
        false => Vec::new(),
    };
    let rewritten = match edits.is_some() || !limits.is_empty() {
        true => file.rewrite(&document, &edits.unwrap_or_default(), &limits),
        false => Ok(()),
    };
    let started = rewritten.and_then(|()| {
        runtime::remember(&runtime);
        if let Err(why) = account.write() {
            log::warn!("{why}; the container starts all the same");
        }
        runtime::become_it(&runtime, &start.words(bundle.as_os_str()))
    });
    // Nothing was started: the bundle and the record become what they were.
    let Err(why) = started;
    // The record goes first, so that a bundle which can't be put back leaves none of a container that never was.
    if remembered {
        record::forget(&key);
        overrides::detach(&key);
    }
    file.restore()?;
    Err(why.into())
}

/// exec: give the process what the container's init got.
fn enter(exec: &Exec, account: &mut Account) -> Judged<Infallible> {
    // With a record nothing but the runtime and the log is taken from the configuration: a slip in it stops no probe.
    let settings = config::for_pass_through();
    account.log = Some(settings.log.clone());
    let (runtime, found) = match &settings.runtime {
        Some(word) => runtime::find(word)?,
        // Nobody knows what the configuration says.
        None => runtime::configured(&settings).and_then(|path| {
            let found = fs::metadata(&path).map_err(Error::io("find the real runtime", &path))?;
            Ok((path, found))
        })?,
    };
    let version = LazyCell::new(|| version::of_found(&runtime, &found));
    let root = exec.globals.root();
    if root.is_none() {
        runtime::check(&runtime, &found)?;
    }
    let root = state::root(root.as_deref(), || version.kind)?;
    let key = Key::new(root, &exec.id)?;
    account.root = key.root.to_string_lossy().into_owned();

    let (container, init, known) = match record::read(&key) {
        Ok(record) => {
            account.engine = record.engine;
            // What the create found there, and looked at, need not be looked at again.
            let known = match record.binary == Binary::of(&found) {
                true => {
                    runtime::check_answered(&runtime, &found)?;
                    Known { name: record.runtime, looks_up_names: record.looks_up_names }
                }
                false => {
                    runtime::check(&runtime, &found)?;
                    version.known()
                }
            };
            let init = record.bond.map(|bond| bond.init);
            (Container { identity: record.identity, pod: record.pod }, init, known)
        }
        Err(no_record) => {
            runtime::check(&runtime, &found)?;
            account.runtime = version.name();
            let config = Config::load()?;
            account.engine = config.engine.name().to_owned();
            match container::judge_anew(&key, &no_record, &config, &version)? {
                Ok(container) => (container, None, version.known()),
                Err(reason) => return Err(Stop::Refused(reason)),
            }
        }
    };
    account.runtime = known.name.clone();
    account.pod = container.pod.clone();
    let state = || state::State::read(&key.root, &exec.id);
    let lookup = container::lookup_at_exec(&known, || init.or_else(|| state().ok().map(|s| s.init)));

    let (text, path) = match &exec.process {
        ProcessSource::Document(path) => (file::read_text(path, bundle::LIMIT)?, Some(path.as_os_str())),
        ProcessSource::Words(command) => {
            let file = ConfigFile::read(&state()?.document)?;
            let made = file
                .document()
                .and_then(|d| command.document(d.process.text).map_err(Error::content(&file.path)));
            (made?, None)
        }
    };
    let object = ProcessObject::read(Value::whole(&text), "the document");
    let object = object.map_err(Error::content(path.map_or_else(|| Path::new("config.json"), Path::new)))?;
    let edits = judge_exec(&object.process, &container, &lookup, account)?;
    let words = match path.filter(|_| edits.is_empty()) {
        Some(path) => exec.words(path),
        None => {
            let mut splice = Splice::new(&text);
            object.apply(&edits, &mut splice);
            exec.words(memory::document(&splice.pieces(), first_free_descriptor(exec))?.as_os_str())
        }
    };
    // A log that can't be written is told at create; a probe runs every few seconds.
    let _ = account.write();
    Ok(runtime::become_it(&runtime, &words)?)
}

fn judge_exec(
    process: &Process,
    container: &Container,
    lookup: &Lookup,
    account: &mut Account,
) -> Judged<Edits> {
    account.before = process.groups.clone();
    let config = config::path();
    let verdict = decide_exec(process, &container.identity, lookup, &config.to_string_lossy());
    verdict.name().clone_into(&mut account.verdict);
    let (identity, edits) = match verdict {
        Verdict::Deny(reason) => return Err(Stop::Refused(reason)),
        Verdict::Keep(identity) => (identity, Edits::default()),
        Verdict::Change(change) => (change.identity, change.edits),
    };
    account.is(identity);
    Ok(edits)
}

/// The descriptors from 3 on belong to the process: as many as `--preserve-fds` says, and `LISTEN_FDS`
/// (sd_listen_fds(3)), which runc passes on too.
fn first_free_descriptor(exec: &Exec) -> i32 {
    let listen = std::env::var("LISTEN_FDS").ok().and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    i32::try_from(exec.preserve_fds.saturating_add(listen).saturating_add(3)).unwrap_or(i32::MAX)
}

/// restore: the process's groups come from the checkpoint image, where nobody can judge them.
#[inline(never)]
fn restore(start: &Start, account: &mut Account) -> Judged<Infallible> {
    let (config, runtime, ..) = setting(account)?;
    if config.restore == Restore::Deny {
        return Err(Stop::Refused(Reason::Restore { config: config.path.display().to_string() }));
    }
    account.verdict = "keep".to_owned();
    let bundle = start.bundle.clone().unwrap_or_else(|| PathBuf::from("."));
    let bundle = std::path::absolute(&bundle).map_err(Error::io("resolve", &bundle))?;
    if let Err(why) = account.write() {
        log::warn!("{why}; the container is restored all the same");
    }
    Ok(runtime::become_it(&runtime, &start.words(bundle.as_os_str()))?)
}

/// What create and restore go by: the configuration, the real runtime, what was found there, and its version.
fn setting(account: &mut Account) -> Result<(Config, PathBuf, Metadata, Version)> {
    let config = Config::load()?;
    account.engine = config.engine.name().to_owned();
    account.log = Some(config.audit.path.clone());
    let (runtime, found) = runtime::find(&config.runtime)?;
    let version = version::of_other(&runtime, &found)?;
    account.runtime = version.name();
    Ok((config, runtime, found, version))
}
