//! What stays: a change is kept against the engine (`--sticky`) or lasts until its next update (`--once`), and an override
//! is given up by `unset`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::change::Wanted;
use super::exit::{Exit, Halt};
use super::target::Member;
use crate::node::bundle::ConfigFile;
use crate::node::overrides::{self, Overrides, Owner};
use crate::node::record::{self, Key, Record};
use crate::node::transaction::{Hold, Scene, Turn, stated};
use crate::quote::quoted;
use crate::resize::field::{Field, Writer};
use crate::resize::knob::{Knob, UnifiedKey};
use crate::resize::plan::{Level, Plan, Step};
use crate::resize::snapshot::CgroupKey;
use crate::resize::sticky;

/// How long a change shall last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lasting {
    /// As long as can be: it stays for containers that runc-strict started.
    Auto,
    /// It stays, or isn't made.
    Sticky,
    /// Until the engine's next update.
    Once,
    /// Overrides of these fields end.
    Ends(Vec<Field>),
}

/// What is wanted of one container's overrides.
#[derive(Debug)]
pub(super) struct Wish {
    /// What a transaction does to them.
    pub(super) hold: Hold,
    key: Key,
    record: Box<Record>,
}

/// The fields that a change holds, or that it gives up.
pub(super) fn names(hold: &Hold, kept: bool) -> Vec<String> {
    let wanted = hold.fields.iter().filter(|(_, turn)| turn.after.is_some() == kept);
    wanted.map(|(field, _)| field.to_string()).collect()
}

/// Decides what stays of a pod's plan; `notes` hears what there is to say of it.
///
/// # Errors
/// Exit 7 where it shall stay and can't.
pub(super) fn holds(
    lasting: &Lasting,
    one: &Wanted,
    plan: &Plan,
    notes: &mut Vec<String>,
) -> Result<Vec<Wish>, Halt> {
    let found = &one.found;
    let mut made = Vec::new();
    for name in one.requests.keys() {
        let Some(member) = found.containers.iter().find(|one| one.name == *name) else { continue };
        let shown = quoted(name.as_bytes());
        let Some(record) = ours(member) else {
            let why = "runc-strict didn't start it, and isn't told of its engine's updates";
            match lasting {
                Lasting::Sticky => {
                    let message = format!("container {shown}: --sticky can't be had: {why}; use --once");
                    return Err(Halt::new(Exit::Infeasible, message));
                }
                Lasting::Auto => notes.push(format!(
                    "container {shown}: this lasts until its engine's next update (--once): {why}"
                )),
                Lasting::Once | Lasting::Ends(_) => {}
            }
            continue;
        };
        let Some(key) = &member.key else { continue };
        let owner = Owner::of(key, &record.pod);
        let file = overrides::at(&owner).ok().flatten();
        let held = file.as_ref().map(Overrides::values).unwrap_or_default();
        let asked = plan.fields.get(name).cloned().unwrap_or_default();
        let turns: BTreeMap<Field, Turn> = match lasting {
            Lasting::Auto | Lasting::Sticky => {
                let unsaid = unsaid(plan, name, &asked);
                if !unsaid.is_empty() {
                    notes.push(format!(
                        "container {shown}: {} lasts until its engine's next update: the runtime's documents can't say it",
                        unsaid.join(", ")
                    ));
                }
                let turns = asked.into_iter().map(|(field, value)| {
                    let before = held.get(&field).cloned();
                    (field, Turn { before, after: Some(value) })
                });
                turns.filter(|(_, turn)| turn.before != turn.after).collect()
            }
            Lasting::Once => {
                let back =
                    asked.iter().filter(|(field, value)| held.get(field).is_some_and(|held| held != *value));
                let back: Vec<String> = back.map(|(field, _)| field.to_string()).collect();
                if !back.is_empty() {
                    notes.push(format!(
                        "container {shown}: the override of {} comes back with its engine's next update; unset drops it",
                        back.join(", ")
                    ));
                }
                BTreeMap::new()
            }
            Lasting::Ends(fields) => {
                let ends = sticky::together(fields, held.keys());
                ends.map(|field| (field.clone(), Turn { before: held.get(field).cloned(), after: None }))
                    .collect()
            }
        };
        let cgroup = member.place.to_string();
        let hold = Hold { container: name.clone(), cgroup, owner, pod: record.pod.clone(), fields: turns };
        made.push(Wish { hold, key: key.clone(), record });
    }
    Ok(made)
}

