//! What was found, opened and read: the snapshot for the planner, and the scene that a transaction changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::exclusive::ExclusiveCpus;
use super::exit::{Exit, Halt};
use super::options::{Formula, Mode};
use super::target::{Found, Member};
use crate::node::cgroup::{self, Place, Tree};
use crate::node::config;
use crate::node::runtime;
use crate::node::systemd::{self, Systemd};
use crate::node::transaction::{Runtime, Scene, Site, stated};
use crate::node::version::{self, Kind, Version};
use crate::resize::amount::Limit;
use crate::resize::convert::cpu::CpuShares;
use crate::resize::convert::cpuset::Cpuset;
use crate::resize::convert::memory::ThrottlingFactor;
use crate::resize::convert::weight::{CpuWeight, WeightFormula};
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::request::Request;
use crate::resize::snapshot::{
    self, Above, Cgroup, CgroupKey, Container, Facts, MemoryUsage, ReclaimWay, RuntimeAbilities, Snapshot,
    Unit,
};
use crate::resize::value::Value;

/// What the flags decide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    pub(super) mode: Mode,
    pub(super) formula: Formula,
    pub(super) force: bool,
    pub(super) timeout: u64,
}

/// The real runtime of this host.
#[derive(Debug)]
pub(super) struct Real {
    program: Option<PathBuf>,
    version: Version,
}

impl Real {
    /// Looks at the configured one; that there is none only matters where it is needed.
    pub(super) fn find() -> Real {
        let program = runtime::locate(&config::runtime_for_pass_through())
            .or_else(|_| runtime::for_pass_through())
            .ok();
        let version = program.as_deref().map_or_else(|| Version::parse(""), version::of);
        Real { program, version }
    }

    /// This one.
    pub(super) fn at(program: &Path, version: Version) -> Real {
        Real { program: Some(program.to_path_buf()), version }
    }

    /// The runtime's way to a container, if its state is one that this runtime reads.
    fn of(&self, member: &Member) -> Option<Runtime> {
        let key = member.key.as_ref()?;
        let folder = key.root.join(&key.id);
        let crun = folder.join("status").is_file();
        let fits = match self.version.kind {
            Kind::Crun => crun,
            Kind::Runc => !crun && folder.join("state.json").is_file(),
            Kind::Youki | Kind::Unknown => false,
        };
        let program = self.program.clone().filter(|_| fits && member.init.is_some())?;
        Some(Runtime { program, root: key.root.clone(), id: key.id.clone() })
    }

    /// The formula of this version: the new one from runc 1.3.2 and crun 1.23.
    pub(super) fn formula(&self) -> WeightFormula {
        let log = match (self.version.kind, self.version.number) {
            (Kind::Runc, Some(number)) => number >= (1, 3, 2),
            (Kind::Crun, Some(number)) => number >= (1, 23, 0),
            _ => false,
        };
        if log { WeightFormula::Log } else { WeightFormula::Linear }
    }

    pub(super) fn abilities(&self) -> RuntimeAbilities {
        let from =
            |kind, number| self.version.kind == kind && self.version.number.is_some_and(|own| own >= number);
        RuntimeAbilities {
            burst: from(Kind::Runc, (1, 2, 0)) || from(Kind::Crun, (1, 9, 0)),
            unified: from(Kind::Runc, (1, 2, 0)) || from(Kind::Crun, (1, 0, 0)),
            hugepages: from(Kind::Crun, (1, 0, 0)),
        }
    }
}

/// A scene that is being set up, pod by pod.
#[derive(Debug)]
pub(super) struct Stage {
    scene: Scene,
    real: Real,
    wishes: Wishes,
    /// What lies above pods; most have the same cgroup above.
    above: BTreeMap<Place, Above>,
    exclusive: ExclusiveCpus,
}

impl Stage {
    /// An empty one. `files` are read beside the usual ones.
    pub(super) fn new(tree: Tree, files: Vec<String>, wishes: Wishes) -> Stage {
        let real = Real::find();
        let scene = Scene {
            tree,
            systemd: None,
            sites: BTreeMap::new(),
            before: BTreeMap::new(),
            files,
            abilities: real.abilities(),
            page: cgroup::page(),
            way: ReclaimWay::ByTheWrite,
            force: wishes.force,
            deadline: Instant::now() + Duration::from_secs(wishes.timeout),
        };
        Stage { scene, real, wishes, above: BTreeMap::new(), exclusive: ExclusiveCpus::load() }
    }

    /// What was set up.
    pub(super) fn scene(self) -> Scene {
        self.scene
    }

