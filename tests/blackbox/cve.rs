//! Past faults of others in the matter of groups, each met by a test of its name.
//!
//! The common root is a kernel rule: a file whose group has fewer permissions than everybody else is closed to the
//! members of that group, unless the process has lost the membership. A process whose supplementary groups lack its
//! primary group, or were never set, opens such files.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Bench, DOCUMENT, PROCESS, is_root, skip};

const ASKED: &str = "[1000, 3000, 4000, 5000]";

/// The supplementary groups at create and at exec, of a process that `create` and `exec` describe.
fn groups(configuration: &str, create: &str, exec: &str) -> [Vec<u32>; 2] {
    let bench = Bench::new();
    bench.configure(configuration);
    let bundle = bench.bundle("c", create);
    bench.create(&bundle).arrived();
    let call = bench.exec("c", exec).arrived();
    [bundle.groups(), call.exec_groups()]
}

fn with(text: &str, list: &str) -> String {
    text.replace(ASKED, list)
}

/// podman made containers whose supplementary groups lacked the primary one.
#[test]
fn cve_2022_2989_podman_s_list_without_the_primary_gid_gets_it() {
    for list in ["[5000]", "[5000, 3000]"] {
        let got = groups("engine = \"podman\"", &with(DOCUMENT, list), &with(PROCESS, list));
        assert_eq!(got, [[1000, 5000], [1000, 5000]], "{list}");
    }
}

/// buildah runs its build steps by `run`, with the same fault.
#[test]
fn cve_2022_2990_buildah_s_run_without_the_primary_gid_gets_it() {
    let bench = Bench::new();
    let bundle = bench.bundle("buildah-1", &with(DOCUMENT, "[5000]"));
    let root = bench.root();
    bench.run(["--root", &root, "run", "--bundle", bundle.text(), "buildah-1"]).go().arrived();
    assert_eq!(bundle.groups(), [1000, 5000]);
}

/// CRI-O set up the groups that the pod declares without the primary one.
#[test]
fn cve_2022_2995_cri_o_s_list_without_the_primary_gid_gets_it() {
    let pod = "\"annotations\":{\"io.kubernetes.pod.namespace\":\"shop\"},\"root\"";
    let create = with(DOCUMENT, "[5000]").replace("\"root\"", pod);
    assert_eq!(groups("engine = \"cri-o\"", &create, &with(PROCESS, "[5000]")), [[1000, 5000], [1000, 5000]]);
    // Nor does an annotation take it away.
    let annotated = "\"annotations\":{\"runc-strict/supplemental-groups\":\"5000\"},\"root\"";
    let create = DOCUMENT.replace("\"root\"", annotated);
    assert_eq!(groups("engine = \"cri-o\"", &create, PROCESS), [[1000, 5000], [1000, 5000]]);
}

/// moby didn't set the groups up where the user was given by number, and left the primary one out.
#[test]
fn cve_2022_36109_moby_s_user_by_number_has_the_primary_gid_in_the_list() {
    let other = |text: &str| text.replace("\"uid\": 1000, \"gid\": 1000", "\"uid\": 4242, \"gid\": 4243");
    let create = other(&with(DOCUMENT, "[5000]"));
    assert_eq!(groups("", &create, &other(&with(PROCESS, "[5000]"))), [[4243, 5000], [4243, 5000]]);
}

/// containerd didn't set supplementary groups up at all: the list was missing or empty, and a runtime that skips
/// setgroups(2) then (youki does) leaves the caller's groups in place.
#[test]
fn cve_2023_25173_a_list_is_never_empty() {
    if !is_root() {
        return skip("empty lists", "without root they stay: setgroups(2) isn't to be had");
    }
    let absent = |text: &str| text.replace(", \"additionalGids\": [1000, 3000, 4000, 5000]", "");
    for version in ["runc version 1.3.0\n", "crun version 1.8.1\n", "youki version 0.5.0\n"] {
        for make in [absent, |text: &str| with(text, "[]"), |text: &str| with(text, "null")] {
            let bench = Bench::with_runtime(version);
            let bundle = bench.bundle("c", &make(DOCUMENT));
            bench.create(&bundle).arrived();
            assert_eq!(bundle.groups(), [1000], "{version}");
            assert_eq!(bench.exec("c", &make(PROCESS)).arrived().exec_groups(), [1000], "{version}");
        }
    }
    // An annotation that lists no group means the primary one alone.
    let none = "\"annotations\":{\"runc-strict/supplemental-groups\":\"\"},\"root\"";
    let got = groups("", &DOCUMENT.replace("\"root\"", none), PROCESS);
    assert_eq!(got, [[1000], [1000]]);
}

/// The same for a process whose whole list came from the image.
#[test]
fn cve_2023_25173_a_list_from_the_image_alone_becomes_the_primary_gid() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", &with(DOCUMENT, "[3000, 4000]"));
    bench.create(&bundle).arrived();
    assert_eq!(bundle.groups(), [1000]);
    assert_eq!(bench.exec("c", &with(PROCESS, "[3000, 4000]")).arrived().exec_groups(), [1000]);
}

/// crun's annotation that has it skip setgroups(2) would bring all of these back.
#[test]
fn what_would_bring_them_back_is_refused() {
    let bench = Bench::new();
    for key in ["run.oci.keep_original_groups", "bundle"] {
        for value in ["1", "0", ""] {
            let annotation = format!("\"annotations\":{{\"{key}\":\"{value}\"}},\"root\"");
            let bundle = bench.bundle("c", &DOCUMENT.replace("\"root\"", &annotation));
            let sentence = bench.create(&bundle).refused(1);
            assert!(sentence.contains(&format!("annotation \"{key}\" would undo")), "{sentence}");
        }
    }
    let line: Value = bench.audit_lines().pop().unwrap();
    assert_eq!(line["verdict"], json!("deny"));
    assert!(fs::read_dir(bench.path("root")).unwrap().next().is_none());
}
