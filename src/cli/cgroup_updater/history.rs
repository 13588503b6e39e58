//! Transactions of before: shown, and undone by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Range;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use super::commit::{self, Commit};
use super::exit::{Exit, Halt};
use super::options::{History, Rollback};
use super::show::{self, Outcome, PodPlan, SCHEMA};
use super::sticky;
use crate::node::audit::{Line, Resize};
use crate::node::cgroup::{self, Place, Tree, is_same};
use crate::node::config::Config;
use crate::node::systemd::Systemd;
use crate::node::transaction::{self, End, Hold, Scene, Site, Story};
use crate::node::version;
use crate::policy::subject::Pod;
use crate::quote::{escaped, quoted};
use crate::resize::convert::weight::WeightFormula;
use crate::resize::knob::Knob;
use crate::resize::knobs::Knobs;
use crate::resize::plan::rollback::rollback as backwards;
use crate::resize::plan::{Action, Level, Plan, Step};
use crate::resize::snapshot::{CgroupKey, RuntimeAbilities};
use crate::resize::value::Value;
use crate::resize::verify::accepts;

/// `history`.
pub(super) fn history(asked: &History) -> Result<(), Halt> {
    let mut out = String::new();
    let mut documents = Vec::new();
    for story in transaction::all()? {
        let story = match story {
            Ok(story) => story,
            Err(why) => {
                super::super::fail(&why);
                continue;
            }
        };
        let head = &story.head;
        let state = state(&story);
        let changes: Vec<String> = head
            .plan
            .iter()
            .filter_map(|step| {
                let pod = head.cgroups.get(&step.cgroup.0).and_then(|cgroup| cgroup.pod.as_ref());
                let pod = pod.map(|pod| format!("{pod}, ")).unwrap_or_default();
                Some(format!("{pod}{}: {}", step.level, show::change(step)?))
            })
            .collect();
        if asked.json {
            documents.push(json!({
                "transaction": head.transaction, "time": head.time, "command": head.command, "undoes": head.undoes,
                "pods": head.pods, "state": state, "reason": story.why, "remains": story.remains, "steps": head.plan,
                "begun": story.begun(), "sticky": head.sticky,
            }));
            continue;
        }
        // Writing to a String can't fail.
        let undoes = head
            .undoes
            .as_ref()
            .map(|other| format!(" of {}", escaped(other.as_bytes())))
            .unwrap_or_default();
        let _ =
            writeln!(out, "{}  {:<11}  {}{undoes}  {}", head.transaction, state, head.command, place(&story));
        changes.iter().for_each(|change| {
            let _ = writeln!(out, "    {change}");
        });
        for hold in &head.sticky {
            show::held(hold).iter().for_each(|line| {
                let _ = writeln!(out, "    {line}");
            });
        }
        if let Some(why) = &story.why {
            let _ = writeln!(out, "    because {}", why.replace(char::is_control, " "));
        }
    }
    if asked.json {
        out = show::line(&json!({ "v": SCHEMA, "transactions": documents }));
    } else if out.is_empty() {
        out.push_str("There was no transaction since boot.\n");
    }
    super::super::print(&out);
    Ok(())
}

fn state(story: &Story) -> &'static str {
    match story.end {
        Some(End::Committed) => "done",
        Some(End::RolledBack) => "rolled back",
        Some(End::Failed) => "failed",
        None if story.is_abandoned() => "abandoned",
        None => "under way",
    }
}

fn place(story: &Story) -> String {
    let pod = match story.head.pods.as_slice() {
        [one] => one,
        several => return format!("{} pods", several.len()),
    };
    match (&pod.namespace, &pod.name, &pod.uid) {
        (Some(namespace), Some(name), _) => {
            format!("{}/{}", escaped(namespace.as_bytes()), escaped(name.as_bytes()))
        }
        (_, _, Some(uid)) => format!("pod {}", escaped(uid.as_bytes())),
        _ => {
            let first = story.head.plan.first().map(|step| step.level.to_string());
            first.unwrap_or_default()
        }
    }
}

