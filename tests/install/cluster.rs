//! What a DaemonSet asks of `install` and `uninstall`: the program and its configuration are brought along, several
//! engines are on a node, and they are restarted by the host's systemd.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::host::{Host, sample_text};
use crate::systemd::Systemd;
use crate::{CONFIG, INSTALL};

const ALL: [&str; 4] = ["--engine", "auto", "--copy", "--restart"];
const PROGRAM: &str = "usr/local/sbin/runc-strict";

/// A node with containerd, whose program is yet to come, and with systemd.
fn node(state: &'static str) -> (Host, std::sync::Arc<Systemd>) {
    let host = Host::with_containerd("containerd/v2-kubeadm.toml");
    fs::remove_file(host.path(PROGRAM)).unwrap();
    fs::create_dir_all(host.path("run/systemd/system")).unwrap();
    let systemd = Systemd::listen(&host.path("run/systemd/private"), state);
    (host, systemd)
}

fn restarts(systemd: &Systemd) -> Vec<String> {
    std::mem::take(&mut systemd.restarts.lock().unwrap())
}

fn words<'w>(command: &'w str, more: &[&'w str]) -> Vec<&'w str> {
    [&[command], &ALL[..], more].concat()
}

#[test]
fn a_node_is_set_up_with_its_program_and_given_back_without_it() {
    let (host, systemd) = node("active");
    let before = host.everything();
    let told = host.done(&words("install", &[]));
    assert!(
        told.contains("copied: runc-strict 0.1.0 to /HOST/usr/local/sbin/runc-strict, which wasn't"),
        "{told}"
    );
    assert!(told.ends_with("restarted: containerd\n"), "{told}");
    assert_eq!(restarts(&systemd), ["containerd.service"]);
    let program = fs::metadata(host.path(PROGRAM)).unwrap();
    assert_eq!(program.mode() & 0o7777, 0o755);
    assert_eq!(program.len(), fs::metadata(env!("CARGO_BIN_EXE_runc-strict")).unwrap().len());

    let installed = host.everything();
    let again = host.done(&words("install", &[]));
    assert_eq!(again, "nothing to change: containerd has the handler \"strict\"\n");
    assert_eq!((host.everything(), restarts(&systemd)), (installed, vec![]));

    let told = host.done(&words("uninstall", &[]));
    assert!(told.ends_with("restarted: containerd\nremoved: /HOST/usr/local/sbin/runc-strict\n"), "{told}");
    assert_eq!(restarts(&systemd), ["containerd.service"]);
    assert_eq!(host.everything(), before);
    assert_eq!(
        host.done(&words("uninstall", &[])),
        "nothing to take away: containerd has no handler \"strict\" of ours\n"
    );
}

#[test]
fn an_installer_that_was_killed_before_the_restart_finishes_it_the_next_time() {
    let (host, systemd) = node("active");
    // What is left then is what a run without --restart leaves.
    host.done(&["install", "--engine", "auto", "--copy"]);
    assert!(restarts(&systemd).is_empty());
    assert!(host.done(&words("install", &[])).ends_with("restarted: containerd\n"));
    assert_eq!(restarts(&systemd), ["containerd.service"]);
}

#[test]
fn an_engine_that_was_restarted_since_isn_t_restarted_again() {
    let (host, systemd) = node("active");
    host.done(&["install", "--engine", "auto", "--copy"]);
    systemd.state.lock().unwrap().1 = u64::MAX;
    assert!(!host.done(&words("install", &[])).contains("restarted"));
    assert!(restarts(&systemd).is_empty());
}

#[test]
fn an_engine_that_isn_t_running_isn_t_started() {
    let (host, systemd) = node("inactive");
    assert!(
        host.done(&words("install", &[]))
            .contains("containerd isn't running: it reads it when it is started")
    );
    assert!(restarts(&systemd).is_empty());
}

#[test]
fn an_engine_that_doesn_t_come_up_gets_its_old_configuration_back() {
    let (host, systemd) = node("active");
    let before = host.text(CONFIG);
    systemd.results.lock().unwrap().push("failed");
    let output = host.run(&words("install", &[]));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        told,
        "runc-strict: systemd's restart of containerd.service ended with \"failed\"; journalctl -u \
         containerd.service says why; what was written is taken back, and containerd runs on what it had\n"
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(restarts(&systemd), ["containerd.service", "containerd.service"]);
    assert_eq!(host.text(CONFIG), before);
    assert!(!host.path("etc/runc-strict").exists());
    assert!(!host.path("var/lib/runc-strict").exists());
    assert!(host.done(&words("install", &[])).ends_with("restarted: containerd\n"), "it can be tried again");
}

#[test]
fn a_failed_change_leaves_an_earlier_one_in_place() {
    let (host, systemd) = node("active");
    host.done(&words("install", &[]));
    let installed = host.everything();
    systemd.results.lock().unwrap().push("timeout");
    assert_eq!(host.run(&words("install", &["--default"])).status.code(), Some(1));
    assert_eq!(host.everything(), installed);
    host.done(&words("uninstall", &[]));
    assert_eq!(host.text(CONFIG), sample_text("containerd/v2-kubeadm.toml"));
}

#[test]
fn every_engine_of_a_node_is_set_up_and_one_that_can_t_be_doesn_t_keep_the_others_from_it() {
    let (host, systemd) = node("active");
    host.put("etc/crio/crio.conf.d/10-crio.conf", &sample_text("cri-o/10-crio.conf"));
    let before = host.everything();
    host.done(&words("install", &[]));
    assert_eq!(restarts(&systemd), ["containerd.service", "crio.service"]);
    assert!(host.text("etc/runc-strict/config.toml").contains("engine = \"containerd\""));
    host.done(&words("uninstall", &[]));
    assert_eq!(host.everything(), before);

    host.put(CONFIG, "[plugins.cri]\n");
    let output = host.run(&words("install", &[]));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("has no version, so it is of version 1"));
    assert!(host.path("etc/crio/crio.conf.d/90-runc-strict.conf").exists());

    let bare = Host::new();
    assert_eq!(bare.refused(&["install", "--engine", "auto"]), "there is neither containerd nor cri-o here");
}

