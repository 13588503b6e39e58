//! Bundles that are broken, odd or hostile: the error is clear, and the bundle is byte for byte what it was, without
//! a temporary file in it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::support::{Bench, DOCUMENT, Outcome, is_root, mkfifo, skip};

fn create(bench: &Bench, bundle: &Path) -> Outcome {
    bench.run(["--root", &bench.root(), "create", "--bundle", bundle.to_str().unwrap(), "c"]).go()
}

/// As [`create`], refused, with no record and no state left.
fn create_refused(bench: &Bench, bundle: &Path) -> String {
    let sentence = create(bench, bundle).refused(1);
    assert!(!bench.record("c").exists() && !bench.path("root/c").exists());
    sentence
}

#[test]
fn a_bundle_that_isn_t_there_is_named() {
    let bench = Bench::new();
    let missing = bench.path("no/such/bundle");
    let sentence = create_refused(&bench, &missing);
    assert!(sentence.contains(&format!("{missing:?}")) && sentence.contains("no such folder"), "{sentence}");
    fs::write(bench.path("file"), "").unwrap();
    assert!(create_refused(&bench, &bench.path("file")).contains("is no bundle"));
    fs::create_dir(bench.path("empty")).unwrap();
    let sentence = create_refused(&bench, &bench.path("empty"));
    assert!(sentence.contains("can't open") && sentence.contains("empty/config.json"), "{sentence}");
}

#[test]
fn a_document_that_is_no_regular_file_is_neither_waited_for_nor_touched() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    fs::remove_file(bundle.config()).unwrap();
    mkfifo(&bundle.config());
    let folder = Path::new(bundle.text());
    assert!(create_refused(&bench, folder).contains("config.json\": is no regular file"));
    fs::remove_file(bundle.config()).unwrap();
    fs::create_dir(bundle.config()).unwrap();
    assert!(create_refused(&bench, folder).contains("is no regular file"));
    fs::remove_dir(bundle.config()).unwrap();
    symlink("/dev/zero", bundle.config()).unwrap();
    assert!(create_refused(&bench, folder).contains("is no regular file"));
    fs::remove_file(bundle.config()).unwrap();
    symlink("config.json", bundle.config()).unwrap();
    assert!(create_refused(&bench, folder).contains("can't open"));
}

#[test]
fn a_document_of_200_megabytes_is_refused_unread() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let file = fs::OpenOptions::new().write(true).open(bundle.config()).unwrap();
    file.set_len(200 * 1024 * 1024).unwrap();
    let sentence = create_refused(&bench, Path::new(bundle.text()));
    assert!(sentence.contains("is larger than 67108864 bytes"), "{sentence}");
    assert_eq!(file.metadata().unwrap().len(), 200 * 1024 * 1024);
}

#[test]
fn a_document_that_can_t_be_read_is_named() {
    if is_root() {
        return skip("a config.json of mode 0000", "root reads it all the same");
    }
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    fs::set_permissions(bundle.config(), fs::Permissions::from_mode(0o0)).unwrap();
    let sentence = create_refused(&bench, Path::new(bundle.text()));
    assert!(sentence.contains("can't open") && sentence.contains("permission denied"), "{sentence}");
}

#[test]
fn mode_and_owner_of_the_document_are_kept() {
    let bench = Bench::new();
    for mode in [0o600, 0o644, 0o640, 0o400, 0o604] {
        let bundle = bench.bundle("c", DOCUMENT);
        fs::set_permissions(bundle.config(), fs::Permissions::from_mode(mode)).unwrap();
        if is_root() {
            std::os::unix::fs::chown(bundle.config(), Some(1234), Some(5678)).unwrap();
        }
        let before = fs::metadata(bundle.config()).unwrap();
        create(&bench, Path::new(bundle.text())).arrived();
        let after = fs::metadata(bundle.config()).unwrap();
        assert_eq!(bundle.groups(), [1000, 5000]);
        assert_ne!(before.ino(), after.ino(), "it was not replaced in one step");
        assert_eq!((before.mode(), before.uid(), before.gid()), (after.mode(), after.uid(), after.gid()));
        bench.delete("c").arrived();
        fs::remove_file(bundle.config()).unwrap();
    }
}

#[test]
fn a_document_that_is_a_link_is_replaced_and_its_target_stays() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let target = bench.path("target.json");
    fs::rename(bundle.config(), &target).unwrap();
    symlink(&target, bundle.config()).unwrap();
    create(&bench, Path::new(bundle.text())).arrived();
    assert!(fs::symlink_metadata(bundle.config()).unwrap().is_file());
    assert_eq!(bundle.groups(), [1000, 5000]);
    assert_eq!(fs::read_to_string(target).unwrap(), DOCUMENT);
}

#[test]
fn another_name_of_the_document_keeps_its_content() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let other = bench.path("other.json");
    fs::hard_link(bundle.config(), &other).unwrap();
    create(&bench, Path::new(bundle.text())).arrived();
    assert_eq!(bundle.groups(), [1000, 5000]);
    assert_eq!(fs::read_to_string(other).unwrap(), DOCUMENT);
}

