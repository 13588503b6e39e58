//! How a pod's own cgroup follows its containers, case by case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use runc_strict::resize::amount::{Bytes, Limit};
use runc_strict::resize::convert::memory::ThrottlingFactor;
use runc_strict::resize::convert::weight::WeightFormula;
use runc_strict::resize::desired::{Desired, Target};
use runc_strict::resize::knob::{CgroupVersion, Knob};
use runc_strict::resize::knobs::Knobs;
use runc_strict::resize::plan::{Action, Level, Notice, Plan, plan};
use runc_strict::resize::snapshot::{
    Above, Cgroup, CgroupKey, Container, Facts, Mode, ReclaimWay, RuntimeAbilities, Snapshot, Unit,
};

fn files(text: &str) -> Knobs {
    let lines = text.split(';').map(str::trim).filter(|line| !line.is_empty());
    lines
        .flat_map(|line| {
            line.split_once(' ').map(|(file, value)| Knob::read_file(file, value).unwrap()).unwrap()
        })
        .collect()
}

fn cgroup(key: &str, knobs: &str, formula: WeightFormula) -> Cgroup {
    Cgroup { key: CgroupKey(key.to_owned()), knobs: files(knobs), unit: None, formula, memory: None }
}

/// A pod, and for each container its knobs before and those that change.
struct Case<'a> {
    version: CgroupVersion,
    pod: &'a str,
    containers: &'a [(&'a str, &'a str)],
    complete: bool,
    unit: bool,
    formulas: (WeightFormula, WeightFormula),
}

impl<'a> Case<'a> {
    fn new(version: CgroupVersion, pod: &'a str, containers: &'a [(&'a str, &'a str)]) -> Self {
        let formulas = (WeightFormula::Linear, WeightFormula::Linear);
        Self { version, pod, containers, complete: true, unit: false, formulas }
    }

    fn plan(&self) -> Plan {
        let mut pod = cgroup("pod", self.pod, self.formulas.0);
        pod.unit = self.unit.then(|| Unit { name: "pod.slice".to_owned(), knobs: Knobs::default() });
        let mut desired = Desired::default();
        let containers = self.containers.iter().enumerate().map(|(at, (old, new))| {
            let name = format!("c{at}");
            desired.containers.insert(name.clone(), Target { knobs: files(new), shares: None });
            Container {
                cgroup: cgroup(&name, old, self.formulas.1),
                name,
                nested: None,
                exclusive_cpus: false,
            }
        });
        let containers = containers.collect();
        let above = Above { ratio: Limit::Max, cpus: None, mems: None };
        let snapshot =
            Snapshot { version: self.version, pod: Some(pod), containers, complete: self.complete, above };
        let facts = Facts {
            page: Bytes::new(4096).unwrap(),
            mode: Mode::Direct,
            runtime: RuntimeAbilities::default(),
            systemd: 252,
            reclaim: ReclaimWay::Probe,
            throttling: ThrottlingFactor::DEFAULT,
            force: false,
        };
        plan(&snapshot, &desired, &facts).unwrap()
    }

    /// What is set on the pod: `memory.max=8192`.
    fn pod_changes(&self) -> Vec<String> {
        let steps = self.plan().steps.into_iter().filter(|step| step.level == Level::Pod);
        let changes = steps.filter_map(|step| match step.action {
            Action::Set { knob, new, .. } => Some(format!("{knob}={new}")),
            Action::Reclaim(_) => None,
        });
        changes.collect()
    }
}

/// Pages, as the kernel prints them.
fn memory(pages: &str) -> String {
    let number = |pages: &str| {
        pages.parse::<u64>().map_or_else(|_| pages.to_owned(), |pages| (pages * 4096).to_string())
    };
    format!("memory.max {}", number(pages))
}

#[test]
fn a_pods_memory_limit_follows_the_sum_where_it_was_the_sum() {
    for (pod, containers, complete, after) in [
        ("30", [("10", "15"), ("20", "20")], true, Some("35")),
        ("30", [("10", "5"), ("20", "10")], true, Some("15")),
        ("30", [("10", "20"), ("20", "10")], true, None),
        // room to spare stays
        ("45", [("10", "15"), ("20", "20")], true, Some("50")),
        // less than the sum on purpose: it only mustn't hold a container back
        ("25", [("10", "10"), ("20", "22")], true, None),
        ("25", [("10", "28"), ("20", "20")], true, Some("28")),
        ("25", [("10", "5"), ("20", "5")], true, None),
        // one becomes unlimited
        ("30", [("10", "max"), ("20", "20")], true, Some("max")),
        ("30", [("10", "max"), ("20", "20")], false, Some("max")),
        // one was unlimited: the pod's limit has another source
        ("30", [("max", "max"), ("20", "25")], true, None),
        ("30", [("max", "10"), ("20", "20")], true, None),
        // the last one is limited again
        ("max", [("max", "10"), ("20", "20")], true, Some("30")),
        ("max", [("max", "10"), ("20", "20")], false, None),
        ("max", [("max", "10"), ("max", "max")], true, None),
        // no limit though all had one: somebody has removed it
        ("max", [("10", "15"), ("20", "20")], true, None),
    ] {
        let containers = containers.map(|(old, new)| (memory(old), memory(new)));
        let containers: Vec<_> = containers.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
        let text = memory(pod);
        let case = Case { complete, ..Case::new(CgroupVersion::V2, &text, &containers) };
        let expected: Vec<_> = after.map(|after| memory(after).replace(' ', "=")).into_iter().collect();
        assert_eq!(case.pod_changes(), expected, "pod {pod}, containers {containers:?}");
    }
}

