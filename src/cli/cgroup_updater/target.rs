//! Whose cgroups: from an id, a pod's uid, a process or a path to the pod and its containers.
//!
//! A container is known by our records, by a runtime root that is named, or by the roots that engines use. Whatever is
//! found by name is looked at: a container's cgroup is where its first process is, and the pod's is the folder above.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value as Json;

use super::exit::{Exit, Halt};
use super::options::Target;
use crate::cli::selection;
use crate::error::Error;
use crate::node::cgroup::{Place, Tree, container_id, pod_of};
use crate::node::file;
use crate::node::process::ProcessKey;
use crate::node::record::{self, Key};
use crate::node::state::{Format, State};
use crate::policy::subject::Pod;
use crate::quote::quoted;

/// The runtime roots of engines: containerd's, and what runtimes use by themselves, as CRI-O and podman do.
const ROOTS: [&str; 3] = ["/run/containerd/runc/k8s.io", "/run/runc", "/run/crun"];

/// A config.json holds an image's environment and mounts.
const LIMIT: u64 = 64 * 1024 * 1024;

/// How deep below the root a pod's cgroup is: kubelet's own root may be a few levels down.
const DEPTH: usize = 6;

/// What was meant.
#[derive(Debug)]
pub(super) struct Found {
    /// The pod's cgroup and uid.
    pub(super) pod: Option<(Place, String)>,
    /// The pod's names, as far as they are known.
    pub(super) names: Pod,
    /// The pod's containers without its sandbox; or the one container.
    pub(super) containers: Vec<Member>,
    /// True if these are all.
    pub(super) complete: bool,
    /// The one that was meant; `None` for the whole pod.
    pub(super) chosen: Option<String>,
}

/// A container.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name in the pod, else its id.
    pub(super) name: String,
    pub(super) place: Place,
    /// crun's cgroup inside of its scope.
    pub(super) nested: Option<Place>,
    pub(super) init: Option<ProcessKey>,
    /// Where its runtime keeps it.
    pub(super) key: Option<Key>,
    /// How.
    pub(super) format: Option<Format>,
    /// True if runc-strict started it.
    pub(super) recorded: bool,
}

/// What is known of the container in one cgroup.
struct Known {
    member: Member,
    names: Pod,
    sandbox: bool,
}

/// Finds pods and containers. What has to be looked through for that is looked through once, however many are asked for.
pub(super) struct Finder<'a> {
    tree: &'a Tree,
    /// The runtime root that was named.
    root: Option<&'a Path>,
    /// All containers that are known, by id.
    keys: OnceLock<BTreeMap<String, Key>>,
    /// Where the first processes of all of them are.
    places: OnceLock<Vec<(Place, Key)>>,
    /// The cgroups of all pods, by uid.
    pods: OnceLock<BTreeMap<String, Vec<Place>>>,
}

/// Finds what the flags mean.
///
/// # Errors
/// Exit 6 for what isn't there, 2 for what is ambiguous.
pub(super) fn find(tree: &Tree, target: &Target) -> Result<Found, Halt> {
    let root = target.root.as_deref();
    let finder = Finder::new(tree, root);
    if let Some(uid) = &target.whose.pod {
        return finder.pod(uid, target.container_name.as_deref());
    }
    let (place, key) = if let Some(word) = &target.whose.container {
        let key = by_id(word, root)?;
        let place = place_of_container(tree, &key)?;
        (place, Some(key))
    } else if let Some(pid) = target.whose.pid {
        (climb(&tree.place_of(pid).map_err(Halt::not_found)?), None)
    } else {
        let path = target.whose.cgroup.as_deref().unwrap_or_else(|| Path::new(""));
        let place = tree.place_at(path).map_err(|why| match why.is_not_found() {
            true => Halt::not_found(why),
            false => Halt::usage(why.to_string()),
        })?;
        if let Some(uid) = pod_of(place.name()) {
            let why = format!(
                "{} is a pod's cgroup; name its container, or use --pod {uid}",
                quoted(place.path().as_bytes())
            );
            return Err(Halt::usage(why));
        }
        (climb(&place), None)
    };
    if place.parent().is_none() {
        return Err(Halt::usage(
            "that is the root of the hierarchy, which is the machine's own and is never changed",
        ));
    }
    let above = place.parent().filter(|parent| pod_of(parent.name()).is_some());
    let mut found = match above {
        Some(above) => finder.of_pod(above, key.as_ref().map(|key| (&place, key)))?,
        None => {
            let known = look(tree, place.clone(), key.or_else(|| finder.key_at(&place)));
            let names = known.names;
            Found { pod: None, names, containers: vec![known.member], complete: true, chosen: None }
        }
    };
    let chosen = found.containers.iter().find(|member| member.place == place);
    let chosen = chosen.ok_or_else(|| {
        Halt::usage(format!(
            "{} is the pod's sandbox, which has no limits of its own",
            quoted(place.path().as_bytes())
        ))
    })?;
    found.chosen = Some(chosen.name.clone());
    Ok(found)
}

