//! The life of a record: written by create, bound by the first exec, left alone by a second create, forgotten by
//! delete, and collected when a foreground run or a crash left it behind.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Bench, DOCUMENT, PROCESS, is_root, mkfifo, private, skip};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Lets the next create collect: the last collection was an hour ago.
fn an_hour_later(bench: &Bench) {
    let marker = File::options().write(true).open(bench.records().join(".swept")).unwrap();
    marker.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
}

/// What create writes besides the identity.
#[test]
fn a_record_is_for_its_owner_alone_and_says_who_the_container_is() {
    let bench = Bench::new();
    bench.configure("engine = \"cri-o\"");
    let pod = "\"annotations\":{\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.pod.name\":\"web\"},\"root\"";
    let bundle = bench.bundle("c", &DOCUMENT.replace("\"root\"", pod));
    bench.create(&bundle).arrived();
    let path = bench.record("c");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&bench.records()), 0o700);
    assert_eq!(mode(&bench.state()), 0o700);
    let record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(record["id"], "c");
    assert_eq!(record["root"], bench.root());
    assert_eq!(record["bundle"], bundle.text());
    assert_eq!(record["engine"], "cri-o");
    assert_eq!(record["pod"], serde_json::json!({"namespace": "shop", "name": "web"}));
    assert_eq!(record["before"], serde_json::json!([1000, 3000, 4000, 5000]));
    assert_eq!(record["identity"]["groups"], serde_json::json!([1000, 5000]));
    assert_eq!(record["bond"], Value::Null);
    bench.exec("c", PROCESS).arrived();
    let bound: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_ne!(bound["bond"], Value::Null);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(bench.records()).unwrap().count(), 2, "the record and the marker");
}

#[test]
fn a_second_create_of_a_living_container_leaves_its_record_alone() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    bench.create(&bundle).arrived();
    let record = fs::read(bench.record("c")).unwrap();
    let wide = bench.bundle("c", &DOCUMENT.replace("[1000, 3000, 4000, 5000]", "[1000, 5000, 6000]"));
    let second = bench.create(&wide);
    // The runtime itself refuses: a container with this id exists.
    assert_eq!(second.code, 1);
    assert!(second.call.is_some() && second.err.is_empty());
    assert_eq!(fs::read(bench.record("c")).unwrap(), record);
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
}

