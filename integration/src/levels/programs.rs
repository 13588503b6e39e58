//! Programs of the image that want a group: doors 7 (setgid), 8 (setuid), 9 (CAP_SETGID) and 21 (a user namespace).

use anyhow::Result;
use serde_json::json;

use crate::bundle::Bundle;

use super::row::{Expected, NO_AMBIENT, Row, all_sets, root_sets};

const GROUP: &str = "50000";

pub(super) fn rows() -> Vec<Row> {
    let uid_0 = || Expected::refused("uid 0");
    vec![
        Row::new(7, "a setgid program, no capability", |bundle| {
            bundle.probe_copy("probe-setgid", 0, 50000, 0o2755)?;
            program(bundle, &["setgid-copy"], &[])
        })
        .gained(|report| report["gid"][1] == json!(50000)),
        Row::new(7, "a setgid program reads a file of group 50000", |bundle| {
            bundle.probe_copy("probe-setgid", 0, 50000, 0o2755)?;
            bundle.guarded_file("data/secret", 2000, 50000, 0o640)?;
            program(bundle, &["setgid-copy", "read", "/data/secret"], &[])
        }),
        Row::new(8, "a setuid-root program calls setgroups", |bundle| {
            bundle.probe_copy("probe-setuid", 0, 0, 0o4755)?;
            program(bundle, &["setuid-copy", "setgroups", GROUP], &["CAP_SETGID"])
        }),
        Row::new(8, "a setuid-root newgrp", |bundle| {
            bundle.probe_copy("probe-setuid", 0, 0, 0o4755)?;
            program(bundle, &["setuid-copy", "newgrp", GROUP], &["CAP_SETGID"])
        }),
        Row::new(9, "a file capability", |bundle| {
            bundle.probe_with_capability("probe-filecap")?;
            program(bundle, &["filecap", "setgroups", GROUP], &["CAP_SETGID"])
        }),
        Row::new(9, "an ambient capability", |bundle| {
            program(bundle, &["setgroups", GROUP], &[])?;
            bundle.spec["process"]["capabilities"] = all_sets(&["CAP_SETGID"]);
            Ok(())
        })
        .not_through_an_engine(NO_AMBIENT),
        Row::new(9, "uid 0 calls setgroups", |bundle| root(bundle, &["setgroups", GROUP])).levels(
            Expected::Open,
            Expected::Shut,
            uid_0(),
        ),
        Row::new(9, "uid 0 calls setresgid", |bundle| root(bundle, &["setresgid", GROUP])).levels(
            Expected::Open,
            Expected::Shut,
            uid_0(),
        ),
        Row::new(9, "uid 0 raises an ambient capability", |bundle| {
            root(bundle, &["ambient", GROUP])?;
            bundle.spec["process"]["capabilities"]["inheritable"] = json!(["CAP_SETGID"]);
            Ok(())
        })
        .levels(Expected::Open, Expected::Shut, uid_0()),
        Row::new(21, "a user namespace of its own", |bundle| program(bundle, &["userns", GROUP], &[]))
            .no_hole()
            .levels(Expected::Shut, Expected::Shut, Expected::Shut),
    ]
}

/// alice runs the probe; `bounding` is all that any program of the image may get.
fn program(bundle: &mut Bundle, words: &[&str], bounding: &[&str]) -> Result<()> {
    let words: Vec<&str> = std::iter::once("/probe").chain(words.iter().copied()).collect();
    bundle.arguments(&words);
    bundle.user(1000, 1000, &[1000, 5000]);
    bundle.harmless_groups()?;
    bundle.spec["process"]["capabilities"] = json!({"bounding": bounding});
    Ok(())
}

fn root(bundle: &mut Bundle, words: &[&str]) -> Result<()> {
    program(bundle, words, &[])?;
    bundle.user(0, 0, &[0]);
    bundle.declared.clear();
    bundle.spec["process"]["capabilities"] = root_sets(&["CAP_SETGID", "CAP_SETUID", "CAP_NET_BIND_SERVICE"]);
    Ok(())
}
