//! `set`, and what `apply` has in common with it: from what was asked to a committed transaction, or to everything as it
//! was.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::Instant;

use super::commit::{self, Commit};
use super::crowd::side_by_side;
use super::exit::{Exit, Halt};
use super::options::{How, Set};
use super::scene::{Stage, Wishes};
use super::show::{self, Outcome, PodPlan};
use super::signs::Moment;
use super::sticky::{self, Lasting};
use super::target::{self, Found};
use crate::error::{self, Error};
use crate::node::audit::{self, Line, Resize};
use crate::node::cgroup::Tree;
use crate::node::config::Config;
use crate::node::transaction::{Lock, Site};
use crate::quote::told;
use crate::resize::desired::desired;
use crate::resize::knob::CgroupVersion;
use crate::resize::knobs::Knobs;
use crate::resize::plan::{Level, Plan, plan};
use crate::resize::request::Request;
use crate::resize::snapshot::CgroupKey;

/// The largest document that is read.
const LIMIT: u64 = 64 * 1024 * 1024;

/// `set`.
pub(super) fn set(asked: &Set) -> Result<(), Halt> {
    let mut request = match &asked.resources {
        Some(path) => {
            let text = document(path)?;
            let resources = serde_json::from_str(&text).map_err(|why| {
                Halt::usage(format!("{}: no LinuxResources object: {}", error::show(path), told(why)))
            })?;
            Request::from_oci(&resources)?
        }
        None => Request::default(),
    };
    asked.limits.add_to(&mut request)?;
    if request.is_empty() {
        return Err(Halt::usage(
            "nothing is asked for; give a limit such as --memory-limit 512Mi, or --resources FILE",
        ));
    }
    let tree = Tree::open()?;
    let found = target::find(&tree, &asked.target)?;
    let name = match &found.chosen {
        Some(name) => name.clone(),
        None => only(&found)?,
    };
    let wanted = Wanted { found, requests: BTreeMap::from([(name, request)]) };
    let lasting = asked.hold.lasting();
    Change { command: "set", how: &asked.how, pods: vec![wanted], notes: Vec::new(), lasting }.run(tree)
}

/// The pod's one container.
pub(super) fn only(found: &Found) -> Result<String, Halt> {
    match found.containers.as_slice() {
        [one] => Ok(one.name.clone()),
        several => {
            let names: Vec<String> =
                several.iter().map(|one| crate::quote::quoted(one.name.as_bytes())).collect();
            Err(Halt::usage(format!(
                "the pod has {} containers: {}; name one by --container-name, or use apply",
                several.len(),
                names.join(", ")
            )))
        }
    }
}

/// The text of a file, or of stdin.
pub(super) fn document(path: &Path) -> Result<String, Halt> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().take(LIMIT).read_to_string(&mut text);
        return read.map(|_| text).map_err(|why| Error::io("read", "stdin".as_ref())(why).into());
    }
    crate::node::file::read_text(path, LIMIT).map_err(|why| Halt::usage(why.to_string()))
}

/// What is to be changed.
pub(super) struct Change<'a> {
    pub(super) command: &'static str,
    pub(super) how: &'a How,
    pub(super) pods: Vec<Wanted>,
    /// What was asked for and is passed over, as whole sentences.
    pub(super) notes: Vec<String>,
    /// How long it shall last.
    pub(super) lasting: Lasting,
}

/// What is wanted of one pod, or of one container without a pod.
pub(super) struct Wanted {
    pub(super) found: Found,
    /// By the container's name.
    pub(super) requests: BTreeMap<String, Request>,
}

