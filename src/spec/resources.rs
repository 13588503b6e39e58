//! A LinuxResources object: what `update` is handed, and `linux.resources` of config.json. A few of its fields are
//! written anew, and every other byte stays.

use serde_json::{Value as Json, json};

use super::object::{Object, Value};
use super::process::json_string;
use super::splice::Splice;
use crate::resize::sticky::{Edit, Merge};

/// The members that hold fields, in the order of their places in [`Object`].
const MEMBERS: [&str; 6] = ["memory", "cpu", "pids", "blockIO", "hugepageLimits", "unified"];

/// The member that is a list.
const LIST: &str = "hugepageLimits";

/// Writes `edits` into the object `resources`, which messages call `path`. With `check` the runtime is also asked to look
/// whether a new memory limit is below what is in use (`memory.checkBeforeUpdate`), where the document sets one and
/// doesn't say so itself.
///
/// # Errors
/// A sentence, where something else stands where an object should be, or two decoders would read the object apart.
pub fn write(
    resources: Value<'_>,
    path: &str,
    edits: &[Edit],
    check: bool,
    splice: &mut Splice<'_>,
) -> Result<(), String> {
    let root = Object::read(resources, path, MEMBERS)?;
    for (n, member) in MEMBERS.into_iter().enumerate() {
        let edits: Vec<(&Edit, &str)> = edits
            .iter()
            .filter_map(|edit| Some((edit, edit.pointer.strip_prefix('/')?.split_once('/')?)))
            .filter(|(_, (object, _))| *object == member)
            .map(|(edit, (_, key))| (edit, key))
            .collect();
        let Some(there) = root.get(n) else {
            if !edits.is_empty() {
                let mut made = whole(edits.iter().map(|(edit, _)| *edit));
                let made = made.get_mut(member).map(Json::take).unwrap_or_default();
                splice.set(&root, n, member, with_check(made, check && member == "memory"));
            }
            continue;
        };
        let place = format!("{path}.{member}");
        if member == LIST {
            if !edits.is_empty() {
                splice.set(&root, n, member, list(there, &place, &edits)?);
            }
            continue;
        }
        for (edit, key) in &edits {
            // keys of files are free, and no decoder folds their case
            let object = match member {
                "unified" => Object::read_map(there, &place, [*key])?,
                _ => Object::read(there, &place, [*key])?,
            };
            splice.set(&object, 0, key, edit.value.to_string());
        }
        if check && member == "memory" {
            let object = Object::read(there, &place, ["limit", "checkBeforeUpdate"])?;
            let limited = object.get(0).is_some() || edits.iter().any(|(_, key)| *key == "limit");
            if limited && object.get(1).is_none() {
                splice.set(&object, 1, "checkBeforeUpdate", json!(true).to_string());
            }
        }
    }
    Ok(())
}

/// A document with these fields alone.
pub fn text(edits: &[Edit]) -> String {
    whole(edits.iter()).to_string()
}

fn whole<'e>(edits: impl Iterator<Item = &'e Edit>) -> Json {
    let mut document = json!({});
    let merge = Merge { edits: edits.cloned().collect(), ..Merge::default() };
    // into an empty object everything can be put
    let _ = merge.apply(&mut document);
    document
}

fn with_check(mut memory: Json, check: bool) -> String {
    if let Some(memory) = memory.as_object_mut().filter(|memory| check && memory.contains_key("limit")) {
        memory.insert("checkBeforeUpdate".to_owned(), json!(true));
    }
    memory.to_string()
}

/// The list is short, and written whole.
fn list(there: Value<'_>, place: &str, edits: &[(&Edit, &str)]) -> Result<String, String> {
    let found: Json = serde_json::from_str(there.text).map_err(|_| format!("{place} is not a list"))?;
    let mut document = json!({ LIST: found });
    let merge = Merge { edits: edits.iter().map(|(edit, _)| (*edit).clone()).collect(), ..Merge::default() };
    if !merge.apply(&mut document) {
        return Err(format!("{place} is not a list of page sizes"));
    }
    Ok(document.get(LIST).map(Json::to_string).unwrap_or_default())
}

