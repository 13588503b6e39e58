//! config.json that isn't what it should be.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::call::Answer;
use crate::doors::refusal;
use crate::trial::Trial;

use super::Input;

pub(super) fn inputs() -> Vec<Input> {
    let text = |name: &str, text: String| Input::new(name, move |trial| refused(trial, text.as_bytes()));
    let altered = |name: &str, alter: fn(&mut Value)| {
        Input::new(name, move |trial| {
            let mut bundle = trial.bundle()?;
            alter(&mut bundle.spec);
            create_refused(trial, &bundle, bundle.spec.to_string().as_bytes())
        })
    };
    vec![
        text("an empty document", String::new()),
        text("half a document", "{\"process\":{\"user\":".to_owned()),
        text("no JSON", "ociVersion = 1".to_owned()),
        text("an array", "[]".to_owned()),
        text("null", "null".to_owned()),
        text("no process", "{\"ociVersion\":\"1.0.2\"}".to_owned()),
        text("100000 brackets", "[".repeat(100_000)),
        text("100000 objects", "{\"process\":".repeat(100_000)),
        Input::new("no UTF-8", |trial| {
            refused(trial, b"{\"process\":{\"user\":{\"uid\":1,\"gid\":\"\xff\xfe\"}}}")
        }),
        altered("no user", |spec| {
            drop(spec["process"].as_object_mut().and_then(|process| process.remove("user")))
        }),
        altered("process is null", |spec| spec["process"] = Value::Null),
        altered("user is a list", |spec| spec["process"]["user"] = json!([])),
        altered("uid is a text", |spec| spec["process"]["user"]["uid"] = json!("1000")),
        altered("gid is negative", |spec| spec["process"]["user"]["gid"] = json!(-1)),
        altered("gid is a fraction", |spec| spec["process"]["user"]["gid"] = json!(1000.5)),
        altered("gid is 2^32", |spec| spec["process"]["user"]["gid"] = json!(1u64 << 32)),
        altered("groups are an object", |spec| spec["process"]["user"]["additionalGids"] = json!({})),
        altered("a group is 2^32 + 50000", |spec| {
            spec["process"]["user"]["additionalGids"] = json!([1000, (1u64 << 32) + 50000]);
        }),
        Input::new("a group outside gidMappings", unmapped),
        altered("annotations are a list", |spec| spec["annotations"] = json!([])),
        altered("an annotation is a number", |spec| {
            spec["annotations"]["runc-strict/supplemental-groups"] = json!(5000);
        }),
    ]
}

fn refused(trial: &Trial, bytes: &[u8]) -> Result<String> {
    create_refused(trial, &trial.bundle()?, bytes)
}

/// Creates a container of a bundle with these bytes as config.json.
fn create_refused(trial: &Trial, bundle: &Bundle, bytes: &[u8]) -> Result<String> {
    std::fs::write(bundle.dir.join("config.json"), bytes)?;
    let answer = trial.attempt(trial.create_call(bundle))?;
    refusal(trial, &answer, &["config.json".to_owned()])?;
    let stderr = answer.stderr();
    ensure!(stderr.len() < 1000, "the sentence has {} bytes", stderr.len());
    Ok(told(trial, &answer))
}

/// The runtime would fail late, with "setgroups: invalid argument".
fn unmapped(trial: &Trial) -> Result<String> {
    let mut bundle = trial.bundle()?;
    let mappings = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.spec["linux"]["namespaces"] = json!([{"type": "user"}, {"type": "pid"}, {"type": "mount"}]);
    bundle.spec["linux"]["uidMappings"] = mappings.clone();
    bundle.spec["linux"]["gidMappings"] = mappings;
    bundle.user(1000, 1000, &[1000, 70000]);
    bundle.write()?;
    let answer = trial.attempt(trial.create_call(&bundle))?;
    refusal(trial, &answer, &["70000".to_owned()])?;
    Ok(told(trial, &answer))
}

/// The sentence for the table: without the attempt's folder, and cut where it gets long.
pub(super) fn told(trial: &Trial, answer: &Answer) -> String {
    let folder = format!("{}/", trial.dir.display());
    let sentence = answer.stderr().trim_end().replace(&folder, "");
    let cut: String = sentence.chars().take(200).collect();
    if cut.len() < sentence.len() { format!("refused: {cut}…") } else { format!("refused: {cut}") }
}
