//! Where the cgroups of a run are. On most nodes systemd has them: a parent is then a slice and a container a scope,
//! and the engines are told so. On a machine without systemd they are folders that the runtimes make themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runc_strict_integration::cgroup;
use runc_strict_integration::report::{complain, printable};

/// Whether systemd is the machine's first process and has all cgroups to itself, on version 2. Where a version 1
/// hierarchy is mounted too the cgroups are made without it, as on the machines that have no systemd.
pub(crate) fn systemd_has_them() -> bool {
    Path::new("/run/systemd/system").is_dir() && Path::new("/sys/fs/cgroup/cgroup.controllers").is_file()
}

/// The parent of all cgroups of this run: the name of a slice, or of a folder.
pub(crate) fn run() -> String {
    let pid = std::process::id();
    // In a slice's name a dash means "below".
    if systemd_has_them() {
        format!("runcstrict{pid}.slice")
    } else {
        cgroup::parent().trim_start_matches('/').to_owned()
    }
}

/// A part of the run's cgroups, as the CRI and podman take it: a slice by its name, a folder by its path.
pub(crate) fn parent(part: &str) -> String {
    if systemd_has_them() { below(&run(), part) } else { format!("/{}/{part}", run()) }
}

/// The path of that part below a hierarchy's root.
pub(crate) fn folder_of(part: &str) -> String {
    if systemd_has_them() { format!("/{}/{}", run(), parent(part)) } else { parent(part) }
}

/// The name of a slice below a slice: systemd.slice(5).
pub(crate) fn below(slice: &str, part: &str) -> String {
    format!("{}-{part}.slice", slice.trim_end_matches(".slice"))
}

/// Stops a slice and all that is in it, and waits until it is gone: also while a signal ends the run.
pub(crate) fn stop(slice: &str) {
    let why = match Command::new("systemctl").args(["stop", slice]).output() {
        Ok(done) if done.status.success() => return,
        Ok(done) => String::from_utf8_lossy(&done.stderr).into_owned(),
        Err(why) => why.to_string(),
    };
    complain(&format!("the slice {slice} could not be stopped: {}", printable(&why)));
}

/// The folders of all cgroups of this run, children before parents.
pub(crate) fn folders() -> Vec<PathBuf> {
    if !systemd_has_them() {
        return cgroup::folders();
    }
    let mut found = Vec::new();
    collect(&Path::new("/sys/fs/cgroup").join(run()), &mut found);
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect(&entry.path(), found);
    }
    found.push(folder.to_owned());
}
