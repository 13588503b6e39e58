//! `explain`: a container by its record, a bundle by its document.

use crate::golden::assert_golden;
use crate::room::Room;

#[test]
fn a_container_is_explained_by_its_record() {
    let room = Room::new();
    let process = room.container("c0ffee", &[1000, 3000, 50000, 60000]);
    let seen = room.run(["explain", "c0f"]);
    assert_golden("see/explain.txt", &room.steady(&seen.out, &process));
    assert_eq!((seen.code, seen.err.as_str()), (0, ""));
    let seen = room.run(["explain", "--json", "c0ffee"]);
    assert_golden("see/explain.json", &room.steady(&seen.out, &process));
}

#[test]
fn a_word_with_a_slash_or_a_folder_with_a_document_is_a_bundle() {
    let room = Room::new();
    let _process = room.container("bundle", &[1000, 3000]);
    for word in ["bundle", "./bundle", "bundle/"] {
        assert!(room.run(["explain", word]).out.starts_with("bundle "), "{word}");
    }
    assert!(room.run(["explain", "bund"]).out.starts_with("container     bundle (runs)"));
}

#[test]
fn what_can_t_be_explained_is_told_in_one_line() {
    let room = Room::new();
    let process = room.container("aa1", &[1000]);
    let _other = room.container("aa2", &[1000]);
    room.state("foreign", process.pid());
    for words in [&["nobody"][..], &["aa"], &["./nowhere"], &["--root", "root", "foreign"]] {
        let seen = room.run(["explain"].iter().chain(words));
        assert_eq!((seen.code, seen.out.as_str()), (1, ""), "{words:?}");
        assert_eq!(seen.err.lines().count(), 1, "{}", seen.err);
    }
}
