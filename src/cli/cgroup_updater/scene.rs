//! What was found, opened and read: the snapshot for the planner, and the scene that a transaction changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::exclusive::ExclusiveCpus;
use super::exit::{Exit, Halt};
use super::options::{Formula, Mode};
use super::target::{Found, Member};
use crate::node::cgroup::{self, Place, Tree};
use crate::node::process::ProcessKey;
use crate::node::runtime;
use crate::node::state::Format;
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
        let program = runtime::for_pass_through().ok();
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
        let fits = match self.version.kind {
            Kind::Crun => member.format == Some(Format::Status),
            Kind::Runc => member.format == Some(Format::StateJson),
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

/// What pods are opened and read with, one or many, side by side.
#[derive(Debug)]
pub(super) struct Stage {
    tree: Tree,
    /// Files beside the usual ones.
    files: Vec<String>,
    real: Real,
    wishes: Wishes,
    exclusive: ExclusiveCpus,
    /// What lies above pods; most have the same cgroup above.
    above: Mutex<BTreeMap<Place, Above>>,
    systemd: Mutex<Option<Systemd>>,
    /// How memory is reclaimed, once a cgroup was looked at.
    way: OnceLock<ReclaimWay>,
    /// The machine's free swap, once it was looked at.
    swap: OnceLock<u64>,
}

/// One pod, opened and read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) snapshot: Snapshot,
    pub(super) facts: Facts,
    pub(super) sites: Vec<(CgroupKey, Site, Knobs)>,
}

/// How one pod is opened.
struct Opening<'a> {
    stage: &'a Stage,
    /// What the pod is called, where there are several.
    title: Option<&'a str>,
    /// The controllers that matter; `None` for all.
    controllers: Option<BTreeSet<String>>,
    sites: Vec<(CgroupKey, Site, Knobs)>,
}

impl Stage {
    /// `files` are read beside the usual ones.
    pub(super) fn new(tree: Tree, files: Vec<String>, wishes: Wishes) -> Stage {
        Stage {
            tree,
            files,
            real: Real::find(),
            wishes,
            exclusive: ExclusiveCpus::load(),
            above: Mutex::default(),
            systemd: Mutex::default(),
            way: OnceLock::new(),
            swap: OnceLock::new(),
        }
    }

    /// What a transaction on these sites may touch.
    pub(super) fn scene(self, sites: impl IntoIterator<Item = (CgroupKey, Site, Knobs)>) -> Scene {
        let (mut all, mut before) = (BTreeMap::new(), BTreeMap::new());
        for (key, site, knobs) in sites {
            before.insert(key.clone(), knobs);
            all.insert(key, site);
        }
        Scene {
            tree: self.tree,
            systemd: self.systemd.into_inner().unwrap_or_else(PoisonError::into_inner).map(Mutex::new),
            sites: all,
            before,
            whole: Mutex::default(),
            files: self.files,
            abilities: self.real.abilities(),
            page: cgroup::page(),
            way: self.way.get().copied().unwrap_or(ReclaimWay::ByTheWrite),
            force: self.wishes.force,
            deadline: Instant::now() + Duration::from_secs(self.wishes.timeout),
        }
    }

