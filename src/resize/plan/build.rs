//! Puts the steps into their order: first which cgroup, then which knob.

use std::collections::{BTreeMap, BTreeSet};

use crate::resize::amount::{Bytes, Limit};
use crate::resize::convert::cpu::Ratio;
use crate::resize::convert::systemd;
use crate::resize::desired::{Desired, Target};
use crate::resize::field::Writer;
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::refusal::Refusal;
use crate::resize::snapshot::{Facts, Mode, ReclaimWay, Snapshot};
use crate::resize::value::{Course, Value};

use super::bandwidth::{self, Bandwidth, Means};
use super::site::Site;
use super::step::{Action, Level, Reason, Reclaim, Route, Step};
use super::{Notice, Plan, pod, route};

/// One of the two directions, each of which is a pass over all containers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Shrink,
    Grow,
}

pub(super) struct Builder<'a> {
    current: &'a Snapshot,
    facts: &'a Facts,
    pod: Option<Site<'a>>,
    containers: Vec<(Site<'a>, Option<Site<'a>>)>,
    steps: Vec<Step>,
    notices: Vec<Notice>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(current: &'a Snapshot, desired: &Desired, facts: &'a Facts) -> Result<Self, Refusal> {
        for name in desired.containers.keys() {
            if current.container(name).is_none() {
                let known = current.containers.iter().map(|container| container.name.clone()).collect();
                return Err(Refusal::UnknownContainer { name: name.clone(), known });
            }
        }
        let page = facts.page;
        let containers: Vec<_> = current
            .containers
            .iter()
            .map(|container| {
                let Target { knobs, shares } =
                    desired.containers.get(&container.name).cloned().unwrap_or_default();
                let inner = container.nested.as_ref().map(|nested| {
                    // what the nested cgroup has no file for, or inherits, is the scope's alone
                    let inherits = |knob: &Knob| nested.knobs.set(knob).is_some_and(|set| set.is_empty());
                    let target = knobs
                        .clone()
                        .into_iter()
                        .filter(|(knob, _)| nested.knobs.has(knob) && !inherits(knob));
                    Site::new(Level::Nested(container.name.clone()), nested, target.collect(), page)
                });
                let mut outer =
                    Site::new(Level::Container(container.name.clone()), &container.cgroup, knobs, page);
                outer.by_runtime = facts.mode == Mode::Runtime;
                outer.shares = shares;
                (outer, inner)
            })
            .collect();
        let changes: Vec<_> = containers
            .iter()
            .map(|(site, inner)| {
                let inner = |knobs: fn(&Site<'_>) -> Knobs| inner.as_ref().map(knobs).unwrap_or_default();
                let old = tighter(site.now.clone(), &inner(|inner| inner.now.clone()));
                (old, tighter(site.end(), &inner(|inner| inner.end())), site.cgroup.formula)
            })
            .collect();
        let changes: Vec<_> =
            changes.iter().map(|(old, new, formula)| pod::Change { old, new, formula: *formula }).collect();
        let pod = current.pod.as_ref().map(|cgroup| {
            let target = pod::target(current.version, cgroup, &changes, current.complete);
            Site::new(Level::Pod, cgroup, target, page)
        });
        Ok(Self { current, facts, pod, containers, steps: Vec::new(), notices: Vec::new() })
    }

    pub(super) fn build(mut self) -> Result<Plan, Refusal> {
        self.check_ratios()?;
        let mut containers = std::mem::take(&mut self.containers);
        let mut pod = self.pod.take();
        let above = self.current.above.ratio;
        if let Some(pod) = &mut pod {
            self.pass(pod, Pass::Grow, Reason::PodFirst, above);
        }
        // meanwhile the pod has the larger of its two bandwidths
        let bound = |pod: &Option<Site<'_>>| {
            pod.as_ref().and_then(|pod| pod.now.bandwidth()).map_or(above, |cpu| cpu.ratio())
        };
        let room = bound(&pod).min(above);
        for (outer, inner) in &mut containers {
            self.reclaim(outer)?;
            if let Some(inner) = inner {
                self.pass(inner, Pass::Shrink, Reason::InnerFirst, room);
            }
            self.pass(outer, Pass::Shrink, Reason::ShrinkFirst, room);
        }
        for (outer, inner) in &mut containers {
            let narrow = inner.as_ref().map(|inner| self.widen(outer, inner)).unwrap_or_default();
            let reason = if inner.is_some() { Reason::OuterFirst } else { Reason::GrowLast };
            self.pass(outer, Pass::Grow, reason, room);
            if let Some(inner) = inner {
                self.pass(inner, Pass::Grow, Reason::OuterFirst, room);
            }
            for (knob, value) in narrow {
                self.set(outer, knob, value, Reason::Narrow);
            }
        }
        if let Some(pod) = &mut pod {
            self.reclaim(pod)?;
            self.pass(pod, Pass::Shrink, Reason::PodLast, above);
        }
        for site in pod.iter_mut().chain(containers.iter_mut().map(|(outer, _)| outer)) {
            // also where nothing else changes, of what was asked
            if site.believes_otherwise() {
                self.tell_systemd(site);
            }
        }
        let fields = self.fields(&containers);
        self.notice(&containers, pod.as_ref().map(|pod| &pod.now));
        Ok(Plan { version: self.current.version, steps: self.steps, notices: self.notices, fields })
    }

    /// Version 1: in the end no child may have more bandwidth than its parent.
    fn check_ratios(&self) -> Result<(), Refusal> {
        if self.current.version != CgroupVersion::V1 {
            return Ok(());
        }
        let ratio = |site: &Site<'_>| site.end().bandwidth().map_or(Limit::Max, |cpu| cpu.ratio());
        let check = |site: &Site<'_>, parent: Ratio| match ratio(site) {
            asked @ Limit::At(_) if asked > parent && site.changes_bandwidth() => {
                Err(Refusal::AboveParent { level: site.level.clone(), asked, parent })
            }
            _ => Ok(()),
        };
        let above = self.current.above.ratio;
        let room = match &self.pod {
            Some(pod) => {
                check(pod, above)?;
                ratio(pod).min(above)
            }
            None => above,
        };
        self.containers.iter().try_for_each(|(outer, _)| check(outer, room))
    }

    /// The changes of one cgroup in one direction.
    fn pass(&mut self, site: &mut Site<'a>, pass: Pass, reason: Reason, parent: Ratio) {
        let version = self.current.version;
        let wanted: Vec<(Knob, Value)> =
            site.pending().into_iter().filter(|(knob, _)| !is_bandwidth(knob)).collect();
        let (memory, others): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(knob, _)| is_memory(knob));
        // what bounds the others grows first and shrinks last
        let memory: Vec<_> = if pass == Pass::Grow { memory.into_iter().rev().collect() } else { memory };
        let in_pass = |site: &Site<'_>, knob: &Knob, value: &Value| {
            let down = site.now.get(knob).and_then(|old| old.course(value)) == Some(Course::Down);
            down == (pass == Pass::Shrink)
        };
        for (knob, value) in memory.into_iter().chain(others) {
            if in_pass(site, &knob, &value) {
                let why = pair_reason(site, &knob, pass).unwrap_or(reason);
                self.set(site, knob, value, why);
            }
        }
        if let Some((from, to)) = site.bandwidth_change()
            && to.cpu.is_below(from.cpu) == (pass == Pass::Shrink)
        {
            let means = self.means(site, from, to);
            for (knobs, why) in bandwidth::sequence(version, from, to, parent, means) {
                self.set_together(site, knobs, why.unwrap_or(reason));
            }
        }
    }

    fn means(&self, site: &Site<'_>, from: Bandwidth, to: Bandwidth) -> Means {
        match (site.by_runtime, site.unit.is_some()) {
            (true, _) if self.facts.runtime.burst || from.burst == to.burst => Means::Everything,
            (true, _) | (_, true) => Means::QuotaAndPeriod,
            (false, false) => Means::Files,
        }
    }

    /// Adds the step that sets a knob.
    fn set(&mut self, site: &mut Site<'a>, knob: Knob, new: Value, reason: Reason) {
        self.set_together(site, vec![(knob, new)], reason);
    }

    /// Adds the steps that set some knobs at once.
    fn set_together(&mut self, site: &mut Site<'a>, knobs: Vec<(Knob, Value)>, reason: Reason) {
        let mut after = site.now.clone();
        after.extend(knobs.clone());
        let route = |builder: &Self, site: &Site<'_>, knob: &Knob| builder.route(site, knob, &after);
        if knobs.iter().any(|(knob, _)| route(self, site, knob) != Route::File) {
            // any call makes systemd write all that it believes, also what these steps aren't about
            self.tell_systemd(site);
        }
        // what systemd believes before is the same for all of one call
        let no_swap = Value::Bytes(Limit::At(Bytes::ZERO));
        let mut all = Vec::new();
        for (knob, new) in knobs {
            let old = site.now.get(&knob).cloned().unwrap_or_else(|| unset(&knob));
            let route = route(self, site, &knob);
            let untold = knob == Knob::SwapMax
                && (old == no_swap || new == no_swap)
                && matches!(route, Route::Runtime(_));
            // first systemd, so that it also knows when only that has been done and is undone
            let tell = untold.then(|| self.by_systemd(site, &knob, &after)).flatten();
            let tell = tell.map(|route| (knob.clone(), old.clone(), new.clone(), route, Reason::TellOfSwap));
            all.extend(tell.into_iter().chain([(knob, old, new, route, reason)]));
        }
        for (knob, old, new, route, reason) in all {
            if let Some(unit) = site.unit.as_mut().filter(|_| route != Route::File) {
                unit.knobs.extend(systemd::settled(&knob, &after).map(|value| (knob.clone(), value)));
            }
            let action = Action::Set { knob, old, new, route };
            self.steps.push(Step {
                level: site.level.clone(),
                cgroup: site.cgroup.key.clone(),
                action,
                reason,
            });
        }
        site.now = after;
    }

    fn route(&self, site: &Site<'_>, knob: &Knob, after: &Knobs) -> Route {
        let by_runtime = || route::by_runtime(self.writer(site), knob, &site.now, after);
        let by_systemd = || self.by_systemd(site, knob, after);
        site.by_runtime.then(by_runtime).flatten().or_else(by_systemd).unwrap_or(Route::File)
    }

    fn by_systemd(&self, site: &Site<'_>, knob: &Knob, after: &Knobs) -> Option<Route> {
        let unit = site.unit.as_ref()?;
        route::by_systemd(self.current.version, self.facts.systemd, unit, knob, &site.now, after)
    }

    fn writer(&self, site: &Site<'_>) -> Writer {
        Writer { formula: site.cgroup.formula, abilities: self.facts.runtime, shares: site.shares }
    }

    /// Before a memory limit falls below what is in use: frees memory, or refuses.
    fn reclaim(&mut self, site: &Site<'a>) -> Result<(), Refusal> {
        let knob = self.current.version.memory_limit();
        let limits = (site.now.bytes(&knob), site.target.bytes(&knob), site.cgroup.memory);
        let (Some(old), Some(Limit::At(limit)), Some(memory)) = limits else { return Ok(()) };
        if Limit::At(limit) >= old || memory.current <= limit {
            return Ok(());
        }
        let (usage, stuck, level) = (memory.current, memory.stuck(), site.level.clone());
        if stuck > limit {
            if !self.facts.force {
                return Err(Refusal::WouldOom { version: self.current.version, level, limit, usage, stuck });
            }
            self.notices.push(Notice::Forced { level: level.clone() });
        }
        if self.facts.reclaim != ReclaimWay::ByTheWrite {
            let way = self.facts.reclaim;
            let action =
                Action::Reclaim(Reclaim { usage: Some(usage), target: limit, stuck: Some(stuck), way });
            let cgroup = site.cgroup.key.clone();
            self.steps.push(Step { level, cgroup, action, reason: Reason::ReclaimFirst });
        }
        Ok(())
    }

    /// Where a scope's cpuset moves to other members, it holds both while the cgroup inside moves. Returns what it shall
    /// hold afterwards.
    fn widen(&mut self, outer: &mut Site<'a>, inner: &Site<'a>) -> Vec<(Knob, Value)> {
        let mut narrow = Vec::new();
        for knob in [Knob::CpusetCpus, Knob::CpusetMems] {
            let (Some(old), Some(new)) = (outer.now.set(&knob), outer.target.set(&knob)) else { continue };
            let sideways = !old.is_empty() && !new.is_empty() && !old.is_subset(new) && !new.is_subset(old);
            if sideways && inner.target.has(&knob) {
                let (both, new) = (Value::Set(old.union(new)), Value::Set(new.clone()));
                self.set(outer, knob.clone(), both, Reason::Widen);
                outer.target.remove(&knob);
                narrow.push((knob, new));
            }
        }
        narrow
    }

    /// What the kernel holds and systemd doesn't know goes with the next call or reload: systemd is told, once and of
    /// everything.
    fn tell_systemd(&mut self, site: &mut Site<'a>) {
        let Some(unit) = site.unit.as_ref().filter(|_| !site.told) else { return };
        for (knob, believed) in unit.knobs.clone().iter() {
            let settled = systemd::settled(knob, &site.now).filter(|settled| settled != believed);
            let Some((settled, now)) = settled.zip(site.now.get(knob).cloned()) else { continue };
            let Some(route) = self.by_systemd(site, knob, &site.now) else { continue };
            if let Some(unit) = &mut site.unit {
                unit.knobs.insert(knob.clone(), settled);
            }
            let action = Action::Set { knob: knob.clone(), old: now.clone(), new: now, route };
            let (level, cgroup) = (site.level.clone(), site.cgroup.key.clone());
            self.steps.push(Step { level, cgroup, action, reason: Reason::TellSystemd });
        }
        site.told = true;
    }

    fn fields(&self, containers: &[(Site<'a>, Option<Site<'a>>)]) -> Fields {
        let all = containers.iter().map(|(site, _)| {
            let writer = self.writer(site);
            let fields = site.asked.iter().filter_map(|(knob, _)| writer.fields(knob, &site.now)).flatten();
            (site.cgroup, site.level.clone(), fields.collect::<BTreeMap<_, _>>())
        });
        all.filter_map(|(_, level, fields)| match level {
            Level::Container(name) if !fields.is_empty() => Some((name, fields)),
            _ => None,
        })
        .collect()
    }

    fn notice(&mut self, containers: &[(Site<'a>, Option<Site<'a>>)], pod: Option<&Knobs>) {
        // version 1 would have refused a bandwidth above the pod's
        let bounds = [self.current.version.memory_limit(), Knob::CpuMax];
        for (container, (site, _)) in self.current.containers.iter().zip(containers) {
            let name = || container.name.clone();
            let limited = site.now.bandwidth().is_some_and(|cpu| cpu.quota != Limit::Max);
            if container.exclusive_cpus && limited && site.changes_bandwidth() {
                self.notices.push(Notice::ExclusiveCpus { container: name() });
            }
            for knob in &bounds {
                let below = |pod: &&Value| {
                    site.now.get(knob).is_some_and(|own| own.course(pod) == Some(Course::Down))
                };
                let value = pod.and_then(|pod| pod.get(knob)).filter(below).filter(|_| site.target.has(knob));
                let notice = |value: &Value| Notice::PodBelow {
                    container: name(),
                    knob: knob.clone(),
                    value: value.clone(),
                };
                self.notices.extend(value.map(notice));
            }
            let unaware = self.steps.iter().filter(|step| site.by_runtime && step.cgroup == site.cgroup.key);
            let files: BTreeSet<_> = unaware
                .filter(|step| !matches!(step.reason, Reason::TellSystemd | Reason::TellOfSwap))
                .filter_map(|step| match &step.action {
                    Action::Set { knob, route: Route::File | Route::Systemd { .. }, .. } => Some(knob.file()),
                    _ => None,
                })
                .collect();
            self.notices
                .extend(files.into_iter().map(|file| Notice::RuntimeUnaware { container: name(), file }));
        }
    }
}

