//! `audit`: the log and its rotated files, whole, damaged, or not ours.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use crate::golden::assert_golden;
use crate::room::Room;

/// A line as the program writes it.
pub(crate) fn line(time: &str, container: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let text = format!(
        "{{\"v\":1,\"time\":\"2026-11-22T{time}.000000Z\",\"command\":\"create\",\"container\":\"{container}\",\
         \"root\":\"/run/runc\",\"engine\":\"cri-o\",\"pod\":{{\"namespace\":\"user-1\",\"name\":\"web\"}},\
         \"verdict\":\"change\",\"uid\":1000,\"gid\":1000,\"before\":[1000,3000,60000],\"after\":[1000,60000],\
         \"level\":\"groups\",\"rulings\":[],\"findings\":[],\"duration_us\":900,\"runtime\":\"runc 1.3.0\"}}"
    );
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    change(&mut value);
    if serde_json::from_str::<serde_json::Value>(&text).unwrap() == value {
        return text + "\n";
    }
    // serde_json sorts the members; the program writes version and time first.
    let object = value.as_object_mut().unwrap();
    let (v, time) = (object.remove("v").unwrap(), object.remove("time").unwrap());
    let rest = value.to_string();
    format!("{{\"v\":{v},\"time\":{time},{}\n", &rest[1..])
}

fn denied(value: &mut serde_json::Value) {
    value["verdict"] = "deny".into();
    value["after"] = serde_json::json!([]);
    value["reason"] = "gid 50000 is listed by \x1b[31m\u{202e}\"annotation\"\nforged: line".into();
}

/// A log of three files, the oldest one compressed.
fn rotated(room: &Room) {
    let gz = File::create(room.path("log/runc-strict.log.2.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(gz, flate2::Compression::fast());
    gz.write_all(line("01:00:00", "oldest", |_| {}).as_bytes()).unwrap();
    gz.finish().unwrap();
    let middle = line("02:00:00", "middle", denied)
        + &line("02:30:00", "nameless", |l| l["pod"] = serde_json::json!({}));
    fs::write(room.path("log/runc-strict.log.1"), middle).unwrap();
    let last = line("03:00:00", "last", |l| {
        l["after"] = serde_json::json!([1000]);
        l["pod"]["name"] = "ev\u{1b}[2Jil\n".into();
    });
    fs::write(room.log(), last).unwrap();
}

#[test]
fn rotated_and_compressed_files_are_read_oldest_first() {
    let room = Room::new();
    rotated(&room);
    let seen = room.run(["audit"]);
    assert_golden("see/audit.txt", &seen.out);
    assert_eq!((seen.code, seen.err.as_str()), (0, ""));
    let seen = room.run(["audit", "--json"]);
    let written = [
        line("01:00:00", "oldest", |_| {}),
        fs::read_to_string(room.path("log/runc-strict.log.1")).unwrap(),
        fs::read_to_string(room.log()).unwrap(),
    ];
    assert_eq!(seen.out, written.concat(), "JSON is the log's own, byte for byte");
}

#[test]
fn each_filter_leaves_what_it_says() {
    let room = Room::new();
    rotated(&room);
    let shown = |words: &[&str]| {
        let seen = room.run(["audit", "--json"].iter().chain(words));
        assert_eq!((seen.code, seen.err.as_str()), (0, ""), "{words:?}");
        let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["container"].clone();
        seen.out.lines().map(|line| id(line).as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&["--gid", "60000"]), ["oldest", "middle", "nameless"]);
    assert_eq!(shown(&["--gid", "50000"]), ["middle"]);
    assert_eq!(shown(&["--gid", "3000", "--denied"]), ["middle"]);
    assert_eq!(shown(&["--gid", "6000"]), [""; 0]);
    assert_eq!(shown(&["--denied"]), ["middle"]);
    assert_eq!(shown(&["--container", "ol"]), ["oldest"]);
    assert_eq!(shown(&["--pod", "user-1/web"]), ["oldest", "middle"]);
    assert_eq!(shown(&["--since", "2026-11-22T02:30:00Z"]), ["nameless", "last"]);
    assert_eq!(shown(&["--since", "2026-11-22T04:30:00+02:00", "--gid", "60000"]), ["nameless"]);
    for words in [["--since", "yesterday"], ["--pod", "web"], ["--gid", "-1"], ["--gid", "staff"]] {
        let seen = room.run(["audit"].iter().chain(&words));
        assert_eq!((seen.code, seen.out.as_str()), (2, ""), "{words:?}");
    }
}

#[test]
fn a_damaged_line_is_counted_and_hides_no_other() {
    let room = Room::new();
    let (one, two) = (line("01:00:00", "one", |_| {}), line("02:00:00", "two", |_| {}));
    let newer = line("03:00:00", "newer", |l| l["v"] = 2.into());
    // Garbage, a torn line with a whole one behind it, zeroes as a crash leaves them, ten megabytes, a later version.
    let long = "x".repeat(10_000_000);
    let text = format!("garbage\n{one}{}{two}\0\0\0\0\n{long}\n{newer}{}", &one[..100], &two[..50]);
    fs::write(room.log(), text).unwrap();
    let seen = room.run(["audit", "--json"]);
    assert_eq!(seen.out, one + &two);
    assert_eq!(seen.code, 0);
    assert_eq!(
        seen.err,
        "runc-strict: 5 lines of the log can't be read\n\
         runc-strict: 1 line of the log are of a later version; use a newer runc-strict\n"
    );
}

#[test]
fn a_compressed_file_that_breaks_off_takes_no_other_with_it() {
    let room = Room::new();
    rotated(&room);
    let path = room.path("log/runc-strict.log.2.gz");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let seen = room.run(["audit", "--json"]);
    assert_eq!(seen.out.lines().count(), 3);
    assert!(seen.err.starts_with("runc-strict: can't read ") && seen.err.contains(".2.gz\""), "{}", seen.err);
}

#[test]
fn a_log_that_isn_t_ours_is_told_in_one_line() {
    let room = Room::new();
    let fails = |why: &str| {
        for words in [&["audit"][..], &["audit", "--gid", "5000"]] {
            let seen = room.run(words);
            assert_eq!((seen.code, seen.out.as_str()), (1, ""), "{why}");
            assert!(seen.err.contains(why), "{why}: {}", seen.err);
        }
    };
    fails("there is no log yet");
    fs::create_dir(room.log()).unwrap();
    fails("is no regular file");
    fs::remove_dir(room.log()).unwrap();
    assert!(Command::new("mkfifo").arg(room.log()).status().unwrap().success());
    fails("is no regular file");
    fs::remove_file(room.log()).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_runc-strict"), room.log()).unwrap();
    fails("holds no line of runc-strict");
    fs::write(room.path("config.toml"), "[audit]\npath = 3\n").unwrap();
    fails("config.toml");
}
