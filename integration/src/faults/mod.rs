//! One fault at every system call in turn, from the program's first until it has become the real runtime: the call fails
//! with an error, or the program is killed in front of it. The container then runs with exactly the right groups, or it
//! doesn't run; its document is the old one or the new one; and whoever comes afterwards can go on and leaves nothing.
//!
//! The calls are counted and not chosen, so that nothing here knows which ones the program makes.

mod container;
mod making;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;

use crate::apart;
use crate::call::Answer;
use crate::case::{Case, Outcome, Suite};
use crate::lab::Lab;
use crate::runtime::{Kind, Runtime};
use crate::trace::{Fault, Trace, can_fail};

/// `suites run faults`.
pub(crate) const SUITE: Suite<Lab> = Suite {
    name: "faults",
    about: "a fault at every system call in turn: the right groups or no container, and nothing lost or left",
    headings: &["command", "runtime", "fault", "calls", "done right", "refused", "ended by a signal"],
    cases,
};

/// The errors that are injected.
const ERRORS: [Errno; 5] = [Errno::EIO, Errno::ENOSPC, Errno::EACCES, Errno::ENOMEM, Errno::EINTR];

/// What a container of the suite must have.
const RIGHT: [u32; 2] = [1000, 5000];

/// How many calls are tried at the same time.
const CALLERS: usize = 2;

/// A command that is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tried {
    /// create, on a root where the record of a container that is gone waits to be collected.
    Create,
    /// run --detach, the first one since the machine was started.
    Run,
    /// exec, the first one in its container.
    Exec,
    Delete,
    Update,
    State,
}

impl Tried {
    const ALL: [Tried; 6] =
        [Tried::Create, Tried::Run, Tried::Exec, Tried::Delete, Tried::Update, Tried::State];

    fn name(self) -> &'static str {
        match self {
            Tried::Create => "create",
            Tried::Run => "run",
            Tried::Exec => "exec",
            Tried::Delete => "delete",
            Tried::Update => "update",
            Tried::State => "state",
        }
    }

    /// The exit code of a refusal.
    fn refusal(self) -> i32 {
        if self == Tried::Exec { 255 } else { 1 }
    }
}

/// Which faults a case injects.
#[derive(Clone, Copy)]
enum Plan {
    /// The same at every call.
    Each(Fault),
    /// At each call one of the errors, which take turns.
    InTurn,
}

impl Plan {
    fn name(self) -> String {
        match self {
            Plan::Each(Fault::Kill) => "kill -9".to_owned(),
            Plan::Each(Fault::Errno(errno)) => format!("{errno:?}"),
            Plan::InTurn => "an error in turn".to_owned(),
        }
    }

    fn at(self, n: usize) -> Fault {
        match self {
            Plan::Each(fault) => fault,
            Plan::InTurn => ERRORS.get(n % ERRORS.len()).map_or(Fault::Kill, |errno| Fault::Errno(*errno)),
        }
    }
}

/// How one call ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The runtime was called and has done it.
    Done,
    /// The product said why not.
    Refused,
    /// A signal ended it, ours or one that the C library sent itself.
    Signal,
}

/// Somebody who makes calls, each with a fault at one place, and looks at what is left.
trait Caller {
    /// One call. What must hold afterwards is checked here; the traced calls and how it ended come back.
    fn one(&self, fault: Option<(usize, Fault)>) -> Result<(Trace, End)>;

    /// Ends what the caller has started, and looks for what is left of all calls.
    fn close(self: Box<Self>) -> Result<()>;
}

fn cases(lab: &Lab) -> Vec<Case<Lab>> {
    let mut cases = Vec::new();
    for (kind, reason) in &lab.missing {
        let reason = reason.clone();
        let cells = ["all".to_owned(), kind.name().to_owned(), "all".to_owned()];
        cases.push(Case::new(cells, move |_| Outcome::Skipped(reason.clone())));
    }
    for runtime in &lab.runtimes {
        for tried in Tried::ALL {
            for plan in plans(lab, runtime, tried) {
                let cells = [tried.name().to_owned(), runtime.title(), plan.name()];
                let runtime = runtime.clone();
                cases.push(Case::new(cells, move |lab| run(lab, &runtime, tried, plan)));
            }
        }
    }
    cases
}

