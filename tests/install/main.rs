//! install and uninstall from outside, on a host whose root is a folder: what they write is held by golden diffs,
//! what they must not touch by its bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod cluster;
mod host;
mod systemd;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use host::{Host, assert_golden, sample_text};

const CONFIG: &str = "etc/containerd/config.toml";

const INSTALL: [&str; 3] = ["install", "--engine", "containerd"];
const UNINSTALL: [&str; 3] = ["uninstall", "--engine", "containerd"];

/// Install, install again, uninstall: the diff is the golden one, the second run changes nothing, and in the end
/// every byte, mode and folder is what it was.
fn there_and_back(host: &Host, golden: &str, words: &[&str]) {
    let before = host.everything();
    let dry = host.done(&[&["install"], words, &["--dry-run"]].concat());
    assert_eq!(host.everything(), before, "{golden}: --dry-run wrote");

    let shown = host.done(&[&["install"], words].concat());
    assert_golden(&format!("{golden}.txt"), &shown);
    let diff = |text: &str| {
        text.split("\nwritten: ").next().unwrap().split("\nnothing was").next().unwrap().to_owned()
    };
    assert_eq!(diff(&dry), diff(&shown), "{golden}");

    let installed = host.everything();
    assert_ne!(installed, before, "{golden}");
    let again = host.done(&[&["install"], words].concat());
    assert!(again.contains("nothing to change"), "{golden}: {again}");
    assert!(!again.contains("restart"), "{golden}: {again}");
    assert_eq!(host.everything(), installed, "{golden}: the second run changed something");

    let selection: Vec<&str> = words.iter().copied().filter(|w| !w.starts_with("--default")).collect();
    let selection = match selection.iter().position(|w| *w == "--runtime") {
        Some(at) => [&selection[..at], &selection[at + 2..]].concat(),
        None => selection,
    };
    host.done(&[&["uninstall"], &selection[..]].concat());
    assert_eq!(host.everything(), before, "{golden}: uninstall left something");
    let nothing = host.done(&[&["uninstall"], &selection[..]].concat());
    assert!(nothing.contains("nothing to take away"), "{golden}: {nothing}");
}

#[test]
fn every_version_of_containerd_s_configuration_is_edited_and_given_back_byte_for_byte() {
    for name in ["v2-default", "v2-debian", "v2-kubeadm", "v3-default", "v4-default"] {
        let host = Host::with_containerd(&format!("containerd/{name}.toml"));
        there_and_back(&host, name, &["--engine", "containerd"]);
        there_and_back(&host, &format!("{name}-as-default"), &["--engine", "containerd", "--default"]);
    }
}

#[test]
fn all_that_stood_there_stands_there_still() {
    for name in ["v2-default", "v2-debian", "v2-kubeadm", "v3-default"] {
        let host = Host::with_containerd(&format!("containerd/{name}.toml"));
        let before = host.text(CONFIG);
        host.done(&INSTALL);
        let after = host.text(CONFIG);
        // The old lines are in the new text, all of them, in their order.
        let mut rest = after.lines();
        for line in before.lines() {
            assert!(rest.any(|new| new == line), "{name}: {line}");
        }
    }
}

#[test]
fn an_import_that_has_the_whole_section_in_version_2_is_the_file_that_is_edited() {
    let host = Host::with_containerd("containerd/v2-imported.toml");
    host.put("etc/containerd/conf.d/cri.toml", &sample_text("containerd/v2-imported-part.toml"));
    there_and_back(&host, "v2-imported", &["--engine", "containerd"]);
}

#[test]
fn two_handlers_live_beside_each_other_and_go_in_any_order() {
    let host = Host::with_containerd("containerd/v2-kubeadm.toml");
    let before = host.everything();
    host.done(&INSTALL);
    host.done(&[&INSTALL[..], &["--handler", "strict-2"]].concat());
    // The first is taken out of a file that has changed since; our own configuration serves the second.
    let told = host.done(&UNINSTALL);
    assert!(told.contains("config.toml since: only the handler is taken out"), "{told}");
    assert!(told.contains("/etc/runc-strict/config.toml stays: another handler goes by it"), "{told}");
    assert!(!host.text(CONFIG).contains("runtimes.strict]"));
    assert!(host.text(CONFIG).contains("runtimes.strict-2]"));
    host.done(&[&UNINSTALL[..], &["--handler", "strict-2"]].concat());
    assert_eq!(host.text(CONFIG), sample_text("containerd/v2-kubeadm.toml"));
    // What the first one had to leave is the administrator's.
    let left: Vec<PathBuf> =
        host.everything().into_keys().filter(|path| !before.contains_key(path)).collect();
    assert_eq!(left, [host.path("etc/runc-strict"), host.path("etc/runc-strict/config.toml")]);
}

