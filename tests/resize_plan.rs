//! Plans and refusals as people read them, held by files. `UPDATE_GOLDEN=1 cargo test --test resize_plan` writes them anew;
//! the difference is for review.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use runc_strict::resize::amount::{Bytes, Limit};
use runc_strict::resize::convert::memory::ThrottlingFactor;
use runc_strict::resize::convert::systemd;
use runc_strict::resize::convert::weight::WeightFormula;
use runc_strict::resize::desired::desired;
use runc_strict::resize::knob::{CgroupVersion, Knob};
use runc_strict::resize::knobs::Knobs;
use runc_strict::resize::plan::{Plan, plan};
use runc_strict::resize::refusal::{Refusal, RefusalKind};
use runc_strict::resize::request::Request;
use runc_strict::resize::snapshot::{
    Above, Cgroup, CgroupKey, Container, Facts, MemoryUsage, Mode, ReclaimWay, RuntimeAbilities, Snapshot,
    Unit,
};

const MIB: u64 = 1 << 20;

/// The files of a cgroup, as `cat` shows them: `memory.max 268435456`.
fn files(text: &str) -> Knobs {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let knobs = lines.flat_map(|line| {
        let (file, value) = line.split_once(' ').unwrap_or((line, ""));
        Knob::read_file(file, value).unwrap_or_else(|error| panic!("{error}"))
    });
    knobs.collect()
}

fn cgroup(key: &str, knobs: Knobs) -> Cgroup {
    Cgroup { key: CgroupKey(key.to_owned()), knobs, unit: None, formula: WeightFormula::Linear, memory: None }
}

fn container(name: &str, cgroup: Cgroup) -> Container {
    Container { name: name.to_owned(), cgroup, nested: None, exclusive_cpus: false }
}

/// The cgroup belongs to a unit, which believes what the kernel has.
fn owned(mut cgroup: Cgroup, unit: &str) -> Cgroup {
    let known = |knob: &Knob| systemd::properties(CgroupVersion::V2, knob, &cgroup.knobs, 252).is_some();
    let believed = cgroup.knobs.iter().filter(|(knob, _)| known(knob));
    let believed =
        believed.filter_map(|(knob, _)| Some((knob.clone(), systemd::settled(knob, &cgroup.knobs)?)));
    cgroup.unit = Some(Unit { name: unit.to_owned(), knobs: believed.collect() });
    cgroup
}

const POD_V2: &str =
    "memory.max 402653184\n memory.swap.max max\n memory.min 0\n cpu.max 75000 100000\n cpu.max.burst 0\n
    cpu.weight 30\n cpuset.cpus\n pids.max max";
const APP_V2: &str = "memory.max 268435456\n memory.swap.max 0\n memory.high max\n memory.low 0\n memory.min 0\n
    cpu.max 50000 100000\n cpu.max.burst 0\n cpu.weight 20\n cpuset.cpus 0-3\n cpuset.mems\n pids.max 1000\n
    memory.oom.group 1\n io.weight default 100\n hugetlb.2MB.max 0\n io.max 8:0 rbps=1048576 wbps=max riops=max wiops=max";
const LOG_V2: &str =
    "memory.max 134217728\n memory.swap.max 0\n cpu.max 25000 100000\n cpu.max.burst 0\n cpu.weight 10\n
    cpuset.cpus 0-3\n pids.max max";
const POD_V1: &str = "memory.limit_in_bytes 402653184\n memory.memsw.limit_in_bytes 9223372036854771712\n cpu.shares 768\n
    cpu.cfs_quota_us 75000\n cpu.cfs_period_us 100000\n cpu.cfs_burst_us 0\n cpuset.cpus 0-7\n cpuset.mems 0\n pids.max max";
const APP_V1: &str = "memory.limit_in_bytes 268435456\n memory.memsw.limit_in_bytes 268435456\n
    memory.soft_limit_in_bytes 9223372036854771712\n cpu.shares 512\n cpu.cfs_quota_us 50000\n cpu.cfs_period_us 100000\n
    cpu.cfs_burst_us 0\n cpuset.cpus 0-3\n cpuset.mems 0\n pids.max max\n blkio.weight 500\n hugetlb.2MB.limit_in_bytes 0";