type Fields = BTreeMap<String, BTreeMap<crate::resize::field::Field, serde_json::Value>>;

/// A knob without a line in its file: no limit.
fn unset(knob: &Knob) -> Value {
    match knob {
        Knob::IoMax(_) => Value::Io(crate::resize::convert::io::IoMax::UNLIMITED),
        Knob::Throttle(..) => Value::Count(Limit::Max),
        _ => Value::Text(String::new()),
    }
}

/// What bounds a container whose runtime has nested a cgroup in its scope: of each limit the smaller one. A runtime may
/// leave the scope without limits (crun 1.8 does).
fn tighter(mut outer: Knobs, inner: &Knobs) -> Knobs {
    for (knob, value) in inner.iter().filter(|(knob, _)| **knob != Knob::CpuWeight) {
        if outer.get(knob).and_then(|outer| outer.course(value)) == Some(Course::Down) {
            outer.insert(knob.clone(), value.clone());
        }
    }
    outer
}

fn is_bandwidth(knob: &Knob) -> bool {
    matches!(knob, Knob::CpuMax | Knob::CpuMaxBurst | Knob::CfsQuota | Knob::CfsPeriod | Knob::CfsBurst)
}

fn is_memory(knob: &Knob) -> bool {
    *knob <= Knob::MemswLimit
}

/// Version 1's two limits have their own reason for their order, where both change in one pass.
fn pair_reason(site: &Site<'_>, knob: &Knob, pass: Pass) -> Option<Reason> {
    let pending = |knob: &Knob| site.target.get(knob).is_some_and(|value| site.now.get(knob) != Some(value));
    match (knob, pass) {
        (Knob::MemswLimit, Pass::Grow) if pending(&Knob::MemoryLimit) => Some(Reason::SumFirst),
        (Knob::MemoryLimit, Pass::Shrink) if pending(&Knob::MemswLimit) => Some(Reason::LimitFirst),
        _ => None,
    }
}
