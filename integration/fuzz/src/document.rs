//! config.json, exec's process document, and the document of an update: what is read agrees with another reader of JSON,
//! and what is written changes the bytes of the values that it is about, and no other.
//!
//! The first byte says which document the rest is, and what is written into it.

use runc_strict::node::engine;
use runc_strict::policy::annotation::GROUPS_KEY;
use runc_strict::policy::capability::SET_NAMES;
use runc_strict::policy::gid::{Gid, GidSet};
use runc_strict::policy::rules::{Engine, Policy};
use runc_strict::policy::subject::Process;
use runc_strict::policy::{Edits, Subject};
use runc_strict::resize::sticky::{Edit, Merge};
use runc_strict::spec::{CommandLine, ConfigDocument, ProcessObject, Splice, Value, resources};
use serde_json::{Value as Json, json};

use crate::edit::{Change, expected};
use crate::{assert_one_line, laws};

pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match kind % 4 {
        0 => config(text, *kind),
        1 => process(text, *kind),
        2 => command(text),
        _ => update(text),
    }
}

fn config(text: &str, kind: u8) {
    let document = match ConfigDocument::read(text) {
        Ok(document) => document,
        Err(why) => return assert_one_line(&why),
    };
    let process = &document.process;
    if let Ok(json) = serde_json::from_str::<Json>(text) {
        assert_agrees(&process.process, &json["process"]);
        if let Ok([Some(groups)]) = document.annotations([GROUPS_KEY]) {
            assert_eq!(json["annotations"][GROUPS_KEY], groups);
        }
        if let Ok(root) = document.root_path() {
            assert_eq!(json["root"]["path"].as_str(), root.as_deref());
        }
        if let Ok(mounts) = document.mounts() {
            let told = json["mounts"].as_array().cloned().unwrap_or_default();
            assert_eq!(mounts.len(), told.len());
            for (mount, told) in mounts.iter().zip(&told) {
                assert_eq!(told["destination"], *mount.destination);
                assert_eq!(told["source"].as_str(), mount.source.as_deref());
            }
        }
    }
    let edits = edits(&process.process, kind);
    let mut splice = Splice::new(text);
    process.apply(&edits, &mut splice);
    let new = splice.to_text();
    assert_eq!(new, expected(text, &changes(&["process"], &edits)));
    let again = ConfigDocument::read(&new).expect("what is written can be read");
    assert_eq!(again.process.process, laws::written(&process.process, &edits));
    let mut twice = Splice::new(&new);
    again.process.apply(&edits, &mut twice);
    assert_eq!(twice.to_text(), new, "written twice is written once");
    limits(text, &document);
    judged(&document);
}

/// The whole way: what the document says is judged, and the result written.
fn judged(document: &ConfigDocument<'_>) {
    let Ok(annotations) = engine::annotations(document, Engine::None) else { return };
    let subject = Subject {
        process: document.process.process.clone(),
        requested_groups: annotations.groups,
        requested_level: annotations.level,
        hostile_annotation: annotations.hostile,
        ..Subject::default()
    };
    let _ = laws::hold(&subject, &Policy { residual: true, ..Policy::default() });
}

fn process(text: &str, kind: u8) {
    let object = match ProcessObject::read(Value::whole(text), "the document") {
        Ok(object) => object,
        Err(why) => return assert_one_line(&why),
    };
    if let Ok(json) = serde_json::from_str::<Json>(text) {
        assert_agrees(&object.process, &json);
    }
    let edits = edits(&object.process, kind);
    let mut splice = Splice::new(text);
    object.apply(&edits, &mut splice);
    let new = splice.to_text();
    assert_eq!(new, expected(text, &changes(&[], &edits)));
    let again = ProcessObject::read(Value::whole(&new), "the document").expect("what is written can be read");
    assert_eq!(again.process, laws::written(&object.process, &edits));
}

/// A command in the place of the container's own.
fn command(text: &str) {
    let line = CommandLine {
        args: vec!["sh".to_owned(), "a \"b\"\u{1}".to_owned()],
        cwd: Some("/x".to_owned()),
        env: vec!["A=\u{7f}".to_owned()],
        ..CommandLine::default()
    };
    let made = match line.document(text) {
        Ok(made) => made,
        Err(why) => return assert_one_line(&why),
    };
    let (Ok(old), Ok(new)) = (serde_json::from_str::<Json>(text), serde_json::from_str::<Json>(&made)) else {
        return;
    };
    let mut expected = old.clone();
    expected["args"] = json!(line.args);
    expected["cwd"] = json!("/x");
    expected["terminal"] = json!(false);
    let mut env = old["env"].as_array().cloned().unwrap_or_default();
    env.push(json!("A=\u{7f}"));
    expected["env"] = json!(env);
    assert_eq!(new, expected);
}

