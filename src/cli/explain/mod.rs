//! `runc-strict explain BUNDLE | CONTAINER`: who a container would be, or is, with the origin of each gid and the
//! rule that kept or dropped it. Nothing is changed.
//!
//! A bundle is judged now, by the configuration as it is; a container was judged when it was created, and its record
//! is shown.

mod document;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;

use super::selection::{self, Found};
use super::{fail, print};
use crate::error::{Error, Result};
use crate::node::bundle::{self, ConfigFile};
use crate::node::config::Config;
use crate::node::{containerd, runtime, version};
use crate::policy::gid::{Gid, GidSet};
use crate::policy::subject::{Declared, Pod};
use crate::policy::{Identity, Origin, Ruling, Verdict, decide};

/// What is explained, and how it is shown.
#[derive(Debug, Args)]
#[group(skip)]
#[command(
    after_help = "A word with a slash, or a folder with a config.json, is a bundle; any other word is an id.\n\
    Exit code: 0, or 1 where the container is refused or nothing can be told."
)]
pub(super) struct Arguments {
    /// A bundle (a folder with a config.json), or a container's id or the beginning of one
    #[arg(value_name = "BUNDLE|CONTAINER")]
    what: PathBuf,
    /// Look for the container in this runtime root alone
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What is to be explained, of a bundle or of a container.
struct Case {
    /// What it was found by, as lines of a label and a text.
    place: Vec<(&'static str, String)>,
    container: Option<String>,
    root: Option<String>,
    pod: Pod,
    uid: u32,
    gid: u32,
    before: Vec<u32>,
    outcome: Outcome,
    /// Whether it is known what the pod declares.
    declared: bool,
    /// Why it isn't, where the engine should have told.
    unasked: Option<String>,
}

/// What was decided; as a [`Verdict`], for those that are kept as a record too.
struct Outcome {
    verdict: &'static str,
    /// Who the container is, or why it is refused.
    identity: std::result::Result<Box<Identity>, String>,
}

impl Case {
    /// What Kubernetes' own `supplementalGroupsPolicy: Strict` would have given: the primary gid and what the pod
    /// declares (KEP-3619); none where that isn't known.
    fn native_strict(&self) -> Option<GidSet> {
        let identity = self.outcome.identity.as_ref().ok().filter(|_| self.declared)?;
        let declared = |ruling: &&Ruling| ruling.origins.contains(&Origin::Declared);
        let mut groups: GidSet =
            identity.rulings.iter().filter(declared).filter_map(|r| Gid::new(r.gid)).collect();
        groups.insert(identity.gid);
        Some(groups)
    }
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let case = match is_bundle(&arguments.what) {
        true => of_bundle(&arguments.what),
        false => of_container(&arguments.what, arguments.root.as_deref()),
    };
    match case {
        Ok(case) => {
            print(&if arguments.json { document::of(&case) } else { text::of(&case) });
            u8::from(case.outcome.identity.is_err())
        }
        Err(why) => fail(&why),
    }
}

fn is_bundle(word: &Path) -> bool {
    word.to_string_lossy().contains('/') || word.join("config.json").is_file()
}

fn of_bundle(given: &Path) -> Result<Case> {
    let config = Config::load()?;
    let runtime = runtime::locate(&config.runtime)?;
    let bundle = std::path::absolute(given).map_err(Error::io("resolve", given))?;
    let file = ConfigFile::of_bundle(&bundle)?;
    let document = file.document()?;
    let version = version::of(&runtime);
    let id = bundle.file_name().unwrap_or_default().to_string_lossy();
    let mut subject = bundle::subject(&bundle, &id, &file, &document, &config, &version)?;
    // containerd's bundles are at <state>/<namespace>/<id>. A create without an answer would be refused; what is
    // only looked at, maybe as a copy on another machine, is judged by what is known.
    let parent = bundle.parent().unwrap_or(&bundle);
    let unasked = containerd::complete(&mut subject, &config, parent, &id).err().map(|why| why.to_string());
    let verdict = decide(&subject, &config.policy());
    let outcome = Outcome {
        verdict: verdict.name(),
        identity: match verdict {
            Verdict::Deny(reason) => Err(reason.to_string()),
            Verdict::Keep(identity) => Ok(Box::new(identity)),
            Verdict::Change(change) => Ok(Box::new(change.identity)),
        },
    };
    let mut place = vec![("bundle", crate::error::show(given))];
    match (&subject.declared, &unasked) {
        (Declared::Known { groups, primary }, _) => {
            let what = if subject.sandbox { ", the pod's sandbox" } else { "" };
            let primary = if *primary { "" } else { ", no primary gid" };
            place.push(("declared", format!("groups {groups}{primary}{what}")));
        }
        (Declared::Unknown, Some(why)) => {
            place.push(("declared", format!("unknown, so create would be refused: {why}")));
        }
        (Declared::Unknown, None) => {}
    }
    Ok(Case {
        place,
        container: None,
        root: None,
        pod: subject.pod,
        uid: subject.process.uid,
        gid: subject.process.gid,
        before: subject.process.groups,
        declared: matches!(subject.declared, Declared::Known { .. }),
        unasked,
        outcome,
    })
}

fn of_container(word: &Path, root: Option<&Path>) -> Result<Case> {
    let found = Found::look(selection::one(&word.to_string_lossy(), root)?);
    let record = found.record.map_err(|why| {
        let bundle = "explain its bundle instead, by path";
        Error::Other(format!("container \"{}\" can't be explained: {why}; {bundle}", found.key.id))
    })?;
    let state = if found.init.is_some() { "runs" } else { "doesn't run" };
    let verdict = if record.identity.groups.is_exactly(&record.before) { "keep" } else { "change" };
    Ok(Case {
        place: vec![
            ("container", format!("{} ({state})", crate::quote::escaped(record.id.as_bytes()))),
            ("root", crate::error::show(&record.root)),
            ("bundle", crate::error::show(&record.bundle)),
            ("created", format!("{} by {}, engine {}", record.time, record.runtime, record.engine)),
        ],
        container: Some(record.id),
        root: Some(record.root.display().to_string()),
        pod: record.pod,
        uid: record.identity.uid,
        gid: record.identity.gid.get(),
        before: record.before,
        declared: record.declared,
        unasked: None,
        outcome: Outcome { verdict, identity: Ok(Box::new(record.identity)) },
    })
}