#[test]
fn a_program_that_containers_are_still_ended_by_stays_until_they_are_gone() {
    let (host, _systemd) = node("active");
    host.done(&words("install", &[]));
    host.put("run/runc-strict/containers/%2Frun%2Fcontainerd%2Frunc%2Fk8s.io/3f2a", "{}");
    fs::create_dir_all(host.path("run/containerd/runc/k8s.io/3f2a")).unwrap();
    let told = host.done(&words("uninstall", &[]));
    assert!(
        told.contains("stays: /HOST/usr/local/sbin/runc-strict, by which 1 containers are still"),
        "{told}"
    );
    fs::remove_dir(host.path("run/containerd/runc/k8s.io/3f2a")).unwrap();
    assert!(host.done(&words("uninstall", &[])).ends_with("removed: /HOST/usr/local/sbin/runc-strict\n"));
}

#[test]
fn a_program_is_replaced_in_one_step_and_one_that_is_a_link_isn_t() {
    let (host, _systemd) = node("active");
    host.program(PROGRAM);
    let old = fs::metadata(host.path(PROGRAM)).unwrap().ino();
    let told = host.done(&words("install", &["--dry-run"]));
    assert!(told.contains("would be copied: runc-strict 0.1.0 to "), "{told}");
    assert_eq!(fs::metadata(host.path(PROGRAM)).unwrap().ino(), old);
    assert!(host.done(&words("install", &[])).contains("in place of another version"));
    assert_ne!(fs::metadata(host.path(PROGRAM)).unwrap().ino(), old);

    host.program("opt/other");
    symlink("../opt/other", host.path("opt/runc-strict")).unwrap();
    let told = host.refused(&["install", "--engine", "containerd", "--copy=/opt"]);
    assert!(told.contains("opt/runc-strict\": is a link, so something else keeps it"), "{told}");
    for folder in ["opt", "/opt/../etc", ""] {
        let word = format!("--copy={folder}");
        assert_eq!(host.run(&[&INSTALL[..], &[&word]].concat()).status.code(), Some(2), "{folder}");
    }
}

#[test]
fn a_given_configuration_takes_the_place_of_the_one_that_is_there_and_that_one_comes_back() {
    let (host, systemd) = node("active");
    let own = "etc/runc-strict/config.toml";
    host.put(own, "# mine\nengine = \"containerd\"\n");
    fs::set_permissions(host.path(own), fs::Permissions::from_mode(0o640)).unwrap();
    host.program("usr/sbin/runc");
    let before = host.everything();
    host.put("config/a.toml", "engine = \"containerd\"\nlevel = \"sealed\"\n");
    host.put("config/b.toml", "engine = \"cri-o\"\n");
    host.put("config/bad.toml", "engine = \"containerd\"\nlevels = \"sealed\"\n");
    let [a, b, bad] =
        ["a", "b", "bad"].map(|name| host.path(&format!("config/{name}.toml")).display().to_string());
    let refused =
        host.refused(&["install", "--engine", "auto", "--copy=/usr/bin", "--dry-run", "--config", &bad]);
    assert!(refused.contains("bad.toml\": line 2: unknown field"), "{refused}");

    host.done(&words("install", &["--config", &a]));
    assert_eq!(restarts(&systemd).len(), 1);
    assert!(host.done(&words("install", &["--config", &a])).contains("nothing to change"));
    let told = host.done(&words("install", &["--config", &b]));
    assert!(told.contains("b.toml says engine = \"cri-o\"; set it to \"containerd\""), "{told}");
    assert_eq!(host.text(own), "engine = \"cri-o\"\n");
    assert!(restarts(&systemd).is_empty(), "we read our own configuration at each call");

    host.done(&words("uninstall", &[]));
    let mut after = host.everything();
    after.retain(|path, _| !path.starts_with(host.path("config")));
    assert_eq!(after, before);
    assert_eq!(
        host.run(&words("install", &["--config", &a, "--runtime", "/usr/bin/crun"])).status.code(),
        Some(2)
    );
}

#[test]
fn a_given_configuration_whose_runtime_the_host_lacks_is_refused() {
    let host = Host::new();
    host.put("etc/crio/crio.conf.d/10-crio.conf", &sample_text("cri-o/10-crio.conf"));
    let given = host.path("config.toml").display().to_string();
    let refused = |text: &str| {
        host.put("config.toml", text);
        host.refused(&["install", "--engine", "cri-o", "--config", &given])
    };
    let told = refused("engine = \"cri-o\"\n");
    assert!(
        told.contains(
            "says runtime = \"runc\", and the host has no such program; cri-o runs \"/usr/libexec/crio/crun\""
        ),
        "{told}"
    );
    let told = refused("engine = \"cri-o\"\nruntime = \"/usr/bin/youki\"\n");
    assert!(told.contains("the runtime \"/usr/bin/youki\" doesn't exist on the host"), "{told}");
    host.put("config.toml", "engine = \"cri-o\"\nruntime = \"crun\"\n");
    host.done(&["install", "--engine", "cri-o", "--config", &given]);
}