/// What a fault does is done before the runtime is called. So the quicker runtime meets every error at every call, and
/// the other one meets kill -9 and one error at every call, unless there is time. `run` is create with other words.
fn plans(lab: &Lab, runtime: &Runtime, tried: Tried) -> Vec<Plan> {
    let kill = Plan::Each(Fault::Kill);
    let errors = ERRORS.map(|errno| Plan::Each(Fault::Errno(errno)));
    match (runtime.kind, tried) {
        _ if lab.long => errors.into_iter().chain([kill]).collect(),
        (Kind::Crun, Tried::Create | Tried::Exec | Tried::Delete | Tried::Update | Tried::State) => {
            errors.into_iter().chain([kill]).collect()
        }
        (Kind::Crun, Tried::Run) => vec![Plan::InTurn, kill],
        (_, Tried::Run) => vec![kill],
        _ => vec![Plan::InTurn, kill],
    }
}

/// What a case counts.
#[derive(Default)]
struct Tally {
    done: usize,
    refused: usize,
    signal: usize,
    wrong: Vec<String>,
}

fn run(lab: &Lab, runtime: &Runtime, tried: Tried, plan: Plan) -> Result<Outcome> {
    if lab.product.is_none() {
        return Ok(Outcome::Skipped("needs the product, and --bare-only was given".to_owned()));
    }
    let (next, calls) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let tally = Mutex::new(Tally::default());
    // With an error in turn and with kill -9 everything is looked at after every call.
    let once = !lab.long && matches!(plan, Plan::Each(Fault::Errno(_)));
    let name = plan.name().replace(' ', "-");
    let caller = |number: usize| -> Result<()> {
        apart::separate("size=16m")?;
        let root = lab.room.own_root(&format!("{}-{name}-{number}", tried.name()), runtime);
        let caller: Box<dyn Caller + '_> = match tried {
            Tried::Create | Tried::Run => Box::new(making::Maker::new(lab, runtime, &root, tried, once)?),
            _ => Box::new(container::Visitor::new(lab, runtime, &root, tried)?),
        };
        let (trace, end) = caller.one(None).context("without a fault")?;
        ensure!(end == End::Done && trace.became, "without a fault it isn't done");
        let count = trace.calls.len();
        calls.fetch_max(count, Ordering::Relaxed);
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n > count {
                break;
            }
            let fault = plan.at(n);
            if fault != Fault::Kill && !trace.calls.get(n - 1).is_some_and(|call| can_fail(*call)) {
                continue;
            }
            let seen = caller.one(Some((n, fault)));
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            let wrong = match seen {
                Ok((trace, _)) if trace.hit.is_none() && tried != Tried::Run => {
                    format!("call {n} of {count}: never made")
                }
                Ok((_, End::Done)) => {
                    tally.done += 1;
                    continue;
                }
                Ok((_, End::Refused)) => {
                    tally.refused += 1;
                    continue;
                }
                Ok((_, End::Signal)) => {
                    tally.signal += 1;
                    continue;
                }
                Err(error) => format!("{fault:?} at call {n}: {error:#}"),
            };
            tally.wrong.push(wrong);
        }
        caller.close()
    };
    std::thread::scope(|scope| {
        let caller = &caller;
        let callers: Vec<_> = (0..CALLERS).map(|number| scope.spawn(move || caller(number))).collect();
        callers
            .into_iter()
            .try_for_each(|caller| caller.join().unwrap_or_else(|_| bail!("a caller panicked")))
    })?;
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let tried = calls.into_inner();
    if let Some(first) = tally.wrong.first() {
        let rest: Vec<&str> = tally.wrong.iter().skip(1).take(9).map(String::as_str).collect();
        return Ok(Outcome::Failed(format!(
            "{} of {tried} wrong: {first}; {}",
            tally.wrong.len(),
            rest.join("; ")
        )));
    }
    let cells = [tried, tally.done, tally.refused, tally.signal];
    Ok(Outcome::Passed(cells.iter().map(ToString::to_string).collect()))
}

/// How a call ended, with what must hold whatever was called: a refusal is one line and the command's own exit code.
fn end_of(tried: Tried, answer: &Answer, trace: &Trace) -> Result<End> {
    match answer.code {
        Some(0) => {
            ensure!(trace.became, "it says that it is done, and the runtime was never called: {answer}");
            Ok(End::Done)
        }
        None => {
            ensure!(!trace.became, "the runtime was ended by a signal: {answer}");
            Ok(End::Signal)
        }
        Some(code) => {
            ensure!(!trace.became, "the runtime fails: {answer}");
            let stderr = answer.stderr();
            ensure!(stderr.lines().count() == 1, "why isn't told in one line: {answer}");
            // The C library's start tells in its own words what it can't do, before a line of ours is executed.
            let code_of = if stderr.starts_with("runc-strict: ") { tried.refusal() } else { 127 };
            ensure!(code == code_of, "exit {code} for a refusal: {answer}");
            Ok(End::Refused)
        }
    }
}
