//! Rows on the node itself: our configuration, the real runtime, our program, cgroups, SELinux.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::Row;
use crate::error::{Result, show};
use crate::node::config::{self, Config};
use crate::node::runtime;
use crate::node::version::{self, Kind};
use crate::policy::rules::VulnerableRuntime;
use crate::quote::escaped;

pub(super) fn configuration(loaded: &Result<Config>) -> Row {
    const CHECK: &str = "configuration";
    let path = config::path();
    match loaded {
        Err(why) => Row::fail(CHECK, why.to_string(), "mend it: until then every create and run is refused"),
        Ok(_) if !path.exists() => Row::warn(
            CHECK,
            format!("there is no {}, so the defaults hold, with engine = \"none\"", show(&path)),
            "write it, or have \"runc-strict install\" write it",
        ),
        Ok(config) => Row::ok(CHECK, format!("{}, engine = \"{}\"", show(&path), config.engine.name())),
    }
}

pub(super) fn runtime(config: &Config) -> Row {
    const CHECK: &str = "runtime";
    let path = match runtime::locate(&config.runtime) {
        Ok(path) => path,
        Err(why) => return Row::fail(CHECK, why.to_string(), "nothing runs until there is one"),
    };
    let version = version::of(&path);
    let found = format!("{} at {}", version.name(), show(&path));
    match (version.kind, version.looks_up_names(), config.vulnerable_runtime) {
        (_, false, _) => Row::ok(CHECK, found),
        (Kind::Unknown, true, _) => Row::warn(
            CHECK,
            format!("{found}: its answer to --version says nothing, so it is taken for vulnerable"),
            "set runtime to runc 1.3 or later, crun or youki",
        ),
        (_, true, VulnerableRuntime::Check) => Row::warn(
            CHECK,
            format!("{found}: vulnerable, it looks each gid up by name in the image's etc/group"),
            "install runc 1.3 or later, or crun, or set vulnerable-runtime = \"refuse\"",
        ),
        (_, true, VulnerableRuntime::Refuse) => Row::fail(
            CHECK,
            format!(
                "{found}: vulnerable, and vulnerable-runtime = \"refuse\", so every container is refused"
            ),
            "install runc 1.3 or later, or crun",
        ),
    }
}

pub(super) fn program() -> Row {
    const CHECK: &str = "program";
    let path = match std::env::current_exe() {
        Ok(path) => path,
        Err(why) => return Row::fail(CHECK, format!("our own path can't be read: {why}"), "mount /proc"),
    };
    let loose = path.ancestors().find(|part| {
        let Ok(found) = fs::metadata(part) else { return false };
        // A sticky folder like /tmp keeps others' files from being replaced, not from being made.
        let open = found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0;
        open || found.uid() != 0 && found.uid() != nix::unistd::geteuid().as_raw()
    });
    match loose {
        Some(part) => Row::warn(
            CHECK,
            format!("{}: others can replace it by way of {}", show(&path), show(part)),
            "keep it where root alone can write, such as /usr/local/sbin",
        ),
        None => Row::ok(CHECK, format!("runc-strict {} at {}", env!("CARGO_PKG_VERSION"), show(&path))),
    }
}

pub(super) fn cgroup() -> Row {
    const CHECK: &str = "cgroup";
    let root = Path::new("/sys/fs/cgroup");
    let systemd = match Path::new("/run/systemd/system").is_dir() {
        true => "systemd runs",
        false => "no systemd, so only the driver cgroupfs",
    };
    match statfs(root) {
        Ok(found) if found.filesystem_type() == CGROUP2_SUPER_MAGIC => {
            Row::ok(CHECK, format!("version 2; {systemd}"))
        }
        Ok(_) if root.join("memory").is_dir() => {
            let hybrid = if root.join("unified").is_dir() { "version 1 (hybrid)" } else { "version 1" };
            Row::ok(CHECK, format!("{hybrid}; {systemd}"))
        }
        _ => Row::fail(CHECK, "no cgroups at /sys/fs/cgroup", "mount them; no runtime works without"),
    }
}

pub(super) fn selinux() -> Row {
    const CHECK: &str = "selinux";
    const TYPE: &str = "container_runtime_exec_t";
    // selinuxfs is mounted there exactly where SELinux is enabled (libselinux: is_selinux_enabled).
    if !Path::new("/sys/fs/selinux/enforce").exists() {
        return Row::ok(CHECK, "not in use");
    }
    let mut label = Vec::with_capacity(256);
    let label = match rustix::fs::getxattr(
        "/proc/self/exe",
        "security.selinux",
        rustix::buffer::spare_capacity(&mut label),
    ) {
        Ok(_) => escaped(label.strip_suffix(b"\0").unwrap_or(&label)),
        Err(why) => format!("none ({why})"),
    };
    match label.split(':').nth(2) {
        Some(TYPE) => Row::ok(CHECK, format!("our label is {label}")),
        _ => Row::fail(
            CHECK,
            format!("our label is {label}, and containers need {TYPE} to change domain"),
            format!("chcon -t {TYPE} on our program, and semanage fcontext to keep it"),
        ),
    }
}
