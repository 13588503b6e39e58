//! What the image's etc/group adds to the list: doors 1 (create), 16 (run) and 22 (numbers that engines misread).

use anyhow::Result;

use crate::trial::{Entry, Seen, Trial};

use super::{Closed, Door, Row};

const NO_RUN: &str = "containerd's shim never calls run";
const ANNOTATION: &str = "runc-strict/supplemental-groups";

pub(super) fn doors() -> Vec<Door> {
    let create = [Entry::Create];
    vec![
        Door {
            number: 1,
            rows: vec![
                Row::new("the image puts alice into 50000", merged).entries(&create),
                Row::new("the same, the pod lists 5000", |trial| annotated(trial, "5000")).entries(&create),
                Row::new("the same, the pod lists nothing", |trial| annotated(trial, ""))
                    .entries(&create)
                    .closed(Closed::groups(&[1000])),
                Row::new("the same, the pod lists 50000", |trial| annotated(trial, "5000, 50000"))
                    .entries(&create)
                    .closed(Closed::refused(&["50000"])),
                Row::new("the same, only the node's word counts", without_residual)
                    .entries(&create)
                    .closed(Closed::groups(&[1000]))
                    .not_through_an_engine(
                        "containerd knows what the pod declares, so the residual isn't asked",
                    ),
            ],
        },
        Door {
            number: 16,
            rows: vec![
                Row::new("run instead of create", merged)
                    .entries(&[Entry::Run, Entry::RunDetached])
                    .not_through_an_engine(NO_RUN),
                Row::new("run, the pod lists 50000", |trial| annotated(trial, "50000"))
                    .entries(&[Entry::Run, Entry::RunDetached])
                    .closed(Closed::refused(&["50000"]))
                    .not_through_an_engine(NO_RUN),
            ],
        },
        Door { number: 22, rows: vec![Row::new("numbers that overflow, are negative or none", misread)] },
    ]
}

fn merged(trial: &Trial) -> Result<Seen> {
    trial.enter(&trial.bundle()?)
}

fn annotated(trial: &Trial, list: &str) -> Result<Seen> {
    let mut bundle = trial.bundle()?;
    bundle.annotation(ANNOTATION, list);
    trial.enter(&bundle)
}

fn without_residual(trial: &Trial) -> Result<Seen> {
    trial.configure("residual = false", "")?;
    trial.enter(&trial.bundle()?)
}

/// containerd and CRI-O ignore Atoi's error and cut to 32 bits: these three lines became 50000, 50001 and 0.
fn misread(trial: &Trial) -> Result<Seen> {
    let mut bundle = trial.bundle()?;
    bundle.file(
        "etc/group",
        "alice:x:1000:\nover:x:4295017296:alice\nnegative:x:-4294917295:alice\nnone:x:nix:alice\n",
    )?;
    bundle.user(1000, 1000, &[0, 1000, 5000, 50000, 50001]);
    trial.enter(&bundle)
}
