//! One attack program, and what is expected of it on the bare runtime and at each level.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bundle::Bundle;
use crate::case::Outcome;
use crate::doors::refusal;
use crate::lab::Lab;
use crate::matrix::Attack;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Road, Seen, Trial};

/// Why a process that isn't root holds no capability from its first moment on behind an engine.
pub(super) const NO_AMBIENT: &str = "the CRI of containerd 1.6 gives no ambient capability";

/// What is expected at a level.
#[derive(Clone)]
pub(super) enum Expected {
    /// The attack succeeds. On the bare runtime that is the hole; at a level it is what the level documents.
    Open,
    /// The container runs and the attack fails.
    Shut,
    /// The container is refused, and the sentence has this word.
    Refused(String),
}

impl Expected {
    pub(super) fn refused(word: &str) -> Self {
        Self::Refused(word.to_owned())
    }
}

type Arrange = Box<dyn Fn(&mut Bundle) -> Result<()>>;
type Gained = Box<dyn Fn(&Value) -> bool>;

/// One attack.
pub(super) struct Row {
    door: u8,
    name: String,
    entries: Vec<Entry>,
    arrange: Arrange,
    gained: Gained,
    bare: Expected,
    levels: [Expected; 3],
    out_of_reach: Option<&'static str>,
}

/// The levels as the configuration names them, from the lowest.
pub(super) const LEVELS: [&str; 3] = ["groups", "sealed", "paranoid"];

impl Row {
    /// An attack that `arrange` puts into the bundle and that has succeeded when the probe reports `ok`. Unless told
    /// otherwise it is open on the bare runtime and at level groups, and shut above.
    pub(super) fn new(door: u8, name: &str, arrange: impl Fn(&mut Bundle) -> Result<()> + 'static) -> Self {
        Self {
            door,
            name: name.to_owned(),
            entries: vec![Entry::Create, Entry::Run, Entry::Exec, Entry::ExecDetached],
            arrange: Box::new(arrange),
            gained: Box::new(|report| report["ok"] == Value::Bool(true)),
            bare: Expected::Open,
            levels: [Expected::Open, Expected::Shut, Expected::Shut],
            out_of_reach: None,
        }
    }

    pub(super) fn entries(mut self, entries: &[Entry]) -> Self {
        self.entries = entries.to_vec();
        self
    }

    pub(super) fn gained(mut self, gained: impl Fn(&Value) -> bool + 'static) -> Self {
        self.gained = Box::new(gained);
        self
    }

    /// An attack that fails by nature.
    pub(super) fn no_hole(mut self) -> Self {
        self.bare = Expected::Shut;
        self
    }

    /// What is expected at groups, sealed and paranoid.
    pub(super) fn levels(mut self, groups: Expected, sealed: Expected, paranoid: Expected) -> Self {
        self.levels = [groups, sealed, paranoid];
        self
    }

    /// Through an engine there is nothing to try, and why.
    pub(super) fn not_through_an_engine(mut self, why: &'static str) -> Self {
        self.out_of_reach = Some(why);
        self
    }

    fn attempt(&self, trial: Trial, expected: &Expected) -> Result<String> {
        let mut bundle = trial.bundle()?;
        (self.arrange)(&mut bundle)?;
        let seen = trial.enter(&bundle)?;
        let told = match (expected, &seen) {
            (Expected::Open, Seen::Report(report)) if (self.gained)(report) => "open".to_owned(),
            (Expected::Shut, Seen::Report(report)) if !(self.gained)(report) => "closed".to_owned(),
            (Expected::Open, Seen::Report(report)) => bail!("should be open, but the probe reports {report}"),
            (Expected::Shut, Seen::Report(report)) => bail!("open: the probe reports {report}"),
            (Expected::Refused(word), Seen::Refused(answer)) => {
                refusal(&trial, answer, std::slice::from_ref(word))?;
                format!("refused: {word}")
            }
            (Expected::Refused(word), Seen::Report(report)) => {
                bail!("should be refused for {word}, but the probe reports {report}")
            }
            (_, Seen::Refused(answer)) => bail!("should run, but {answer}"),
        };
        trial.finish()?;
        Ok(told)
    }
}

impl Attack for Row {
    fn door(&self) -> u8 {
        self.door
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn out_of_reach(&self) -> Option<&'static str> {
        self.out_of_reach
    }

    /// The bare runtime first, then each level.
    fn try_on(&self, lab: &Lab, road: Road, runtime: &Runtime, entry: Entry) -> Result<Outcome> {
        let bare = Trial::on(road, lab, runtime, Front::Bare, entry)?;
        let mut cells = vec![self.attempt(bare, &self.bare).context("bare")?];
        for (level, expected) in LEVELS.into_iter().zip(&self.levels) {
            if lab.product.is_none() {
                cells.push("not tried: --bare-only".to_owned());
                continue;
            }
            let trial = Trial::on(road, lab, runtime, Front::Product, entry)?;
            trial.configure(&format!("level = \"{level}\""), "")?;
            cells.push(self.attempt(trial, expected).with_context(|| format!("at level {level}"))?);
        }
        Ok(Outcome::Passed(cells))
    }
}

/// The five capability sets with the same capabilities in each.
pub(super) fn all_sets(names: &[&str]) -> Value {
    serde_json::json!({
        "bounding": names, "effective": names, "permitted": names, "inheritable": names, "ambient": names,
    })
}

/// The three sets that an engine fills for root.
pub(super) fn root_sets(names: &[&str]) -> Value {
    serde_json::json!({"bounding": names, "effective": names, "permitted": names})
}
