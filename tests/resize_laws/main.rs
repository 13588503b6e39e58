//! The laws of the planner, over random pods and requests, against a small kernel that refuses and rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod kernel;
mod worlds;

use kernel::{Kernel, Node};
use oci_spec::runtime::LinuxResources;
use proptest::prelude::*;
use runc_strict::resize::amount::{Bytes, Limit};
use runc_strict::resize::convert::cpu::CpuMax;
use runc_strict::resize::convert::cpuset::Cpuset;
use runc_strict::resize::desired::desired;
use runc_strict::resize::field::Writer;
use runc_strict::resize::knob::Knob;
use runc_strict::resize::plan::rollback::rollback;
use runc_strict::resize::plan::{Action, Plan, Reason, Step, plan};
use runc_strict::resize::refusal::Refusal;
use runc_strict::resize::request::Request;
use runc_strict::resize::snapshot::{CgroupKey, ReclaimWay};
use runc_strict::resize::value::{Course, Value};
use runc_strict::resize::verify::{Owner, accepts};
use worlds::{World, world};

fn planned(world: &World) -> Result<Plan, Refusal> {
    let asked = world.requests.iter().map(|(name, request)| (name.as_str(), request));
    let desired = desired(&world.snapshot, asked, &world.facts)?;
    plan(&world.snapshot, &desired, &world.facts)
}

/// What bounds the processes of a cgroup: the least along the line of its parents.
struct Effective {
    memory: Limit<u64>,
    cpu: CpuMax,
    pids: Limit<u64>,
    cpus: Option<Cpuset>,
}

fn effective(kernel: &Kernel, key: &CgroupKey) -> Effective {
    let line = kernel.line(key);
    let memory = line.iter().filter_map(|node| node.knobs.memory_limit()).min().unwrap_or(Limit::Max);
    // a unit's bandwidth counts as the whole percents that systemd may make of it at any call
    let cpus = line.iter().filter_map(|node| match &node.unit {
        Some(_) => node.knobs.bandwidth().map(CpuMax::after_systemd),
        None => node.knobs.bandwidth(),
    });
    let cpu =
        cpus.reduce(|least, cpu| if cpu.is_below(least) { cpu } else { least }).unwrap_or(CpuMax::UNLIMITED);
    let pids = line.iter().filter_map(|node| match node.knobs.get(&Knob::PidsMax) {
        Some(Value::Count(count)) => Some(*count),
        _ => None,
    });
    let sets = line
        .iter()
        .filter_map(|node| node.knobs.set(&Knob::CpusetCpus))
        .filter(|set| !set.is_empty())
        .cloned();
    let cpus = sets.reduce(|all, set| all.minus(&all.minus(&set)));
    Effective { memory: memory.map(|bytes| bytes.get()), cpu, pids: pids.min().unwrap_or(Limit::Max), cpus }
}

/// True if the state between is tighter than both ends, in anything.
fn tighter(old: &Effective, between: &Effective, new: &Effective) -> Option<&'static str> {
    let within = |set: &Option<Cpuset>, of: &Option<Cpuset>| match (set, of) {
        (Some(set), Some(of)) => set != of && set.is_subset(of),
        (set, of) => set.is_some() && of.is_none(),
    };
    if between.memory < old.memory.min(new.memory) {
        return Some("memory");
    }
    if between.pids < old.pids.min(new.pids) {
        return Some("pids");
    }
    if between.cpu.is_below(old.cpu) && between.cpu.is_below(new.cpu) {
        return Some("cpu");
    }
    (within(&between.cpus, &old.cpus) && within(&between.cpus, &new.cpus)).then_some("cpus")
}

fn show(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}

