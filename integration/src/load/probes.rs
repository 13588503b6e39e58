//! exec probes as a kubelet sends them, 200 a second to a node's containers, for a time. A machine that is too small for the
//! real runtime alone can't hold that rate: so the bare runtime gets the same, and both rates are printed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::{median, passed};
use crate::case::Outcome;
use crate::doors::lists;
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Trial};

/// Probes a second, all containers together.
const RATE: u32 = 200;
/// Containers, each with a caller of its own.
const CONTAINERS: usize = 16;

/// What came of the probes.
struct Seen {
    probes: usize,
    seconds: f64,
    /// Of one probe.
    median: f64,
}

pub(super) fn paced(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let time = Duration::from_secs(if lab.long { 60 } else { 12 });
    let bare = probe(lab, runtime, Front::Bare, time / 4)?;
    let ours = probe(lab, runtime, Front::Product, time)?;
    ensure!(ours.probes > 0, "no probe ended in {} s", time.as_secs());
    let told = |seen: &Seen| {
        let (rate, median) = (seen.probes as f64 / seen.seconds, seen.median);
        format!("{:.0} a second for {:.0} s, {median:.0} ms each", rate, seen.seconds)
    };
    passed(format!("{} probes, every group right; {}; bare {}", ours.probes, told(&ours), told(&bare)))
}

/// Sends probes for some time; who is late sends the next one at once.
fn probe(lab: &Lab, runtime: &Runtime, front: Front, time: Duration) -> Result<Seen> {
    let expected: &[u32] = if front == Front::Product { &[1000, 5000] } else { &[1000, 5000, 50000] };
    let next = AtomicU32::new(0);
    let ready = std::sync::Barrier::new(CONTAINERS);
    let caller = || -> Result<(Vec<f64>, Duration)> {
        let trial = Trial::new(lab, runtime, front, Entry::Exec)?;
        let bundle = trial.bundle()?;
        let launched = trial.launch(&bundle);
        ready.wait();
        if let Some(refused) = launched? {
            bail!("{refused}");
        }
        let (process, begin, mut times) = (bundle.process(&["/probe", "status"]), Instant::now(), Vec::new());
        loop {
            let due = Duration::from_secs(1) * next.fetch_add(1, Ordering::Relaxed) / RATE;
            if due.max(begin.elapsed()) >= time {
                break;
            }
            // The pace is the load itself.
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
            let since = Instant::now();
            let seen = trial.exec(&process)?;
            times.push(since.elapsed().as_secs_f64() * 1000.0);
            let groups = lists(seen.identity()?, "groups");
            ensure!(groups == expected, "a probe has groups {groups:?} instead of {expected:?}");
        }
        let took = begin.elapsed();
        trial.finish()?;
        Ok((times, took))
    };
    let ended: Vec<(Vec<f64>, Duration)> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CONTAINERS).map(|_| scope.spawn(caller)).collect();
        let join = |caller: std::thread::ScopedJoinHandle<'_, Result<_>>| {
            caller.join().unwrap_or_else(|_| bail!("a caller panicked"))
        };
        callers.into_iter().map(join).collect::<Result<_>>()
    })?;
    let seconds = ended.iter().map(|(_, took)| took.as_secs_f64()).fold(0.0, f64::max);
    let times: Vec<f64> = ended.into_iter().flat_map(|(times, _)| times).collect();
    Ok(Seen { probes: times.len(), seconds, median: median(times) })
}