/// The files that a plan changes and no field of the runtime's document stands for.
fn unsaid(plan: &Plan, container: &str, fields: &BTreeMap<Field, Json>) -> Vec<String> {
    let steps = plan.steps.iter().filter(|step| step.level == Level::Container(container.to_owned()));
    let said = |knob: &&Knob| match knob {
        Knob::Throttle(..) | Knob::IoMax(_) => false,
        Knob::MemoryHigh | Knob::MemoryMin | Knob::Unified(_) => {
            UnifiedKey::new(&knob.file()).is_ok_and(|key| fields.contains_key(&Field::Unified(key)))
        }
        Knob::HugetlbLimit(size) | Knob::HugetlbMax(size) => fields.contains_key(&Field::Hugepages(*size)),
        Knob::CfsBurst | Knob::CpuMaxBurst => fields.contains_key(&Field::CpuBurst),
        Knob::MemoryLow | Knob::SoftLimit => fields.contains_key(&Field::MemoryReservation),
        Knob::BlkioWeight | Knob::BlkioBfqWeight | Knob::IoWeight | Knob::IoBfqWeight => {
            fields.contains_key(&Field::BlockIoWeight)
        }
        Knob::CpusetCpus => fields.contains_key(&Field::CpuCpus),
        Knob::CpusetMems => fields.contains_key(&Field::CpuMems),
        _ => !fields.is_empty(),
    };
    let unsaid: BTreeSet<String> =
        steps.filter_map(Step::knob).filter(|knob| !said(knob)).map(|knob| knob.file()).collect();
    unsaid.into_iter().collect()
}

/// Has the engines' updates find the files of these containers: from now on it is known what they say.
///
/// # Errors
/// That a file or a link can't be made.
pub(super) fn prepare(wishes: &[Wish], scene: &Scene) -> Result<(), Halt> {
    if !wishes.is_empty() && overrides::any() {
        overrides::sweep();
    }
    for Wish { hold, key, record } in wishes {
        // what is damaged says nothing any more
        if !matches!(overrides::at(&hold.owner), Ok(Some(_))) {
            let last = said(&hold.cgroup, record, scene);
            overrides::save(&hold.owner, &Overrides::new(record.pod.clone(), last))?;
        }
        overrides::attach(key, &hold.owner)?;
    }
    Ok(())
}

/// The record of a container that runc-strict started.
fn ours(member: &Member) -> Option<Box<Record>> {
    let key = member.key.as_ref()?;
    let record = record::stored(key).ok()?;
    record::checked(key, record).ok()
}

/// What the engine may have sent last: what the runtime's state says, or else the kernel; and what it sent at create.
fn said(cgroup: &str, record: &Record, scene: &Scene) -> Vec<Json> {
    let state = stated(&record.root, &record.id);
    let kernel = || {
        let key = CgroupKey(cgroup.to_owned());
        let (site, knobs) = (scene.sites.get(&key)?, scene.before.get(&key)?);
        let writer = Writer { formula: site.formula, abilities: scene.abilities, shares: None };
        Some(sticky::limits(&writer.document(knobs)))
    };
    let created = || {
        let file = ConfigFile::of_bundle(&record.bundle).ok()?;
        let text = file.document().ok()?.resources().ok().flatten()?.to_owned();
        serde_json::from_str::<Json>(&text).ok()
    };
    let mut said: Vec<Json> = Vec::new();
    for document in [state.or_else(kernel), created()].into_iter().flatten() {
        let mut known = json!({});
        sticky::remember(&mut known, &document);
        if !said.contains(&known) {
            said.push(known);
        }
    }
    said
}

/// What a container's file holds: found by its record, or by the pod's uid where it doesn't run.
pub(super) fn file(member: Option<&Member>, pod: Option<&str>, name: &str) -> Option<(Owner, Overrides)> {
    let by_record = member.and_then(|member| {
        let key = member.key.as_ref()?;
        Some(Owner::of(key, &record::stored(key).ok()?.pod))
    });
    let owner = by_record.or_else(|| pod.map(|uid| Owner::in_pod(uid, name)))?;
    Some((owner.clone(), overrides::at(&owner).ok().flatten()?))
}

/// The overrides of a container for `status`.
pub(super) fn lines(file: &Overrides) -> Vec<String> {
    let last = file.engines();
    let engine = |field: &Field| field.get(&last);
    let line = |(field, held): (&Field, &overrides::Held)| {
        let engine = engine(field).map_or_else(
            || "the engine sets none".to_owned(),
            |value| format!("the engine says {}", sticky::words(field, value)),
        );
        let value = sticky::words(field, &held.value);
        format!("{field} {value} since {}; {engine}", held.since)
    };
    file.held.iter().map(line).collect()
}

/// The same for programs.
pub(super) fn json(file: Option<&Overrides>) -> Json {
    let Some(file) = file else { return json!({}) };
    let last = file.engines();
    let engine = |field: &Field| field.get(&last).cloned();
    let one = |(field, held): (&Field, &overrides::Held)| {
        let value = json!({ "value": held.value, "since": held.since, "engine": engine(field) });
        (field.to_string(), value)
    };
    Json::Object(file.held.iter().map(one).collect::<Map<String, Json>>())
}
