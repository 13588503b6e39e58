//! `set` and `apply`: from what was asked to a committed transaction, or to everything as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::exit::{Exit, Halt};
use super::options::{Apply, How, Set};
use super::scene::{self, Wishes};
use super::show::{self, Outcome};
use super::target::{self, Found};
use super::{history, show::Progress};
use crate::error::Error;
use crate::node::audit::{Line, Resize};
use crate::node::cgroup::Tree;
use crate::node::config::Config;
use crate::node::process::ProcessKey;
use crate::node::transaction::{self, End, Failure, Head, Journal, Lock, Scene};
use crate::resize::desired::desired;
use crate::resize::knob::CgroupVersion;
use crate::resize::plan::{Level, Plan, plan};
use crate::resize::request::{Request, manifest};

/// The largest document that is read.
const LIMIT: u64 = 64 * 1024 * 1024;

/// `set`.
pub(super) fn set(asked: &Set) -> Result<(), Halt> {
    let mut request = match &asked.resources {
        Some(path) => {
            let text = document(path)?;
            let resources = serde_json::from_str(&text).map_err(|why| {
                Halt::usage(format!("{}: no LinuxResources object: {why}", crate::error::show(path)))
            })?;
            Request::from_oci(&resources)?
        }
        None => Request::default(),
    };
    asked.limits.add_to(&mut request)?;
    if request.is_empty() {
        return Err(Halt::usage(
            "nothing is asked for; give a limit such as --memory-limit 512Mi, or --resources FILE",
        ));
    }
    let tree = Tree::open()?;
    let found = target::find(&tree, &asked.target)?;
    let name = match &found.chosen {
        Some(name) => name.clone(),
        None => only(&found)?,
    };
    Change { command: "set", how: &asked.how, requests: BTreeMap::from([(name, request)]) }.run(tree, found)
}

/// The pod's one container.
fn only(found: &Found) -> Result<String, Halt> {
    match found.containers.as_slice() {
        [one] => Ok(one.name.clone()),
        several => {
            let names: Vec<String> =
                several.iter().map(|one| crate::quote::quoted(one.name.as_bytes())).collect();
            Err(Halt::usage(format!(
                "the pod has {} containers: {}; name one by --container-name, or use apply",
                several.len(),
                names.join(", ")
            )))
        }
    }
}

/// `apply`.
pub(super) fn apply(asked: &Apply) -> Result<(), Halt> {
    let text = document(&asked.file)?;
    let shown = crate::error::show(&asked.file);
    let pod: Json = match serde_json::from_str(&text) {
        Ok(pod) => pod,
        Err(_) => serde_saphyr::from_str(&text).map_err(|why| {
            let why = why.to_string();
            Halt::usage(format!("{shown}: neither JSON nor YAML: {}", why.lines().next().unwrap_or_default()))
        })?,
    };
    let containers = manifest::containers(&pod)?;
    if containers.iter().all(|one| one.request.is_empty()) {
        return Err(Halt::usage(format!("{shown}: no container in it has resources for a cgroup")));
    }
    let named = pod.pointer("/metadata/uid").and_then(Json::as_str);
    let uid = match (&asked.pod, named) {
        (Some(given), Some(named)) if given != named => {
            return Err(Halt::usage(format!(
                "--pod {given} isn't the manifest's metadata.uid {}",
                crate::quote::quoted(named.as_bytes())
            )));
        }
        (Some(uid), _) => uid.clone(),
        (None, Some(uid)) => uid.to_owned(),
        (None, None) => {
            return Err(Halt::usage(format!("{shown} has no metadata.uid; name the pod by --pod UID")));
        }
    };
    let tree = Tree::open()?;
    let found = target::pod(&tree, &uid, None, asked.root.as_deref())?;
    let requests = containers.into_iter().map(|one| (one.container, one.request)).collect();
    Change { command: "apply", how: &asked.how, requests }.run(tree, found)
}

fn document(path: &Path) -> Result<String, Halt> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().take(LIMIT).read_to_string(&mut text);
        return read.map(|_| text).map_err(|why| Error::io("read", "stdin".as_ref())(why).into());
    }
    crate::node::file::read_text(path, LIMIT).map_err(|why| Halt::usage(why.to_string()))
}

