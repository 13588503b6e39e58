//! The kubelet's part: a pod in its own slice of systemd, in the slice of its QoS class, and the CRI's calls on it. The
//! cases need a machine where systemd has the cgroups; `cri-suites kubelet` does the same for a person.

mod by_hand;
mod resize;
mod slice;

use anyhow::{Context, Result, ensure};
use k8s_cri::v1::LinuxContainerResources;

pub(crate) use by_hand::{import, run as by_hand};
pub(crate) use slice::{PodSlice, Qos, property};

use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::room::uid_prefix;
use runc_strict_integration::runtime::Kind;

use crate::bench::Bench;
use crate::group;
use crate::pod::{Place, Pod, Wish};
use slice::Limits;

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "kubelet",
    about: "pods in slices as the kubelet makes them: who they are, and how they are resized",
    headings: &["pod", "runtime", "seen"],
    cases,
};

/// 2^20 bytes.
pub(crate) const MIB: u64 = 1 << 20;

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    let of = |kind: Kind| {
        let identities = Qos::ALL.map(|qos| {
            let name = format!("{}: exact groups, in the class's slice", qos.name());
            on_systemd(&[&name, kind.name()], move |bench| identity(bench, kind, qos))
        });
        let resized = Qos::ALL[..2].iter().map(move |qos| {
            let (qos, name) = (*qos, format!("{}: resized by cgroup-updater, then by the CRI", qos.name()));
            on_systemd(&[&name, kind.name()], move |bench| resize::both(bench, kind, qos))
        });
        identities.into_iter().chain(resized).collect::<Vec<_>>()
    };
    bench.kinds.iter().flat_map(|kind| of(*kind)).collect()
}

/// A case that is skipped where systemd doesn't have the cgroups.
pub(crate) fn on_systemd(cells: &[&str], run: impl Fn(&Bench) -> Result<Outcome> + 'static) -> Case<Bench> {
    Case::new(cells, move |bench: &Bench| {
        if group::systemd_has_them() {
            run(bench)
        } else {
            Ok(Outcome::Skipped(
                "systemd doesn't have the cgroups here; make vm-test has a machine where it does".to_owned(),
            ))
        }
    })
}

/// What the kubelet asks for: 128 MiB and half a CPU, as limits where the class has limits.
pub(crate) fn limits(qos: Qos) -> (Limits, LinuxContainerResources) {
    let resources = LinuxContainerResources { cpu_period: 100_000, oom_score_adj: 900, ..Default::default() };
    match qos {
        Qos::BestEffort => (
            Limits { memory: None, cpu: None, weight: 1 },
            LinuxContainerResources { cpu_shares: 2, oom_score_adj: 1000, ..resources },
        ),
        // 512 shares are a weight of 20: 1 + (512 - 2) * 9999 / 262142, as the kubelet converts for slices.
        Qos::Guaranteed | Qos::Burstable => (
            Limits { memory: Some(128 * MIB), cpu: Some(500_000), weight: 20 },
            LinuxContainerResources {
                cpu_shares: 512,
                cpu_quota: 50_000,
                memory_limit_in_bytes: 128 << 20,
                ..resources
            },
        ),
    }
}

/// A slice for the next pod of the run.
pub(crate) fn next_slice(bench: &Bench, qos: Qos) -> Result<(PodSlice, Place)> {
    let number = bench.next();
    let uid = format!("{}{number:012}", uid_prefix());
    let slice = PodSlice::make(&bench.room, qos, &uid, limits(qos).0)?;
    let place = Place { number, uid, cgroup_parent: slice.name.clone() };
    Ok((slice, place))
}

/// Under the bare runtime alice has the image's groups, under ours the declared ones; both containers run in a scope
/// of the pod's slice.
fn identity(bench: &Bench, kind: Kind, qos: Qos) -> Result<Outcome> {
    let mut seen = Vec::new();
    for (handler, expected) in [("bare", &[1000, 3000, 50000, 60000][..]), ("strict", &[1000, 60000])] {
        let (slice, place) = next_slice(bench, qos)?;
        let wish = Wish { resources: Some(limits(qos).1), group: Some(1000), ..Wish::alice(&[60000]) };
        let cri = bench.containerd()?.cri.clone();
        let handler = format!("{handler}-{}", kind.name());
        let pod = Pod::run_at(cri, &bench.room, place, &handler, &[], &wish)?;
        let container = pod.container("main", &wish)?;
        let who = container.who()?;
        ensure!(who.groups == expected, "{handler}: {:?} instead of {expected:?}", who.groups);
        for id in [&pod.id, &container.id] {
            let scope = slice.scope(id);
            ensure!(scope.is_dir(), "there is no cgroup {}", scope.display());
            let unit = slice::scope_name(id);
            let of = property(&unit, "Slice")?;
            ensure!(of == slice.name, "{unit} is in the slice \"{of}\"");
        }
        let groups: Vec<String> = who.groups.iter().map(u32::to_string).collect();
        seen.push(format!("{handler} {}", groups.join(" ")));
        pod.remove().context("remove the pod")?;
    }
    Ok(Outcome::Passed(vec![seen.join("; ")]))
}