/// `rollback`: the way back as a transaction of its own.
pub(super) fn rollback(asked: &Rollback) -> Result<(), Halt> {
    let story = transaction::story(&asked.transaction).map_err(Halt::not_found)?;
    let name = quoted(asked.transaction.as_bytes());
    match story.end {
        Some(End::RolledBack) => {
            return Err(Halt::new(Exit::Infeasible, format!("transaction {name} was rolled back already")));
        }
        None if story.is_abandoned() => {
            return Err(Halt::new(
                Exit::Infeasible,
                format!("transaction {name} was killed half way; use recover"),
            ));
        }
        None => return Err(Halt::new(Exit::Busy, format!("transaction {name} is under way"))),
        Some(End::Committed | End::Failed) => {}
    }
    let held = commit::hold(&story.head.locks, asked.back.timeout)?;
    let mut scene = scene(&story, asked.back.timeout, asked.force)?;
    if scene.sites.is_empty() {
        return Err(Halt::not_found(format!("everything that transaction {name} changed went away")));
    }
    let steps = backwards(&story.applied(), scene.way);
    let steps: Vec<Step> = steps.into_iter().filter(|step| scene.sites.contains_key(&step.cgroup)).collect();
    look(&mut scene)?;
    if !asked.force {
        unchanged(&story, &scene)?;
    }
    // an override that has changed since is somebody else's word
    let holds: Vec<Hold> = story.head.sticky.iter().map(|hold| hold.reversed().current()).collect();
    let of = Commit {
        command: "rollback",
        undoes: Some(&asked.transaction),
        locks: story.head.locks.clone(),
        pods: story.head.pods.clone(),
        holds: holds.clone(),
    };
    let since = Instant::now();
    let done = commit::commit(&scene, &[&steps], of);
    told(&story, &steps, &holds, &done, since);
    let (transaction, gone) = done?;
    drop(held);
    let plan = Plan { version: scene.tree.version(), steps, notices: Vec::new(), fields: BTreeMap::new() };
    let outcome = Outcome {
        command: "rollback",
        plans: vec![PodPlan { title: None, uid: None, plan }],
        dry_run: false,
        transaction: Some(transaction),
        ignored: Vec::new(),
        notes: Vec::new(),
        gone,
        signs: Default::default(),
        holds,
    };
    super::super::print(&if asked.back.json { show::json(&outcome) } else { show::end(&outcome, false) });
    Ok(())
}

/// Reads what the cgroups hold now.
pub(super) fn look(scene: &mut Scene) -> Result<(), Halt> {
    for (key, site) in &scene.sites {
        scene.before.insert(key.clone(), cgroup::cgroup(&site.group, &scene.files)?);
    }
    Ok(())
}

/// The lines in the audit log on a rollback: one for each container.
fn told(
    story: &Story,
    steps: &[Step],
    holds: &[Hold],
    done: &Result<(String, Vec<String>), Halt>,
    since: Instant,
) {
    let config = Config::load().unwrap_or_default();
    let of_containers = steps.iter().filter_map(|step| match &step.level {
        Level::Container(name) => Some((&step.cgroup, name)),
        Level::Pod | Level::Nested(_) => None,
    });
    for (cgroup, name) in of_containers.collect::<BTreeSet<_>>() {
        let entry = story.head.cgroups.get(&cgroup.0);
        let runtime = entry.and_then(|entry| entry.runtime.as_ref());
        let id = runtime.map_or(name.as_str(), |runtime| runtime.id.as_str());
        let mut line = Line::new("cgroup-updater rollback", id, config.engine.name());
        line.root = runtime.map_or_else(String::new, |runtime| runtime.root.display().to_string());
        let hold = holds.iter().find(|hold| hold.cgroup == cgroup.0);
        line.pod = match (hold, story.head.pods.as_slice()) {
            (Some(hold), _) => hold.pod.clone(),
            (None, [one]) => Pod { container: Some(name.clone()), ..one.clone() },
            (None, _) => Pod::default(),
        };
        let mine = steps.iter().filter(|step| step.cgroup == *cgroup);
        let names = |kept| hold.map(|hold| sticky::names(hold, kept)).unwrap_or_default();
        let (transaction, resize) = match done {
            Ok((transaction, _)) => {
                line.verdict = "change".to_owned();
                let (sticky, ended) = (names(true), names(false));
                let changes = mine.filter_map(show::change).collect();
                (Some(transaction.clone()), Resize { changes, sticky, ended, ..Resize::default() })
            }
            Err(halt) => {
                line.verdict = "error".to_owned();
                line.reason = Some(halt.message.clone());
                (halt.transaction.clone(), Resize::default())
            }
        };
        line.resize = Some(Resize { transaction, ..resize });
        // the limits are back; a log that can't be written is told and stops nothing
        if let Err(why) = line.append(&config.audit.path, since) {
            crate::cli::fail(&why);
        }
    }
}

