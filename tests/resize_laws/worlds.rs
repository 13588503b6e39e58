//! Random pods as a node has them: limits that sum up, or not; systemd or not; crun's nested cgroup or not; and random
//! requests.

use proptest::prelude::*;
use runc_strict::resize::amount::{Bytes, Limit};
use runc_strict::resize::convert::cpu::{CpuBurst, CpuMax, CpuPeriod, CpuQuota, CpuShares};
use runc_strict::resize::convert::memory::{self, ThrottlingFactor};
use runc_strict::resize::convert::systemd;
use runc_strict::resize::convert::weight::{CpuWeight, WeightFormula};
use runc_strict::resize::knob::{CgroupVersion, Knob};
use runc_strict::resize::knobs::Knobs;
use runc_strict::resize::request::Request;
use runc_strict::resize::snapshot::{
    Above, Cgroup, CgroupKey, Container, Facts, Mode, ReclaimWay, RuntimeAbilities, Snapshot, Unit,
};
use runc_strict::resize::value::Value;

use super::kernel::PAGE;

/// One container as it is before.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    memory: Option<u64>,
    swap: Option<u64>,
    cpu: Option<(u64, u64)>,
    burst: u64,
    shares: u64,
    cpus: u8,
    pids: Option<u64>,
    nested: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    pub(crate) facts: Facts,
    pub(crate) requests: Vec<(String, Request)>,
}

fn seed() -> impl Strategy<Value = Seed> {
    (
        proptest::option::weighted(0.8, 16..4096_u64),
        proptest::option::weighted(0.7, prop_oneof![Just(0_u64), 1..64_u64]),
        proptest::option::weighted(0.8, (1..4000_u64, periods())),
        prop_oneof![2 => Just(0_u64), 1 => 0..=100_u64],
        2..3000_u64,
        1..=255_u8,
        proptest::option::of(1..1000_u64),
        any::<bool>(),
    )
        .prop_map(|(memory, swap, cpu, burst, shares, cpus, pids, nested)| Seed {
            memory,
            swap,
            cpu,
            burst,
            shares,
            cpus,
            pids,
            nested,
        })
}

fn periods() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(100_000_u64), 1 => Just(20_000_u64), 1 => Just(1_000_000_u64), 1 => 1_000..=1_000_000_u64]
}

fn set(bits: u8) -> String {
    let members: Vec<String> =
        (0..8).filter(|cpu| bits & (1 << cpu) != 0).map(|cpu: u8| cpu.to_string()).collect();
    members.join(",")
}

fn pages(pages: u64) -> Bytes {
    Bytes::new(pages * PAGE).unwrap()
}

fn limit(number: Option<u64>) -> Limit<Bytes> {
    number.map_or(Limit::Max, |number| Limit::At(pages(number)))
}

/// The knobs of a container.
fn container_knobs(version: CgroupVersion, formula: WeightFormula, seed: &Seed) -> Knobs {
    let cpu = seed.cpu.map_or(CpuMax::UNLIMITED, |(milli, period)| {
        let period = CpuPeriod::new(period).unwrap();
        CpuMax::from_milli(runc_strict::resize::amount::MilliCpu::new(milli).unwrap(), period).unwrap()
    });
    let quota = cpu.quota.at().map_or(100_000, CpuQuota::get);
    let burst = CpuBurst::new(quota * seed.burst / 100).unwrap();
    knobs_of(
        version,
        formula,
        limit(seed.memory),
        limit(seed.swap),
        cpu,
        burst,
        seed.shares,
        &set(seed.cpus),
        seed.pids,
    )
}