#[test]
fn a_folder_that_can_t_be_written_to_keeps_its_document() {
    if is_root() {
        return skip("a bundle of mode 0500", "root writes to it all the same");
    }
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let mode = |mode| fs::set_permissions(bundle.text(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    let sentence = create_refused(&bench, Path::new(bundle.text()));
    mode(0o700);
    assert!(sentence.contains("can't create") && sentence.contains("permission denied"), "{sentence}");
    assert_eq!(bundle.document(), DOCUMENT);
}

#[test]
fn a_temporary_file_that_a_killed_process_left_is_no_obstacle_and_goes_with_the_container() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    // A pid above every limit of the kernel (proc(5), pid_max).
    fs::write(Path::new(bundle.text()).join(".config.json.runc-strict.4194305"), "half").unwrap();
    create(&bench, Path::new(bundle.text())).arrived();
    bench.delete("c").arrived();
    assert_eq!(bundle.files(), ["config.json"]);
}

#[test]
fn a_runtime_that_isn_t_there_is_named_and_nothing_is_touched() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let told = |runtime: &str| {
        bench.configure_whole(&format!(
            "runtime = \"{runtime}\"\n[audit]\npath = \"{}\"\n",
            bench.text("audit.log")
        ));
        let sentence = create_refused(&bench, Path::new(bundle.text()));
        assert_eq!((bundle.document().as_str(), bundle.files().len()), (DOCUMENT, 1), "{sentence}");
        sentence
    };
    let sentence = told("/no/such/runc");
    assert!(sentence.contains("can't find the real runtime \"/no/such/runc\": no such file"), "{sentence}");
    let sentence = told("no-such-runtime");
    assert!(
        sentence.contains("there is no runtime called \"no-such-runtime\" in /usr/local/sbin:"),
        "{sentence}"
    );
    let sentence = told("bin/runc");
    assert!(sentence.contains("is neither an absolute path nor a name"), "{sentence}");
    let sentence = told("");
    assert!(sentence.contains("is neither an absolute path nor a name"), "{sentence}");
    let sentence = told("/");
    assert!(sentence.contains("no program that can be executed"), "{sentence}");
    let sentence = told(bench.path("bin/version").to_str().unwrap());
    assert!(sentence.contains("no program that can be executed"), "{sentence}");
}

#[test]
fn a_runtime_that_is_ourselves_is_refused_also_under_other_names() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let us = &*crate::support::program();
    let (link, hard) = (bench.path("link"), bench.path("hard"));
    symlink(us, &link).unwrap();
    fs::hard_link(us, &hard).unwrap();
    for runtime in [us, &link, &hard] {
        bench.configure_whole(&format!("runtime = {runtime:?}\n"));
        let create = ["--root", &bench.root(), "create", "-b", bundle.text(), "c"].map(str::to_owned);
        for line in [&["state".to_owned(), "c".to_owned()][..], &create] {
            // The audit log of this configuration is the machine's, which a user other than root can't write.
            let run = bench.run(line);
            let run = if is_root() { run.user(65534) } else { run };
            let outcome = run.go();
            assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
            assert!(
                outcome.err.contains("is runc-strict itself; set runtime to runc or crun"),
                "{}",
                outcome.err
            );
        }
        assert_eq!((bundle.document().as_str(), bundle.files().len()), (DOCUMENT, 1));
    }
}

#[test]
fn a_loop_through_a_script_ends_by_itself_and_says_so() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let script = bench.path("bin/runc");
    fs::remove_file(&script).unwrap();
    // Copied by another process, so that no descriptor of this one can keep the script from being executed.
    fs::write(
        bench.path("script"),
        format!("#!/bin/sh\nexec {} \"$@\"\n", crate::support::program().display()),
    )
    .unwrap();
    fs::set_permissions(bench.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
    let copied = std::process::Command::new("cp").arg(bench.path("script")).arg(&script).status().unwrap();
    assert!(copied.success());
    let create = ["--root", &bench.root(), "create", "-b", bundle.text(), "c"].map(str::to_owned);
    for line in [&["state".to_owned(), "c".to_owned()][..], &create] {
        let outcome = bench.run(line).go();
        assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
        assert!(
            outcome.err.contains("calls runc-strict again without end; set runtime in"),
            "{}",
            outcome.err
        );
    }
    // By then the first of them has judged the container, as it would have run.
    assert_eq!((bundle.groups(), bundle.files().len()), (vec![1000, 5000], 1));
    assert!(!bench.record("c").exists());
}

#[test]
fn a_runtime_that_the_kernel_can_t_execute_leaves_the_bundle_as_it_was() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    fs::remove_file(bench.runtime()).unwrap();
    fs::write(bench.runtime(), "\x7fELF, but no more").unwrap();
    fs::set_permissions(bench.runtime(), fs::Permissions::from_mode(0o755)).unwrap();
    let sentence = create_refused(&bench, Path::new(bundle.text()));
    assert!(sentence.contains("can't execute"), "{sentence}");
    assert_eq!((bundle.document().as_str(), bundle.files().len()), (DOCUMENT, 1));
}