#[test]
fn a_second_create_that_can_t_become_the_runtime_leaves_the_record_alone_too() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    bench.create(&bundle).arrived();
    let record = fs::read(bench.record("c")).unwrap();
    fs::remove_file(bench.runtime()).unwrap();
    fs::write(bench.runtime(), "\x7fELF, but no more").unwrap();
    fs::set_permissions(bench.runtime(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(bench.create(&bundle).refused(1).contains("can't execute"));
    assert_eq!(fs::read(bench.record("c")).unwrap(), record);
}

#[test]
fn a_record_is_of_no_container_whose_init_is_older_than_it() {
    for (later, is_taken) in [(0, true), (1, false)] {
        let bench = Bench::new();
        bench.create(&bench.bundle("c", DOCUMENT)).arrived();
        let read = |path| -> serde_json::Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let init = read(bench.path("root/c/state.json"))["init_process_start"].as_u64().unwrap();
        let mut record = read(bench.record("c"));
        assert!(record["creator"]["start"].as_u64().unwrap() <= init, "{record}");
        record["creator"]["start"] = (init + later).into();
        fs::write(bench.record("c"), record.to_string()).unwrap();
        assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
        let findings = bench.audit_lines().pop().unwrap()["findings"].clone();
        assert_eq!(findings == serde_json::json!([]), is_taken, "{findings}");
    }
}

#[test]
fn a_bundle_that_is_named_through_a_link_is_the_runtime_s_bundle() {
    for version in ["runc version 1.3.0\n", "crun version 1.20\n"] {
        let bench = Bench::with_runtime(version);
        std::os::unix::fs::symlink(bench.path("bundles"), bench.path("link")).unwrap();
        bench.bundle("c", DOCUMENT);
        let (root, link) = (bench.root(), bench.text("link/c"));
        let line = ["--root", &root, "create", "--bundle", &link, "c"];
        assert_eq!(bench.run(line).go().words(), line);
        assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
        let line = bench.audit_lines().pop().unwrap();
        assert_eq!(line["findings"], serde_json::json!([]), "it was judged anew");
    }
}

#[test]
fn delete_forgets_and_is_content_with_nothing_to_forget() {
    let bench = Bench::new();
    bench.create(&bench.bundle("c", DOCUMENT)).arrived();
    bench.create(&bench.bundle("d", DOCUMENT)).arrived();
    bench.delete("c").arrived();
    assert!(!bench.record("c").exists() && bench.record("d").exists());
    let root = bench.root();
    for line in [["--root", &root, "delete", "--force", "c"], ["--root", &root, "delete", "--force", "never"]]
    {
        bench.run(line).go().arrived();
    }
    // An id that no runtime takes leads nowhere.
    for id in ["..", "../d", "/", "d/."] {
        let outcome = bench.run(["--root", &root, "delete", "--force", id]).go();
        assert!(outcome.call.is_some() && outcome.err.is_empty(), "{outcome:?}");
    }
    assert!(bench.record("d").exists());
}

#[test]
fn odd_ids_have_records_of_their_own() {
    let bench = Bench::new();
    let ids = [".hidden", "a%2Fb", "ä b", "-dash", "a+b_c.d"];
    for id in ids.into_iter().filter(|id| !id.starts_with('-')) {
        bench.create(&bench.bundle(id, DOCUMENT)).arrived();
    }
    for id in ids.into_iter().filter(|id| !id.starts_with('-')) {
        assert_eq!(bench.exec(id, PROCESS).arrived().exec_groups(), [1000, 5000], "{id}");
        bench.delete(id).arrived();
    }
    assert_eq!(fs::read_dir(bench.records()).unwrap().count(), 1, "only the marker is left");
}

#[test]
fn what_a_foreground_run_left_is_collected_and_what_lives_is_not() {
    let bench = Bench::new();
    let root = bench.root();
    for id in ["ended", "lives"] {
        let bundle = bench.bundle(id, DOCUMENT);
        bench.run(["--root", &root, "run", "--bundle", bundle.text(), id]).go().arrived();
    }
    // A foreground run removes the container by itself, without a delete that we could see.
    fs::remove_dir_all(bench.path("root/ended")).unwrap();
    an_hour_later(&bench);
    bench.create(&bench.bundle("next", DOCUMENT)).arrived();
    let left =
        [bench.record("ended").exists(), bench.record("lives").exists(), bench.record("next").exists()];
    assert_eq!(left, [false, true, true]);
}

#[test]
fn of_very_many_records_each_create_collects_some_and_leaves_the_rest_to_the_next() {
    let bench = Bench::new();
    bench.create(&bench.bundle("c", DOCUMENT)).arrived();
    for n in 0..250 {
        fs::copy(bench.record("c"), bench.record(&format!("gone{n}"))).unwrap();
    }
    an_hour_later(&bench);
    for left in [150, 50, 0, 0] {
        bench.create(&bench.bundle(&format!("n{left}"), DOCUMENT)).arrived();
        let names = fs::read_dir(bench.records()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("gone")).count(), left);
        bench.delete(&format!("n{left}")).arrived();
        fs::remove_dir_all(bench.path(&format!("bundles/n{left}"))).unwrap();
    }
    assert!(bench.record("c").exists());
}

#[test]
fn what_a_killed_process_left_goes_away_at_the_next_delete() {
    let bench = Bench::new();
    bench.create(&bench.bundle("c", DOCUMENT)).arrived();
    // A temporary file, of a pid above every limit of the kernel, and one of a process that lives.
    let folder = bench.state();
    let place = |pid: u32| folder.join(format!(".c.runc-strict.{pid}"));
    let (dead, living) = (place(4_194_305), place(std::process::id()));
    fs::write(&dead, "half").unwrap();
    fs::write(&living, "half").unwrap();
    bench.delete("c").arrived();
    assert_eq!((dead.exists(), living.exists()), (false, true));
}

