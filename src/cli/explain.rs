//! `runc-strict explain BUNDLE`: the decision on a bundle, with the origin of each gid, and nothing changed.

use std::fmt::Write;
use std::path::Path;

use serde_json::json;

use super::{fail, print};
use crate::error::Result;
use crate::node::bundle::{self, ConfigFile};
use crate::node::config::Config;
use crate::node::{containerd, runtime, version};
use crate::policy::subject::Declared;
use crate::policy::{Origin, Ruling, Subject, Verdict, decide};

pub(super) fn run(bundle: &Path, json: bool) -> u8 {
    match judge(bundle) {
        Ok((subject, verdict, unasked)) => {
            let denied = matches!(verdict, Verdict::Deny(_));
            let unasked = unasked.as_deref();
            print(&match json {
                true => document(&subject, &verdict, unasked),
                false => text(bundle, &subject, &verdict, unasked),
            });
            u8::from(denied)
        }
        Err(why) => fail(&why),
    }
}

/// The decision, and why the engine's own word isn't in it where it should be.
fn judge(bundle: &Path) -> Result<(Subject, Verdict, Option<String>)> {
    let config = Config::load()?;
    let runtime = runtime::locate(&config.runtime)?;
    let bundle = std::path::absolute(bundle).map_err(crate::error::Error::io("resolve", bundle))?;
    let file = ConfigFile::of_bundle(&bundle)?;
    let document = file.document()?;
    let version = version::of(&runtime);
    let id = bundle.file_name().unwrap_or_default().to_string_lossy();
    let mut subject = bundle::subject(&bundle, &id, &file, &document, &config, &version)?;
    // containerd's bundles are at <state>/<namespace>/<id>. A create without an answer would be refused; what is
    // only looked at, maybe as a copy on another machine, is judged by what is known.
    let place = bundle.parent().unwrap_or(&bundle);
    let unasked = containerd::complete(&mut subject, &config, place, &id).err().map(|why| why.to_string());
    let verdict = decide(&subject, &config.policy());
    Ok((subject, verdict, unasked))
}

fn text(bundle: &Path, subject: &Subject, verdict: &Verdict, unasked: Option<&str>) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = writeln!(out, "bundle    {}", bundle.display());
    if let Some(namespace) = &subject.pod.namespace {
        let name = subject.pod.name.as_deref().unwrap_or("-");
        let pod = crate::quote::escaped(format!("{namespace}/{name}").as_bytes());
        let _ = writeln!(out, "pod       {pod}");
    }
    let process = &subject.process;
    let _ = writeln!(out, "process   uid {}, gid {}", process.uid, process.gid);
    match (&subject.declared, unasked) {
        (Declared::Known { groups, primary }, _) => {
            let what = if subject.sandbox { ", the pod's sandbox" } else { "" };
            let primary = if *primary { "" } else { ", no primary gid" };
            let _ = writeln!(out, "declared  groups {groups}{primary}{what}");
        }
        (Declared::Unknown, Some(why)) => {
            let _ = writeln!(out, "declared  unknown, so create would be refused: {why}");
        }
        (Declared::Unknown, None) => {}
    }
    let identity = match verdict {
        Verdict::Deny(reason) => {
            let _ = writeln!(out, "verdict   refused: {reason}");
            return out;
        }
        Verdict::Keep(identity) => {
            let _ = writeln!(out, "verdict   kept: the document already says it");
            identity
        }
        Verdict::Change(change) => {
            let _ = writeln!(out, "verdict   changed");
            &change.identity
        }
    };
    let list =
        |gids: &mut dyn Iterator<Item = u32>| gids.map(|g| g.to_string()).collect::<Vec<_>>().join(" ");
    let _ = writeln!(out, "level     {}", identity.level);
    let _ = writeln!(out, "asked     {}", list(&mut process.groups.iter().copied()));
    let _ =
        writeln!(out, "gets      {}", list(&mut identity.groups.iter().map(crate::policy::gid::Gid::get)));
    let _ = writeln!(out);
    let _ = writeln!(out, "{:>10}  {:<8} {:<34} why", "gid", "", "comes from");
    for ruling in &identity.rulings {
        let kept = if ruling.kept { "kept" } else { "dropped" };
        let _ =
            writeln!(out, "{:>10}  {kept:<8} {:<34} {}", ruling.gid, origins(ruling), ruling.rule.sentence());
    }
    for finding in &identity.findings {
        let _ = writeln!(out, "note: {}", finding.sentence());
    }
    out
}

fn origins(ruling: &Ruling) -> String {
    let name = |origin: &Origin| match origin {
        Origin::Primary => "primary gid".to_owned(),
        Origin::Declared => "declared".to_owned(),
        Origin::Node => "node's allow".to_owned(),
        Origin::Annotation => "annotation".to_owned(),
        Origin::Residual => "engine's list, not the image".to_owned(),
        Origin::Image(name) if name.is_empty() => "image's etc/group".to_owned(),
        Origin::Image(name) => format!("image's etc/group \"{name}\""),
        Origin::Merged => "engine's list".to_owned(),
    };
    ruling.origins.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn document(subject: &Subject, verdict: &Verdict, unasked: Option<&str>) -> String {
    let declared = match &subject.declared {
        Declared::Known { groups, primary } => json!({ "groups": groups, "primary": primary }),
        Declared::Unknown => json!(null),
    };
    let (identity, reason) = match verdict {
        Verdict::Deny(reason) => (None, Some(reason.to_string())),
        other => (other.identity(), None),
    };
    let document = json!({
        "v": 1,
        "verdict": verdict.name(),
        "reason": reason,
        "pod": subject.pod,
        "uid": subject.process.uid,
        "gid": subject.process.gid,
        "sandbox": subject.sandbox,
        "declared": declared,
        "unasked": unasked,
        "before": subject.process.groups,
        "after": identity.map(|i| &i.groups),
        "level": identity.map(|i| i.level),
        "rulings": identity.map(|i| &i.rulings),
        "findings": identity.map(|i| &i.findings),
    });
    format!("{document}\n")
}
