//! Group names that are numbers: doors 18 (in the image) and 23 (in a volume, or written after create). runc before
//! 1.3 looks each gid up as a name in the container's etc/group, after the mounts.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::bundle::Bundle;
use crate::trial::{Entry, Seen, Trial};

use super::{Closed, Door, Hole, Row};

const HARMLESS: &str = "root:x:0:\nalice:x:1000:\n";
/// runc trims a line of all white space that Unicode has.
const TRIMMED: &str = "root:x:0:\nalice:x:1000:\n\u{a0}60000:x:50000:\n";
/// 60000, which the node allows, becomes 50000.
const RENAMED: &str = "root:x:0:\nalice:x:1000:\n60000:x:50000:\n";

pub(super) fn doors() -> Vec<Door> {
    let row = |name: &str, attack: fn(&Trial) -> Result<Seen>, word: &str| {
        Row::new(name, attack)
            .hole(Hole::NumericNames, Closed::groups(&[1000, 5000, 60000]))
            .closed(Closed::refused(&[word]))
    };
    vec![
        Door {
            number: 18,
            rows: vec![
                row("a group named 60000 with gid 50000", |trial| image(trial, RENAMED), "60000"),
                row("the same name behind a no-break space", |trial| image(trial, TRIMMED), "60000"),
                row("a group named 1000, the primary gid", |trial| image(trial, "1000:x:50000:\n"), "1000"),
            ],
        },
        Door {
            number: 23,
            rows: vec![
                row("a volume on /etc/group", |trial| volume(trial, "/etc/group"), "/etc/group"),
                row("a volume on /etc", |trial| volume(trial, "/etc"), "/etc"),
                row("a volume on /etc, spelt //etc/./", |trial| volume(trial, "//etc/./"), "/etc"),
                row("a volume on a link to /etc", linked_destination, "/settings"),
                row("a volume on a file below a link to /etc", linked_parent, "/settings/group"),
                row("a volume on a link in another volume", linked_in_volume, "/data/settings"),
                row("etc/group links into a volume", linked_file, "/data"),
                row("etc/group written between create and exec", written_later, "60000").entries(&[
                    Entry::Exec,
                    Entry::ExecDetached,
                    Entry::ExecWords,
                ]),
            ],
        },
    ]
}

/// A container that declared 5000 and keeps 60000 by the node's word.
fn bundle(trial: &Trial, group: &str) -> Result<Bundle> {
    trial.configure("", "[[namespace]]\nallow = [\"60000\"]\nkeep = true\n")?;
    let mut bundle = trial.bundle()?;
    bundle.file("etc/group", group)?;
    bundle.user(1000, 1000, &[1000, 5000, 60000]);
    bundle.declared = vec![5000, 60000];
    Ok(bundle)
}

fn image(trial: &Trial, group: &str) -> Result<Seen> {
    trial.enter(&bundle(trial, group)?)
}

/// A folder that alice owns, with an etc/group and an etc/passwd in it.
fn volume_folder(trial: &Trial) -> Result<PathBuf> {
    let folder = trial.dir.join("volume");
    fs::create_dir(&folder).context("make the volume")?;
    fs::write(folder.join("group"), RENAMED).context("write the volume's group")?;
    fs::write(folder.join("passwd"), "alice:x:1000:1000::/:/bin/sh\n")
        .context("write the volume's passwd")?;
    for path in [folder.clone(), folder.join("group"), folder.join("passwd")] {
        chown(&path, Some(1000), Some(1000)).with_context(|| format!("chown {}", path.display()))?;
    }
    Ok(folder)
}

fn volume(trial: &Trial, destination: &str) -> Result<Seen> {
    let mut bundle = bundle(trial, HARMLESS)?;
    let folder = volume_folder(trial)?;
    let source = if destination.ends_with("/group") { folder.join("group") } else { folder };
    bundle.volume(&source, destination);
    trial.enter(&bundle)
}

/// The mount's destination says nothing of /etc; the image's link leads it there.
fn linked_destination(trial: &Trial) -> Result<Seen> {
    let mut bundle = bundle(trial, HARMLESS)?;
    symlink("etc", bundle.inside("settings")).context("link settings to etc")?;
    bundle.volume(&volume_folder(trial)?, "/settings");
    trial.enter(&bundle)
}

/// The image has a link to /etc and no etc/group: the runtime makes the file, below the link.
fn linked_parent(trial: &Trial) -> Result<Seen> {
    let mut bundle = bundle(trial, HARMLESS)?;
    fs::remove_file(bundle.inside("etc/group")).context("remove etc/group")?;
    symlink("/etc", bundle.inside("settings")).context("link settings to /etc")?;
    bundle.volume(&volume_folder(trial)?.join("group"), "/settings/group");
    trial.enter(&bundle)
}

/// A first volume holds a link to /etc, and a second one is mounted on it.
fn linked_in_volume(trial: &Trial) -> Result<Seen> {
    let mut bundle = bundle(trial, HARMLESS)?;
    let first = trial.dir.join("first");
    fs::create_dir(&first).context("make the first volume")?;
    symlink("/etc", first.join("settings")).context("link settings to /etc")?;
    bundle.volume(&first, "/data");
    bundle.volume(&volume_folder(trial)?, "/data/settings");
    trial.enter(&bundle)
}

/// The volume lies on /data, and the image's etc/group leads there.
fn linked_file(trial: &Trial) -> Result<Seen> {
    let mut bundle = bundle(trial, HARMLESS)?;
    let group = bundle.inside("etc/group");
    fs::remove_file(&group)
        .and_then(|()| symlink("/data/group", &group))
        .context("link etc/group to /data")?;
    bundle.file("data/group", HARMLESS)?;
    bundle.volume(&volume_folder(trial)?, "/data");
    trial.enter(&bundle)
}

fn written_later(trial: &Trial) -> Result<Seen> {
    let bundle = bundle(trial, HARMLESS)?;
    if let Some(refused) = trial.launch(&bundle)? {
        return Ok(Seen::Refused(refused));
    }
    trial.write_inside(&bundle, "etc/group", RENAMED)?;
    trial.exec(&bundle.spec["process"])
}