/// What is to be changed.
struct Change<'a> {
    command: &'static str,
    how: &'a How,
    requests: BTreeMap<String, Request>,
}

impl Change<'_> {
    /// Locks, plans, applies; the audit log hears of it however it ends.
    fn run(self, tree: Tree, found: Found) -> Result<(), Halt> {
        let since = Instant::now();
        let mut audit = Audit {
            command: self.command,
            found: &found,
            names: self.requests.keys().cloned().collect(),
            since,
        };
        let done = self.change(tree, &found);
        match &done {
            Ok(Some(outcome)) => {
                audit.write(outcome.plan.is_empty(), None, outcome.transaction.as_deref(), &outcome.plan)
            }
            Err(halt) => audit.failed(halt),
            // a dry run is no event
            Ok(None) => {}
        }
        done.map(|_| ())
    }

    fn change(&self, tree: Tree, found: &Found) -> Result<Option<Outcome>, Halt> {
        let deadline = Instant::now() + Duration::from_secs(self.how.timeout);
        let lock = lock_name(&tree, found)?;
        // a dry run changes nothing, and waits for nobody
        let held = match self.how.dry_run {
            true => None,
            false => Some(take(&lock, deadline)?),
        };
        if held.is_some() {
            history::recover_lock(&lock, self.how.timeout)?;
        }
        let how = self.how;
        let wishes =
            Wishes { mode: how.mode, formula: how.weight_formula, force: how.force, timeout: how.timeout };
        let (scene, snapshot, facts) = scene::read(tree, found, files(&self.requests), wishes)?;
        let asked = self.requests.iter().map(|(name, request)| (name.as_str(), request));
        let plan = plan(&snapshot, &desired(&snapshot, asked, &facts)?, &facts)?;
        let ignored: Vec<String> =
            self.requests.values().flat_map(|request| request.ignored.clone()).collect();
        let mut outcome = Outcome {
            command: self.command,
            plan,
            dry_run: how.dry_run,
            transaction: None,
            ignored,
            gone: BTreeSet::new(),
        };
        let shown = how.dry_run || how.diff || std::io::stdout().is_terminal();
        if shown && !how.json {
            crate::cli::print(&show::plan(&outcome));
        }
        if !how.dry_run && !outcome.plan.is_empty() {
            let (transaction, gone) = commit(&scene, &outcome.plan, self.command, None, &lock, found)?;
            (outcome.transaction, outcome.gone) = (Some(transaction), gone);
        }
        drop(held);
        crate::cli::print(&if how.json { show::json(&outcome) } else { show::end(&outcome, shown) });
        Ok((!how.dry_run).then_some(outcome))
    }
}

/// Files beside the usual ones that are asked for.
fn files(requests: &BTreeMap<String, Request>) -> Vec<String> {
    let known = CgroupVersion::V2.files();
    let asked = requests.values().flat_map(|request| request.unified.keys().map(|knob| knob.file()));
    asked.filter(|file| !known.contains(&file.as_str())).collect()
}

/// One lock for a pod, or for a container without one: named by the number of its cgroup's folder.
fn lock_name(tree: &Tree, found: &Found) -> Result<String, Halt> {
    let place =
        found.pod.as_ref().map(|(place, _)| place).or_else(|| found.containers.first().map(|one| &one.place));
    let place = place.ok_or_else(|| Halt::not_found("there is no container"))?;
    let identity = tree.group(place)?.identity();
    let main = identity.iter().find(|(name, _)| name == "memory").or_else(|| identity.first());
    Ok(format!("cgroup-{}", main.map_or(0, |(_, number)| *number)))
}

/// Takes the lock, or says that it is busy.
pub(super) fn take(lock: &str, deadline: Instant) -> Result<Lock, Halt> {
    Lock::take(lock, deadline)?.ok_or_else(|| {
        let hint = "wait for it, or give a longer --timeout";
        Halt::new(Exit::Busy, format!("another transaction on the same pod is under way; {hint}"))
    })
}