/// What a person has set to stay, as far as this target goes.
fn held() -> Vec<Edit> {
    let edit = |field: &str, pointer: &str, value: Json| Edit {
        field: field.parse().expect("a field"),
        pointer: pointer.to_owned(),
        value,
    };
    vec![
        edit("memory.limit", "/memory/limit", json!(1 << 20)),
        edit("cpu.cpus", "/cpu/cpus", json!("0-1")),
        edit("unified.memory.high", "/unified/memory.high", json!("max")),
    ]
}

fn update(text: &str) {
    let edits = held();
    let mut splice = Splice::new(text);
    if let Err(why) = resources::write(Value::whole(text), "the document", &edits, false, &mut splice) {
        return assert_one_line(&why);
    }
    let new = splice.to_text();
    if let Ok(old) = serde_json::from_str::<Json>(text) {
        assert_merged(&old, &serde_json::from_str(&new).expect("what is written is JSON"), edits);
    }
}

fn limits(text: &str, document: &ConfigDocument<'_>) {
    let mut splice = Splice::new(text);
    if let Err(why) = document.write_resources(&held(), &mut splice) {
        return assert_one_line(&why);
    }
    let new = splice.to_text();
    let (Ok(old), Ok(new)) = (serde_json::from_str::<Json>(text), serde_json::from_str::<Json>(&new)) else {
        return;
    };
    let resources = match &old["linux"]["resources"] {
        Json::Null => json!({}),
        there => there.clone(),
    };
    assert_merged(&resources, &new["linux"]["resources"], held());
}

/// The new document is the old one with the edits, by the planner's own model of a document.
fn assert_merged(old: &Json, new: &Json, edits: Vec<Edit>) {
    let mut expected = old.clone();
    let objects = ["memory", "cpu", "unified"];
    if let Some(object) = expected.as_object_mut() {
        object.retain(|key, value| !(objects.contains(&key.as_str()) && value.is_null()));
    }
    assert!(Merge { edits, ..Merge::default() }.apply(&mut expected));
    assert_eq!(*new, expected);
}

/// What was read of a process is what the other reader finds.
fn assert_agrees(process: &Process, json: &Json) {
    let user = &json["user"];
    let number = |value: &Json| u32::try_from(value.as_u64().expect("a number")).expect("32 bits");
    assert_eq!((process.uid, process.gid), (number(&user["uid"]), number(&user["gid"])));
    let groups = user["additionalGids"].as_array().cloned().unwrap_or_default();
    assert_eq!(process.groups, groups.iter().map(number).collect::<Vec<u32>>());
    assert_eq!(process.no_new_privileges, json["noNewPrivileges"].as_bool().unwrap_or_default());
    for (set, name) in process.capabilities.0.iter().zip(SET_NAMES) {
        let told = json["capabilities"].get(name).filter(|set| !set.is_null());
        assert_eq!(set.as_ref().map(|set| json!(set)).as_ref(), told);
    }
}

/// What is written: `kind` says what of it.
fn edits(process: &Process, kind: u8) -> Edits {
    let groups: GidSet = [1000, 5000].into_iter().filter_map(Gid::new).collect();
    let sets = process.capabilities.0.clone();
    Edits {
        groups: (kind & 4 == 0).then_some(groups),
        no_new_privileges: (kind & 8 == 0).then_some(kind & 16 == 0),
        capabilities: sets.map(|set| set.filter(|_| kind & 32 == 0).map(|_| vec!["CAP_KILL".to_owned()])),
    }
}

/// The same for the model, in the order in which they are written.
fn changes<'c>(process: &[&'c str], edits: &Edits) -> Vec<Change<'c>> {
    let below = |name: &'c str| process.iter().copied().chain([name]).collect::<Vec<_>>();
    let mut changes = Vec::new();
    if let Some(groups) = &edits.groups {
        changes.push(Change { object: below("user"), key: "additionalGids", value: groups.to_string() });
    }
    if let Some(value) = edits.no_new_privileges {
        changes.push(Change { object: process.to_vec(), key: "noNewPrivileges", value: value.to_string() });
    }
    for (set, key) in edits.capabilities.iter().zip(SET_NAMES) {
        if let Some(names) = set {
            changes.push(Change { object: below("capabilities"), key, value: json!(names).to_string() });
        }
    }
    changes
}