#[test]
fn what_somebody_else_wrote_since_stays() {
    for name in ["v2-debian", "v2-kubeadm"] {
        let host = Host::with_containerd(&format!("containerd/{name}.toml"));
        let before = host.text(CONFIG);
        host.done(&[&INSTALL[..], &["--default"]].concat());
        let own = "etc/runc-strict/config.toml";
        host.put(own, &format!("level = \"sealed\"\n{}", host.text(own)));
        host.put(
            CONFIG,
            &format!("{}\n# theirs\n[metrics]\n  address = \"127.0.0.1:1338\"\n", host.text(CONFIG)),
        );
        let told = host.done(&UNINSTALL);
        assert!(
            told.contains("/etc/runc-strict/config.toml stays: somebody else has changed it since"),
            "{told}"
        );
        assert_eq!(
            host.text(CONFIG),
            format!("{before}\n# theirs\n[metrics]\n  address = \"127.0.0.1:1338\"\n")
        );
        assert!(host.text(own).starts_with("level = \"sealed\""));
    }
}

#[test]
fn a_handler_that_was_put_in_by_hand_is_mended_and_can_be_taken_out() {
    let host = Host::with_containerd("containerd/v2-kubeadm.toml");
    let by_hand = "
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.strict]
runtime_type = \"io.containerd.runc.v2\"   # by hand
pod_annotations = [\"team/*\"]
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.strict.options]
BinaryName = \"/opt/runc-strict\"
";
    host.put(CONFIG, &format!("{}{by_hand}", host.text(CONFIG)));
    host.done(&INSTALL);
    let text = host.text(CONFIG);
    assert!(text.contains("pod_annotations = [\"team/*\", \"runc-strict/*\"]"), "{text}");
    assert!(text.contains("BinaryName = \"/usr/local/sbin/runc-strict\"\nSystemdCgroup = true"), "{text}");
    assert!(text.contains("# by hand"), "{text}");
    host.done(&UNINSTALL);
    assert_eq!(host.text(CONFIG), sample_text("containerd/v2-kubeadm.toml"));
}

#[test]
fn a_comment_above_our_handler_stays_when_it_goes() {
    let handler = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.strict]
runtime_type = \"io.containerd.runc.v2\"
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.strict.options]
BinaryName = \"/usr/local/sbin/runc-strict\"
";
    let host = Host::new();
    host.put(
        CONFIG,
        &format!("version = 2\n[grpc]\nuid = 0\n\n# above\n{handler}\n# next\n[metrics]\naddress = \"\"\n"),
    );
    host.done(&UNINSTALL);
    assert_eq!(
        host.text(CONFIG),
        "version = 2\n[grpc]\nuid = 0\n\n# above\n\n# next\n[metrics]\naddress = \"\"\n"
    );
}

#[test]
fn cri_o_gets_a_drop_in_with_what_its_default_handler_has() {
    let host = Host::new();
    host.put("etc/crio/crio.conf.d/10-crio.conf", &sample_text("cri-o/10-crio.conf"));
    there_and_back(&host, "cri-o", &["--engine", "cri-o"]);
    there_and_back(&host, "cri-o-as-default", &["--engine", "cri-o", "--default"]);
}

#[test]
fn podman_gets_a_drop_in_that_repeats_the_list_it_replaces() {
    let host = Host::new();
    host.put("etc/containers/containers.conf", &sample_text("podman/containers.conf"));
    there_and_back(&host, "podman", &["--engine", "podman"]);
    there_and_back(&host, "podman-as-default", &["--engine", "podman", "--default"]);
}

#[test]
fn without_an_engine_a_dry_run_shows_what_would_be_written_and_a_real_one_is_refused() {
    for engine in ["containerd", "cri-o", "podman"] {
        let host = Host::new();
        let before = host.everything();
        let shown = host.done(&["install", "--engine", engine, "--dry-run"]);
        assert_eq!(host.everything(), before, "{engine}");
        assert_golden(&format!("nothing-{engine}.txt"), &shown);
        let told = host.refused(&["install", "--engine", engine]);
        assert!(told.starts_with(&format!("there is no {engine} here: ")), "{told}");
        assert!(host.done(&["uninstall", "--engine", engine]).contains("nothing to take away"));
    }
}

