//! `runc-strict explain BUNDLE`: the decision on a bundle, with the origin of each gid, and nothing changed.

use std::fmt::Write;
use std::path::Path;

use serde_json::json;

use super::{fail, print};
use crate::error::Result;
use crate::node::bundle::{self, ConfigFile};
use crate::node::config::Config;
use crate::node::{runtime, version};
use crate::policy::{Origin, Ruling, Subject, Verdict, decide};

pub(super) fn run(bundle: &Path, json: bool) -> u8 {
    match judge(bundle) {
        Ok((subject, verdict)) => {
            let denied = matches!(verdict, Verdict::Deny(_));
            print(&if json { document(&subject, &verdict) } else { text(bundle, &subject, &verdict) });
            u8::from(denied)
        }
        Err(why) => fail(&why),
    }
}

fn judge(bundle: &Path) -> Result<(Subject, Verdict)> {
    let config = Config::load()?;
    let runtime = runtime::locate(&config.runtime)?;
    let bundle = std::path::absolute(bundle).map_err(crate::error::Error::io("resolve", bundle))?;
    let file = ConfigFile::of_bundle(&bundle)?;
    let document = file.document()?;
    let version = version::of(&runtime);
    let id = bundle.file_name().unwrap_or_default().to_string_lossy();
    let subject = bundle::subject(&bundle, &id, &file, &document, &config, &version)?;
    let verdict = decide(&subject, &config.policy());
    Ok((subject, verdict))
}

fn text(bundle: &Path, subject: &Subject, verdict: &Verdict) -> String {
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

fn document(subject: &Subject, verdict: &Verdict) -> String {
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
        "before": subject.process.groups,
        "after": identity.map(|i| &i.groups),
        "level": identity.map(|i| i.level),
        "rulings": identity.map(|i| &i.rulings),
        "findings": identity.map(|i| &i.findings),
    });
    format!("{document}\n")
}
