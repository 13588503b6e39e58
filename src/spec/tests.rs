//! What of a document is read, what is refused, and what is written, one behaviour a test. That nothing else changes
//! is a law (`tests/laws.rs`).

use super::object::{Object, Value};
use super::*;
use crate::policy::Edits;
use crate::policy::gid::{Gid, GidSet};
use crate::policy::subject::IdRange;
use crate::resize::sticky::Edit;
use serde_json::json;

/// A document with the least process there is, and these members beside it.
fn with(members: &str) -> String {
    format!(r#"{{"process":{{"user":{{"uid":1,"gid":2}}}}{members}}}"#)
}

#[track_caller]
fn config(text: &str) -> ConfigDocument<'_> {
    ConfigDocument::read(text).unwrap()
}

/// What `change` makes of `text`.
fn spliced(text: &str, change: impl FnOnce(&ConfigDocument<'_>, &mut Splice<'_>)) -> String {
    let mut splice = Splice::new(text);
    change(&config(text), &mut splice);
    splice.to_text()
}

#[test]
fn the_image_s_folder_is_read_and_may_be_missing() {
    let root = |members: &str| config(&with(members)).root_path();
    assert_eq!(root(r#","root":{"path":"/a \u0062"}"#), Ok(Some("/a b".to_owned())));
    assert_eq!(root(r#","root":{"readonly":true}"#), Ok(None));
    assert_eq!(root(r#","root":null"#), Ok(None));
    assert_eq!(root(""), Ok(None));
    assert_eq!(root(r#","root":{"path":5}"#), Err("root.path is not a string".to_owned()));
}

#[test]
fn annotations_are_matched_exactly_and_read_as_text() {
    let read = |members: &str| config(&with(members)).annotations(["a/k", "b"]);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(read(r#","annotations":{"b":"2\n","x":"3","a/k":"1"}"#), Ok([text("1"), text("2\n")]));
    // Go folds the case of a struct's fields alone: in a map these are keys like any other
    assert_eq!(read(r#","annotations":{"B":"2","a/K":""}"#), Ok([None, None]));
    assert_eq!(read(r#","annotations":null"#), Ok([None, None]));
    assert_eq!(read(""), Ok([None, None]));
    assert_eq!(read(r#","annotations":{"b":2}"#), Err("annotation \"b\" is not a string".to_owned()));
    assert!(read(r#","annotations":{"b":"1","b":"1"}"#).unwrap_err().contains("\"b\" stands twice"));
}

#[test]
fn the_user_namespace_s_ranges_are_read_in_order() {
    let read = |members: &str| config(&with(members)).gid_mappings();
    let two = r#","linux":{"gidMappings":[{"containerID":0,"hostID":100000,"size":65536},{"containerID":70000,"hostID":1,"size":1}]}"#;
    let ranges = vec![IdRange { first: 0, size: 65536 }, IdRange { first: 70000, size: 1 }];
    assert_eq!(read(two), Ok(ranges));
    // what a runtime reads where a field is missing
    assert_eq!(read(r#","linux":{"gidMappings":[{"size":3}]}"#), Ok(vec![IdRange { first: 0, size: 3 }]));
    for none in ["", r#","linux":{}"#, r#","linux":{"gidMappings":null}"#, r#","linux":{"gidMappings":[]}"#] {
        assert_eq!(read(none), Ok(Vec::new()), "{none}");
    }
    for bad in ["5", "[5]", r#"[{"containerID":-1,"size":1}]"#, r#"[{"containerID":0,"size":4294967296}]"#] {
        assert!(read(&format!(r#","linux":{{"gidMappings":{bad}}}"#)).is_err(), "{bad}");
    }
}

#[test]
fn a_mount_s_two_ends_are_read_also_where_they_are_written_with_escapes() {
    let read = |mounts: &str| {
        let text = with(&format!(r#","mounts":{mounts}"#));
        let mounts = config(&text).mounts()?;
        Ok(mounts
            .iter()
            .map(|m| (m.destination.to_string(), m.source.as_ref().map(ToString::to_string)))
            .collect())
    };
    let mounts: Result<Vec<(String, Option<String>)>, String> =
        read(r#"[{"destination":"/etc/group","source":"/a"},{"type":"proc","destination":"\/pr\u006fc"}]"#);
    let source = Some("/a".to_owned());
    assert_eq!(mounts, Ok(vec![("/etc/group".to_owned(), source), ("/proc".to_owned(), None)]));
    assert_eq!(read("null"), Ok(Vec::new()));
    assert_eq!(read("{}"), Err("mounts is not a list".to_owned()));
    assert_eq!(read("[{}]"), Err("mounts[].destination is missing".to_owned()));
    assert_eq!(read(r#"[{"destination":7}]"#), Err("mounts[].destination is not a string".to_owned()));
}

#[test]
fn a_resize_is_written_where_the_document_has_its_resources_or_lacks_them() {
    let edits =
        [Edit { field: "pids.limit".parse().unwrap(), pointer: "/pids/limit".to_owned(), value: json!(5) }];
    let write = |members: &str| {
        spliced(&with(members), |config, splice| config.write_resources(&edits, splice).unwrap())
    };
    let process = r#""process":{"user":{"uid":1,"gid":2}}"#;
    assert_eq!(write(""), format!(r#"{{"linux":{{"resources":{{"pids":{{"limit":5}}}}}},{process}}}"#));
    assert_eq!(
        write(r#","linux":{"x": 1e3}"#),
        format!(r#"{{{process},"linux":{{"resources":{{"pids":{{"limit":5}}}},"x": 1e3}}}}"#)
    );
    assert_eq!(
        write(r#","linux":{"resources":{"pids":{ "limit":7 }}}"#),
        format!(r#"{{{process},"linux":{{"resources":{{"pids":{{ "limit":5 }}}}}}}}"#)
    );
    let text = with(r#","linux":{"resources":{"pids":{"limit":7}}}"#);
    assert_eq!(config(&text).resources(), Ok(Some(r#"{"pids":{"limit":7}}"#)));
    assert_eq!(config(&with("")).resources(), Ok(None));
    assert_eq!(config(&with(r#","linux":{}"#)).resources(), Ok(None));
    let text = with(r#","linux":5"#);
    assert!(config(&text).write_resources(&edits, &mut Splice::new(&text)).is_err());
}

#[test]
fn groups_are_written_over_the_old_list_or_beside_the_gid() {
    let groups = [2, 5000].map(|gid| Gid::new(gid).unwrap());
    let edits = Edits { groups: Some(GidSet::from(groups.to_vec())), ..Edits::default() };
    let write = |user: &str| {
        let text = format!(r#" {{"process": {{"user":{user}}}}}"#);
        spliced(&text, |config, splice| config.process.apply(&edits, splice))
    };
    assert_eq!(
        write(r#"{"uid":1, "additionalGids": [1,2, 3] ,"gid":2}"#),
        r#" {"process": {"user":{"uid":1, "additionalGids": [2,5000] ,"gid":2}}}"#
    );
    assert_eq!(
        write(r#"{ "uid":1,"gid":2,"additionalGids":null}"#),
        r#" {"process": {"user":{ "uid":1,"gid":2,"additionalGids":[2,5000]}}}"#
    );
    assert_eq!(
        write(r#"{ "uid":1,"gid":2}"#),
        r#" {"process": {"user":{"additionalGids":[2,5000], "uid":1,"gid":2}}}"#
    );
}

#[test]
fn what_is_no_id_is_refused_with_its_name_and_text() {
    let refusal =
        |user: &str| ConfigDocument::read(&format!(r#"{{"process":{{"user":{user}}}}}"#)).unwrap_err();
    for (id, shown) in
        [("1.0", "1.0"), ("1e3", "1e3"), ("-1", "-1"), ("4294967296", "4294967296"), ("\"1\"", "\\\"1\\\"")]
    {
        assert_eq!(
            refusal(&format!(r#"{{"uid":{id},"gid":2}}"#)),
            format!("process.user.uid is \"{shown}\", not an id of 32 bits")
        );
    }
    assert_eq!(refusal(r#"{"uid":1}"#), "process.user.gid is missing");
    assert!(
        refusal(r#"{"uid":1,"gid":2,"additionalGids":[1,-1]}"#).starts_with("process.user.additionalGids")
    );
}

#[test]
fn what_can_t_be_read_says_where_and_what_was_expected() {
    let refusal = |text: &str| ConfigDocument::read(text).unwrap_err();
    assert_eq!(refusal("5"), "the document can't be read: it is no object");
    assert!(refusal("{5:1}").starts_with("the document can't be read: "));
    // the place would count from the object's start
    assert!(!refusal(r#"{"a":1,,}"#).contains(" at line "));
    assert!(
        refusal(&format!("{} x", with(""))).starts_with("the document can't be read: trailing characters")
    );
}

#[test]
fn a_part_that_is_no_object_is_told_by_its_name_and_one_that_is_no_json_by_the_document_s() {
    for wrong in ["5", "[]", "\"{\"", "true"] {
        let text = with(&format!(r#","root":{wrong},"linux":{wrong}"#));
        let document = config(&text);
        assert_eq!(document.root_path().unwrap_err(), "root can't be read: it is no object", "{wrong}");
        let linux = "linux can't be read: it is no object";
        assert_eq!(document.gid_mappings().unwrap_err(), linux, "{wrong}");
        assert_eq!(document.resources().unwrap_err(), linux, "{wrong}");
        let process = format!(r#"{{"process":{wrong}}}"#);
        assert_eq!(ConfigDocument::read(&process).unwrap_err(), "process can't be read: it is no object");
    }
    let absent = with(r#","root":null,"linux":null"#);
    assert_eq!(config(&absent).root_path(), Ok(None));
    assert_eq!(config(&absent).gid_mappings(), Ok(Vec::new()));
    for part in [r#""root":{"path":}"#, r#""linux":{"x":tru}"#, r#""linux":{"resources":{}]"#, r#""linux":{"#]
    {
        let refusal = ConfigDocument::read(&with(&format!(",{part}"))).unwrap_err();
        assert!(refusal.starts_with("the document can't be read: "), "{part}: {refusal}");
    }
}

#[test]
fn a_part_that_two_runtimes_would_read_apart_is_refused_wherever_it_stands() {
    for (part, sentence) in [
        (r#""root":{"path":"a","path":"b"}"#, "root can't be read: key \"path\" stands twice"),
        (
            r#""linux":{"gidMappings":[],"GidMappings":[]}"#,
            "linux can't be read: key \"GidMappings\" differs from",
        ),
        (r#""root":{},"root":{}"#, "the document can't be read: key \"root\" stands twice"),
        (r#""process":{"user":{}}"#, "the document can't be read: key \"process\" stands twice"),
    ] {
        let refusal = ConfigDocument::read(&with(&format!(",{part}"))).unwrap_err();
        assert!(refusal.starts_with(sentence), "{part}: {refusal}");
    }
}

#[test]
fn a_key_that_runtimes_take_for_different_ones_is_refused() {
    let refusal = |key: &str| {
        let text = with(&format!(r#","{key}":{{}}"#));
        ConfigDocument::read(&text).map(drop).unwrap_err()
    };
    for key in ["Mounts", "MOUNTS", "mount\u{17f}", "\\u006dountS"] {
        assert!(refusal(key).contains("differs from \"mounts\" only in case"), "{key}");
    }
    assert!(refusal("mounts\\u0000x").contains("has a NUL character"));
    assert!(refusal("process").contains("key \"process\" stands twice"));
    // the Kelvin sign folds to k, and what only looks alike to nothing
    assert!(Object::read(Value::whole("{\"\u{212a}ey\":1}"), "x", ["key"]).is_err());
    let _ = config(&with(",\"mount\u{455}\":{},\"mountss\":1,\"mount\":1,\"hooks\":1,\"hooks\":2"));
}

#[test]
fn members_are_inserted_into_an_object_with_and_without_others() {
    let write = |text: &str| {
        let object = Object::read(Value::whole(text), "x", ["a", "b", "c"]).unwrap();
        let mut splice = Splice::new(text);
        for (n, key) in ["a", "b", "c"].into_iter().enumerate() {
            splice.set(&object, n, key, n.to_string());
        }
        splice.to_text()
    };
    assert_eq!(write("{}"), r#"{"a":0,"b":1,"c":2}"#);
    assert_eq!(write(" { } "), r#" {"a":0,"b":1,"c":2 } "#);
    assert_eq!(write(r#"{"x":[],"b":{"c":7},"c":null}"#), r#"{"a":0,"x":[],"b":1,"c":2}"#);
}
