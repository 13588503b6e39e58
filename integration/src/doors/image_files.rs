//! Door 20: an etc/group that is no plain file. Whoever reads it must stay inside the image, must not wait, and must
//! not swallow everything; what can't be read vouches for nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::bundle::{Bundle, IMAGE};
use crate::trial::{Entry, Seen, Trial};

use super::row::holds_group;
use super::{Closed, Door, Row};

const STOLEN: &str = "alice:x:1000:\nstolen:x:50000:alice\n";

pub(super) fn doors() -> Vec<Door> {
    let create = [Entry::Create];
    // runc before 1.3 opens the file too: the product refuses what it can't vouch for there.
    let unreadable = |row: Row| {
        row.entries(&create)
            .closed(Closed::groups(&[1000]))
            .where_names_are_looked_up(Closed::refused(&["etc/group"]))
            .where_the_engine_tells(Closed::groups(&[1000, 5000]))
    };
    vec![Door {
        number: 20,
        rows: vec![
            Row::new("etc/group links to /data/group", |trial| linked(trial, "/data/group")).entries(&create),
            Row::new("etc/group links out by many ..", |trial| {
                linked(trial, "../../../../../../../../data/group")
            })
            .entries(&create),
            Row::new("etc is a link", linked_folder).entries(&create),
            unreadable(Row::new("etc/group has 48 MiB", huge)),
            unreadable(Row::new("etc/group is a fifo", fifo).open(open_or_hung))
                .not_through_an_engine("containerd itself reads the file first, and waits"),
            unreadable(Row::new("etc/group is a folder", folder).open(open_or_failed))
                .not_through_an_engine("containerd itself reads the file first, and fails"),
        ],
    }]
}

/// A runtime that opens the FIFO waits for a writer that never comes.
fn open_or_hung(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Refused(answer) if answer.hung => Some("create waits for ever".to_owned()),
        _ => holds_group(seen, IMAGE),
    }
}

/// A runtime that reads the folder fails half way, in its own words.
fn open_or_failed(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Refused(answer) if answer.stderr().contains("runc create failed") => {
            Some("create fails late".to_owned())
        }
        _ => holds_group(seen, IMAGE),
    }
}

fn without_group(trial: &Trial) -> Result<Bundle> {
    let bundle = trial.bundle()?;
    fs::remove_file(bundle.inside("etc/group")).context("remove etc/group")?;
    Ok(bundle)
}

/// The link leads to nothing on the host, and to the attacker's file inside the image: the engine found it there.
fn linked(trial: &Trial, target: &str) -> Result<Seen> {
    let bundle = without_group(trial)?;
    bundle.file("data/group", STOLEN)?;
    symlink(target, bundle.inside("etc/group")).context("link etc/group")?;
    trial.enter(&bundle)
}

fn linked_folder(trial: &Trial) -> Result<Seen> {
    let bundle = trial.bundle()?;
    fs::remove_dir_all(bundle.inside("etc")).context("remove etc")?;
    bundle.file("data/group", STOLEN)?;
    bundle.file("data/passwd", "alice:x:1000:1000::/:/bin/sh\n")?;
    symlink("/data", bundle.inside("etc")).context("link etc")?;
    trial.enter(&bundle)
}

fn huge(trial: &Trial) -> Result<Seen> {
    let bundle = trial.bundle()?;
    let filler = "filler:x:1:root\n".repeat(3 << 20);
    bundle.file("etc/group", &format!("{filler}{STOLEN}"))?;
    trial.enter(&bundle)
}

fn fifo(trial: &Trial) -> Result<Seen> {
    let bundle = without_group(trial)?;
    mkfifo(&bundle.inside("etc/group"), Mode::from_bits_truncate(0o644)).context("make a fifo")?;
    bundle.write()?;
    trial.enter_by(trial.create_call(&bundle).limit(Duration::from_secs(5)))
}

fn folder(trial: &Trial) -> Result<Seen> {
    let bundle = without_group(trial)?;
    fs::create_dir(bundle.inside("etc/group")).context("make a folder")?;
    trial.enter(&bundle)
}