#[test]
fn an_empty_configuration_becomes_one_that_containerd_reads() {
    for (text, expected) in [("", "version = 2\n"), ("# nothing yet", "# nothing yet\nversion = 2\n")] {
        let host = Host::new();
        host.put(CONFIG, text);
        host.done(&INSTALL);
        let written = host.text(CONFIG);
        assert!(written.starts_with(expected), "{written}");
        assert!(written.contains("runtimes.runc]"), "{written}");
        host.done(&UNINSTALL);
        assert_eq!(host.text(CONFIG), text);
    }
}

#[test]
fn the_runtime_that_is_asked_for_goes_into_our_configuration() {
    let host = Host::with_containerd("containerd/v2-kubeadm.toml");
    let refused = |runtime: &str| host.refused(&[&INSTALL[..], &["--runtime", runtime]].concat());
    assert!(refused("runc").contains("is no absolute path"));
    assert!(refused("/usr/bin/no-such").contains("doesn't exist on the host"));
    assert!(refused("/etc/containerd/config.toml").contains("is no program"));
    assert!(refused("/usr/local/sbin/runc-strict").contains("is runc-strict itself"));
    host.done(&[&INSTALL[..], &["--runtime", "/usr/bin/crun"]].concat());
    assert!(
        host.text("etc/runc-strict/config.toml")
            .contains("runtime = \"/usr/bin/crun\"\nengine = \"containerd\"\n")
    );
    assert!(refused("/usr/libexec/crio/crun").contains("says runtime = \"/usr/bin/crun\" and not"));
}

#[test]
fn our_own_configuration_is_never_changed_where_something_is_set_in_it() {
    let host = Host::with_containerd("containerd/v4-default.toml");
    let own = "etc/runc-strict/config.toml";
    host.put(own, "# mine\nengine = \"cri-o\"\n");
    let told = host.done(&INSTALL);
    assert!(
        told.contains("note: /etc/runc-strict/config.toml says engine = \"cri-o\"; set it to \"containerd\""),
        "{told}"
    );
    assert!(told.contains("note: containerd listens at \"/run/k8s/containerd.sock\""), "{told}");
    host.done(&UNINSTALL);
    assert_eq!(host.text(own), "# mine\nengine = \"cri-o\"\n");
    host.put(own, "engine = \"docker\"\n");
    assert!(host.refused(&INSTALL).contains("config.toml\": line 1: unknown variant"));
}

#[test]
fn in_the_packages_configuration_nothing_is_set_so_what_is_needed_is_and_uninstall_gives_it_back() {
    let shipped = include_str!("../../packaging/config/config.toml");
    let own = "etc/runc-strict/config.toml";
    let host = Host::with_containerd("containerd/v4-default.toml");
    host.put(own, shipped);
    there_and_back(&host, "packaged", &["--engine", "containerd", "--runtime", "/usr/bin/crun"]);
    assert_eq!(host.text(own), shipped);

    host.done(&[&INSTALL[..], &["--runtime", "/usr/bin/crun"]].concat());
    // Each key stands where the comment showed its default, so that nothing that is set later falls into a table.
    let text = host.text(own).replace("#primary-gid = ", "primary-gid = ").replace("#[audit]", "[audit]");
    let config = runc_strict::node::config::Config::parse(&text).unwrap();
    assert_eq!((config.runtime.as_str(), config.engine.name()), ("/usr/bin/crun", "containerd"));
    assert_eq!(config.containerd.address, PathBuf::from("/run/k8s/containerd.sock"));
}

#[test]
fn comments_of_somebody_else_stay_beside_what_is_set() {
    let host = Host::with_containerd("containerd/v4-default.toml");
    let own = "etc/runc-strict/config.toml";
    host.put(own, "# mine\n#engine = docker\n#address = 3");
    host.done(&INSTALL);
    assert_eq!(
        host.text(own),
        "# mine\nengine = \"containerd\"\n#address = 3\n[containerd]\naddress = \"/run/k8s/containerd.sock\"\n"
    );
    host.done(&UNINSTALL);
    assert_eq!(host.text(own), "# mine\n#engine = docker\n#address = 3");
}

/// A configuration that can't be used, and what is said of it.
fn bad(text: &str) -> String {
    let host = Host::new();
    host.put(CONFIG, text);
    host.refused(&INSTALL)
}

