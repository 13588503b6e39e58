//! `unset`: an override ends, and the container gets the limits that its engine said last, as a transaction like any
//! other. Where the engine has said nothing, there is no limit.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

use super::change::{Change, Wanted, only};
use super::exit::{Exit, Halt};
use super::options::Unset;
use super::show;
use super::sticky::{self, Lasting};
use super::target;
use crate::node::audit::{Line, Resize};
use crate::node::cgroup::Tree;
use crate::node::config::Config;
use crate::node::overrides::{Overrides, Owner};
use crate::node::transaction::{Hold, Turn};
use crate::quote::{quoted, told};
use crate::resize::amount::Limit;
use crate::resize::convert::cpu::CpuShares;
use crate::resize::field::Field;
use crate::resize::request::Request;
use crate::resize::sticky::together;

/// What a cgroup has whose engine says nothing of its share of the CPU (cpu.shares, cgroup v1).
const SHARES: u64 = 1024;

/// `unset`.
pub(super) fn unset(asked: &Unset) -> Result<(), Halt> {
    let fields = asked.fields.iter().map(|text| {
        text.parse::<Field>().map_err(|()| {
            let hint = "write it as cgroup-updater status does: memory.limit, cpu.quota, ...";
            Halt::usage(format!("{} is no field; {hint}", quoted(text.as_bytes())))
        })
    });
    let fields = fields.collect::<Result<Vec<Field>, Halt>>()?;
    let tree = Tree::open()?;
    let (pod, named) = (asked.target.whose.pod.as_deref(), asked.target.container_name.as_deref());
    let found = match target::find(&tree, &asked.target) {
        // a container that the override itself keeps from running has to be rid of it, too
        Err(halt) if halt.exit == Exit::NotFound && asked.keep => {
            let (Some(uid), Some(name)) = (pod, named) else { return Err(halt) };
            let (owner, file) = sticky::file(None, Some(uid), name).ok_or(halt)?;
            return drop_only(asked, name, &owner, &file, &wanted(&fields, &file, name)?);
        }
        other => other?,
    };
    let name = match &found.chosen {
        Some(name) => name.clone(),
        None => only(&found)?,
    };
    let member = found.containers.iter().find(|one| one.name == name);
    let Some((owner, file)) = sticky::file(member, pod, &name).filter(|(_, file)| !file.held.is_empty())
    else {
        let why = format!("container {} has no override", quoted(name.as_bytes()));
        return match fields.is_empty() {
            false => Err(Halt::not_found(why)),
            true => nothing(asked, &why),
        };
    };
    let fields = wanted(&fields, &file, &name)?;
    if asked.keep {
        return drop_only(asked, &name, &owner, &file, &fields);
    }
    let request = engines(&file, &fields)?;
    let pods = vec![Wanted { found, requests: BTreeMap::from([(name, request)]) }];
    let lasting = Lasting::Ends(fields);
    Change { command: "unset", how: &asked.how, pods, notes: Vec::new(), lasting }.run(tree)
}

fn nothing(asked: &Unset, why: &str) -> Result<(), Halt> {
    let document = json!({ "v": show::SCHEMA, "command": "unset", "result": "nothing-to-do" });
    let text = format!("Nothing to do: {why}.\n");
    crate::cli::print(&if asked.how.json { show::line(&document) } else { text });
    Ok(())
}

/// The fields that end: those that were named with what means nothing without them, else all.
fn wanted(fields: &[Field], file: &Overrides, name: &str) -> Result<Vec<Field>, Halt> {
    if let Some(absent) = fields.iter().find(|field| !file.held.contains_key(field)) {
        let held: Vec<String> = file.held.keys().map(ToString::to_string).collect();
        let name = quoted(name.as_bytes());
        return Err(Halt::not_found(format!(
            "container {name} has no override of {absent}; it has {}",
            held.join(", ")
        )));
    }
    if fields.is_empty() {
        return Ok(file.held.keys().cloned().collect());
    }
    Ok(together(fields, file.held.keys()).cloned().collect())
}

/// The engine's own word on these fields, as something to ask for.
fn engines(file: &Overrides, fields: &[Field]) -> Result<Request, Halt> {
    let last = file.engines();
    let mut document = json!({});
    let mut silent = Vec::new();
    for field in fields {
        match field.get(&last) {
            Some(value) => drop(field.put(&mut document, value.clone())),
            None => silent.push(field),
        }
    }
    let resources = serde_json::from_value(document).map_err(|why| {
        Halt::new(Exit::Unforeseen, format!("what the engine sent can't be read: {}", told(why)))
    })?;
    let mut request = Request::from_oci(&resources)?;
    for field in silent {
        match field {
            Field::MemoryLimit => request.memory_limit = Some(Limit::Max),
            Field::MemorySwap if request.memory_limit.is_none_or(|limit| limit == Limit::Max) => {
                request.memsw = Some(Limit::Max);
            }
            // without a word about it, it follows the limit
            Field::MemorySwap => {}
            Field::MemoryReservation => request.option("memory-low", "none")?,
            Field::CpuShares => request.cpu_shares = Some(CpuShares::clamped(SHARES)),
            Field::CpuQuota => request.option("cpu-limit", "none")?,
            Field::CpuPeriod => request.option("cpu-period", "none")?,
            Field::CpuBurst => request.option("cpu-burst", "none")?,
            Field::CpuCpus => request.option("cpuset-cpus", "none")?,
            Field::CpuMems => request.option("cpuset-mems", "none")?,
            Field::PidsLimit => request.option("pids-limit", "none")?,
            Field::BlockIoWeight => request.option("io-weight", "none")?,
            Field::Hugepages(size) => request.option("hugepages", &format!("{size}=none"))?,
            // what such a file holds by itself isn't known: it stays until the container starts again
            Field::Unified(_) => {}
        }
    }
    Ok(request)
}

/// Without a change of limits.
fn drop_only(
    asked: &Unset,
    name: &str,
    owner: &Owner,
    file: &Overrides,
    fields: &[Field],
) -> Result<(), Halt> {
    let since = Instant::now();
    let held = file.values();
    let turn = |field: &Field| (field.clone(), Turn { before: held.get(field).cloned(), after: None });
    let hold = Hold {
        container: name.to_owned(),
        cgroup: String::new(),
        owner: owner.clone(),
        pod: file.pod.clone(),
        fields: fields.iter().map(turn).collect(),
    };
    let names: Vec<String> = fields.iter().map(ToString::to_string).collect();
    if !asked.how.dry_run {
        hold.make()?;
        let config = Config::load().unwrap_or_default();
        let mut line = Line::new("cgroup-updater unset", name, config.engine.name());
        line.pod = file.pod.clone();
        line.verdict = "change".to_owned();
        line.resize = Some(Resize { ended: names.clone(), ..Resize::default() });
        if let Err(why) = line.append(&config.audit.path, since) {
            crate::cli::fail(&why);
        }
    }
    let result = if asked.how.dry_run { "planned" } else { "done" };
    let document = json!({ "v": show::SCHEMA, "command": "unset", "result": result, "unset": [{ "container": name, "pod": file.pod.uid, "fields": names }] });
    let end = if asked.how.dry_run { "Dry run: nothing was changed.\n" } else { "" };
    let text = format!(
        "No longer kept: container {}, {}; its limits stay until the engine's next update.\n{end}",
        quoted(name.as_bytes()),
        names.join(", ")
    );
    crate::cli::print(&if asked.how.json { show::line(&document) } else { text });
    Ok(())
}