    /// Opens and reads a pod; `title` is what it is called where there are several.
    ///
    /// # Errors
    /// What went away, or can't be read.
    pub(super) fn pod(
        &self,
        found: &Found,
        requests: &BTreeMap<String, Request>,
        title: Option<&str>,
    ) -> Result<Opened, Halt> {
        let crun = self.real.version.kind == Kind::Crun;
        let by_unit =
            found.containers.iter().map(|one| &one.place).chain(found.pod.iter().map(|(place, _)| place));
        let by_unit = by_unit.into_iter().any(is_unit);
        if self.wishes.mode == Mode::Runtime && crun && by_unit {
            let why = "crun's update doesn't tell systemd, whose next reload would undo it, and lifts a swap limit of 0; use --mode direct";
            return Err(Halt::new(Exit::Infeasible, why));
        }
        // crun keeps no resources in its state: there is nothing to keep true
        let auto = if crun && self.wishes.mode == Mode::Auto { Mode::Direct } else { self.wishes.mode };
        let is_wanted = |member: &Member| found.chosen.as_ref().is_none_or(|name| *name == member.name);
        let runtimes: Vec<_> = found.containers.iter().map(|member| self.real.of(member)).collect();
        let known = found.containers.iter().zip(&runtimes).filter(|(member, _)| is_wanted(member));
        let known: Vec<_> = known.map(|(member, runtime)| (member.name.clone(), runtime.is_some())).collect();
        let mode = mode(auto, &known)?;
        // systemd writes all that it knows, and of a container of ours under crun it is kept what the engine had:
        // elsewhere only what is asked for is read
        let kept = crun && found.containers.iter().any(|one| one.recorded);
        let controllers = (!by_unit && !kept).then(|| self.controllers(requests));
        let mut opening = Opening { stage: self, title, controllers, sites: Vec::new() };
        let (mut containers, mut shrunk) = (Vec::new(), false);
        for (member, runtime) in found.containers.iter().zip(runtimes) {
            let formula = formula(&self.real, self.wishes.formula, runtime.as_ref());
            let mut cgroup = match opening.open(&member.place, runtime, member.init, formula) {
                Ok(cgroup) => cgroup,
                // it ended while we looked
                Err(halt) if halt.exit == Exit::NotFound && !is_wanted(member) => continue,
                Err(halt) => return Err(halt),
            };
            if requests.get(&member.name).is_some_and(|request| shrinks(request, &cgroup.knobs)) {
                shrunk = true;
                cgroup.memory = opening.usage(&cgroup.key)?;
            }
            let nested = match &member.nested {
                Some(place) => Some(opening.open(place, None, member.init, formula)?),
                None => None,
            };
            let exclusive_cpus = self.exclusive.has(found.names.uid.as_deref(), &member.name);
            containers.push(Container { name: member.name.clone(), cgroup, nested, exclusive_cpus });
        }
        let mut pod = match &found.pod {
            Some((place, _)) => Some(opening.open(place, None, None, WeightFormula::Linear)?),
            None => None,
        };
        if let Some(pod) = pod.as_mut().filter(|_| shrunk) {
            pod.memory = opening.usage(&pod.key)?;
        }
        let sites = opening.sites;
        let version = self.tree.version();
        let reclaim = *self.way.get_or_init(|| match version {
            CgroupVersion::V1 => ReclaimWay::ByTheWrite,
            CgroupVersion::V2 if sites.iter().any(|(_, site, _)| site.group.has("memory.reclaim")) => {
                ReclaimWay::Probe
            }
            CgroupVersion::V2 => ReclaimWay::High,
        });
        let facts = Facts {
            page: cgroup::page(),
            mode,
            runtime: self.real.abilities(),
            systemd: match self.systemd.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                Some(systemd) => systemd.version()?,
                None => 0,
            },
            reclaim,
            throttling: ThrottlingFactor::DEFAULT,
            force: self.wishes.force,
        };
        let top = found.pod.as_ref().map(|(place, _)| place);
        let top = top.or_else(|| found.containers.first().map(|one| &one.place));
        let above = self.above(top.and_then(Place::parent));
        let snapshot = Snapshot { version, pod, containers, complete: found.complete, above };
        Ok(Opened { snapshot, facts, sites })
    }

    /// The controllers that requests are about, by the names that this version's files begin with.
    fn controllers(&self, requests: &BTreeMap<String, Request>) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = requests.values().flat_map(Request::controllers).collect();
        if self.tree.version() == CgroupVersion::V1 && names.remove("io") {
            names.insert("blkio".to_owned());
        }
        names
    }

    fn above(&self, parent: Option<Place>) -> Above {
        let Some(parent) = parent else { return Above { ratio: Limit::Max, cpus: None, mems: None } };
        let mut known = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(parent.clone()).or_insert_with(|| above(&self.tree, &parent)).clone()
    }

    /// The unit that owns a cgroup, with what systemd believes of it.
    fn unit(&self, place: &Place) -> Result<Option<Unit>, Halt> {
        if !is_unit(place) {
            return Ok(None);
        }
        let mut systemd = self.systemd.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = match systemd.take() {
            Some(connected) => connected,
            None => Systemd::connect()?,
        };
        let knobs = systemd.insert(connected).unit(self.tree.version(), place.name())?;
        Ok(knobs.map(|knobs| Unit { name: place.name().to_owned(), knobs }))
    }
}

impl Opening<'_> {
    fn open(
        &mut self,
        place: &Place,
        runtime: Option<Runtime>,
        init: Option<ProcessKey>,
        formula: WeightFormula,
    ) -> Result<Cgroup, Halt> {
        let named = |fault: cgroup::Fault| {
            let halt = Halt::from(fault);
            let path = crate::quote::quoted(place.path().as_bytes());
            Halt { message: format!("cgroup {path}: {}", halt.message), ..halt }
        };
        let stage = self.stage;
        let (group, knobs) = match &self.controllers {
            Some(some) => {
                let group = stage.tree.group(&place.only(some)).map_err(named)?;
                let knobs = cgroup::of_controllers(&group, some).map_err(named)?;
                (group, knobs)
            }
            None => {
                let group = stage.tree.group(place).map_err(named)?;
                let knobs = cgroup::cgroup(&group, &stage.files).map_err(named)?;
                (group, knobs)
            }
        };
        let key = CgroupKey(place.to_string());
        let unit = stage.unit(place)?;
        let formula = measured(&knobs, runtime.as_ref()).unwrap_or(formula);
        let (name, pod) = (unit.as_ref().map(|unit| unit.name.clone()), self.title.map(str::to_owned));
        self.sites.push((
            key.clone(),
            Site { group, runtime, init, unit: name, formula, pod },
            knobs.clone(),
        ));
        Ok(Cgroup { key, knobs, unit, formula, memory: None })
    }

    /// What the memory of an opened cgroup is used for.
    fn usage(&self, key: &CgroupKey) -> Result<Option<MemoryUsage>, Halt> {
        match self.sites.iter().find(|(other, ..)| other == key) {
            Some((_, site, _)) => {
                let free = *self.stage.swap.get_or_init(cgroup::free_swap);
                Ok(cgroup::memory(&self.stage.tree, &site.group, free)?)
            }
            None => Ok(None),
        }
    }
}

/// True if systemd runs, and a cgroup has the name of a unit that may be its own.
fn is_unit(place: &Place) -> bool {
    let name = place.name();
    (name.ends_with(".slice") || name.ends_with(".scope")) && systemd::runs()
}

/// True if a memory limit may fall: only then it matters what the memory is used for.
fn shrinks(request: &Request, knobs: &Knobs) -> bool {
    let unified = request.unified.contains_key(&Knob::MemoryMax);
    unified || request.memory_limit.zip(knobs.memory_limit()).is_some_and(|(asked, now)| asked < now)
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