const LOG_V1: &str = "memory.limit_in_bytes 134217728\n memory.memsw.limit_in_bytes 134217728\n cpu.shares 256\n
    cpu.cfs_quota_us 25000\n cpu.cfs_period_us 100000\n cpu.cfs_burst_us 0\n cpuset.cpus 0-3\n cpuset.mems 0\n pids.max max";

/// A burstable pod of two containers, app and log.
fn pod(version: CgroupVersion) -> Snapshot {
    let texts = match version {
        CgroupVersion::V1 => [POD_V1, APP_V1, LOG_V1],
        CgroupVersion::V2 => [POD_V2, APP_V2, LOG_V2],
    };
    let [pod, app, log] = texts.map(files);
    Snapshot {
        version,
        pod: Some(cgroup("pod", pod)),
        containers: vec![container("app", cgroup("pod/app", app)), container("log", cgroup("pod/log", log))],
        complete: true,
        above: Above {
            ratio: Limit::Max,
            cpus: Some("0-7".parse().unwrap()),
            mems: Some("0".parse().unwrap()),
        },
    }
}

/// The same pod under systemd.
fn units(mut snapshot: Snapshot) -> Snapshot {
    snapshot.pod = snapshot.pod.map(|pod| owned(pod, "kubepods-burstable-pod1234.slice"));
    for container in &mut snapshot.containers {
        let unit = format!("cri-containerd-{}.scope", container.name);
        container.cgroup = owned(container.cgroup.clone(), &unit);
    }
    snapshot
}

fn facts(mode: Mode, version: CgroupVersion) -> Facts {
    Facts {
        page: Bytes::new(4096).unwrap(),
        mode,
        runtime: RuntimeAbilities { burst: true, unified: true, hugepages: false },
        systemd: 252,
        reclaim: if version == CgroupVersion::V1 { ReclaimWay::ByTheWrite } else { ReclaimWay::Probe },
        throttling: ThrottlingFactor::DEFAULT,
        force: false,
    }
}

/// Options as on a command line: `cpu-limit=1 memory-limit=1Gi`.
fn request(options: &str) -> Request {
    let mut request = Request::default();
    for option in options.split_whitespace() {
        let (name, value) = option.split_once('=').unwrap();
        request.option(name, value).unwrap_or_else(|error| panic!("{error}"));
    }
    request
}

fn planned(snapshot: &Snapshot, facts: &Facts, asked: &[(&str, &str)]) -> Result<Plan, Refusal> {
    let requests: Vec<_> = asked.iter().map(|(name, options)| (*name, request(options))).collect();
    let desired = desired(snapshot, requests.iter().map(|(name, request)| (*name, request)), facts)?;
    plan(snapshot, &desired, facts)
}

/// Holds a text against a file of tests/data/resize/plans.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/resize/plans").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{} differs; it would be:\n{text}", path.display());
}

fn shown(snapshot: &Snapshot, facts: &Facts, asked: &[(&str, &str)]) -> String {
    planned(snapshot, facts, asked).unwrap_or_else(|refusal| panic!("{refusal}")).to_string()
}

#[test]
fn a_pod_grows_before_its_container_and_systemd_is_told_by_the_runtime() {
    let (version, asked) = (CgroupVersion::V2, [("app", "cpu-request=1 cpu-limit=1500m memory-limit=512Mi")]);
    golden("grow.txt", &shown(&units(pod(version)), &facts(Mode::Runtime, version), &asked));
}

#[test]
fn what_shrinks_goes_first_and_memory_is_reclaimed_before() {
    let version = CgroupVersion::V2;
    let mut snapshot = units(pod(version));
    let mib = |mib: u64| Bytes::new(mib * MIB).unwrap();
    snapshot.containers[0].cgroup.memory = Some(MemoryUsage {
        current: mib(200),
        swappable: mib(30),
        pinned: mib(10),
        ..MemoryUsage::default()
    });
    snapshot.containers[0].exclusive_cpus = true;
    let asked = [("app", "memory-limit=64Mi cpu-limit=250m"), ("log", "memory-limit=256Mi swap-limit=16Mi")];
    golden("shrink_and_grow.txt", &shown(&snapshot, &facts(Mode::Runtime, version), &asked));
}

