//! One attack and what is expected of it, before the bare runtime and before the product.

use anyhow::{Context, Result, bail};

use crate::bundle::IMAGE;
use crate::case::Outcome;
use crate::lab::Lab;
use crate::matrix::Attack;
use crate::runtime::{Kind, Runtime};
use crate::trial::{Entry, Front, Road, Seen, Trial};

use super::verdict::{Closed, lists};

/// A numbered way in.
pub(crate) struct Door {
    pub(crate) number: u8,
    pub(crate) rows: Vec<Row>,
}

/// Where the hole is by nature. Elsewhere the bare runtime must show that it isn't there.
#[derive(Clone, Copy)]
pub(crate) enum Hole {
    /// On every runtime.
    Everywhere,
    /// Only these runtimes have the feature or the flaw.
    On(&'static [Kind]),
    /// runc before 1.3 looks gids up as names.
    NumericNames,
    /// Runtimes that were built to restore containers.
    WithCriu,
}

impl Hole {
    fn is_on(self, runtime: &Runtime) -> bool {
        match self {
            Hole::Everywhere => true,
            Hole::On(kinds) => kinds.contains(&runtime.kind),
            Hole::NumericNames => runtime.looks_up_numeric_names(),
            Hole::WithCriu => runtime.restores,
        }
    }

    /// Who has the hole, for the table.
    fn owner(self) -> String {
        match self {
            Hole::Everywhere => "every runtime".to_owned(),
            Hole::On(kinds) => kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and "),
            Hole::NumericNames => "runc before 1.3".to_owned(),
            Hole::WithCriu => "a runtime built with criu".to_owned(),
        }
    }
}

/// Whether an attack can be made through an engine at all.
pub(crate) enum Reach {
    /// As without one.
    Same,
    /// It can be tried, but who stands in these words closes the hole before us.
    ClosedBy(&'static str),
    /// There is nothing to try, and why.
    Not(&'static str),
}

type Attempt = Box<dyn Fn(&Trial) -> Result<Seen>>;
type Open = Box<dyn Fn(&Seen) -> Option<String>>;

/// One attack.
pub(crate) struct Row {
    door: u8,
    name: String,
    entries: Vec<Entry>,
    attack: Attempt,
    hole: Hole,
    open: Open,
    closed: Closed,
    elsewhere: Option<Closed>,
    by_name: Option<Closed>,
    by_engine: Option<Closed>,
    reach: Reach,
}

impl Row {
    /// An attack that has succeeded when the probe is in group 50000. Unless told otherwise it is tried by create
    /// and run, the hole is on every runtime, and closed means that exactly 1000 and 5000 are left.
    pub(crate) fn new(name: &str, attack: impl Fn(&Trial) -> Result<Seen> + 'static) -> Self {
        Self {
            door: 0,
            name: name.to_owned(),
            entries: vec![Entry::Create, Entry::Run],
            attack: Box::new(attack),
            hole: Hole::Everywhere,
            open: Box::new(|seen| holds_group(seen, IMAGE)),
            closed: Closed::Groups(vec![1000, 5000]),
            elsewhere: None,
            by_name: None,
            by_engine: None,
            reach: Reach::Same,
        }
    }

    pub(crate) fn entries(mut self, entries: &[Entry]) -> Self {
        self.entries = entries.to_vec();
        self
    }

    /// Where the hole is by nature, and what the product does where it isn't.
    pub(crate) fn hole(mut self, hole: Hole, elsewhere: Closed) -> Self {
        self.hole = hole;
        self.elsewhere = Some(elsewhere);
        self
    }

    /// What shows that the hole is open: `Some` says in a few words what was gained.
    pub(crate) fn open(mut self, open: impl Fn(&Seen) -> Option<String> + 'static) -> Self {
        self.open = Box::new(open);
        self
    }

    pub(crate) fn closed(mut self, closed: Closed) -> Self {
        self.closed = closed;
        self
    }

    /// What the product does where the runtime looks gids up by name, whatever else holds.
    pub(crate) fn where_names_are_looked_up(mut self, closed: Closed) -> Self {
        self.by_name = Some(closed);
        self
    }

    /// What the product does behind an engine, which says what the pod declares.
    pub(crate) fn where_the_engine_tells(mut self, closed: Closed) -> Self {
        self.by_engine = Some(closed);
        self
    }

    /// An engine closes the hole before us: the bare runtime behind it must show that.
    pub(crate) fn closed_by_the_engine(mut self, by: &'static str) -> Self {
        self.reach = Reach::ClosedBy(by);
        self
    }

    /// Through an engine there is nothing to try, and why.
    pub(crate) fn not_through_an_engine(mut self, why: &'static str) -> Self {
        self.reach = Reach::Not(why);
        self
    }

    /// The row of this door.
    pub(super) fn of(mut self, door: u8) -> Self {
        self.door = door;
        self
    }

    fn try_bare(&self, trial: Trial) -> Result<String> {
        let seen = (self.attack)(&trial)?;
        let closed_by = match (trial.road, &self.reach) {
            (Road::Engine(_), Reach::ClosedBy(by)) => Some(*by),
            _ => None,
        };
        let has_hole = closed_by.is_none() && self.hole.is_on(trial.runtime);
        let told = match ((self.open)(&seen), has_hole) {
            (Some(gain), true) => format!("open: {gain}"),
            (None, false) => match closed_by {
                Some(by) => format!("no hole: {by}"),
                None => format!("no hole: only {}", self.hole.owner()),
            },
            (Some(gain), false) => bail!("the hole should not exist here, but is open: {gain}"),
            (None, true) => match seen {
                Seen::Report(report) => bail!("the hole should be open, but the probe reports {report}"),
                Seen::Refused(answer) => bail!("the hole should be open, but {answer}"),
            },
        };
        trial.finish()?;
        Ok(told)
    }

    fn try_product(&self, trial: Trial) -> Result<String> {
        let runtime = trial.runtime;
        let seen = (self.attack)(&trial)?;
        if let Some(gain) = (self.open)(&seen) {
            bail!("open: {gain}");
        }
        let expected = match (&self.by_name, &self.elsewhere, &self.by_engine) {
            (Some(by_name), ..) if runtime.looks_up_numeric_names() => by_name,
            (_, Some(elsewhere), _) if !self.hole.is_on(runtime) => elsewhere,
            (.., Some(by_engine)) if matches!(trial.road, Road::Engine(_)) => by_engine,
            _ => &self.closed,
        };
        let told = expected.judge(&trial, &seen)?;
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
        if let Reach::Not(why) = self.reach { Some(why) } else { None }
    }

    fn try_on(&self, lab: &Lab, road: Road, runtime: &Runtime, entry: Entry) -> Result<Outcome> {
        let trial = |front| Trial::on(road, lab, runtime, front, entry);
        let bare = trial(Front::Bare).and_then(|trial| self.try_bare(trial)).context("bare")?;
        if lab.product.is_none() {
            return Ok(Outcome::Passed(vec![bare, "not tried: --bare-only".to_owned()]));
        }
        let product = trial(Front::Product).and_then(|trial| self.try_product(trial));
        Ok(Outcome::Passed(vec![bare, product.context("through runc-strict")?]))
    }
}

/// Whether the probe is in a group, as its own gid or as a supplementary one.
pub(crate) fn holds_group(seen: &Seen, gid: u32) -> Option<String> {
    let Seen::Report(report) = seen else { return None };
    let held = lists(report, "groups").contains(&gid) || lists(report, "gid").contains(&gid);
    held.then(|| format!("gid {gid}"))
}