#[allow(clippy::too_many_arguments)]
fn knobs_of(
    version: CgroupVersion,
    formula: WeightFormula,
    memory: Limit<Bytes>,
    swap: Limit<Bytes>,
    cpu: CpuMax,
    burst: CpuBurst,
    shares: u64,
    cpus: &str,
    pids: Option<u64>,
) -> Knobs {
    let mut knobs = Knobs::default();
    knobs.set_bandwidth(version, cpu);
    knobs.insert(version.burst(), Value::Burst(burst));
    knobs.insert(Knob::CpusetCpus, Value::Set(cpus.parse().unwrap()));
    knobs.insert(Knob::PidsMax, Value::Count(pids.map_or(Limit::Max, Limit::At)));
    let shares = CpuShares::clamped(shares);
    match version {
        CgroupVersion::V1 => {
            knobs.insert(Knob::MemoryLimit, Value::Bytes(memory));
            knobs.insert(Knob::MemswLimit, Value::Bytes(memory::memsw(memory, swap).unwrap()));
            knobs.insert(Knob::CpuShares, Value::Shares(shares));
        }
        CgroupVersion::V2 => {
            knobs.insert(Knob::MemoryMin, Value::Bytes(Limit::At(Bytes::ZERO)));
            knobs.insert(Knob::MemoryHigh, Value::Bytes(Limit::Max));
            knobs.insert(Knob::MemoryMax, Value::Bytes(memory));
            knobs.insert(Knob::SwapMax, Value::Bytes(swap));
            knobs.insert(Knob::CpuWeight, Value::Weight(CpuWeight::from_shares(shares, formula)));
        }
    }
    knobs
}

/// What systemd believes of a cgroup: what the kernel has, but where `drift` says otherwise.
fn unit(version: CgroupVersion, name: &str, knobs: &Knobs, drift: u8) -> Unit {
    let mut believed = Knobs::default();
    for (knob, _) in knobs.iter() {
        let known = systemd::properties(version, knob, knobs, 252).is_some() && *knob != Knob::CpusetCpus;
        if let Some(value) = systemd::settled(knob, knobs).filter(|_| known) {
            believed.insert(knob.clone(), value);
        }
    }
    if drift & 1 != 0 && believed.has(&Knob::SwapMax) {
        believed.insert(Knob::SwapMax, Value::Bytes(Limit::Max));
    }
    if drift & 2 != 0 {
        believed.insert(version.memory_limit(), Value::Bytes(limit(Some(7))));
    }
    if drift & 4 != 0 {
        believed.insert(Knob::PidsMax, Value::Count(Limit::At(3)));
    }
    Unit { name: name.to_owned(), knobs: believed }
}

/// The pod above these containers, as the kubelet would have made it, or with room to spare.
fn pod_knobs(version: CgroupVersion, formula: WeightFormula, containers: &[Knobs], spare: u64) -> Knobs {
    let memory: Option<u64> =
        containers.iter().map(|knobs| knobs.memory_limit()?.at().map(Bytes::get)).sum::<Option<u64>>();
    let memory = memory.map_or(Limit::Max, |sum| Limit::At(Bytes::new(sum + spare * PAGE).unwrap()));
    let quota: Option<u64> = containers
        .iter()
        .map(|knobs| knobs.bandwidth()?.at_period(CpuPeriod::DEFAULT)?.quota.at().map(CpuQuota::get))
        .sum();
    let cpu = quota.map_or(CpuMax::UNLIMITED, |sum| CpuMax {
        quota: Limit::At(CpuQuota::new(sum + spare).unwrap()),
        period: CpuPeriod::DEFAULT,
    });
    let shares = containers.iter().map(|knobs| knobs.shares(formula).unwrap().get()).sum();
    let cpus = if version == CgroupVersion::V1 { "0-7" } else { "" };
    knobs_of(version, formula, memory, Limit::Max, cpu, CpuBurst::ZERO, shares, cpus, None)
}