    /// Opens and reads a pod; `title` is what it is called where there are several.
    ///
    /// # Errors
    /// What went away, or can't be read.
    pub(super) fn pod(
        &mut self,
        found: &Found,
        requests: &BTreeMap<String, Request>,
        title: Option<&str>,
    ) -> Result<(Snapshot, Facts), Halt> {
        let version = self.scene.tree.version();
        let mut containers = Vec::new();
        let mut runtimes = Vec::new();
        let (mut by_unit, mut shrunk) = (false, false);
        for member in &found.containers {
            let runtime = self.real.of(member);
            let wanted = found.chosen.as_ref().is_none_or(|name| *name == member.name);
            if wanted {
                runtimes.push((member.name.clone(), runtime.is_some()));
            }
            let formula = formula(&self.real, self.wishes.formula, runtime.as_ref());
            let site = |runtime| Fresh { runtime, init: member.init, formula, title };
            let cgroup = match open(&mut self.scene, &member.place, site(runtime)) {
                Ok(cgroup) => cgroup,
                // it ended while we looked
                Err(halt) if halt.exit == Exit::NotFound && !wanted => continue,
                Err(halt) => return Err(halt),
            };
            let mut cgroup = cgroup;
            if requests.get(&member.name).is_some_and(|request| shrinks(request, &cgroup.knobs)) {
                shrunk = true;
                cgroup.memory = usage(&self.scene, &cgroup.key)?;
            }
            let nested = match &member.nested {
                Some(place) => Some(open(&mut self.scene, place, site(None))?),
                None => None,
            };
            by_unit |= cgroup.unit.is_some();
            let exclusive_cpus = self.exclusive.has(found.names.uid.as_deref(), &member.name);
            containers.push(Container { name: member.name.clone(), cgroup, nested, exclusive_cpus });
        }
        let fresh = Fresh { runtime: None, init: None, formula: WeightFormula::Linear, title };
        let mut pod = match &found.pod {
            Some((place, _)) => Some(open(&mut self.scene, place, fresh)?),
            None => None,
        };
        if let Some(pod) = pod.as_mut().filter(|_| shrunk) {
            pod.memory = usage(&self.scene, &pod.key)?;
        }
        by_unit |= pod.as_ref().is_some_and(|pod| pod.unit.is_some());
        let top = found.pod.as_ref().map(|(place, _)| place);
        let top = top.or_else(|| found.containers.first().map(|one| &one.place));
        let above = self.above(top.and_then(Place::parent));
        if version == CgroupVersion::V2 && self.scene.way == ReclaimWay::ByTheWrite {
            let has = self.scene.sites.values().any(|site| site.group.has("memory.reclaim"));
            self.scene.way = if has { ReclaimWay::Probe } else { ReclaimWay::High };
        }
        let crun = self.real.version.kind == Kind::Crun;
        if self.wishes.mode == Mode::Runtime && crun && by_unit {
            let why = "crun's update doesn't tell systemd, whose next reload would undo it, and lifts a swap limit of 0; use --mode direct";
            return Err(Halt::new(Exit::Infeasible, why));
        }
        // crun keeps no resources in its state: there is nothing to keep true
        let auto = if crun && self.wishes.mode == Mode::Auto { Mode::Direct } else { self.wishes.mode };
        let facts = Facts {
            page: self.scene.page,
            mode: mode(auto, &runtimes)?,
            runtime: self.scene.abilities,
            systemd: match &self.scene.systemd {
                Some(systemd) => systemd.lock().unwrap_or_else(PoisonError::into_inner).version()?,
                None => 0,
            },
            reclaim: self.scene.way,
            throttling: ThrottlingFactor::DEFAULT,
            force: self.wishes.force,
        };
        Ok((Snapshot { version, pod, containers, complete: found.complete, above }, facts))
    }

    fn above(&mut self, parent: Option<Place>) -> Above {
        let Some(parent) = parent else { return Above { ratio: Limit::Max, cpus: None, mems: None } };
        let tree = &self.scene.tree;
        self.above.entry(parent.clone()).or_insert_with(|| above(tree, &parent)).clone()
    }
}

/// True if a memory limit may fall: only then it matters what the memory is used for.
fn shrinks(request: &Request, knobs: &Knobs) -> bool {
    let unified = request.unified.contains_key(&Knob::MemoryMax);
    unified || request.memory_limit.zip(knobs.memory_limit()).is_some_and(|(asked, now)| asked < now)
}

/// What the memory of an opened cgroup is used for.
fn usage(scene: &Scene, key: &CgroupKey) -> Result<Option<MemoryUsage>, Halt> {
    match scene.sites.get(key) {
        Some(site) => Ok(cgroup::memory(&scene.tree, &site.group)?),
        None => Ok(None),
    }
}

