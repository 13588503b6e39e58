//! `apply`: manifests of Pods, one or many, as one transaction.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::change::{Change, Wanted, document};
use super::crowd::side_by_side;
use super::exit::{Exit, Halt};
use super::options::Apply;
use super::target::Finder;
use crate::node::cgroup::Tree;
use crate::quote::{quoted, told};
use crate::resize::request::manifest;

/// Files that are open at a time for each pod, of a few containers with as many controllers.
const FILES_PER_POD: usize = 16;

/// `apply`.
pub(super) fn apply(asked: &Apply) -> Result<(), Halt> {
    let text = document(&asked.file)?;
    let shown = crate::error::show(&asked.file);
    let documents =
        parse(&text).map_err(|why| Halt::usage(format!("{shown}: neither JSON nor YAML: {why}")))?;
    drop(text);
    let pods = manifest::pods(&documents)?;
    let several = pods.len() > 1;
    if several && asked.pod.is_some() {
        return Err(Halt::usage(format!("{shown} has {} pods, and --pod names one", pods.len())));
    }
    let mut wanted = Vec::new();
    for pod in pods {
        let named = |halt: Halt| match several {
            true => Halt { message: format!("{}: {}", name_of(pod), halt.message), ..halt },
            false => halt,
        };
        let containers = manifest::containers(pod).map_err(|why| named(why.into()))?;
        if containers.iter().any(|one| !one.request.is_empty()) {
            wanted.push((uid_of(asked, &shown, pod).map_err(named)?, pod, containers));
        }
    }
    if wanted.is_empty() {
        return Err(Halt::usage(format!("{shown}: no container in it has resources for a cgroup")));
    }
    crate::node::process::expect_many_files(wanted.len().saturating_mul(FILES_PER_POD));
    let tree = Tree::open()?;
    let finder = Finder::new(&tree, asked.root.as_deref());
    let (mut pods, mut notes, mut absent): (Vec<Wanted>, Vec<String>, Vec<String>) = Default::default();
    let mut uids = BTreeSet::new();
    if let Some((uid, ..)) = wanted.iter().find(|(uid, ..)| !uids.insert(uid.as_str())) {
        return Err(Halt::usage(format!("{shown} names pod {} twice", quoted(uid.as_bytes()))));
    }
    let all = side_by_side(&wanted, |(uid, ..)| match finder.pod(uid, None) {
        Ok(found) => Ok(Some(found)),
        Err(halt) if several && halt.exit == Exit::NotFound => Ok(None),
        Err(halt) => Err(halt),
    })?;
    for ((uid, pod, containers), found) in wanted.into_iter().zip(all) {
        let Some(found) = found else {
            absent.push(format!("{} ({})", name_of(pod), quoted(uid.as_bytes())));
            continue;
        };
        let mut requests = BTreeMap::new();
        for one in containers {
            if one.ends_by_itself && !found.containers.iter().any(|member| member.name == one.container) {
                notes.push(format!(
                    "init container {} has ended, and was passed over",
                    quoted(one.container.as_bytes())
                ));
            } else {
                requests.insert(one.container, one.request);
            }
        }
        pods.push(Wanted { found, requests });
    }
    if !absent.is_empty() {
        return Err(Halt::not_found(format!(
            "these pods don't run on this host: {}; take them out of {shown}",
            absent.join(", ")
        )));
    }
    let lasting = asked.hold.lasting();
    Change { command: "apply", how: &asked.how, pods, notes, lasting }.run(tree)
}

/// All documents of a text: JSON, or YAML with as many documents as there are.
fn parse(text: &str) -> Result<Vec<Json>, String> {
    if let Ok(one) = serde_json::from_str(text) {
        return Ok(vec![one]);
    }
    let why = |why: serde_saphyr::Error| told(why.to_string().lines().next().unwrap_or_default());
    serde_saphyr::from_multiple(text).map_err(why)
}

/// Which pod a manifest is of.
fn uid_of(asked: &Apply, shown: &str, pod: &Json) -> Result<String, Halt> {
    let named = pod.pointer("/metadata/uid").and_then(Json::as_str);
    match (&asked.pod, named) {
        (Some(given), Some(named)) if given != named => Err(Halt::usage(format!(
            "--pod {given} isn't the manifest's metadata.uid {}",
            quoted(named.as_bytes())
        ))),
        (Some(uid), _) => Ok(uid.clone()),
        (None, Some(uid)) => Ok(uid.to_owned()),
        (None, None) => Err(Halt::usage(format!("{shown} has no metadata.uid; name the pod by --pod UID"))),
    }
}

/// A pod of a manifest, for messages: `pod default/web-1`.
fn name_of(pod: &Json) -> String {
    let text = |key: &str| pod.pointer(key).and_then(Json::as_str).unwrap_or("-");
    let escaped = |text: &str| crate::quote::escaped(text.as_bytes());
    format!("pod {}/{}", escaped(text("/metadata/namespace")), escaped(text("/metadata/name")))
}