#[test]
fn crun_has_a_cgroup_inside_the_scope_which_moves_in_between() {
    let version = CgroupVersion::V2;
    let mut snapshot = units(pod(version));
    snapshot.containers[0].nested = Some(cgroup("pod/app/container", files(APP_V2)));
    let asked = [("app", "cpuset-cpus=2-5 memory-limit=512Mi pids-limit=500 unified=memory.oom.group=0")];
    golden("nested.txt", &shown(&snapshot, &facts(Mode::Direct, version), &asked));
}

#[test]
fn a_period_of_version_1_changes_without_a_state_that_throttles() {
    let version = CgroupVersion::V1;
    let asked =
        [("app", "cpu-limit=750m cpu-period=20000 cpu-burst=5000 memory-limit=384Mi swap-limit=64Mi")];
    golden("v1_period.txt", &shown(&pod(version), &facts(Mode::Direct, version), &asked));
}

#[test]
fn a_pod_loses_its_limit_with_the_first_container_and_gets_it_back_with_the_last() {
    let (version, facts) = (CgroupVersion::V1, facts(Mode::Direct, CgroupVersion::V1));
    let removed = shown(&pod(version), &facts, &[("log", "memory-limit=none cpu-limit=none")]);
    let mut unlimited = pod(version);
    let none = "memory.limit_in_bytes -1\n memory.memsw.limit_in_bytes -1\n cpu.cfs_quota_us -1";
    unlimited.containers[1].cgroup.knobs.extend(files(none));
    unlimited.pod.as_mut().unwrap().knobs.extend(files("memory.limit_in_bytes -1\n cpu.cfs_quota_us -1"));
    let back = shown(&unlimited, &facts, &[("log", "memory-limit=128Mi cpu-limit=250m")]);
    golden("limit_removed_and_back.txt", &format!("{removed}\n{back}"));
}

#[test]
fn every_other_option_has_its_knob() {
    let version = CgroupVersion::V2;
    let asked = [(
        "app",
        "memory-request=64Mi memory-limit=128Mi memory-high=auto memory-min=32Mi memory-low=48Mi hugepages=2Mi=4Mi io-weight=200
         io-max=8:0,wbps=2Mi,riops=none io-max=259:1,wiops=100 cpuset-mems=0 cpu-burst=10000 cpu-weight=55",
    )];
    let v2 = shown(&pod(version), &facts(Mode::Direct, version), &asked);
    let version = CgroupVersion::V1;
    let asked = [(
        "app",
        "memory-low=48Mi hugepages=2M=4Mi io-weight=5000 io-max=8:0,wbps=2Mi cpu-weight=55 cpuset-cpus=none",
    )];
    let v1 = shown(&pod(version), &facts(Mode::Direct, version), &asked);
    golden("other_options.txt", &format!("{v2}\n{v1}"));
}

#[test]
fn what_systemd_does_not_know_it_is_told_though_the_kernel_has_it() {
    let version = CgroupVersion::V2;
    let mut snapshot = units(pod(version));
    let unit = snapshot.containers[0].cgroup.unit.as_mut().unwrap();
    unit.knobs.extend(files("memory.swap.max max\n memory.max 134217728"));
    let told = shown(&snapshot, &facts(Mode::Runtime, version), &[("app", "memory-limit=256Mi")]);
    let nothing =
        shown(&pod(version), &facts(Mode::Runtime, version), &[("app", "memory-limit=256Mi cpu-limit=500m")]);
    golden("already_so.txt", &format!("{told}\n{nothing}"));
}

