//! The way to the runtime alone. As runtime stands a program that does nothing, so what is measured is what stands in
//! front of it: nothing, a static C program on either C library, runc-strict.

use anyhow::Result;

use crate::documents;
use crate::report::{Bound, Report, Table};
use crate::room::Room;
use crate::spawn::{Lane, row, words};
use crate::spread::{Spread, Times};

/// The documents that create is measured with.
const SIZES: [(&str, usize); 5] =
    [("5 KB", 5_000), ("20 KB", 20_000), ("200 KB", 200_000), ("1 MB", 1_000_000), ("10 MB", 10_000_000)];

/// The lanes of a row, in this order.
const RUNTIME: usize = 0;
const GLIBC: usize = 1;
const MUSL: usize = 2;
const STRICT: usize = 3;
/// runc-strict's `state`, measured in the same turns: what a command takes more than it is above pass-through.
const PASS: usize = 4;

/// A command, as it is given to each program.
struct Call<'r> {
    name: String,
    /// The words between `--root DIR` and the id.
    verb: Vec<String>,
    before: Box<dyn Fn() -> Result<()> + 'r>,
    turns: usize,
    /// The length of the document that is rewritten.
    length: usize,
}

fn call<'r>(name: &str, verb: Vec<String>, turns: usize, before: impl Fn() -> Result<()> + 'r) -> Call<'r> {
    Call { name: name.to_owned(), verb, before: Box::new(before), turns, length: 0 }
}

/// What one command came to.
struct Outcome {
    above: Spread,
    peak: f64,
    calls: Vec<String>,
}

/// Measures all commands.
pub(crate) fn measure(room: &Room, turns: usize, report: &mut Report) -> Result<()> {
    report.heading("The way to the runtime");
    report.text(&format!(
        "The runtime is a program that does nothing. {turns} turns a row, a quarter of them at 10 MB; microseconds, median \
         [quartiles]. Times are from before fork(2) until the process was reaped."
    ));
    let mut takes = Table::new(&["call", "runtime alone", "C on glibc", "C on musl", "runc-strict"]);
    let mut adds = Table::new(&["adds", "C on glibc", "C on musl", "runc-strict", "above pass-through"]);
    let mut besides = Table::new(&["runc-strict", "MB/s", "peak KiB", "system calls"]);
    let mut show = |call: &Call<'_>| -> Result<(Times, Outcome)> {
        let times = row(call.turns, &lanes(room, call), &call.before)?;
        (call.before)()?;
        let peak = room.peak_kib(&command(room, &room.product, &call.verb))?;
        (call.before)()?;
        let calls = room.system_calls(&command(room, &room.product, &call.verb))?;
        let above = times.added(STRICT, PASS);
        let passes = call.verb.first().is_some_and(|verb| verb == "state");
        takes.row(&call.name, [RUNTIME, GLIBC, MUSL, STRICT].map(|lane| times.spread(lane).to_string()));
        let added = [GLIBC, MUSL, STRICT].map(|lane| times.added(lane, RUNTIME).to_string());
        let above_shown = if passes { String::new() } else { above.to_string() };
        adds.row(&call.name, added.into_iter().chain([above_shown]));
        let rate = match call.length {
            0 => String::new(),
            length => format!("{:.0}", float(length) / seen(above.median)),
        };
        besides.row(&call.name, [rate, format!("{peak:.0}"), calls.len().to_string()]);
        Ok((times, Outcome { above, peak, calls }))
    };

    let nothing = || Ok(());
    let (passed, pass) = show(&call("state (passes)", words(["state"]), turns, nothing))?;

    let create = words(["create", "--bundle", &room.bundle()]);
    let mut created = Vec::new();
    for (name, size) in SIZES {
        let text = documents::config(size);
        let turns = if size > 1_000_000 { turns.div_ceil(4) } else { turns };
        let length = text.len();
        let one = call(&format!("create, {name}"), create.clone(), turns, || room.fresh(&text));
        let one = Call { length, ..one };
        created.push((length, show(&one)?.1));
    }
    let least = if nix::unistd::geteuid().is_root() { Some(least(room, turns)?) } else { None };

    // From here on the container has its record, and the runtime its state.
    let small = documents::config(5_000);
    let again = || {
        room.fresh(&small)?;
        crate::spawn::run(&command(room, &room.product, &create), &room.environment)?;
        room.running("x")
    };
    again()?;
    let exec = words(["exec", "--detach", "--process", &room.process()]);
    let (_, exec) = show(&call("exec, with a record", exec, turns, nothing))?;
    let update = words(["update", "--resources", &room.resources()]);
    show(&call("update", update, turns, nothing))?;
    show(&call("delete, with a record", words(["delete"]), turns, again))?;

    report.table(&takes);
    report.text("What each adds to the runtime, and what runc-strict takes more than its own pass-through, within a turn:");
    report.table(&adds);
    report.text(
        "MB/s is the document's length over what create takes above pass-through. The peak is the resident memory's, over \
         all programs that the process becomes. System calls are those between the program's start and its execve(2).",
    );
    report.table(&besides);
    match least {
        Some(least) => report.text(&format!(
            "A C program on musl that makes only the system calls which a create can't do without, knows every place beforehand, \
             and neither parses nor checks anything (integration/bench/least.c) takes {least} us above pass-through with 20 KB."
        )),
        None => report.skipped("the system calls alone of a create", "it writes where root's records are"),
    }
    report.text(&format!("Pass-through's system calls: {}.", pass.calls.join(", ")));
    aims(report, &passed, &pass, &created, &exec);
    Ok(())
}