impl Change<'_> {
    /// Locks, plans, applies; the audit log hears of it however it ends.
    pub(super) fn run(self, tree: Tree) -> Result<(), Halt> {
        let since = Instant::now();
        let done = self.change(tree);
        let audit = Audit { command: self.command, pods: &self.pods, since };
        match &done {
            Ok(Some(outcome)) => audit.done(outcome),
            Err(halt) => audit.failed(halt),
            // a dry run is no event
            Ok(None) => {}
        }
        done.map(|_| ())
    }

    fn change(&self, tree: Tree) -> Result<Option<Outcome>, Halt> {
        let how = self.how;
        let locks = side_by_side(&self.pods, |one| lock_name(&tree, &one.found))?.into_iter().collect();
        // a dry run changes nothing, and waits for nobody
        let held = if how.dry_run { None } else { Some(commit::hold(&locks, how.timeout)?) };
        let wishes =
            Wishes { mode: how.mode, formula: how.weight_formula, force: how.force, timeout: how.timeout };
        let stage = Stage::new(tree, files(&self.pods), wishes);
        // all of it is planned before anything is changed
        let planned = side_by_side(&self.pods, |one| self.plan(&stage, one))?;
        let (plans, sites): (Vec<PodPlan>, Vec<_>) = planned.into_iter().unzip();
        let scene = stage.scene(sites.into_iter().flatten());
        let (mut notes, mut wishes) = (self.notes.clone(), Vec::new());
        for (one, planned) in self.pods.iter().zip(&plans) {
            wishes.extend(sticky::holds(&self.lasting, one, &planned.plan, &mut notes)?);
        }
        if !how.dry_run {
            sticky::prepare(&wishes, &scene)?;
        }
        let requests = self.pods.iter().flat_map(|one| one.requests.values());
        let mut outcome = Outcome {
            command: self.command,
            plans,
            dry_run: how.dry_run,
            transaction: None,
            ignored: requests.flat_map(|request| request.ignored.clone()).collect(),
            notes,
            gone: Vec::new(),
            signs: Default::default(),
            holds: wishes.into_iter().map(|wish| wish.hold).collect(),
        };
        let shown = how.dry_run || how.diff || std::io::stdout().is_terminal();
        if shown && !how.json {
            crate::cli::print(&show::plan(&outcome));
        }
        if !how.dry_run && outcome.is_empty() {
            outcome.holds.iter().try_for_each(|hold| hold.make())?;
        }
        if !how.dry_run && !outcome.is_empty() {
            let names: Vec<_> = self.pods.iter().map(|one| one.found.names.clone()).collect();
            let steps = outcome.plans.iter().map(|one| one.plan.steps.as_slice()).collect::<Vec<_>>();
            // of one pod it is told what became of it; of many that would be more than anybody reads
            let told = steps.first().filter(|_| steps.len() == 1);
            let moment = || told.map(|steps| Moment::of(&scene, steps)).unwrap_or_default();
            let before = moment();
            let holds = outcome.holds.clone();
            let of = Commit { command: self.command, undoes: None, locks, pods: names, holds };
            let (transaction, gone) = commit::commit(&scene, &steps, of)?;
            (outcome.transaction, outcome.gone) = (Some(transaction), gone);
            outcome.signs = (before, moment());
            outcome.notes.extend(self.overwriters());
        }
        drop(held);
        crate::cli::print(&if how.json { show::json(&outcome) } else { show::end(&outcome, shown) });
        Ok((!how.dry_run).then_some(outcome))
    }

    /// Who may overwrite what was changed, and who doesn't hear of it.
    fn overwriters(&self) -> Vec<String> {
        let members = || self.pods.iter().flat_map(|one| &one.found.containers);
        let mut notes = Vec::new();
        if self.pods.iter().any(|one| one.found.pod.is_some()) {
            notes.push("the API server and the scheduler don't see this; the kubelet sets the pod's limits anew when it resizes the pod".to_owned());
        }
        if self.lasting == Lasting::Once && members().any(|one| one.key.is_some()) {
            notes.push(
                "the engine's next update of a container sets again all limits that the engine knows"
                    .to_owned(),
            );
        }
        notes
    }

    fn plan(&self, stage: &Stage, one: &Wanted) -> Result<(PodPlan, Sites), Halt> {
        let several = self.pods.len() > 1;
        let title = several.then(|| title(&one.found));
        let planned = || -> Result<(Plan, Sites), Halt> {
            let opened = stage.pod(&one.found, &one.requests, title.as_deref())?;
            let (snapshot, facts) = (&opened.snapshot, &opened.facts);
            let asked = one.requests.iter().map(|(name, request)| (name.as_str(), request));
            Ok((plan(snapshot, &desired(snapshot, asked, facts)?, facts)?, opened.sites))
        };
        let (plan, sites) = planned().map_err(|halt| match &title {
            Some(title) => Halt { message: format!("{title}: {}", halt.message), ..halt },
            None => halt,
        })?;
        Ok((PodPlan { title, uid: one.found.names.uid.clone(), plan }, sites))
    }
}

/// What was opened for a pod.
type Sites = Vec<(CgroupKey, Site, Knobs)>;