/// Refuses to undo what somebody else has changed since.
fn unchanged(story: &Story, scene: &Scene) -> Result<(), Halt> {
    let last = |values: &[Value]| values.len().saturating_sub(1)..values.len();
    match changed_since(story, scene, last) {
        None => Ok(()),
        Some(found) => {
            let hint = "something else has changed it; --force undoes it all the same";
            Err(Halt::new(Exit::Infeasible, format!("{found}: {hint}")))
        }
    }
}

/// A knob that holds none of the values which a transaction may have left in it, in words. They are in the order in which
/// they were set, with what was before at the beginning; `accepted` says which of them count.
pub(super) fn changed_since(
    story: &Story,
    scene: &Scene,
    accepted: impl Fn(&[Value]) -> Range<usize>,
) -> Option<String> {
    let mut left: BTreeMap<(CgroupKey, Knob), (Level, Vec<Value>)> = BTreeMap::new();
    for step in story.applied() {
        if let Action::Set { knob, old, new, .. } = step.action {
            let (_, values) = left.entry((step.cgroup, knob)).or_insert_with(|| (step.level, vec![old]));
            values.push(new);
        }
    }
    left.iter().find_map(|((key, knob), (level, values))| {
        let (now, site) = (scene.before.get(key)?, scene.sites.get(key)?);
        let found = now.get(knob)?;
        let accepts = |value: &Value| accepts(knob, value, now, site.owner(), scene.page);
        if values.get(accepted(values))?.iter().any(accepts) {
            return None;
        }
        let set = values.last()?;
        Some(format!("{}: {knob} was set to {set} and is {found} now", scene.name(key, level)))
    })
}

pub(super) fn deadline(timeout: u64) -> Instant {
    Instant::now() + Duration::from_secs(timeout)
}

/// The cgroups of a journal, as far as they are still the same ones.
pub(super) fn scene(story: &Story, timeout: u64, force: bool) -> Result<Scene, Halt> {
    let tree = Tree::open()?;
    let mut sites = BTreeMap::new();
    let mut abilities = RuntimeAbilities::default();
    for (key, cgroup) in &story.head.cgroups {
        let Ok(place) = key.parse::<Place>() else { continue };
        let Ok(group) = tree.group(&place) else { continue };
        let ended = cgroup.init.is_some_and(|init| !init.runs());
        if !is_same(&cgroup.identity, &group.identity()) || ended {
            continue;
        }
        let mut formula = WeightFormula::Linear;
        if let Some(runtime) = &cgroup.runtime {
            let real = super::scene::Real::at(&runtime.program, version::of(&runtime.program));
            (formula, abilities) = (real.formula(), real.abilities());
        }
        let site = Site {
            group,
            runtime: cgroup.runtime.clone(),
            init: cgroup.init,
            unit: cgroup.unit.clone(),
            formula,
            pod: cgroup.pod.clone(),
        };
        sites.insert(CgroupKey(key.clone()), site);
    }
    let asked = story.head.plan.iter().filter_map(Step::knob).map(|knob| knob.file());
    let known = tree.version().files();
    let files =
        asked.filter(|file| !known.contains(&file.as_str()) && !file.starts_with("hugetlb.")).collect();
    let units = sites.values().any(|site| site.unit.is_some());
    let systemd = if units { Some(Mutex::new(Systemd::connect()?)) } else { None };
    Ok(Scene {
        tree,
        systemd,
        sites,
        before: BTreeMap::<CgroupKey, Knobs>::new(),
        whole: Mutex::default(),
        files,
        abilities,
        page: cgroup::page(),
        way: story.head.way,
        force,
        deadline: deadline(timeout),
    })
}