#[test]
fn refusals_name_the_value_and_what_to_do() {
    let mib = |mib: u64| Bytes::new(mib * MIB).unwrap();
    let usage =
        MemoryUsage { current: mib(200), swappable: mib(150), pinned: mib(10), ..MemoryUsage::default() };
    let cases: [(CgroupVersion, Mode, &str, &str, RefusalKind); 21] = [
        (CgroupVersion::V2, Mode::Runtime, "nobody", "cpu-limit=1", RefusalKind::NotFound),
        (CgroupVersion::V2, Mode::Runtime, "app", "cpu-request=2 cpu-limit=1", RefusalKind::Usage),
        (CgroupVersion::V2, Mode::Runtime, "app", "memory-request=2Gi memory-limit=1Gi", RefusalKind::Usage),
        (CgroupVersion::V2, Mode::Runtime, "app", "memory-min=2Gi memory-limit=1Gi", RefusalKind::Usage),
        (CgroupVersion::V2, Mode::Runtime, "app", "cpu-request=1 cpu-weight=100", RefusalKind::Usage),
        (
            CgroupVersion::V2,
            Mode::Runtime,
            "app",
            "memory-limit=1Gi unified=memory.max=max",
            RefusalKind::Usage,
        ),
        (CgroupVersion::V2, Mode::Runtime, "app", "memory-limit=128Mi", RefusalKind::WouldOom),
        (CgroupVersion::V2, Mode::Runtime, "app", "memory-limit=1k", RefusalKind::Infeasible),
        (CgroupVersion::V2, Mode::Runtime, "app", "cpu-limit=99999999999999", RefusalKind::Infeasible),
        (CgroupVersion::V2, Mode::Runtime, "app", "cpu-burst=60000", RefusalKind::Infeasible),
        (CgroupVersion::V2, Mode::Runtime, "app", "cpuset-cpus=6-9", RefusalKind::Infeasible),
        (CgroupVersion::V2, Mode::Runtime, "app", "cpuset-mems=1", RefusalKind::Infeasible),
        (CgroupVersion::V2, Mode::Runtime, "app", "hugepages=1Gi=1Gi", RefusalKind::Infeasible),
        (CgroupVersion::V2, Mode::Runtime, "app", "hugepages=2Mi=3Mi", RefusalKind::Infeasible),
        (CgroupVersion::V2, Mode::Runtime, "app", "memory-high=auto", RefusalKind::Infeasible),
        (CgroupVersion::V2, Mode::Runtime, "app", "unified=rdma.max=1", RefusalKind::Infeasible),
        (CgroupVersion::V1, Mode::Direct, "app", "memory-high=1Gi", RefusalKind::Infeasible),
        (CgroupVersion::V1, Mode::Direct, "app", "unified=memory.max=max", RefusalKind::Infeasible),
        (CgroupVersion::V1, Mode::Direct, "app", "memory-limit=128Mi", RefusalKind::WouldOom),
        (CgroupVersion::V1, Mode::Direct, "bounded", "cpu-limit=2", RefusalKind::Infeasible),
        (CgroupVersion::V1, Mode::Direct, "app", "swap-limit=9223372036854775807", RefusalKind::Infeasible),
    ];
    let mut text = String::new();
    for (version, mode, name, options, kind) in cases {
        let mut snapshot = pod(version);
        snapshot.containers[0].cgroup.memory = Some(usage);
        if name == "bounded" {
            // a pod whose own limit stays, because one of its containers never had one
            snapshot.containers[0].name = name.to_owned();
            snapshot.containers[1].cgroup.knobs.extend(files("cpu.cfs_quota_us -1"));
        }
        let refusal = planned(&snapshot, &facts(mode, version), &[(name, options)]).expect_err(options);
        assert_eq!(refusal.kind(), kind, "{options}: {refusal}");
        text += &format!("{version}, {name}, {options}\n    {refusal}\n");
    }
    golden("refusals.txt", &text);
}

#[test]
fn a_forced_shrink_is_planned_and_noticed() {
    let version = CgroupVersion::V2;
    let mut snapshot = pod(version);
    let mib = |mib: u64| Bytes::new(mib * MIB).unwrap();
    snapshot.containers[0].cgroup.memory =
        Some(MemoryUsage { current: mib(200), swappable: mib(150), ..MemoryUsage::default() });
    let facts = Facts { force: true, ..facts(Mode::Direct, version) };
    golden("forced.txt", &shown(&snapshot, &facts, &[("app", "memory-limit=128Mi")]));
}

#[test]
fn what_swap_can_take_is_no_reason_to_refuse() {
    let version = CgroupVersion::V2;
    let mut snapshot = pod(version);
    let mib = |mib: u64| Bytes::new(mib * MIB).unwrap();
    let usage =
        MemoryUsage { current: mib(200), swappable: mib(150), swap_room: mib(30), ..MemoryUsage::default() };
    snapshot.containers[0].cgroup.memory = Some(usage);
    let asked = [("app", "memory-limit=128Mi")];
    assert!(planned(&snapshot, &facts(Mode::Direct, version), &asked).is_ok(), "120 MiB remain");
    snapshot.containers[0].cgroup.memory = Some(MemoryUsage { protected: mib(129), ..usage });
    assert!(
        planned(&snapshot, &facts(Mode::Direct, version), &asked).is_err(),
        "memory.min below holds 129 MiB"
    );
}