#[test]
fn a_damaged_record_of_a_container_that_is_gone_is_collected() {
    let bench = Bench::new();
    bench.create(&bench.bundle("c", DOCUMENT)).arrived();
    fs::write(bench.record("gone"), "not JSON").unwrap();
    an_hour_later(&bench);
    bench.create(&bench.bundle("d", DOCUMENT)).arrived();
    assert!(!bench.record("gone").exists() && bench.record("c").exists());
}

/// The fake runtime stops at `hold-ID` until somebody has opened it, written and closed it.
struct Held<'b> {
    bench: &'b Bench,
    id: &'b str,
}

impl<'b> Held<'b> {
    fn new(bench: &'b Bench, id: &'b str) -> Held<'b> {
        mkfifo(&bench.path(&format!("bin/hold-{id}")));
        Held { bench, id }
    }

    /// Waits until the runtime has come to the FIFO, and gives the end that holds it there.
    fn reached(&self) -> File {
        OpenOptions::new().write(true).open(self.bench.path(&format!("bin/hold-{}", self.id))).unwrap()
    }

    /// Takes the FIFO away, so that the next call isn't stopped.
    fn gone(&self) {
        fs::remove_file(self.bench.path(&format!("bin/hold-{}", self.id))).unwrap();
    }
}

#[test]
fn of_two_creates_at_once_the_second_is_told_to_wait_and_the_first_is_not_disturbed() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let held = Held::new(&bench, "c");
    let root = bench.root();
    let first = bench.run(["--root", &root, "create", "-b", bundle.text(), "c"]).start();
    let mut runtime = held.reached();
    let record = fs::read(bench.record("c")).unwrap();

    let sentence = bench.create(&bundle).refused(1);
    assert!(sentence.contains("is being created by process"), "{sentence}");
    assert_eq!(fs::read(bench.record("c")).unwrap(), record);

    // Nor is a record collected whose container is only about to be.
    an_hour_later(&bench);
    bench.create(&bench.bundle("d", DOCUMENT)).arrived();
    assert_eq!(fs::read(bench.record("c")).unwrap(), record);

    runtime.write_all(b"go on").unwrap();
    drop(runtime);
    first.wait().arrived();
    held.gone();
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
}

#[test]
fn a_create_that_was_killed_is_no_obstacle_for_the_next() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let held = Held::new(&bench, "c");
    let first = bench.run(["--root", &bench.root(), "create", "-b", bundle.text(), "c"]).start();
    let runtime = held.reached();
    first.kill();
    drop(runtime);
    held.gone();
    assert!(bench.record("c").exists());
    bench.create(&bundle).arrived();
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
}

#[test]
fn a_folder_that_others_could_write_to_is_not_used() {
    if is_root() && !private() {
        return skip("a state folder of mode 0777", "the machine's /run/runc-strict is not to be changed");
    }
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let folder = bench.state();
    // that it has been used before is no reason to trust it
    bench.create(&bundle).arrived();
    let containers = folder.join("containers");
    let root = fs::read_dir(&containers).unwrap().next().unwrap().unwrap().path();
    for folder in [&folder, &containers, &root] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        let sentence = bench.create(&bundle).refused(1);
        assert!(sentence.contains("others could write to it; remove it"), "{sentence}");
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(bench.path("elsewhere"), &folder).unwrap();
    fs::create_dir(bench.path("elsewhere")).unwrap();
    assert!(bench.create(&bundle).refused(1).contains("others could write to it"));
}

#[test]
fn without_root_and_without_a_folder_for_the_record_a_create_is_refused_and_the_bundle_stays() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let line = ["--root", &bench.root(), "create", "-b", bundle.text(), "c"].map(str::to_owned);
    let run = bench.run(line).env_remove("XDG_RUNTIME_DIR");
    let run = if is_root() { run.user(65534) } else { run };
    if is_root() {
        for path in [bench.path("bundles/c"), bundle.config()] {
            std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
        }
        fs::set_permissions(bench.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let sentence = run.go().refused(1);
    assert!(sentence.contains("XDG_RUNTIME_DIR must name one"), "{sentence}");
    assert_eq!((bundle.document().as_str(), bundle.files().len()), (DOCUMENT, 1));
}