/// What is known of a site before it is opened.
struct Fresh<'a> {
    runtime: Option<Runtime>,
    init: Option<crate::node::process::ProcessKey>,
    formula: WeightFormula,
    title: Option<&'a str>,
}

fn open(scene: &mut Scene, place: &Place, fresh: Fresh<'_>) -> Result<Cgroup, Halt> {
    let named = |fault: cgroup::Fault| {
        let halt = Halt::from(fault);
        Halt {
            message: format!("cgroup {}: {}", crate::quote::quoted(place.path().as_bytes()), halt.message),
            ..halt
        }
    };
    let group = scene.tree.group(place).map_err(named)?;
    let knobs = cgroup::cgroup(&group, &scene.files).map_err(named)?;
    let key = CgroupKey(place.to_string());
    let Fresh { runtime, init, formula, title } = fresh;
    let unit = unit(scene, place)?;
    let formula = measured(&knobs, runtime.as_ref()).unwrap_or(formula);
    scene.before.insert(key.clone(), knobs.clone());
    scene.sites.insert(
        key.clone(),
        Site {
            group,
            runtime,
            init,
            unit: unit.as_ref().map(|unit| unit.name.clone()),
            formula,
            pod: title.map(str::to_owned),
        },
    );
    Ok(Cgroup { key, knobs, unit, formula, memory: None })
}

/// The unit that owns a cgroup, with what systemd believes of it.
fn unit(scene: &mut Scene, place: &Place) -> Result<Option<Unit>, Halt> {
    let name = place.name();
    if !(name.ends_with(".slice") || name.ends_with(".scope")) || !systemd::runs() {
        return Ok(None);
    }
    if scene.systemd.is_none() {
        scene.systemd = Some(Mutex::new(Systemd::connect()?));
    }
    let Some(systemd) = &scene.systemd else { return Ok(None) };
    let knobs = systemd.lock().unwrap_or_else(PoisonError::into_inner).unit(scene.tree.version(), name)?;
    Ok(knobs.map(|knobs| Unit { name: name.to_owned(), knobs }))
}

/// The formula that was asked for, or the runtime's.
fn formula(real: &Real, asked: Formula, runtime: Option<&Runtime>) -> WeightFormula {
    match (asked, runtime) {
        (Formula::Linear, _) => WeightFormula::Linear,
        (Formula::Log, _) => WeightFormula::Log,
        (Formula::Auto, _) => real.formula(),
    }
}

/// The formula that made the weight that is of the shares that the runtime remembers, if only one of them does.
fn measured(knobs: &Knobs, runtime: Option<&Runtime>) -> Option<WeightFormula> {
    let Some(Value::Weight(weight)) = knobs.get(&Knob::CpuWeight) else { return None };
    let runtime = runtime?;
    let shares =
        stated(&runtime.root, &runtime.id)?.pointer("/cpu/shares")?.as_u64().map(CpuShares::clamped)?;
    let gives = |formula| CpuWeight::from_shares(shares, formula) == *weight;
    match (gives(WeightFormula::Linear), gives(WeightFormula::Log)) {
        (true, false) => Some(WeightFormula::Linear),
        (false, true) => Some(WeightFormula::Log),
        _ => None,
    }
}

fn mode(asked: Mode, runtimes: &[(String, bool)]) -> Result<snapshot::Mode, Halt> {
    let unknown = runtimes.iter().find(|(_, known)| !known);
    match (asked, unknown) {
        (Mode::Direct, _) | (Mode::Auto, Some(_)) => Ok(snapshot::Mode::Direct),
        (Mode::Auto | Mode::Runtime, None) => Ok(snapshot::Mode::Runtime),
        (Mode::Runtime, Some((name, _))) => Err(Halt::new(
            Exit::Infeasible,
            format!(
                "container {}: it isn't known to the configured runtime; name the runtime's root by --root DIR, or use --mode direct",
                crate::quote::quoted(name.as_bytes())
            ),
        )),
    }
}

fn above(tree: &Tree, parent: &Place) -> Above {
    let set = |name: &str| {
        let group = tree.group(parent).ok()?;
        let file = match tree.version() {
            CgroupVersion::V1 => name.to_owned(),
            CgroupVersion::V2 => format!("{name}.effective"),
        };
        group.read(&file).ok().flatten()?.trim().parse::<Cpuset>().ok().filter(|set| !set.is_empty())
    };
    Above { ratio: cgroup::ratio(tree, parent), cpus: set("cpuset.cpus"), mems: set("cpuset.mems") }
}
