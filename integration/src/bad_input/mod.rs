//! What is broken: documents, bundles, disks, configurations. Each must be refused in one clear sentence and lose
//! nothing, or, where a command must never fail, be no reason to fail.

use std::fs;

use anyhow::Result;

use crate::case::{Case, Outcome, Suite};
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Trial};

mod bundles;
mod configuration;
pub(crate) mod disk;
mod documents;
mod processes;

/// `suites run bad-input`.
pub(crate) const SUITE: Suite<Lab> = Suite {
    name: "bad-input",
    about: "what is broken is refused in one sentence, and nothing is lost",
    headings: &["input", "runtime", "result"],
    cases,
};

type Attempt = Box<dyn Fn(&Trial) -> Result<String>>;

/// One broken thing. The function says in a few words how it ended, or fails.
pub(crate) struct Input {
    name: String,
    run: Attempt,
}

impl Input {
    fn new(name: &str, run: impl Fn(&Trial) -> Result<String> + 'static) -> Self {
        Self { name: name.to_owned(), run: Box::new(run) }
    }

    fn try_on(&self, lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
        if lab.product.is_none() {
            return Ok(Outcome::Skipped("needs the product, and --bare-only was given".to_owned()));
        }
        let trial = Trial::new(lab, runtime, Front::Product, Entry::Create)?;
        let told = (self.run)(&trial)?;
        trial.finish()?;
        Ok(Outcome::Passed(vec![told]))
    }
}

fn cases(lab: &Lab) -> Vec<Case<Lab>> {
    let mut cases: Vec<Case<Lab>> = lab
        .missing
        .iter()
        .map(|(kind, reason)| {
            let reason = reason.clone();
            Case::new(vec!["all".to_owned(), kind.name().to_owned()], move |_| {
                Outcome::Skipped(reason.clone())
            })
        })
        .collect();
    let inputs = [
        documents::inputs(),
        bundles::inputs(),
        disk::inputs(),
        processes::inputs(),
        configuration::inputs(),
    ];
    for input in inputs.into_iter().flatten() {
        let input = std::rc::Rc::new(input);
        for runtime in lab.runtimes.clone() {
            let input = std::rc::Rc::clone(&input);
            let cells = vec![input.name.clone(), runtime.title()];
            cases.push(Case::new(cells, move |lab| input.try_on(lab, &runtime)));
        }
    }
    cases
}

/// How many entries a folder has.
fn count(folder: &std::path::Path) -> Result<usize> {
    Ok(fs::read_dir(folder)?.count())
}