impl<'a> Finder<'a> {
    pub(super) fn new(tree: &'a Tree, root: Option<&'a Path>) -> Finder<'a> {
        Finder { tree, root, keys: OnceLock::new(), places: OnceLock::new(), pods: OnceLock::new() }
    }

    /// The pod with this uid, and of it one container or all.
    pub(super) fn pod(&self, uid: &str, name: Option<&str>) -> Result<Found, Halt> {
        let place = self.pod_place(uid)?;
        let mut found = self.of_pod(place, None)?;
        let known =
            || found.containers.iter().map(|one| quoted(one.name.as_bytes())).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) if !found.containers.iter().any(|one| one.name == name) => {
                return Err(Halt::not_found(format!(
                    "pod {} has no container {}; it has {}",
                    quoted(uid.as_bytes()),
                    quoted(name.as_bytes()),
                    known()
                )));
            }
            _ => {}
        }
        found.chosen = name.map(str::to_owned);
        Ok(found)
    }

    /// The one cgroup of a pod.
    fn pod_place(&self, uid: &str) -> Result<Place, Halt> {
        let found = self.pods.get_or_init(|| self.find_pods()).get(uid);
        let uid = quoted(uid.as_bytes());
        match found.map(Vec::as_slice) {
            Some([one]) => Ok(one.clone()),
            None | Some([]) => Err(Halt::not_found(format!(
                "there is no cgroup of a pod with uid {uid}; see kubectl get pod -o yaml, metadata.uid"
            ))),
            Some([one, other, ..]) => Err(Halt::usage(format!(
                "two cgroups are called after pod {uid}: {} and {}; name the container by --cgroup PATH",
                quoted(one.path().as_bytes()),
                quoted(other.path().as_bytes())
            ))),
        }
    }

    /// Walks down to all cgroups that are called as pods are.
    fn find_pods(&self) -> BTreeMap<String, Vec<Place>> {
        let mut found: BTreeMap<String, Vec<Place>> = BTreeMap::new();
        let mut top = Place::default();
        self.tree.controllers().for_each(|name| top.insert(name, "/"));
        let mut level = vec![top];
        for _ in 0..DEPTH {
            let mut below = Vec::new();
            for place in level {
                let Ok(group) = self.tree.group(&place.main()) else { continue };
                for name in group.children() {
                    let child = place.child(&name);
                    match pod_of(&name) {
                        Some(uid) => found.entry(uid).or_default().push(child),
                        None => below.push(child),
                    }
                }
            }
            level = below;
        }
        found
    }

    /// The pod in this cgroup. `given` is a container of it whose key is known already.
    fn of_pod(&self, place: Place, given: Option<(&Place, &Key)>) -> Result<Found, Halt> {
        let group = self.tree.group(&place.main())?;
        let uid = pod_of(place.name()).unwrap_or_default();
        let (mut containers, mut names, mut complete) = (Vec::new(), Pod::default(), true);
        for name in group.children() {
            // CRI-O's monitor of a container
            if name.starts_with("crio-conmon-") {
                continue;
            }
            let child = place.child(&name);
            let key = given.filter(|(place, _)| **place == child).map(|(_, key)| key.clone());
            let key = key.or_else(|| self.key_at(&child));
            complete &= key.is_some();
            let known = look(self.tree, child, key);
            if names.uid.is_none() && names.name.is_none() {
                names = Pod { container: None, ..known.names };
            }
            if !known.sandbox {
                containers.push(known.member);
            }
        }
        let unique = |name: &str| containers.iter().filter(|one: &&Member| one.name == name).count() == 1;
        let doubled: Vec<String> =
            containers.iter().filter(|one| !unique(&one.name)).map(|one| one.name.clone()).collect();
        for member in containers.iter_mut().filter(|one| doubled.contains(&one.name)) {
            member.name = container_id(member.place.name()).to_owned();
        }
        if containers.is_empty() {
            return Err(Halt::not_found(format!(
                "pod {} has no container that runs",
                quoted(uid.as_bytes())
            )));
        }
        names.uid.get_or_insert_with(|| uid.clone());
        Ok(Found { pod: Some((place, uid)), names, containers, complete, chosen: None })
    }

    /// All containers that are known, by id.
    fn keys(&self) -> &BTreeMap<String, Key> {
        self.keys.get_or_init(|| {
            let recorded = selection::known(None).unwrap_or_default();
            let named = self.root.map(|root| selection::known(Some(root)).unwrap_or_default());
            let usual = ROOTS.iter().map(Path::new).filter(|root| root.is_dir());
            let usual = usual.flat_map(|root| selection::known(Some(root)).unwrap_or_default());
            // what was named counts most
            let all = usual.chain(recorded).chain(named.unwrap_or_default());
            all.map(|key| (key.id.clone(), key)).collect()
        })
    }

    /// The container that a cgroup is called after; else the one whose first process is in it.
    fn key_at(&self, place: &Place) -> Option<Key> {
        let keys = self.keys();
        if let Some(key) = keys.get(container_id(place.name())) {
            return Some(key.clone());
        }
        let places = self.places.get_or_init(|| {
            let place_of = |key: &Key| {
                let state = State::read(&key.root, OsStr::new(&key.id)).ok()?;
                let init = Some(state.init).filter(|init| init.runs())?;
                Some((climb(&self.tree.place_of(init.pid).ok()?), key.clone()))
            };
            keys.values().filter_map(place_of).collect()
        });
        places.iter().find(|(there, _)| there == place).map(|(_, key)| key.clone())
    }
}

