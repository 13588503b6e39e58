//! What exec brings back: doors 2 (the engine's own list), 3 (exec without a document) and 25 (another user).

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::runtime::Kind;
use crate::trial::{Entry, Front, Seen, Trial};

use super::{Closed, Door, Hole, Row};

const DOCUMENT: [Entry; 2] = [Entry::Exec, Entry::ExecDetached];
const WORDS: [Entry; 1] = [Entry::ExecWords];
/// CAP_SETGID in the kernel's mask.
const SETGID: u64 = 1 << 6;
const NO_USER: &str = "the CRI's exec names no user";
const NO_WORDS: &str = "containerd's shim always hands over a process document";
const CEILING: &str = "[[namespace]]\nallow = [\"1000\", \"5000\"]\nceiling = true\n";

pub(super) fn doors() -> Vec<Door> {
    vec![
        Door { number: 2, rows: engines_list() },
        Door {
            number: 3,
            rows: without_document().into_iter().map(|row| row.not_through_an_engine(NO_WORDS)).collect(),
        },
        Door {
            number: 25,
            rows: vec![
                Row::new("exec -u 1001:50000", |trial| flags(trial, &["-u", "1001:50000"]))
                    .entries(&WORDS)
                    .closed(Closed::refused(&["-u"]))
                    .not_through_an_engine(NO_USER),
                Row::new("the document's gid is the image's, under a ceiling", other_gid)
                    .entries(&DOCUMENT)
                    .closed(Closed::refused(&["50000"]))
                    .not_through_an_engine(NO_USER),
            ],
        },
    ]
}

fn engines_list() -> Vec<Row> {
    vec![
        Row::new("the engine sends its merged list again", |trial| trial.enter(&trial.bundle()?))
            .entries(&DOCUMENT),
        Row::new("the document leaves no_new_privs off", without_no_new_privs)
            .entries(&DOCUMENT)
            .open(|seen| match seen {
                Seen::Report(report) if report["no_new_privs"] == json!(false) => {
                    Some("no_new_privs off".to_owned())
                }
                _ => None,
            })
            .closed(Closed::Fact("no_new_privs as in the container", |report| {
                report["no_new_privs"] == json!(true)
            }))
            .not_through_an_engine("containerd takes no_new_privs from the pod, for exec as for create"),
        Row::new("config.json is widened after create", |trial| after_create(trial, widen))
            .entries(&DOCUMENT),
        Row::new("the node's configuration is widened after create", |trial| {
            after_create(trial, |trial, _| {
                trial.configure("", "[[namespace]]\nallow = [\"50000\"]\nkeep = true\n")
            })
        })
        .entries(&DOCUMENT),
        Row::new("the record is gone", |trial| after_create(trial, forget)).entries(&DOCUMENT),
        Row::new("the record is damaged", |trial| after_create(trial, damage)).entries(&DOCUMENT),
        Row::new("the container is older than the installation", older).entries(&DOCUMENT),
    ]
}

fn without_document() -> Vec<Row> {
    vec![
        Row::new("the container's own list", |trial| trial.enter(&trial.bundle()?))
            .entries(&WORDS)
            .hole(Hole::On(&[Kind::Runc]), Closed::groups(&[1000, 5000])),
        // crun and youki run such a process as root, whoever the container's user is.
        Row::new("the container's own user", |trial| after_clean_create(trial, |_, _| Ok(())))
            .entries(&WORDS)
            .open(|seen| match seen {
                Seen::Report(report) if report["uid"] != json!([1000, 1000, 1000, 1000]) => {
                    Some("uid 0".to_owned())
                }
                _ => None,
            })
            .hole(Hole::On(&[Kind::Crun, Kind::Youki]), Closed::groups(&[1000, 5000])),
        Row::new("exec -g 50000", |trial| flags(trial, &["-g", "50000"]))
            .entries(&WORDS)
            .hole(Hole::On(&[Kind::Runc, Kind::Youki]), Closed::refused(&["-g"]))
            .closed(Closed::refused(&["-g"])),
        Row::new("exec --cap CAP_SETGID", |trial| flags(trial, &["--cap", "CAP_SETGID"]))
            .entries(&WORDS)
            .open(holds_setgid)
            .closed(Closed::refused(&["--cap"])),
        Row::new("config.json is widened after create", |trial| after_clean_create(trial, widen))
            .entries(&WORDS)
            .hole(Hole::On(&[Kind::Runc]), Closed::groups(&[1000, 5000])),
        Row::new("an annotation names another bundle", other_bundle)
            .entries(&WORDS)
            .hole(Hole::On(&[Kind::Runc]), Closed::refused(&["bundle"]))
            .closed(Closed::refused(&["bundle"])),
    ]
}

/// A sleeping container of the standard bundle, then something happens, then the engine's document comes.
fn after_create(trial: &Trial, happening: fn(&Trial, &Bundle) -> Result<()>) -> Result<Seen> {
    launch_then(trial, trial.bundle()?, happening)
}

