//! A small kernel and a small systemd, written from their documents and not from the planner: they hold a tree of
//! cgroups, take one call at a time, refuse what the real ones refuse, and round as they do. What they hold after each
//! call is what the laws look at.

use std::collections::BTreeMap;

use runc_strict::resize::amount::{Bytes, Limit};
use runc_strict::resize::convert::cpu::{CpuBurst, CpuMax};
use runc_strict::resize::convert::cpuset::Cpuset;
use runc_strict::resize::convert::systemd::{self, PropertyValue};
use runc_strict::resize::knob::{CgroupVersion, Knob};
use runc_strict::resize::knobs::Knobs;
use runc_strict::resize::plan::{Action, Route, Step};
use runc_strict::resize::snapshot::{Cgroup, CgroupKey, Snapshot};
use runc_strict::resize::value::Value;

pub(crate) const PAGE: u64 = 4096;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) parent: Option<CgroupKey>,
    pub(crate) knobs: Knobs,
    /// What systemd believes, if a unit owns it.
    pub(crate) unit: Option<Knobs>,
}

#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    version: CgroupVersion,
    above: Limit<u64>,
    pub(crate) nodes: BTreeMap<CgroupKey, Node>,
}

impl Kernel {
    pub(crate) fn boot(snapshot: &Snapshot) -> Self {
        let mut nodes = BTreeMap::new();
        let mut add = |cgroup: &Cgroup, parent: Option<&Cgroup>| {
            let unit = cgroup.unit.as_ref().map(|unit| unit.knobs.clone());
            let parent = parent.map(|parent| parent.key.clone());
            nodes.insert(cgroup.key.clone(), Node { parent, knobs: cgroup.knobs.clone(), unit });
        };
        if let Some(pod) = &snapshot.pod {
            add(pod, None);
        }
        for container in &snapshot.containers {
            add(&container.cgroup, snapshot.pod.as_ref());
            if let Some(nested) = &container.nested {
                add(nested, Some(&container.cgroup));
            }
        }
        Self { version: snapshot.version, above: snapshot.above.ratio, nodes }
    }

    /// The snapshot that somebody would take now.
    pub(crate) fn snapshot(&self, like: &Snapshot) -> Snapshot {
        let mut snapshot = like.clone();
        let refresh = |cgroup: &mut Cgroup| {
            let node = &self.nodes[&cgroup.key];
            cgroup.knobs = node.knobs.clone();
            if let (Some(unit), Some(believed)) = (&mut cgroup.unit, &node.unit) {
                unit.knobs = believed.clone();
            }
        };
        snapshot.pod.iter_mut().for_each(refresh);
        for container in &mut snapshot.containers {
            refresh(&mut container.cgroup);
            container.nested.iter_mut().for_each(refresh);
        }
        snapshot
    }

    /// One call: a write, a SetUnitProperties, or an update of the runtime.
    pub(crate) fn call(&mut self, steps: &[Step]) -> Result<(), String> {
        let Some(first) = steps.first() else { return Ok(()) };
        let key = &first.cgroup;
        match &first.action {
            Action::Reclaim(_) => Ok(()),
            Action::Set { knob, new, route: Route::File, .. } => {
                assert_eq!(steps.len(), 1, "a file is written alone");
                // through the file's text, as the real one
                let text = knob.write(new);
                let text = knob.device().map_or(text.as_str(), |device| {
                    text.strip_prefix(&format!("{device} ")).expect("the device stands in front")
                });
                self.write(key, knob, knob.read(text).map_err(|error| error.to_string())?)
            }
            Action::Set { route: Route::Systemd { .. }, .. } => {
                for step in steps {
                    let Action::Set { route: Route::Systemd { properties, .. }, .. } = &step.action else {
                        panic!("mixed")
                    };
                    self.believe(key, properties.iter().map(|change| (change.name.as_str(), &change.new)));
                }
                self.systemd_writes(key);
                Ok(())
            }
            Action::Set { route: Route::Runtime(_), .. } => {
                let knobs: Vec<(Knob, Value)> = steps
                    .iter()
                    .map(|step| match &step.action {
                        Action::Set { knob, new, route: Route::Runtime(_), .. } => {
                            (knob.clone(), new.clone())
                        }
                        _ => panic!("mixed"),
                    })
                    .collect();
                if self.nodes[key].unit.is_some() {
                    let mut after = self.nodes[key].knobs.clone();
                    after.extend(knobs.clone());
                    // runc tells systemd what it knows, but not of a swap limit of 0
                    let no_swap = Value::Bytes(Limit::At(Bytes::ZERO));
                    let known = |knob: &Knob| systemd::properties(self.version, knob, &after, 252).is_some();
                    let told = knobs
                        .iter()
                        .filter(|(knob, value)| known(knob) && (*knob != Knob::SwapMax || *value != no_swap));
                    let told: Vec<_> = told
                        .filter_map(|(knob, _)| Some((knob.clone(), systemd::settled(knob, &after)?)))
                        .collect();
                    let node = self.nodes.get_mut(key).expect("known");
                    node.unit.as_mut().expect("a unit").extend(told);
                }
                // it applies its whole state, which is what the cgroup held, and the changes
                let held = self.nodes[key].knobs.clone();
                if self.nodes[key].unit.is_some() {
                    self.systemd_writes(key);
                }
                self.put(key, held);
                self.put(key, knobs);
                self.rules()
            }
        }
    }