/// What the system calls alone of a create with 20 KB take above pass-through.
fn least(room: &Room, turns: usize) -> Result<Spread> {
    let text = documents::config(20_000);
    let create = words(["create", "--bundle", &room.bundle()]);
    let [least, pass] = [(&room.least, create), (&room.product, words(["state"]))].map(|(program, verb)| {
        Lane { words: command(room, program, &verb), environment: room.environment.clone() }
    });
    Ok(row(turns, &[least, pass], || room.fresh(&text))?.added(0, 1))
}

fn aims(report: &mut Report, passed: &Times, pass: &Outcome, created: &[(usize, Outcome)], exec: &Outcome) {
    let ours = seen(passed.added(STRICT, RUNTIME).median);
    for (name, lane) in [("musl", MUSL), ("glibc", GLIBC)] {
        let ratio = ours / seen(passed.added(lane, RUNTIME).median);
        report.aim(&format!("pass-through adds, times the C program on {name}"), ratio, Bound::AtMost(1.3));
    }
    let above = |n: usize| created.get(n).map_or(f64::NAN, |(_, outcome)| seen(outcome.above.median));
    let length = |n: usize| created.get(n).map_or(f64::NAN, |(length, _)| float(*length));
    report.aim("create of 20 KB above pass-through, us", above(1), Bound::AtMost(150.0));
    report.aim("create of 10 MB above pass-through, MB/s", length(4) / above(4), Bound::AtLeast(400.0));
    // A byte more costs the same whether there are many or few: what is constant is gone from the differences. Growth by the
    // square would give ten.
    let slope = |from: usize, to: usize| (above(to) - above(from)) / (length(to) - length(from));
    let what = "create, a byte more from 1 to 10 MB, times one more from 200 KB to 1 MB";
    report.aim(what, seen(slope(3, 4)) / seen(slope(2, 3)), Bound::AtMost(2.0));
    report.aim("exec with a record above pass-through, us", seen(exec.above.median), Bound::AtMost(100.0));
    let beside = created.iter().map(|(length, outcome)| outcome.peak - 2.0 * float(*length) / 1024.0);
    let beside = beside.fold(exec.peak.max(pass.peak), f64::max);
    report.aim("peak memory less twice the document, KiB, the largest", beside, Bound::AtMost(2048.0));
    report.aim("system calls on pass-through", float(pass.calls.len()), Bound::AtMost(40.0));
    let outcomes = created.iter().map(|(_, outcome)| outcome).chain([pass, exec]);
    let started = |call: &&String| call.contains("clone") || call.contains("fork");
    let threads = outcomes.map(|outcome| outcome.calls.iter().filter(started).count()).sum();
    report.aim("threads and processes started on the way", float(threads), Bound::AtMost(0.0));
}

/// Work takes time: where it seems to take none, the turns were too few for this machine's noise.
fn seen(time: f64) -> f64 {
    if time > 0.0 { time } else { f64::NAN }
}

/// A command line for one of the programs.
pub(crate) fn command(room: &Room, program: &str, verb: &[String]) -> Vec<String> {
    let begin = words([program, "--root", &room.root()]);
    begin.into_iter().chain(verb.iter().cloned()).chain(["x".to_owned()]).collect()
}

fn lanes(room: &Room, call: &Call<'_>) -> Vec<Lane> {
    let lane = |program: &str, verb: &[String]| Lane {
        words: command(room, program, verb),
        environment: room.environment.clone(),
    };
    let mut lanes: Vec<Lane> = [&room.nothing, &room.floor, &room.musl, &room.product]
        .map(|program| lane(program, &call.verb))
        .into();
    lanes.push(lane(&room.product, &words(["state"])));
    lanes
}

#[expect(clippy::cast_precision_loss, reason = "counts and lengths of a few megabytes")]
fn float(count: usize) -> f64 {
    count as f64
}