/// A request, by its options.
fn request() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let maybe = |name: &'static str, values: BoxedStrategy<String>| {
        proptest::option::weighted(0.4, values.prop_map(move |value| (name, value))).boxed()
    };
    let or_none =
        |values: BoxedStrategy<String>| prop_oneof![5 => values, 1 => Just("none".to_owned())].boxed();
    let milli = |range: std::ops::Range<u64>| range.prop_map(|milli| format!("{milli}m")).boxed();
    let kibi = |range: std::ops::Range<u64>| range.prop_map(|kibi| format!("{kibi}Ki")).boxed();
    let options = vec![
        maybe("cpu-request", milli(0..500)),
        maybe("cpu-limit", or_none(milli(500..5000))),
        maybe("cpu-period", periods().prop_map(|period| period.to_string()).boxed()),
        maybe(
            "cpu-burst",
            prop_oneof![Just("none".to_owned()), (0..20_000_u64).prop_map(|burst| burst.to_string())].boxed(),
        ),
        maybe("memory-limit", or_none(kibi(64..20_000))),
        maybe("swap-limit", or_none(kibi(0..1000))),
        maybe("memory-high", or_none(kibi(64..20_000))),
        maybe("memory-min", kibi(0..60)),
        maybe("cpuset-cpus", or_none((1..=255_u8).prop_map(set).boxed())),
        maybe("pids-limit", or_none((1..2000_u64).prop_map(|pids| pids.to_string()).boxed())),
    ];
    options.prop_map(|options| options.into_iter().flatten().collect())
}

/// What was asked, without what this version lacks.
fn read(version: CgroupVersion, options: &[(&str, String)]) -> Request {
    let mut request = Request::default();
    for (name, value) in options {
        let lacking = version == CgroupVersion::V1 && matches!(*name, "memory-high" | "memory-min");
        if !lacking {
            request.option(name, value).unwrap_or_else(|error| panic!("{error}"));
        }
    }
    request
}

pub(crate) fn world() -> impl Strategy<Value = World> {
    let shape = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let details = (0..3_u64, 0..8_u8, any::<(bool, bool, bool)>(), any::<(bool, bool)>());
    let containers = proptest::collection::vec((seed(), proptest::option::weighted(0.8, request())), 1..4);
    (shape, details, containers).prop_map(|(shape, details, containers)| {
        let (v1, with_pod, with_units, runtime, complete) = shape;
        let (spare, drift, (burst, unified, hugepages), (log, pod_log)) = details;
        let version = if v1 { CgroupVersion::V1 } else { CgroupVersion::V2 };
        let formula = |log| if log { WeightFormula::Log } else { WeightFormula::Linear };
        let with_pod = with_pod || containers.len() > 1;
        let cgroup = |key: &str, knobs: Knobs, formula, owned: bool, drift| Cgroup {
            key: CgroupKey(key.to_owned()),
            unit: owned.then(|| unit(version, key, &knobs, drift)),
            knobs,
            formula,
            memory: None,
        };
        let knobs: Vec<Knobs> =
            containers.iter().map(|(seed, _)| container_knobs(version, formula(log), seed)).collect();
        let pod = pod_knobs(version, formula(pod_log), &knobs, spare * 1000);
        let pod = with_pod.then(|| cgroup("pod", pod, formula(pod_log), with_units, drift));
        let mut requests = Vec::new();
        let mut all = Vec::new();
        for (at, ((seed, options), knobs)) in containers.iter().zip(knobs).enumerate() {
            let name = format!("c{at}");
            if let Some(options) = options {
                requests.push((name.clone(), read(version, options)));
            }
            let nested = (version == CgroupVersion::V2 && with_units && seed.nested)
                .then(|| cgroup(&format!("{name}/container"), knobs.clone(), formula(log), false, 0));
            all.push(Container {
                cgroup: cgroup(&name, knobs, formula(log), with_units, drift & 1),
                name,
                nested,
                exclusive_cpus: false,
            });
        }
        let above = Above { ratio: Limit::Max, cpus: Some("0-7".parse().unwrap()), mems: None };
        let facts = Facts {
            page: Bytes::new(PAGE).unwrap(),
            mode: if runtime { Mode::Runtime } else { Mode::Direct },
            runtime: RuntimeAbilities { burst, unified, hugepages },
            systemd: 252,
            reclaim: if v1 { ReclaimWay::ByTheWrite } else { ReclaimWay::Probe },
            throttling: ThrottlingFactor::DEFAULT,
            force: false,
        };
        World { snapshot: Snapshot { version, pod, containers: all, complete, above }, facts, requests }
    })
}
