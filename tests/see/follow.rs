//! `audit --follow`: over rotations, and to the end of containers.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::{Command, Stdio};

use crate::audit::line;
use crate::room::{Follower, Process, Room};

fn append(room: &Room, text: &str) {
    let mut log = OpenOptions::new().append(true).create(true).open(room.log()).unwrap();
    log.write_all(text.as_bytes()).unwrap();
}

/// A follower that has begun to watch: it has shown a line that was there before.
fn follower(room: &Room) -> Follower {
    let first = line("00:00:00", "first", |_| {});
    append(room, &first);
    let mut follower = Follower::start(room, &["--json", "--since", "2026-11-22"]);
    while follower.line() != first.trim_end() {}
    follower
}

#[test]
fn lines_are_shown_over_a_rename_and_over_a_truncation() {
    let room = Room::new();
    let mut follower = follower(&room);
    let mut expect = |text: &str| assert_eq!(follower.line(), text.trim_end());
    let texts: Vec<String> = (1..7).map(|n| line(&format!("0{n}:00:00"), "c", |_| {})).collect();
    append(&room, &texts[0]);
    expect(&texts[0]);
    // Renamed, and written to by somebody who had opened it before.
    let mut old = OpenOptions::new().append(true).open(room.log()).unwrap();
    fs::rename(room.log(), room.path("log/runc-strict.log.1")).unwrap();
    append(&room, &texts[1]);
    expect(&texts[1]);
    old.write_all(texts[2].as_bytes()).unwrap();
    expect(&texts[2]);
    // A line in two pieces is one line.
    append(&room, &texts[3][..40]);
    append(&room, &texts[3][40..]);
    expect(&texts[3]);
    // Copied and truncated.
    fs::copy(room.log(), room.path("log/runc-strict.log-20261122")).unwrap();
    OpenOptions::new().write(true).open(room.log()).unwrap().set_len(0).unwrap();
    append(&room, &texts[4]);
    expect(&texts[4]);
    // Rotated twice before anybody looks.
    fs::rename(room.path("log/runc-strict.log.1"), room.path("log/runc-strict.log.3")).unwrap();
    fs::rename(room.log(), room.path("log/runc-strict.log.2")).unwrap();
    append(&room, &texts[5]);
    fs::rename(room.log(), room.path("log/runc-strict.log.1")).unwrap();
    append(&room, &texts[0]);
    expect(&texts[5]);
    expect(&texts[0]);
}

#[test]
fn without_since_only_what_is_new_is_shown() {
    let room = Room::new();
    append(&room, &line("01:00:00", "past", |_| {}));
    let mut follower = Follower::start(&room, &["--json"]);
    // It can't be seen from outside when it has begun; so new lines are written until one is shown.
    let stop = std::sync::atomic::AtomicBool::new(false);
    let shown = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                append(&room, &line("02:00:00", "new", |_| {}));
                std::thread::yield_now();
            }
        });
        let shown = follower.line();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        shown
    });
    assert!(shown.contains("\"new\""), "{shown}");
}

#[test]
fn a_log_that_is_made_later_is_followed_from_its_first_line() {
    let room = Room::new();
    fs::remove_dir(room.path("log")).unwrap();
    let mut follower = Follower::start(&room, &["--json", "--since", "2026-11-22"]);
    fs::create_dir(room.path("log")).unwrap();
    let text = line("01:00:00", "one", |_| {});
    append(&room, &text);
    assert_eq!(follower.line(), text.trim_end());
}

#[test]
fn the_end_of_a_container_is_told() {
    let room = Room::new();
    let older = room.container("older", &[1000]);
    let mut follower = follower(&room);
    let mut next = || serde_json::from_str::<serde_json::Value>(&follower.line()).unwrap();
    // The runtime is still at work when the line of the younger one is shown; its init is known when it is done.
    let hold = room.path("hold");
    assert!(Command::new("mkfifo").arg(&hold).status().unwrap().success());
    let mut create = room.create_command("younger", &[1000]).stdout(Stdio::null()).spawn().unwrap();
    while next()["container"] != "younger" {}
    let younger = Process::start(Command::new("cat"));
    room.state("younger", younger.pid());
    fs::write(&hold, "\n").unwrap();
    assert!(create.wait().unwrap().success());
    for (process, id) in [(older, "older"), (younger, "younger")] {
        process.end();
        let event = next();
        assert_eq!((&event["event"], &event["container"]), (&"ended".into(), &id.into()), "{event}");
        assert_eq!(event["pod"]["name"], format!("pod-{id}"));
    }
}

#[test]
fn eight_writers_and_a_rotation_in_the_middle_lose_no_line_and_tear_none() {
    const WRITERS: usize = 8;
    const EACH: usize = 10;
    let room = Room::new();
    room.create("first-create", &[1000]);
    let mut follower = follower(&room);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let room = &room;
            scope.spawn(move || {
                for n in 0..EACH {
                    // A create that is refused writes its line too; the bundle is everybody's and stays as it is.
                    let (root, bundle) = (room.text("root"), room.text("bundle"));
                    let id = format!("w{writer}-{n}");
                    assert_eq!(room.run(["--root", &root, "create", "--bundle", &bundle, &id]).code, 0);
                    if (writer, n) == (0, EACH / 2) {
                        fs::rename(room.log(), room.path("log/runc-strict.log.1")).unwrap();
                    }
                }
            });
        }
    });
    let wanted: BTreeSet<String> =
        (0..WRITERS).flat_map(|w| (0..EACH).map(move |n| format!("w{w}-{n}"))).collect();
    let id = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        (value["event"] != "ended").then(|| value["container"].as_str().unwrap().to_owned())
    };
    let mut followed = BTreeSet::new();
    while followed.len() < wanted.len() {
        followed.extend(id(&follower.line()).filter(|id| wanted.contains(id)));
    }
    assert_eq!(followed, wanted);
    let seen = room.run(["audit", "--json", "--container", "w"]);
    assert_eq!(seen.err, "");
    let read: Vec<String> = seen.out.lines().filter_map(id).collect();
    assert_eq!(read.len(), wanted.len(), "each once");
    assert_eq!(read.into_iter().collect::<BTreeSet<_>>(), wanted);
}