/// A pod's name among several: `pod default/web-1`.
pub(super) fn title(found: &Found) -> String {
    let escaped = |text: &str| crate::quote::escaped(text.as_bytes());
    match (&found.names.namespace, &found.names.name, &found.names.uid) {
        (Some(namespace), Some(name), _) => format!("pod {}/{}", escaped(namespace), escaped(name)),
        (_, _, uid) => format!("pod {}", escaped(uid.as_deref().unwrap_or_default())),
    }
}

/// Files beside the usual ones that are asked for.
fn files(pods: &[Wanted]) -> Vec<String> {
    let known = CgroupVersion::V2.files();
    let requests = pods.iter().flat_map(|one| one.requests.values());
    let asked = requests.flat_map(|request| request.unified.keys().map(|knob| knob.file()));
    asked.filter(|file| !known.contains(&file.as_str())).collect()
}

/// One lock for a pod, or for a container without one: named by the number of its cgroup's folder.
fn lock_name(tree: &Tree, found: &Found) -> Result<String, Halt> {
    let place =
        found.pod.as_ref().map(|(place, _)| place).or_else(|| found.containers.first().map(|one| &one.place));
    let place = place.ok_or_else(|| Halt::not_found("there is no container"))?;
    Ok(Lock::of_cgroup(tree.group(&place.main())?.number()))
}

/// The lines in the audit log: one for each container.
struct Audit<'a> {
    command: &'static str,
    pods: &'a [Wanted],
    since: Instant,
}

impl Audit<'_> {
    fn done(&self, outcome: &Outcome) {
        let config = Config::load().unwrap_or_default();
        let mut lines = Vec::new();
        for (one, planned) in self.pods.iter().zip(&outcome.plans) {
            for name in one.requests.keys() {
                let container = Level::Container(name.clone());
                let steps = planned.plan.steps.iter().filter(|step| step.level == container);
                let member = one.found.containers.iter().find(|member| member.name == *name);
                let cgroup = member.map(|member| member.place.to_string());
                let hold = outcome.holds.iter().find(|hold| Some(&hold.cgroup) == cgroup.as_ref());
                let kept = |kept| hold.map(|hold| sticky::names(hold, kept)).unwrap_or_default();
                let resize = Resize {
                    transaction: outcome.transaction.clone(),
                    changes: steps.filter_map(show::change).collect(),
                    sticky: kept(true),
                    ended: kept(false),
                    waiting: Vec::new(),
                };
                let verdict = if outcome.is_empty() && resize.sticky.is_empty() && resize.ended.is_empty() {
                    "keep"
                } else {
                    "change"
                };
                lines.push(self.line(&config, one, name, verdict, None, resize));
            }
        }
        self.write(&config, lines);
    }

    fn failed(&self, halt: &Halt) {
        let config = Config::load().unwrap_or_default();
        let verdict = match halt.exit {
            Exit::WouldOom | Exit::Infeasible | Exit::Usage | Exit::Busy | Exit::NotFound => "deny",
            _ => "error",
        };
        let line = |one: &Wanted, name: &String| {
            let resize = Resize { transaction: halt.transaction.clone(), ..Resize::default() };
            self.line(&config, one, name, verdict, Some(halt.message.clone()), resize)
        };
        let lines = self
            .pods
            .iter()
            .flat_map(|one| one.requests.keys().map(|name| line(one, name)).collect::<Vec<_>>());
        self.write(&config, lines.collect());
    }

    fn line(
        &self,
        config: &Config,
        one: &Wanted,
        name: &str,
        verdict: &str,
        reason: Option<String>,
        resize: Resize,
    ) -> Line {
        let member = one.found.containers.iter().find(|one| one.name == *name);
        let key = member.and_then(|one| one.key.as_ref());
        let mut line = Line::new(
            &format!("cgroup-updater {}", self.command),
            key.map_or(name, |key| key.id.as_str()),
            config.engine.name(),
        );
        line.root = key.map_or_else(String::new, |key| key.root.display().to_string());
        line.pod = one.found.names.clone();
        line.pod.container = Some(name.to_owned()).filter(|_| one.found.pod.is_some());
        verdict.clone_into(&mut line.verdict);
        line.reason = reason;
        line.resize = Some(resize);
        line
    }

    fn write(&self, config: &Config, mut lines: Vec<Line>) {
        // the resize is done; a log that can't be written is told and stops nothing
        if let Err(why) = audit::append(&mut lines, &config.audit.path, self.since) {
            crate::cli::fail(&why);
        }
    }
}