/// Walks the steps call by call and holds every state between against the laws.
fn walk(start: &Kernel, steps: &[Step]) -> Result<Kernel, TestCaseError> {
    let mut states = vec![start.clone()];
    let mut kernel = start.clone();
    for call in steps.chunk_by(|before, step| step.joins(before)) {
        kernel.call(call).map_err(|refused| TestCaseError::fail(format!("{refused}\nin {}", show(call))))?;
        kernel.rules().map_err(TestCaseError::fail)?;
        read_back(&kernel, call)?;
        states.push(kernel.clone());
    }
    for key in start.nodes.keys() {
        let (old, new) = (effective(start, key), effective(&kernel, key));
        for (at, between) in states.iter().enumerate() {
            let what = tighter(&old, &effective(between, key), &new);
            prop_assert!(
                what.is_none(),
                "{} of {} is tighter than both after {} calls of\n{}",
                what.unwrap_or_default(),
                key,
                at,
                show(steps)
            );
        }
    }
    Ok(kernel)
}

/// Each step of a call has taken effect, as whoever applies it would see.
fn read_back(kernel: &Kernel, call: &[Step]) -> Result<(), TestCaseError> {
    let mut last = std::collections::BTreeMap::new();
    for step in call {
        if let Action::Set { knob, new, .. } = &step.action {
            last.insert(knob, (new, step));
        }
    }
    for (knob, (new, step)) in last {
        let node = &kernel.nodes[&step.cgroup];
        let page = Bytes::new(kernel::PAGE).unwrap();
        prop_assert!(
            accepts(knob, new, &node.knobs, owner(node), page),
            "{:?} is read after {}",
            node.knobs.get(knob),
            step
        );
    }
    Ok(())
}

fn owner(node: &Node) -> Owner {
    if node.unit.is_some() { Owner::Systemd } else { Owner::Cgroupfs }
}