/// `linux` and `linux.resources` of config.json with nothing but these fields, for a document that lacks them.
pub(super) fn member(key: &str, edits: &[Edit]) -> String {
    format!("{{{}:{}}}", json_string(key), text(edits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resize::field::Field;
    use crate::resize::sticky::merge;

    /// `sent` with these overrides, of which the engine has said nothing new.
    fn written(sent: &str, held: Json, check: bool) -> Result<String, String> {
        let fields = held.as_object().unwrap().clone();
        let held = fields.into_iter().map(|(name, value)| (name.parse::<Field>().unwrap(), value)).collect();
        let document: Json = serde_json::from_str(sent).unwrap();
        let merge = merge(&document, Some(&document), &held);
        assert!(merge.ended.is_empty() && merge.waiting.is_empty(), "{merge:?}");
        let mut splice = Splice::new(sent);
        write(Value::whole(sent), "the document", &merge.edits, check, &mut splice)?;
        let text = splice.to_text();
        let mut expected = document;
        assert!(merge.apply(&mut expected));
        if !check {
            assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), expected, "{text}");
        }
        Ok(text)
    }

    #[test]
    fn only_the_values_that_are_overridden_change_their_bytes() {
        let sent = r#"{ "devices":[{"allow":false}], "memory" : {"limit":1048576, "x":1e3,"swap": 1048576},"cpu":null,
            "unified":{"memory.high":"5"}, "hugepageLimits":[{"pageSize":"2MB","limit":0}] }"#;
        let held = json!({"memory.limit": 2_097_152, "memory.swap": 2_097_152, "cpu.shares": 2, "cpu.quota": 1000,
            "unified.memory.high": "7", "unified.memory.min": "1", "pids.limit": 5, "hugepageLimits.2MB": 4_194_304,
            "hugepageLimits.1GB": 0});
        let text = written(sent, held, false).unwrap();
        let expected = r#"{"pids":{"limit":5}, "devices":[{"allow":false}], "memory" : {"limit":2097152, "x":1e3,"swap": 2097152},"cpu":{"quota":1000,"shares":2},
            "unified":{"memory.min":"1","memory.high":"7"}, "hugepageLimits":[{"limit":4194304,"pageSize":"2MB"},{"limit":0,"pageSize":"1GB"}] }"#;
        assert_eq!(text.replace(' ', ""), expected.replace(' ', ""));
    }

    #[test]
    fn an_empty_document_gets_what_it_lacks() {
        let held = json!({"memory.limit": 5, "memory.swap": 6, "cpu.cpus": "0-1"});
        assert_eq!(
            written("{}", held.clone(), false).unwrap(),
            r#"{"memory":{"limit":5,"swap":6},"cpu":{"cpus":"0-1"}}"#
        );
        assert_eq!(
            written(r#"{"memory":{}}"#, held, false).unwrap(),
            r#"{"cpu":{"cpus":"0-1"},"memory":{"limit":5,"swap":6}}"#
        );
    }

    #[test]
    fn a_check_is_asked_for_where_a_limit_is_set_and_nothing_is_said_of_it() {
        for (sent, expected) in [
            (r#"{"memory":{"limit":5}}"#, r#"{"memory":{"checkBeforeUpdate":true,"limit":5}}"#),
            (r#"{"memory":{"limit":5,"checkBeforeUpdate":false}}"#, ""),
            (r#"{"memory":{"swap":5}}"#, ""),
            (r#"{"cpu":{"shares":5}}"#, ""),
        ] {
            let expected = if expected.is_empty() { sent } else { expected };
            assert_eq!(written(sent, json!({}), true).unwrap(), expected);
        }
        let held = json!({"memory.limit": 5});
        assert_eq!(
            written("{}", held.clone(), true).unwrap(),
            r#"{"memory":{"checkBeforeUpdate":true,"limit":5}}"#
        );
        assert_eq!(
            written(r#"{"memory":{}}"#, held, true).unwrap(),
            r#"{"memory":{"limit":5,"checkBeforeUpdate":true}}"#
        );
    }

    #[test]
    fn files_whose_names_differ_in_case_are_different_files() {
        let sent = r#"{"unified":{"Memory.High":"5","memory.high":"6"}}"#;
        assert_eq!(
            written(sent, json!({"unified.memory.high": "7"}), false).unwrap(),
            r#"{"unified":{"Memory.High":"5","memory.high":"7"}}"#
        );
    }

    #[test]
    fn a_document_that_two_decoders_read_apart_is_not_written() {
        for sent in [r#"{"memory":{"limit":1},"Memory":{}}"#, r#"{"memory":{"limit":1,"LIMIT":2}}"#] {
            assert!(written(sent, json!({"memory.limit": 5}), false).is_err(), "{sent}");
        }
    }
}