    /// systemd takes properties to be what it believes.
    fn believe<'a>(
        &mut self,
        key: &CgroupKey,
        properties: impl Iterator<Item = (&'a str, &'a PropertyValue)>,
    ) {
        let (mut numbers, mut sets) = (Vec::new(), Vec::new());
        for (name, value) in properties {
            match value {
                PropertyValue::Number(number) => numbers.push((name, *number)),
                PropertyValue::Bits(bits) => sets.push((name, members(bits))),
            }
        }
        let unit = self.nodes.get_mut(key).expect("known").unit.as_mut().expect("a unit");
        let believed = systemd::knobs(self.version, numbers);
        if believed.has(&Knob::CfsQuota) && !believed.has(&Knob::CfsPeriod) {
            unit.remove(&Knob::CfsPeriod);
        }
        unit.extend(believed);
        for (name, set) in sets {
            let knob = if name == "AllowedCPUs" { Knob::CpusetCpus } else { Knob::CpusetMems };
            unit.insert(knob, Value::Set(set));
        }
    }

    /// systemd writes all that it believes, whatever the call was about. What the kernel refuses is only logged.
    fn systemd_writes(&mut self, key: &CgroupKey) {
        for (knob, value) in self.nodes[key].unit.clone().expect("a unit") {
            let _ = self.write(key, &knob, value);
        }
    }

    fn put(&mut self, key: &CgroupKey, knobs: impl IntoIterator<Item = (Knob, Value)>) {
        let node = self.nodes.get_mut(key).expect("known");
        for (knob, value) in knobs {
            node.knobs.insert(knob.clone(), rounded(&knob, value));
        }
    }

    fn write(&mut self, key: &CgroupKey, knob: &Knob, value: Value) -> Result<(), String> {
        let before = self.clone();
        self.nodes.get_mut(key).expect("known").knobs.insert(knob.clone(), rounded(knob, value.clone()));
        self.rules().map_err(|rule| {
            *self = before;
            format!("write of {value} to {knob} of {key}: {rule}")
        })
    }

    /// What the kernel never lets happen.
    pub(crate) fn rules(&self) -> Result<(), String> {
        for (key, node) in &self.nodes {
            let knobs = &node.knobs;
            let (limit, sum) = (knobs.bytes(&Knob::MemoryLimit), knobs.bytes(&Knob::MemswLimit));
            if let (Some(limit), Some(sum)) = (limit, sum)
                && limit > sum
            {
                return Err(format!("{key}: EINVAL, memory.limit {limit} above memsw {sum}"));
            }
            let cpu = knobs.bandwidth().unwrap_or(CpuMax::UNLIMITED);
            if !knobs.burst().unwrap_or(CpuBurst::ZERO).fits(cpu.quota) {
                return Err(format!("{key}: EINVAL, burst above quota {}", cpu.quota));
            }
            if self.version == CgroupVersion::V1 {
                let room = self.room(node);
                if cpu.quota != Limit::Max && cpu.ratio() > room {
                    return Err(format!(
                        "{key}: EINVAL, {cpu} is {:?}, its parent has {room:?}",
                        cpu.ratio()
                    ));
                }
                if let (Some(own), Some(parent)) = (
                    knobs.set(&Knob::CpusetCpus),
                    node.parent.as_ref().and_then(|parent| self.nodes[parent].knobs.set(&Knob::CpusetCpus)),
                ) && !own.is_subset(parent)
                {
                    return Err(format!("{key}: EACCES, cpuset {own} outside {parent}"));
                }
            }
        }
        Ok(())
    }

    /// The bandwidth that a node's parent has, its own parents' where it has none of its own.
    fn room(&self, node: &Node) -> Limit<u64> {
        let Some(parent) = node.parent.as_ref().map(|parent| &self.nodes[parent]) else { return self.above };
        match parent.knobs.bandwidth() {
            Some(cpu) if cpu.quota != Limit::Max => cpu.ratio(),
            _ => self.room(parent),
        }
    }

    /// A node and all above it, itself first.
    pub(crate) fn line<'a>(&'a self, key: &CgroupKey) -> Vec<&'a Node> {
        let mut line = vec![&self.nodes[key]];
        while let Some(parent) = &line[line.len() - 1].parent {
            line.push(&self.nodes[parent]);
        }
        line
    }
}

fn rounded(knob: &Knob, value: Value) -> Value {
    match (&value, knob.grain(Bytes::new(PAGE).unwrap())) {
        (Value::Bytes(Limit::At(bytes)), Some(grain)) => Value::Bytes(Limit::At(bytes.floor_to(grain))),
        _ => value,
    }
}

fn members(bits: &[u8]) -> Cpuset {
    let members: Vec<String> = (0..bits.len() * 8)
        .filter(|member| bits[member / 8] & (1 << (member % 8)) != 0)
        .map(|member| member.to_string())
        .collect();
    members.join(",").parse().expect("a list")
}