/// The kernel's knobs are the same, but for systemd's rounding where a unit owns them.
fn same(
    kernel: &Kernel,
    start: &Kernel,
    page: runc_strict::resize::amount::Bytes,
) -> Result<(), TestCaseError> {
    for (key, node) in &start.nodes {
        let owner = owner(node);
        for (knob, value) in node.knobs.iter() {
            let now = &kernel.nodes[key].knobs;
            prop_assert!(
                accepts(knob, value, now, owner, page),
                "{} of {}: {:?}, was {}",
                knob,
                key,
                now.get(knob),
                value
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1000)))]

    #[test]
    fn no_state_between_is_refused_or_tighter_than_both_ends(world in world()) {
        let Ok(plan) = planned(&world) else { return Ok(()) };
        let start = Kernel::boot(&world.snapshot);
        start.rules().expect("the world is in order");
        let end = walk(&start, &plan.steps)?;
        for (name, request) in &world.requests {
            let container = world.snapshot.container(name).unwrap();
            let desired = desired(&world.snapshot, [(name.as_str(), request)], &world.facts).unwrap();
            let owner = if container.cgroup.unit.is_some() { Owner::Systemd } else { Owner::Cgroupfs };
            for (knob, wanted) in desired.containers[name].knobs.iter() {
                let read = &end.nodes[&container.cgroup.key].knobs;
                prop_assert!(accepts(knob, wanted, read, owner, world.facts.page), "{} is {:?}, not {}", knob, read.get(knob), wanted);
            }
        }
    }

    #[test]
    fn what_has_been_achieved_needs_no_plan(world in world()) {
        let Ok(plan) = planned(&world) else { return Ok(()) };
        let start = Kernel::boot(&world.snapshot);
        let end = walk(&start, &plan.steps)?;
        let achieved = World { snapshot: end.snapshot(&world.snapshot), ..world.clone() };
        let again = planned(&achieved).map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
        prop_assert!(again.is_empty(), "after\n{}\nthere is still\n{}", plan, again);
    }

    #[test]
    fn any_part_of_a_plan_can_be_undone(world in world(), part in 0.0..=1.0_f64) {
        let Ok(plan) = planned(&world) else { return Ok(()) };
        let start = Kernel::boot(&world.snapshot);
        let calls: Vec<&[Step]> = plan.calls().collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let done = (calls.len() as f64 * part).round() as usize;
        let applied: Vec<Step> = calls[..done].concat();
        let middle = walk(&start, &applied)?;
        let back = rollback(&applied, ReclaimWay::ByTheWrite);
        let end = walk(&middle, &back)?;
        same(&end, &start, world.facts.page)?;
    }

    #[test]
    fn containers_together_never_have_more_than_before_or_after(world in world()) {
        let Ok(plan) = planned(&world) else { return Ok(()) };
        let mut kernel = Kernel::boot(&world.snapshot);
        let sum = |kernel: &Kernel| world.snapshot.containers.iter().map(|container| {
            kernel.nodes[&container.cgroup.key].knobs.memory_limit()?.at().map(|bytes| bytes.get())
        }).sum::<Option<u64>>().map_or(Limit::Max, Limit::At);
        let mut sums = vec![sum(&kernel)];
        for call in plan.calls() {
            kernel.call(call).map_err(TestCaseError::fail)?;
            sums.push(sum(&kernel));
        }
        let ends = sums[0].max(sums[sums.len() - 1]);
        prop_assert!(sums.iter().all(|sum| *sum <= ends), "{:?}", sums);
    }

    #[test]
    fn a_journal_gives_back_the_steps_that_were_written(world in world()) {
        let Ok(plan) = planned(&world) else { return Ok(()) };
        for step in plan.steps.iter().cloned().chain(rollback(&plan.steps, ReclaimWay::Probe)) {
            let line = serde_json::to_string(&step).unwrap();
            let read: Step = serde_json::from_str(&line).map_err(|error| TestCaseError::fail(format!("{error}: {line}")))?;
            prop_assert_eq!(&read, &step, "{}", line);
        }
    }

    #[test]
    fn a_document_made_of_a_cgroup_asks_for_what_it_has(world in world()) {
        let mut world = world;
        let documents = world.snapshot.containers.iter().map(|container| {
            let cgroup = &container.cgroup;
            let writer = Writer { formula: cgroup.formula, abilities: world.facts.runtime, shares: None };
            (container.name.clone(), writer.document(&cgroup.knobs))
        });
        world.requests = documents
            .map(|(name, document)| {
                let resources: LinuxResources = serde_json::from_value(document).expect("a document");
                (name, Request::from_oci(&resources).expect("a request"))
            })
            .collect();
        let plan = planned(&world).map_err(|refusal| TestCaseError::fail(refusal.to_string()))?;
        let told = plan.steps.iter().all(|step| step.reason == Reason::TellSystemd);
        prop_assert!(told, "more than telling systemd: {}", plan);
    }

    #[test]
    fn a_step_changes_something_and_carries_the_value_before(world in world()) {
        let Ok(plan) = planned(&world) else { return Ok(()) };
        let mut kernel = Kernel::boot(&world.snapshot);
        for call in plan.calls() {
            for step in call {
                if let Action::Set { knob, old, new, .. } = &step.action {
                    prop_assert_eq!(old == new, step.reason == Reason::TellSystemd, "{}", step);
                    // a whole percent that systemd has made meanwhile of the value before
                    let node = &kernel.nodes[&step.cgroup];
                    // the swap limit is set twice where systemd has to know of it
                    let told = knob == &Knob::SwapMax && node.knobs.get(knob) == Some(new);
                    prop_assert!(told || accepts(knob, old, &node.knobs, owner(node), world.facts.page), "{:?}: {}", node.knobs.get(knob), step);
                    prop_assert!(old.course(new) != Some(Course::Down) || new.course(old) == Some(Course::Up), "{}", step);
                }
            }
            kernel.call(call).map_err(TestCaseError::fail)?;
        }
    }
}

#[test]
fn random_worlds_are_planned_more_often_than_refused() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut refusals = std::collections::BTreeMap::new();
    let (mut plans, mut steps) = (0, 0);
    for _ in 0..2000 {
        let world = world().new_tree(&mut runner).unwrap().current();
        match planned(&world) {
            Ok(plan) => {
                plans += 1;
                steps += plan.steps.len();
            }
            Err(refusal) => *refusals.entry(format!("{:?}", refusal.kind())).or_insert(0) += 1,
        }
    }
    assert!(plans > 1200 && steps > 4000, "{plans} plans with {steps} steps; refused: {refusals:?}");
}
