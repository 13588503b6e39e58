//! The attack matrix: each attack on each road, runtime and entry is one case. The doors and the levels are its rows.

use std::rc::Rc;

use anyhow::{Context, Result};

use crate::case::{Case, Outcome};
use crate::lab::Lab;
use crate::program::Bench;
use crate::runtime::Runtime;
use crate::trial::{Entry, Road};

/// The left columns of both tables.
pub(crate) const LEFT: [&str; 5] = ["door", "attack", "road", "runtime", "entry"];

/// One attack.
pub(crate) trait Attack {
    /// The number of the door in docs/threats.md.
    fn door(&self) -> u8;
    /// What is done, in a few words.
    fn name(&self) -> &str;
    /// By which commands it is tried where we call the runtime.
    fn entries(&self) -> &[Entry];
    /// Why there is nothing to try through an engine, where that is so.
    fn out_of_reach(&self) -> Option<&'static str>;
    /// Tries it on the bare runtime, then through the product.
    fn try_on(&self, lab: &Lab, road: Road, runtime: &Runtime, entry: Entry) -> Result<Outcome>;
}

/// The cases of these attacks: on the direct road, then through the engine that the bench has.
pub(crate) fn cases<B: Bench>(bench: &B, attacks: Vec<impl Attack + 'static>) -> Vec<Case<B>> {
    let lab = bench.lab();
    let missing = lab.missing.iter().map(|(kind, reason)| {
        let reason = reason.clone();
        Case::new(["all", "", "", kind.name(), ""], move |_: &B| Outcome::Skipped(reason.clone()))
    });
    let mut cases: Vec<Case<B>> = missing.collect();
    let engine = bench.engine().map(|engine| engine.name());
    for attack in attacks {
        let attack = Rc::new(attack);
        for runtime in &lab.runtimes {
            for entry in lab.entries.of(attack.entries()) {
                cases.push(direct(&attack, runtime.clone(), entry.on(runtime)));
            }
        }
        let Some(name) = engine else { continue };
        if let Some(why) = attack.out_of_reach() {
            let cells = [&door(&*attack), attack.name(), name, "any", "any"];
            cases.push(Case::new(cells, move |_: &B| Outcome::Impossible(why.to_owned())));
            continue;
        }
        for runtime in &lab.runtimes {
            for entry in Entry::of_an_engine(attack.entries()) {
                cases.push(through_the_engine(&attack, name, runtime.clone(), entry));
            }
        }
    }
    cases
}

fn direct<B: Bench>(attack: &Rc<impl Attack + 'static>, runtime: Runtime, entry: Entry) -> Case<B> {
    let attack = Rc::clone(attack);
    let cells = [&door(&*attack), attack.name(), "direct", &runtime.title(), entry.name()].map(str::to_owned);
    Case::new(cells, move |bench: &B| attack.try_on(bench.lab(), Road::Direct, &runtime, entry))
}

fn through_the_engine<B: Bench>(
    attack: &Rc<impl Attack + 'static>,
    name: &str,
    runtime: Runtime,
    entry: Entry,
) -> Case<B> {
    let attack = Rc::clone(attack);
    let cells = [&door(&*attack), attack.name(), name, &runtime.title(), entry.name()].map(str::to_owned);
    Case::new(cells, move |bench: &B| {
        let engine = bench.engine().context("the engine is gone")?;
        attack.try_on(bench.lab(), Road::Engine(engine), &runtime, entry)
    })
}

/// The number, as wide as the widest.
fn door(attack: &impl Attack) -> String {
    format!("{:2}", attack.door())
}