#[test]
fn a_configuration_that_can_t_be_used_is_told_and_left_alone() {
    assert!(bad("version = 2\n[plugins\n").contains("config.toml\": line 2: "));
    assert!(bad("[plugins.cri]\n").contains("has no version, so it is of version 1"));
    assert!(bad("version = 5\n").contains("version = 5 isn't one of 2, 3 and 4"));
    assert!(bad("version = \"2\"\n").contains("isn't one of 2, 3 and 4"));
    assert!(bad("version = 2\ndisabled_plugins = [\"cri\"]\n").contains("disabled_plugins names \"cri\""));
    assert!(bad("version = 2\nplugins = 3\n").contains("is no table; mend it first"));
    let taken = "version = 2
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.strict]
runtime_type = \"io.containerd.runc.v2\"
[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.strict.options]
BinaryName = \"/usr/bin/crun\"
";
    assert!(bad(taken).contains(
        "the handler \"strict\" is in use by \"/usr/bin/crun\"; choose another name with --handler"
    ));
    let builtin = sample_text("containerd/v2-default.toml");
    let host = Host::new();
    host.put(CONFIG, &builtin);
    let told = host.refused(&[&INSTALL[..], &["--handler", "runc"]].concat());
    assert!(told.contains("\"runc\" is in use by the engine's own runtime"), "{told}");
}

#[test]
fn a_link_and_a_read_only_file_are_somebody_else_s() {
    let host = Host::new();
    host.put("etc/containerd/real.toml", "version = 2\n");
    symlink("real.toml", host.path(CONFIG)).unwrap();
    assert!(host.refused(&INSTALL).contains("is a link to \"real.toml\", so something else keeps it"));

    let host = Host::with_containerd("containerd/v2-kubeadm.toml");
    fs::set_permissions(host.path(CONFIG), fs::Permissions::from_mode(0o444)).unwrap();
    assert!(host.refused(&INSTALL).contains("is read-only (mode 0444)"));

    // A folder that leads out of the host's root: the file there is another host's.
    let (host, other) = (Host::new(), Host::with_containerd("containerd/v2-kubeadm.toml"));
    fs::create_dir_all(host.path("etc")).unwrap();
    symlink(other.path("etc/containerd"), host.path("etc/containerd")).unwrap();
    assert!(host.refused(&INSTALL).contains("leads out of the host's root"));
}

#[test]
fn a_replaced_file_keeps_its_mode_and_the_kept_text_is_for_its_owner_alone() {
    let host = Host::with_containerd("containerd/v2-kubeadm.toml");
    fs::set_permissions(host.path(CONFIG), fs::Permissions::from_mode(0o640)).unwrap();
    host.done(&INSTALL);
    let mode = |name: &str| fs::metadata(host.path(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode(CONFIG), 0o640);
    let kept = "var/lib/runc-strict/install/containerd-strict/0.before";
    assert_eq!(mode(kept), 0o600);
    assert_eq!(host.text(kept), sample_text("containerd/v2-kubeadm.toml"));
    assert_eq!(mode("etc/runc-strict/config.toml"), 0o644);
}

#[test]
fn a_default_that_a_later_file_overrules_is_refused() {
    let host = Host::with_containerd("containerd/v4-default.toml");
    let later =
        "version = 4\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'gpu'\n";
    host.put("etc/containerd/conf.d/99-gpu.toml", later);
    host.done(&INSTALL);
    host.done(&UNINSTALL);
    let told = host.refused(&[&INSTALL[..], &["--default"]].concat());
    assert!(told.contains("99-gpu.toml\": is read later and sets another default_runtime_name"), "{told}");

    let host = Host::new();
    host.put("etc/crio/crio.conf.d/99-last.conf", "[crio.runtime]\ndefault_runtime = \"crun\"\n");
    let told = host.refused(&["install", "--engine", "cri-o", "--default"]);
    assert!(told.contains("99-last.conf\": is read later"), "{told}");
}

#[test]
fn words_that_can_t_be_right_are_refused() {
    let host = Host::with_containerd("containerd/v2-kubeadm.toml");
    let code = |words: &[&str]| host.run(words).status.code();
    let before = host.everything();
    for handler in ["", "Strict", "-a", "a-", "a_b", "a.b", &"x".repeat(64)] {
        assert_eq!(code(&[&INSTALL[..], &[&format!("--handler={handler}")]].concat()), Some(2), "{handler}");
    }
    assert_eq!(code(&["install"]), Some(2));
    assert_eq!(code(&["install", "--engine", "docker"]), Some(2));
    assert!(
        host.refused(&[&INSTALL[..], &["--restart"]].concat())
            .starts_with("--restart needs systemd, and there is no")
    );
    assert_eq!(host.everything(), before);
}
