//! The primary group: doors 5 (the image's etc/passwd chooses it) and 6 (it is missing from the list).

use anyhow::Result;
use serde_json::json;

use crate::trial::{Entry, Seen, Trial};

use super::row::holds_group;
use super::{Closed, Door, Row};

const CEILING: &str = "[[namespace]]\nallow = [\"1000\", \"5000\"]\nceiling = true\n";

pub(super) fn doors() -> Vec<Door> {
    vec![
        Door {
            number: 5,
            rows: vec![
                Row::new("etc/passwd gives alice gid 50000, under a ceiling", |trial| primary(trial, 50000))
                    .closed(Closed::refused(&["50000"])),
                Row::new("etc/passwd gives alice gid 0, under a ceiling", |trial| primary(trial, 0))
                    .open(|seen| holds_group(seen, 0))
                    .closed(Closed::refused(&["gid 0"])),
            ],
        },
        Door {
            number: 6,
            rows: vec![
                Row::new("a file denied to the primary group, CVE-2022-2989", denied_file)
                    .entries(&[Entry::Create, Entry::Run, Entry::Exec])
                    .open(|seen| match seen {
                        Seen::Report(report) if report["ok"] == json!(true) => {
                            Some("the file is read".to_owned())
                        }
                        _ => None,
                    })
                    .closed(Closed::Fact("the file stays denied", |report| report["ok"] == json!(false)))
                    .closed_by_the_engine("containerd lists the primary gid"),
            ],
        },
    ]
}

fn primary(trial: &Trial, gid: u32) -> Result<Seen> {
    trial.configure("", CEILING)?;
    let mut bundle = trial.bundle()?;
    bundle.user(1000, gid, &[gid, 5000]);
    bundle.file("etc/passwd", &format!("root:x:0:0:root:/:/bin/sh\nalice:x:1000:{gid}::/:/bin/sh\n"))?;
    bundle.declares_primary = false;
    trial.enter(&bundle)
}

/// Mode 0604 denies the file to group 1000 and opens it to all others. A setgid program changes alice's effective
/// gid; if 1000 isn't a supplementary group too, she is one of the others.
fn denied_file(trial: &Trial) -> Result<Seen> {
    let mut bundle = trial.bundle()?;
    bundle.guarded_file("data/denied", 0, 1000, 0o604)?;
    bundle.probe_copy("probe-setgid", 0, 5000, 0o2755)?;
    bundle.user(1000, 1000, &[5000]);
    bundle.arguments(&["/probe", "setgid-copy", "negative", "/data/denied"]);
    trial.enter(&bundle)
}
