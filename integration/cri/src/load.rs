//! 100 pods, 10 at a time, with the product and beside it with the bare runtime: none wrong, none left, and what a
//! pod takes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::room::Room;
use runc_strict_integration::runtime::Kind;

use crate::bench::Bench;
use crate::containerd::DIRECT;
use crate::cri::Cri;
use crate::pod::{Place, Pod, Wish};

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "load",
    about: "100 pods, 10 at a time: none wrong, none left, time per pod beside the bare runtime",
    headings: &["load", "runtime", "bare, ms a pod", "runc-strict, ms a pod"],
    cases,
};

const PODS: u32 = 100;
const AT_A_TIME: u32 = 10;

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    // The handler without a script between calls the product as configured for the first runtime.
    let kinds = bench.kinds.iter().take(1);
    kinds.flat_map(|kind| [case(*kind), in_turns(*kind)]).collect()
}

/// One pod at a time, on both roads in turns: what a pod takes where nothing else runs.
fn in_turns(kind: Kind) -> Case<Bench> {
    Case::new(["20 pods, one at a time", kind.name()], move |bench: &Bench| {
        let cri = bench.containerd()?.cri.clone();
        let bare_handler = format!("bare-{}", kind.name());
        let (mut bare, mut strict) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let one = |handler: &str, expected: &[u32]| {
                one(cri.clone(), &bench.room, bench.next(), handler, expected)
            };
            bare.push(one(&bare_handler, &[1000, 3000, 50000, 60000])?);
            strict.push(one(DIRECT, &[1000, 60000])?);
        }
        Ok(Outcome::Passed(vec![figures(&mut bare), figures(&mut strict)]))
    })
}

fn case(kind: Kind) -> Case<Bench> {
    let name = format!("{PODS} pods, {AT_A_TIME} at a time");
    Case::new([&name, kind.name()], move |bench: &Bench| {
        // In turns, so that a busy machine is busy for both.
        let (mut bare, mut strict) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            bare.extend(round(bench, &format!("bare-{}", kind.name()), &[1000, 3000, 50000, 60000])?);
            strict.extend(round(bench, DIRECT, &[1000, 60000])?);
        }
        let containerd = bench.containerd()?;
        let left = containerd.leftovers();
        ensure!(left.is_empty(), "left: {}", left.join(", "));
        Ok(Outcome::Passed(vec![figures(&mut bare), figures(&mut strict)]))
    })
}

/// Half of the pods, each with one container that says by its log who it is; the times from RunPodSandbox to
/// StartContainer's answer.
fn round(bench: &Bench, handler: &str, expected: &[u32]) -> Result<Vec<Duration>> {
    let (cri, room) = (bench.containerd()?.cri.clone(), std::sync::Arc::clone(&bench.room));
    let base = bench.next() * 1000;
    let next = AtomicU32::new(0);
    let results: Mutex<Vec<Result<Duration>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= PODS / 2 {
                        return;
                    }
                    let one = one(cri.clone(), &room, base + number, handler, expected);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(one);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_iter().collect()
}

fn one(cri: Cri, room: &Room, number: u32, handler: &str, expected: &[u32]) -> Result<Duration> {
    let wish = Wish { group: Some(1000), ..Wish::alice(&[60000]) };
    let since = Instant::now();
    let pod = Pod::run_at(cri, room, Place::of(number), handler, &[], &wish)?;
    let container = pod.container("main", &wish)?;
    let took = since.elapsed();
    let who = container.by_log()?;
    ensure!(who.groups == expected, "{handler}, pod {number}: {:?} instead of {expected:?}", who.groups);
    let who = container.by_exec_sync()?;
    ensure!(
        who.groups == expected,
        "{handler}, pod {number}, ExecSync: {:?} instead of {expected:?}",
        who.groups
    );
    pod.remove()?;
    Ok(took)
}

fn figures(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0, Duration::as_millis);
    format!("median {}, p90 {}, {} pods", at(50), at(90), times.len())
}
