//! Annotations that pretend to be somebody's word: doors 13 (engines' keys), 14 (crun's keep_original_groups) and
//! 24 (an image's labels).

use anyhow::Result;

use crate::runtime::Kind;
use crate::trial::{Road, Seen, Trial};

use super::{Closed, Door, Hole, Row};

const NO_LABEL: &str = "containerd makes no annotation of an image's label";
const KEEP: &str = "run.oci.keep_original_groups";

pub(super) fn doors() -> Vec<Door> {
    vec![
        Door {
            number: 13,
            rows: vec![
                Row::new("a container that calls itself a sandbox", |trial| spoofed(trial, "none")),
                Row::new("the same behind CRI-O", |trial| spoofed(trial, "cri-o"))
                    .not_through_an_engine("this engine is containerd"),
                Row::new("a namespace in another engine's key", |trial| namespace(trial, "cri-o")),
                Row::new("a namespace where no engine gives one", |trial| namespace(trial, "none"))
                    .not_through_an_engine("this engine gives one"),
            ],
        },
        Door {
            number: 14,
            rows: vec![
                Row::new("keep_original_groups, the caller in 50000", keep_original)
                    .hole(Hole::On(&[Kind::Crun]), Closed::refused(&[KEEP]))
                    .closed(Closed::refused(&[KEEP])),
            ],
        },
        Door {
            number: 24,
            rows: vec![
                Row::new("an image's label asks for 50000", |trial| label(trial, "narrow"))
                    .closed(Closed::refused(&["50000"]))
                    .not_through_an_engine(NO_LABEL),
                Row::new("the same where annotations are trusted", |trial| label(trial, "trusted"))
                    .closed(Closed::refused(&["trusted"]))
                    .not_through_an_engine(NO_LABEL),
            ],
        },
    ]
}

/// The keys by which containerd and CRI-O mark a sandbox. Behind CRI-O only containerd's is spoofed: CRI-O sets
/// its own.
fn spoofed(trial: &Trial, engine: &str) -> Result<Seen> {
    configure_engine(trial, engine, "")?;
    let mut bundle = trial.bundle()?;
    bundle.annotation("io.kubernetes.cri.container-type", "sandbox");
    if engine == "none" {
        bundle.annotation("io.kubernetes.cri-o.ContainerType", "sandbox");
    }
    trial.enter(&bundle)
}

/// A real engine between has its own name in the configuration already.
fn configure_engine(trial: &Trial, engine: &str, tables: &str) -> Result<()> {
    match trial.road {
        Road::Direct => trial.configure(&format!("engine = \"{engine}\""), tables),
        Road::Engine(_) => trial.configure("", tables),
    }
}

/// A namespace that may keep 50000, in containerd's key, which nobody guards behind another engine; behind containerd
/// also in the kubelet's, which CRI-O guards.
fn namespace(trial: &Trial, engine: &str) -> Result<Seen> {
    let table = "[[namespace]]\nmatch = [\"storage\"]\nallow = [\"50000\"]\nkeep = true\n";
    configure_engine(trial, engine, table)?;
    let mut bundle = trial.bundle()?;
    bundle.annotation("io.kubernetes.cri.sandbox-namespace", "storage");
    if matches!(trial.road, Road::Engine(_)) {
        bundle.annotation("io.kubernetes.pod.namespace", "storage");
    }
    trial.enter(&bundle)
}

/// crun then skips setgroups, so that the container has the groups of whoever called the runtime.
fn keep_original(trial: &Trial) -> Result<Seen> {
    trial.caller_in("0,50000");
    let mut bundle = trial.bundle()?;
    bundle.user(1000, 1000, &[1000, 5000]);
    bundle.harmless_groups()?;
    bundle.annotation(KEEP, "1");
    trial.enter(&bundle)
}

/// What umoci makes of `LABEL runc-strict/supplemental-groups=50000`.
fn label(trial: &Trial, annotation: &str) -> Result<Seen> {
    trial.configure(&format!("annotation = \"{annotation}\""), "")?;
    let mut bundle = trial.bundle()?;
    bundle.annotation("runc-strict/supplemental-groups", "50000");
    trial.enter(&bundle)
}
