//! Capabilities that equal any group, door 10: whoever holds one needs no group to open the file. Only paranoid
//! refuses them. Where busybox can show the theft it is shown; of the rest it is shown that the process holds it.

use anyhow::Result;
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::trial::Entry;

use super::row::{Expected, NO_AMBIENT, Row, all_sets, root_sets};

/// A capability and the words that busybox needs to open the file by it.
const THEFTS: &[(&str, &str)] = &[
    ("CAP_DAC_OVERRIDE", ""),
    ("CAP_DAC_READ_SEARCH", ""),
    ("CAP_FOWNER", "/bin/busybox chmod 0604 /data/secret"),
    // Without CAP_FSETID too: whoever owns the file needs neither the group nor a setgid bit.
    ("CAP_CHOWN", "/bin/busybox chown 1000 /data/secret"),
];

/// The same by programs of the image with file capabilities: the capability, its bit, and the words.
const BY_FILE: &[(&str, u32, &str)] = &[
    ("CAP_CHOWN", 0, "/busybox-able chown 1000 /data/secret 2>/dev/null; exec /probe read /data/secret"),
    ("CAP_DAC_OVERRIDE", 1, "exec /probe-able read /data/secret"),
    ("CAP_DAC_READ_SEARCH", 2, "exec /probe-able read /data/secret"),
    ("CAP_FOWNER", 3, "/busybox-able chmod 0604 /data/secret 2>/dev/null; exec /probe read /data/secret"),
];

/// Capabilities and their bits, whose theft needs more than busybox.
const HELD: &[(&str, u32)] = &[
    ("CAP_SETFCAP", 31),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_SYS_MODULE", 16),
    ("CAP_MKNOD", 27),
];

const SYS_ADMIN: u32 = 21;

pub(super) fn rows() -> Vec<Row> {
    let entries = [Entry::Create, Entry::Run];
    let refused = |row: Row, word: &str| {
        row.entries(&entries).levels(Expected::Open, Expected::Open, Expected::refused(word))
    };
    let thefts = THEFTS.iter().map(|(name, words)| {
        refused(
            Row::new(10, &format!("{name} opens a file of group 50000"), move |bundle| {
                steal(bundle, name, words)
            })
            .not_through_an_engine(NO_AMBIENT),
            name,
        )
    });
    let by_file = BY_FILE.iter().map(|(name, bit, words)| {
        Row::new(10, &format!("{name} by a file capability opens a file of group 50000"), move |bundle| {
            bundle.guarded_file("data/secret", 2000, 50000, 0o640)?;
            bundle.able_programs(*bit)?;
            bundle.user(1000, 1000, &[1000, 5000]);
            bundle.harmless_groups()?;
            bundle.arguments(&["/bin/busybox", "sh", "-c", words]);
            bundle.spec["process"]["capabilities"] = json!({"bounding": [name]});
            Ok(())
        })
        .entries(&[Entry::Create, Entry::Exec])
        .levels(Expected::Open, Expected::Shut, Expected::refused(name))
    });
    let privileged = Row::new(10, "privileged", |bundle| {
        bundle.privileged()?;
        Ok(())
    })
    .gained(|report| holds(report, "bounding", SYS_ADMIN));
    let held = HELD.iter().map(|(name, bit)| {
        let row = Row::new(10, &format!("{name} is held"), move |bundle| {
            bundle.spec["process"]["capabilities"] = all_sets(&[name]);
            Ok(())
        });
        let row = row.gained(|report| holds(report, "effective", *bit));
        refused(row.not_through_an_engine(NO_AMBIENT), name)
    });
    let nothing = Row::new(10, "no capability: nothing to refuse", |bundle| steal(bundle, "", ""))
        .no_hole()
        .levels(Expected::Shut, Expected::Shut, Expected::Shut);
    let root = Row::new(10, "uid 0 without capabilities", |bundle| {
        bundle.guarded_file("data/secret", 0, 50000, 0o640)?;
        bundle.arguments(&["/probe", "read", "/data/secret"]);
        bundle.user(0, 0, &[0]);
        bundle.declared.clear();
        bundle.harmless_groups()?;
        bundle.spec["process"]["capabilities"] = root_sets(&[]);
        Ok(())
    });
    let all = refused(privileged, "equals any group");
    thefts.chain(by_file).chain(held).chain([nothing, refused(root, "uid 0"), all]).collect()
}

/// Whether one of the probe's capability sets has this bit.
fn holds(report: &Value, set: &str, bit: u32) -> bool {
    let mask = u64::from_str_radix(report[set].as_str().unwrap_or_default(), 16).unwrap_or_default();
    mask >> bit & 1 == 1
}

/// alice, with one ambient capability, wants to read a file of somebody else's that group 50000 may read.
fn steal(bundle: &mut Bundle, capability: &str, words: &str) -> Result<()> {
    bundle.guarded_file("data/secret", 2000, 50000, 0o640)?;
    bundle.user(1000, 1000, &[1000, 5000]);
    bundle.harmless_groups()?;
    let script = format!("{words}\nexec /probe read /data/secret");
    bundle.arguments(&["/bin/busybox", "sh", "-c", &script]);
    let capabilities: &[&str] = if capability.is_empty() { &[] } else { &[capability] };
    bundle.spec["process"]["capabilities"] = all_sets(capabilities);
    Ok(())
}
