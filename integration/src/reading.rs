//! What the runtimes themselves make of odd documents: each is started from a config.json of the table
//! tests/data/reading.jsonl, and who its process then is must be what stands there. tests/reading.rs holds our own reading
//! against the same table. Behind the product a document is refused, or gives the groups that the bare runtime gives.
//!
//! With `RECORD` in the environment, the table is written to that file anew, with what was seen of these runtimes.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::bundle::Bundle;
use crate::case::{Case, Outcome, Suite};
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Seen, Trial};

/// `suites run reading`.
pub(crate) const SUITE: Suite<Lab> = Suite {
    name: "reading",
    about: "who a process is after odd documents, on each runtime, as the table says",
    headings: &["document", "runtime", "bare", "runc-strict"],
    cases,
};

const TABLE: &str = include_str!("../../tests/data/reading.jsonl");

/// A case's text may hold these: the members of the document, and of its process, that aren't under trial.
const REST: &str = "@REST@";
const PROCESS: &str = "@PROCESS@";

type Rows = Rc<RefCell<Vec<Value>>>;

fn cases(lab: &Lab) -> Vec<Case<Lab>> {
    let mut cases = Vec::new();
    for (kind, reason) in &lab.missing {
        let reason = reason.clone();
        cases.push(Case::new(["all", kind.name()], move |_| Outcome::Skipped(reason.clone())));
    }
    let rows: Vec<Value> = TABLE.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let count = rows.len();
    let seen: Rows = Rc::new(RefCell::new(rows));
    for number in 0..count {
        for runtime in lab.runtimes.clone() {
            let name = seen.borrow()[number]["name"].as_str().unwrap_or_default().to_owned();
            let (seen, title) = (Rc::clone(&seen), runtime.title());
            cases.push(Case::new([name, title], move |lab| try_on(lab, &runtime, &seen, number)));
        }
    }
    cases
}

fn try_on(lab: &Lab, runtime: &Runtime, rows: &Rows, number: usize) -> Result<Outcome> {
    let row = rows.borrow()[number].clone();
    let document = row["document"].as_str().context("a row without a document")?.to_owned();
    let bare = read_by(lab, runtime, Front::Bare, &document)?;
    let title = runtime.title();
    if let Some(path) = std::env::var_os("RECORD") {
        rows.borrow_mut()[number]["read"][&title] = bare.clone();
        let lines: Vec<String> = rows.borrow().iter().map(|row| format!("{row}\n")).collect();
        fs::write(&path, lines.concat()).context("write the table")?;
    } else {
        let known = &row["read"][&title];
        if known.is_null() {
            return Ok(Outcome::Skipped(format!("the table has no column for {title}; it read {bare}")));
        }
        ensure!(*known == bare, "the table says {known}, and it read {bare}");
    }
    if lab.product.is_none() {
        return Ok(Outcome::Passed(vec![bare.to_string(), "not tried".to_owned()]));
    }
    let strict = read_by(lab, runtime, Front::Product, &document)?;
    // What is refused starts nothing; else the process is who a runtime would make it, and in its own group too.
    if strict != json!(REFUSED) {
        // a runtime that refuses the list as it stands takes it as it is written anew
        let others = row["read"].as_object().into_iter().flat_map(Map::values);
        let read = [&bare].into_iter().chain(others).find(|read| read.is_object());
        let expected = match read {
            Some(read) => judged(read),
            // what no runtime takes leaves nothing but the primary group
            None => json!({"uid": strict["uid"], "gid": strict["gid"], "groups": [strict["gid"]]}),
        };
        ensure!(strict == expected, "judged as {expected}, and the container got {strict}");
    }
    Ok(Outcome::Passed(vec![bare.to_string(), strict.to_string()]))
}

/// Who the process is behind the product, where every group is allowed and kept: in its primary group too, and in none
/// above the largest gid.
fn judged(read: &Value) -> Value {
    let mut judged = read.clone();
    let gids = [set(&read["groups"]), set(&json!([read["gid"]]))].concat();
    let kept: Vec<u64> = gids.into_iter().filter(|gid| i32::try_from(*gid).is_ok()).collect();
    judged["groups"] = json!(set(&json!(kept)));
    judged
}

/// What stands in the table for a runtime that starts nothing.
const REFUSED: &str = "refused";

/// Who the process is that a document gives.
fn read_by(lab: &Lab, runtime: &Runtime, front: Front, document: &str) -> Result<Value> {
    let trial = Trial::new(lab, runtime, front, Entry::Create)?;
    trial.configure("", "[[namespace]]\nallow = [\"0-2147483647\"]\nkeep = true\n")?;
    let bundle = trial.bundle()?;
    bundle.harmless_groups()?;
    fs::write(bundle.dir.join("config.json"), whole(&bundle, document)).context("write the document")?;
    let seen = match trial.enter_written(&bundle)? {
        Seen::Refused(_) => json!(REFUSED),
        Seen::Report(report) => json!({
            "uid": report["uid"][0],
            "gid": report["gid"][0],
            "groups": set(&report["groups"]),
        }),
    };
    trial.finish()?;
    Ok(seen)
}

/// crun gives the kernel a gid twice that stands twice, runc once: it is one group.
fn set(groups: &Value) -> Vec<u64> {
    let mut groups = numbers(groups);
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn numbers(list: &Value) -> Vec<u64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// The bytes of a row's document: with the members that a container needs, and with `@FF@` as the byte 255.
fn whole(bundle: &Bundle, document: &str) -> Vec<u8> {
    let without = |value: &Value, key: &str| {
        let members: Map<String, Value> = value.as_object().cloned().unwrap_or_default();
        let members: Map<_, _> = members.into_iter().filter(|(name, _)| name != key).collect();
        let text = Value::Object(members).to_string();
        text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().to_owned()
    };
    let rest = without(&bundle.spec, "process");
    let process = without(&bundle.spec["process"], "user");
    let text = document.replace(REST, &rest).replace(PROCESS, &process);
    let mut bytes = Vec::with_capacity(text.len());
    for (n, part) in text.split("@FF@").enumerate() {
        bytes.extend((n > 0).then_some(0xff));
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}
