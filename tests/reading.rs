//! Our reading of odd documents, held against that of real runtimes: the table is recorded from them by starting
//! containers (the suite `reading` of integration). Whatever a document says, either we refuse it, or each runtime that
//! takes it reads the same user and the same groups as we judge.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::collections::BTreeMap;

use runc_strict::spec::{ConfigDocument, ProcessObject, Value};
use serde_json::{Value as Json, json};

const TABLE: &str = include_str!("data/reading.jsonl");

/// A row: what the document is, and what each runtime read in it.
struct Row {
    name: String,
    document: Vec<u8>,
    read: BTreeMap<String, Json>,
}

fn rows() -> Vec<Row> {
    let row = |line: &str| {
        let row: Json = serde_json::from_str(line).unwrap();
        let text = row["document"].as_str().unwrap();
        let text = text.replace("@REST@", "\"root\":{\"path\":\"rootfs\"}");
        let text = text.replace("@PROCESS@", "\"args\":[\"/probe\"],\"cwd\":\"/\"");
        let parts: Vec<&[u8]> = text.split("@FF@").map(str::as_bytes).collect();
        Row {
            name: row["name"].as_str().unwrap().to_owned(),
            document: parts.join(&0xff),
            read: serde_json::from_value(row["read"].clone()).unwrap(),
        }
    };
    TABLE.lines().map(row).collect()
}

/// Who the process is as we read it; none where we refuse. A file that isn't UTF-8 is refused when it is read.
fn ours(document: &[u8]) -> Option<Json> {
    let text = std::str::from_utf8(document).ok()?;
    let document = ConfigDocument::read(text).ok()?;
    let process = &document.process.process;
    // exec's document is the same object by itself
    let object = ProcessObject::read(Value::whole(document.process.text), "the document").unwrap();
    assert_eq!(object.process, *process);
    let mut groups = process.groups.clone();
    groups.sort_unstable();
    groups.dedup();
    Some(json!({"uid": process.uid, "gid": process.gid, "groups": groups}))
}

/// As a runtime reads it; none where it starts nothing.
fn theirs(read: &Json) -> Option<&Json> {
    (*read != "refused").then_some(read)
}

#[test]
fn each_document_is_refused_or_read_by_every_runtime_as_by_us() {
    let mut taken = 0;
    for row in rows() {
        assert!(row.read.len() >= 2, "{}: recorded from runc and crun", row.name);
        let Some(ours) = ours(&row.document) else { continue };
        taken += 1;
        for (runtime, read) in &row.read {
            if let Some(theirs) = theirs(read) {
                assert_eq!(ours, *theirs, "{}: ours, and what {runtime} reads", row.name);
            }
        }
    }
    assert!(taken >= 15, "only {taken} documents are read at all");
}

#[test]
fn the_table_has_what_runtimes_read_apart() {
    let rows = rows();
    let apart = |row: &&Row| {
        let mut readings: Vec<&Json> = row.read.values().filter_map(theirs).collect();
        readings.dedup();
        readings.len() > 1
    };
    let apart: Vec<&str> = rows.iter().filter(apart).map(|row| row.name.as_str()).collect();
    assert!(rows.len() >= 150 && apart.len() >= 10, "{} rows, read apart: {apart:?}", rows.len());
}