#[test]
fn protections_add_up_and_other_limits_do_not_come_back() {
    let old = "memory.min 0; memory.low 4096; memory.swap.max max";
    let new = "memory.min 8192; memory.low 0; memory.swap.max 0";
    let pod = "memory.min 4096; memory.low 12288; memory.swap.max max";
    let changes = Case::new(CgroupVersion::V2, pod, &[(old, new), ("pids.max 1", "")]).pod_changes();
    assert_eq!(changes, ["memory.min=12288", "memory.low=8192"]);
}

#[test]
fn quotas_are_added_at_the_pods_own_period() {
    let v1 = |quota: &str, period: &str| format!("cpu.cfs_quota_us {quota}; cpu.cfs_period_us {period}");
    let (pod, old, new) = (v1("100000", "100000"), v1("10000", "20000"), v1("15000", "20000"));
    let other = v1("50000", "100000");
    let containers = [(old.as_str(), new.as_str()), (other.as_str(), "")];
    let case = Case::new(CgroupVersion::V1, &pod, &containers);
    assert_eq!(case.pod_changes(), ["cpu.cfs_quota_us=125000"]);
    let case = Case::new(
        CgroupVersion::V2,
        "cpu.max 3333 100000",
        &[("cpu.max 3333 100000", "cpu.max 5555 100000")],
    );
    assert_eq!(case.pod_changes(), ["cpu.max=5555 100000"]);
    let case = Case { unit: true, ..case };
    assert_eq!(case.pod_changes(), ["cpu.max=6000 100000"], "systemd knows whole percents");
    let removed =
        Case::new(CgroupVersion::V2, "cpu.max 5000 20000", &[("cpu.max 5000 20000", "cpu.max max 20000")]);
    assert_eq!(removed.pod_changes(), ["cpu.max=max 20000"]);
    let burst = "cpu.max 90000 100000; cpu.max.burst 90000";
    let lowered = Case::new(CgroupVersion::V2, burst, &[("cpu.max 90000 100000", "cpu.max 10000 100000")]);
    assert_eq!(
        lowered.pod_changes(),
        ["cpu.max.burst=10000", "cpu.max=10000 100000"],
        "a pod's burst gives way"
    );
}

#[test]
fn a_version_1_pod_keeps_memory_and_swap_above_its_limit() {
    let sums =
        |limit: u64, sum: u64| format!("memory.limit_in_bytes {limit}; memory.memsw.limit_in_bytes {sum}");
    let (pod, old, new) = (sums(8192, 8192), "memory.limit_in_bytes 8192", "memory.limit_in_bytes 16384");
    let containers = [(old, new)];
    let case = Case::new(CgroupVersion::V1, &pod, &containers);
    assert_eq!(case.pod_changes(), ["memory.memsw.limit_in_bytes=16384", "memory.limit_in_bytes=16384"]);
}

#[test]
fn shares_follow_in_each_cgroups_own_formula() {
    let v1 = Case::new(
        CgroupVersion::V1,
        "cpu.shares 2",
        &[("cpu.shares 2", "cpu.shares 1024"), ("cpu.shares 2", "")],
    );
    assert_eq!(v1.pod_changes(), ["cpu.shares=1024"]);
    // a container's weight of 100 is 1024 shares by the runtime's formula; the kubelet makes 39 of them
    let formulas = (WeightFormula::Linear, WeightFormula::Log);
    let grown = [("cpu.weight 1", "cpu.weight 100")];
    let case = Case { formulas, ..Case::new(CgroupVersion::V2, "cpu.weight 1", &grown) };
    assert_eq!(case.pod_changes(), ["cpu.weight=39"]);
}

#[test]
fn a_container_that_its_pod_bounds_below_its_own_limit_is_noticed() {
    let old = "memory.max 4096; cpu.max 10000 100000";
    let new = "memory.max 40960; cpu.max 90000 100000";
    let pod = "memory.max 8192; cpu.max 50000 100000";
    let other = "memory.max max; cpu.max max 100000";
    let plan = Case::new(CgroupVersion::V2, pod, &[(old, new), (other, "")]).plan();
    let texts: Vec<_> = plan.notices.iter().map(Notice::to_string).collect();
    assert_eq!(
        texts,
        [
            "container \"c0\": its pod allows only memory.max 8Ki (8192), and keeps it: the pod's limit isn't its containers' sum",
            "container \"c0\": its pod allows only cpu.max 500m (50000 100000), and keeps it: the pod's limit isn't its containers' sum",
        ]
    );
}
