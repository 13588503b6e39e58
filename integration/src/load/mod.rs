//! Much at once, and much of everything: callers, probes, stale records, annotations, groups; and places that take no
//! more. Nothing may be lost and nothing wrong. Times are printed and not judged.

use anyhow::Result;

use crate::case::{Case, Outcome, Suite};
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::trial::Front;

mod crowd;
mod full;
mod probes;
mod size;
mod stale;

use crowd::Crowd;

/// `suites run load`.
pub(crate) const SUITE: Suite<Lab> = Suite {
    name: "load",
    about: "much at once, and much of everything: no wrong group, nothing lost or left",
    headings: &["load", "runtime", "by", "result"],
    cases,
};

/// A case that only shows something through the product.
type Attempt = fn(&Lab, &Runtime) -> Result<Outcome>;

const OURS: [(&str, Attempt); 8] = [
    ("exec probes, 200 a second", probes::paced),
    ("100,000 stale records", stale::collected),
    ("/run takes no more bytes", full::run_without_bytes),
    ("/run takes no more files", full::run_without_files),
    ("the audit log's folder is read-only", full::log_read_only),
    ("1 MB of annotations", size::annotations),
    ("65,536 groups, and one more", size::groups),
    ("the clock is set back", stale::clock_set_back),
];

fn cases(lab: &Lab) -> Vec<Case<Lab>> {
    let mut cases = Vec::new();
    let (front, name) =
        if lab.product.is_some() { (Front::Product, "runc-strict") } else { (Front::Bare, "bare") };
    for (kind, reason) in &lab.missing {
        let reason = reason.clone();
        let cells = ["all".to_owned(), kind.name().to_owned(), name.to_owned()];
        cases.push(Case::new(cells, move |_| Outcome::Skipped(reason.clone())));
    }
    let crowds = [
        ("200 containers by 8 callers, entered", Crowd { containers: 200, callers: 8, entered: true }),
        ("1,000 containers by 16 callers", Crowd { containers: 1000, callers: 16, entered: false }),
    ];
    for (what, crowd) in crowds {
        for runtime in lab.runtimes.clone() {
            let cells = [what.to_owned(), runtime.title(), name.to_owned()];
            cases.push(Case::new(cells, move |lab: &Lab| {
                if front == Front::Bare && !crowd.entered {
                    return Ok(Outcome::Skipped("needs the product, and --bare-only was given".to_owned()));
                }
                crowd::run(lab, &runtime, front, crowd)
            }));
        }
    }
    for (what, attempt) in OURS {
        for runtime in lab.runtimes.clone() {
            let cells = [what.to_owned(), runtime.title(), name.to_owned()];
            cases.push(Case::new(cells, move |lab: &Lab| {
                if lab.product.is_none() {
                    return Ok(Outcome::Skipped("needs the product, and --bare-only was given".to_owned()));
                }
                attempt(lab, &runtime)
            }));
        }
    }
    cases
}

/// Runs `act` in a thread that sees a state folder of its own ([`crate::apart`]), of the size that `options` say.
fn apart<T: Send>(options: &str, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| crate::apart::separate(options).and_then(|()| act()));
        thread.join().unwrap_or_else(|_| anyhow::bail!("the thread panicked"))
    })
}

fn passed(told: String) -> Result<Outcome> {
    Ok(Outcome::Passed(vec![told]))
}

/// The middle one of some times, in milliseconds.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