/// A container by the beginning of its id: of a record, below the root that was named, or below an engine's.
fn by_id(word: &str, root: Option<&Path>) -> Result<Key, Halt> {
    let first = selection::one(word, root);
    match (&first, root) {
        (Err(Error::Other(why)), None) if why.starts_with("there is no record") => {
            let roots = ROOTS.iter().map(Path::new).filter(|root| root.is_dir());
            let found: Vec<Key> = roots.filter_map(|root| selection::one(word, Some(root)).ok()).collect();
            match found.as_slice() {
                [one] => Ok(one.clone()),
                [] => Err(Halt::not_found(why)),
                [one, other, ..] => Err(Halt::usage(format!(
                    "container {} is below {} and {}; name one by --root DIR",
                    quoted(word.as_bytes()),
                    crate::error::show(&one.root),
                    crate::error::show(&other.root)
                ))),
            }
        }
        (Err(why), _) if why.to_string().starts_with("there is no") => Err(Halt::not_found(why)),
        (Err(why), _) => Err(Halt::usage(why.to_string())),
        (Ok(_), _) => first.map_err(Halt::from),
    }
}

/// Where a container is: where its first process is, but no deeper than the runtime put it.
fn place_of_container(tree: &Tree, key: &Key) -> Result<Place, Halt> {
    let id = quoted(key.id.as_bytes());
    let state = State::read(&key.root, OsStr::new(&key.id)).map_err(Halt::not_found)?;
    if !state.init.runs() {
        return Err(Halt::not_found(format!("container {id} doesn't run")));
    }
    let place = tree.place_of(state.init.pid).map_err(|why| Halt::new(Exit::Infeasible, why.to_string()))?;
    if place.parent().is_none() {
        return Err(Halt::new(Exit::Infeasible, format!("container {id} has no cgroup of its own")));
    }
    Ok(climb(&place))
}

/// From a cgroup to that of its container: the one right below the pod; else crun's scope around it.
fn climb(place: &Place) -> Place {
    let mut next = Some(place.clone());
    while let Some(one) = next {
        let above = one.parent();
        if above.as_ref().is_some_and(|above| pod_of(above.name()).is_some()) {
            return one;
        }
        next = above;
    }
    let scope =
        place.parent().filter(|above| place.name() == "container" && above.name().ends_with(".scope"));
    scope.unwrap_or_else(|| place.clone())
}

/// Looks at one container's cgroup.
fn look(tree: &Tree, place: Place, key: Option<Key>) -> Known {
    let state = key.as_ref().and_then(|key| State::read(&key.root, OsStr::new(&key.id)).ok());
    // an id may be used again by a container elsewhere
    let init = state.as_ref().map(|state| state.init).filter(|init| init.runs());
    let there = init.and_then(|init| tree.place_of(init.pid).ok());
    let is_here = there.as_ref().is_some_and(|there| there.is_within(&place));
    let (key, state, init) = if is_here { (key, state, init) } else { (None, None, None) };
    let nested = place.child("container");
    let nested = there.filter(|there| is_here && *there == nested && place.name().ends_with(".scope"));
    let format = state.as_ref().map(|state| state.format);
    let annotations = state.map(|state| annotations(&state.bundle)).unwrap_or_default();
    let annotation =
        |names: [&str; 2]| names.iter().find_map(|name| annotations.get(*name)?.as_str()).map(str::to_owned);
    let kind = annotation(["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
    let recorded = key.as_ref().and_then(|key| record::stored(key).ok()).map(|record| record.pod);
    let is_recorded = recorded.is_some();
    let names = recorded.filter(|pod| pod.uid.is_some()).unwrap_or_else(|| Pod {
        namespace: annotation(["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        name: annotation(["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        uid: annotation(["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
        container: annotation(["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]),
    });
    let id = key.as_ref().map(|key| key.id.clone());
    let name = names.container.clone().or(id).unwrap_or_else(|| container_id(place.name()).to_owned());
    Known {
        member: Member { name, place, nested, init, key, format, recorded: is_recorded },
        names,
        sandbox: kind.as_deref() == Some("sandbox"),
    }
}

fn annotations(bundle: &Path) -> BTreeMap<String, Json> {
    /// Nothing else of the document is kept.
    #[derive(Default, Deserialize)]
    struct Document {
        #[serde(default)]
        annotations: Option<BTreeMap<String, Json>>,
    }
    let text = file::read_text(&bundle.join("config.json"), LIMIT).unwrap_or_default();
    serde_json::from_str::<Document>(&text).unwrap_or_default().annotations.unwrap_or_default()
}