/// The same, but nothing of 50000 stands in the document at create.
fn after_clean_create(trial: &Trial, happening: fn(&Trial, &Bundle) -> Result<()>) -> Result<Seen> {
    let mut bundle = trial.bundle()?;
    bundle.user(1000, 1000, &[1000, 5000]);
    launch_then(trial, bundle, happening)
}

fn launch_then(trial: &Trial, bundle: Bundle, happening: fn(&Trial, &Bundle) -> Result<()>) -> Result<Seen> {
    if let Some(refused) = trial.launch(&bundle)? {
        return Ok(Seen::Refused(refused));
    }
    happening(trial, &bundle)?;
    trial.exec(&bundle.spec["process"])
}

fn widen(trial: &Trial, bundle: &Bundle) -> Result<()> {
    let path = trial.runtime_bundle(bundle).join("config.json");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut spec: Value = serde_json::from_str(&text).context("read config.json")?;
    spec["process"]["user"]["additionalGids"] = json!([1000, 5000, 50000]);
    spec["annotations"]["runc-strict/supplemental-groups"] = json!("5000");
    fs::write(&path, spec.to_string()).with_context(|| format!("write {}", path.display()))
}

fn forget(trial: &Trial, _: &Bundle) -> Result<()> {
    if trial.front == Front::Bare {
        return Ok(());
    }
    fs::remove_file(trial.record()).with_context(|| format!("remove the record {}", trial.record().display()))
}

fn damage(trial: &Trial, _: &Bundle) -> Result<()> {
    if trial.front == Front::Bare {
        return Ok(());
    }
    let record = trial.record();
    let bytes = fs::read(&record).with_context(|| format!("read the record {}", record.display()))?;
    fs::write(&record, bytes.get(..bytes.len() / 2).unwrap_or_default()).context("cut the record in half")
}

fn older(trial: &Trial) -> Result<Seen> {
    let bundle = trial.bundle()?;
    if let Some(refused) = trial.launch_behind_the_product(&bundle)? {
        return Ok(Seen::Refused(refused));
    }
    trial.exec(&bundle.spec["process"])
}

fn without_no_new_privs(trial: &Trial) -> Result<Seen> {
    let mut bundle = trial.bundle()?;
    bundle.spec["process"]["noNewPrivileges"] = json!(true);
    if let Some(refused) = trial.launch(&bundle)? {
        return Ok(Seen::Refused(refused));
    }
    let mut process = bundle.process(&["/probe", "status"]);
    process["noNewPrivileges"] = json!(false);
    trial.exec(&process)
}

/// exec of the probe by words, with flags before them, into a container that holds no capability and not 50000.
fn flags(trial: &Trial, flags: &[&str]) -> Result<Seen> {
    let mut bundle = trial.bundle()?;
    bundle.user(1000, 1000, &[1000, 5000]);
    bundle.spec["process"]["capabilities"] = json!({});
    if let Some(refused) = trial.launch(&bundle)? {
        return Ok(Seen::Refused(refused));
    }
    let call =
        trial.call().argument("exec").arguments(flags).argument(&trial.id).arguments(["/probe", "status"]);
    Seen::of(trial.attempt(call)?)
}

fn holds_setgid(seen: &Seen) -> Option<String> {
    let Seen::Report(report) = seen else { return None };
    let sets = ["inheritable", "permitted", "effective", "bounding", "ambient"];
    let holds = |set: &&str| {
        let mask = u64::from_str_radix(report[*set].as_str().unwrap_or_default(), 16).unwrap_or_default();
        mask & SETGID != 0
    };
    let held: Vec<&str> = sets.into_iter().filter(holds).collect();
    (!held.is_empty()).then(|| format!("CAP_SETGID {}", held.join(", ")))
}

fn other_gid(trial: &Trial) -> Result<Seen> {
    trial.configure("", CEILING)?;
    let mut bundle = trial.bundle()?;
    bundle.user(1000, 1000, &[1000, 5000]);
    if let Some(refused) = trial.launch(&bundle)? {
        return Ok(Seen::Refused(refused));
    }
    let mut process = bundle.process(&["/probe", "status"]);
    process["user"] = json!({"uid": 1001, "gid": 50000, "additionalGids": [5000, 50000]});
    trial.exec(&process)
}

/// runc finds the bundle for exec by the first label `bundle=`, and labels from annotations come before its own.
fn other_bundle(trial: &Trial) -> Result<Seen> {
    let evil = trial.bundle_in(&trial.dir.join("evil"))?;
    evil.write()?;
    let mut bundle = trial.bundle()?;
    bundle.user(1000, 1000, &[1000, 5000]);
    bundle.annotation("bundle", &evil.dir.to_string_lossy());
    trial.enter(&bundle)
}