/// Writes the journal, applies, and undoes if that fails. Returns the transaction's name, and who ended meanwhile.
pub(super) fn commit(
    scene: &Scene,
    plan: &Plan,
    command: &str,
    undoes: Option<&str>,
    lock: &str,
    found: &Found,
) -> Result<(String, BTreeSet<Level>), Halt> {
    let cgroups = scene.sites.iter().map(|(key, site)| {
        let (runtime, init) = (site.runtime.clone(), site.init);
        (
            key.0.clone(),
            transaction::Cgroup { identity: site.group.identity(), runtime, unit: site.unit.clone(), init },
        )
    });
    let mut journal = Journal::begin(Head {
        v: 0,
        transaction: String::new(),
        time: String::new(),
        owner: ProcessKey { pid: 0, start: 0 },
        command: command.to_owned(),
        undoes: undoes.map(str::to_owned),
        lock: lock.to_owned(),
        pod: found.names.clone(),
        way: scene.way,
        cgroups: cgroups.collect(),
        plan: plan.steps.clone(),
    })?;
    let name = journal.name().to_owned();
    let mut progress = Progress::default();
    let stop = match transaction::apply(scene, &plan.steps, &mut journal, &mut progress) {
        Ok(gone) => {
            progress.end();
            let all = plan.steps.iter().all(|step| gone.contains(&step.level) || step.level == Level::Pod);
            journal.end(End::Committed, None, gone.iter().map(|level| format!("{level} ended")).collect())?;
            return match all && !gone.is_empty() {
                true => Err(Halt::not_found("the container ended meanwhile, and its limits with it")),
                false => Ok((name, gone)),
            };
        }
        Err(stop) => stop,
    };
    progress.end();
    let remains = transaction::undo(scene, journal.applied(), &mut progress);
    progress.end();
    let why = format!("{}: {}", stop.level, stop.why);
    let (exit, end, message) = match (&stop.why, remains.is_empty()) {
        (Failure::Stuck { .. }, true) => {
            (Exit::WouldOom, End::RolledBack, format!("{why}; everything is as it was"))
        }
        (_, true) => {
            (Exit::RolledBack, End::RolledBack, format!("{why}; rolled back, everything is as it was"))
        }
        (_, false) => {
            let rest = remains.join("; ");
            (Exit::RollbackFailed, End::Failed, format!("{why}; not everything could be rolled back: {rest}"))
        }
    };
    // the end of the journal is told even if it can't be written: nothing is to be done twice
    let ended = journal.end(end, Some(why), remains.clone());
    let message = ended.err().map_or_else(|| message.clone(), |why| format!("{message}; {why}"));
    Err(Halt { exit, message, transaction: Some(name), remains })
}

/// The line in the audit log: one for each container.
struct Audit<'a> {
    command: &'static str,
    found: &'a Found,
    names: Vec<String>,
    since: Instant,
}

impl Audit<'_> {
    fn write(&mut self, nothing: bool, halt: Option<&Halt>, transaction: Option<&str>, plan: &Plan) {
        let config = Config::load().unwrap_or_default();
        for name in &self.names {
            let member = self.found.containers.iter().find(|one| one.name == *name);
            let key = member.and_then(|one| one.key.as_ref());
            let mut line = Line::new(
                &format!("cgroup-updater {}", self.command),
                key.map_or(name.as_str(), |key| key.id.as_str()),
                config.engine.name(),
            );
            line.root = key.map_or_else(String::new, |key| key.root.display().to_string());
            line.pod = self.found.names.clone();
            line.pod.container = Some(name.clone()).filter(|_| self.found.pod.is_some());
            line.verdict = match halt.map(|halt| halt.exit) {
                None if nothing => "keep",
                None => "change",
                Some(Exit::WouldOom | Exit::Infeasible | Exit::Usage | Exit::Busy | Exit::NotFound) => "deny",
                Some(_) => "error",
            }
            .to_owned();
            line.reason = halt.map(|halt| halt.message.clone());
            let changes = plan.steps.iter().filter(|step| step.level == Level::Container(name.clone()));
            line.resize = Some(Resize {
                transaction: transaction.map(str::to_owned),
                changes: changes.filter_map(show::change).collect(),
            });
            // the resize is done; a log that can't be written is told and stops nothing
            if let Err(why) = line.append(&config.audit.path, self.since) {
                crate::cli::fail(&why);
            }
        }
    }

    fn failed(&mut self, halt: &Halt) {
        let none = Plan {
            version: CgroupVersion::V1,
            steps: Vec::new(),
            notices: Vec::new(),
            fields: BTreeMap::new(),
        };
        self.write(false, Some(halt), halt.transaction.as_deref(), &none);
    }
}
