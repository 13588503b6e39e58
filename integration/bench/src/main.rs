//! `bench PRODUCT [wrapper|resize [PODS]]`: what runc-strict costs, in paired runs; both parts without a word.
//!
//! These machines are noisy, so a time says little by itself. Each row runs its programs in turn, A B C A B C ...,
//! and what is compared is the difference within a turn. As runtime stands a program that does nothing: what is
//! measured is then the way to the runtime and nothing else.

mod documents;
mod resize;
mod room;
mod spawn;

use std::process::ExitCode;

use anyhow::{Result, bail};

use room::Room;
use spawn::{Spread, run, spread};

/// Turns of each row.
const TURNS: usize = 400;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(product) = words.first() else {
        say("usage: bench PRODUCT [wrapper|resize [PODS]]");
        return ExitCode::from(2);
    };
    match run_parts(product, words.get(1..).unwrap_or_default()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            say(&format!("bench: {why:#}"));
            ExitCode::from(2)
        }
    }
}

fn run_parts(product: &str, part: &[String]) -> Result<bool> {
    let room = Room::new(product)?;
    let (name, pods) = (part.first().map(String::as_str), part.get(1).map(|count| count.parse()));
    let pods = pods.transpose()?.unwrap_or(resize::PODS);
    match name {
        None => Ok(bench(&room)? & resize::bench(&room, pods)?),
        Some("wrapper") => bench(&room),
        Some("resize") => resize::bench(&room, pods),
        Some(other) => bail!("there is no part {other}: wrapper or resize"),
    }
}

/// One program of a row: its words, and what has to be put in place before each run.
struct Lane<'r> {
    name: &'static str,
    words: Vec<String>,
    before: Box<dyn Fn() -> Result<()> + 'r>,
}

fn lane<'r>(name: &'static str, words: Vec<String>, before: impl Fn() -> Result<()> + 'r) -> Lane<'r> {
    Lane { name, words, before: Box::new(before) }
}

fn bench(room: &Room) -> Result<bool> {
    let product = room.product.as_str();
    say(&format!("{}; {TURNS} turns a row; microseconds, median [quartiles]", room.machine()));
    let mut good = true;

    let state =
        |program: &str| vec![program.to_owned(), "--root".into(), room.root(), "state".into(), "x".into()];
    let nothing = || Ok(());
    let times = row(
        room,
        "pass-through",
        &[
            lane("runtime", state(&room.nothing), nothing),
            lane("C on glibc", state(&room.floor), nothing),
            lane("C on musl", state(&room.musl), nothing),
            lane("runc-strict", state(product), nothing),
        ],
    )?;
    let (glibc, musl, ours) = (times.added(1), times.added(2), times.added(3));
    say(&format!(
        "  adds {:.0} us, the static C program {:.0} us on glibc and {:.0} us on musl",
        ours.median, glibc.median, musl.median
    ));
    good &= within("pass-through, times the C program on glibc", ours.median / glibc.median, 1.3);
    good &= within("pass-through, times the C program on musl", ours.median / musl.median, 1.3);
    let pass = ours.median;

    for (name, size) in [
        ("create, 5 KB", 5_000),
        ("create, 20 KB", 20_000),
        ("create, 200 KB", 200_000),
        ("create, 1 MB", 1_000_000),
        ("create, 10 MB", 10_000_000),
    ] {
        let text = documents::config(size);
        let words = |program: &str| create_words(room, program);
        let fresh = || room.fresh(&text);
        let times = row(
            room,
            name,
            &[
                lane("runtime", words(&room.nothing), fresh),
                lane("C program", words(&room.floor), fresh),
                lane("runc-strict", words(product), fresh),
            ],
        )?;
        let above = times.added(2).median - pass;
        #[expect(clippy::cast_precision_loss, reason = "a size of a few megabytes")]
        let rate = text.len() as f64 / above;
        fresh()?;
        let peak = room.peak_kib(&words(product))?;
        say(&format!("  {above:.0} us above pass-through ({rate:.0} MB/s), peak {peak} KiB"));
        match size {
            20_000 => {
                good &= within("create of 20 KB above pass-through, us", above, 500.0);
                good &= within("peak memory of create of 20 KB, KiB", peak, 4096.0);
            }
            1_000_000 => good &= within("peak memory of create of 1 MB, KiB", peak, 4096.0),
            _ => {}
        }
    }

    room.running("x")?;
    let words = |program: &str| {
        let (root, process) = (room.root(), room.process());
        [program, "--root", &root, "exec", "--process", &process, "--detach", "x"].map(str::to_owned).to_vec()
    };
    let times = row(
        room,
        "exec",
        &[
            lane("runtime", words(&room.nothing), nothing),
            lane("C program", words(&room.floor), nothing),
            lane("runc-strict", words(product), nothing),
        ],
    )?;
    let peak = room.peak_kib(&words(product))?;
    say(&format!("  {:.0} us above pass-through, peak {peak} KiB", times.added(2).median - pass));
    good &= within("peak memory of exec, KiB", peak, 4096.0);

    let calls = room.system_calls(&state(product))?;
    say(&format!("pass-through makes {} system calls of its own: {}", calls.len(), calls.join(" ")));
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let count = calls.len() as f64;
    good &= within("system calls on pass-through", count, 40.0);
    room.fresh(&documents::config(20_000))?;
    let create = room.system_calls(&create_words(room, product))?;
    let exec = room.system_calls(&words(product))?;
    say(&format!("create of 20 KB makes {}, exec makes {}", create.len(), exec.len()));
    let started = |call: &&String| call.contains("clone") || call.contains("fork");
    let threads = [&calls, &create, &exec].into_iter().flatten().filter(started).count();
    #[expect(clippy::cast_precision_loss, reason = "none, or a few")]
    let threads = threads as f64;
    good &= within("threads and processes that are started on the way", threads, 0.0);
    Ok(good)
}

fn create_words(room: &Room, program: &str) -> Vec<String> {
    [program, "--root", &room.root(), "create", "--bundle", &room.bundle(), "x"].map(str::to_owned).to_vec()
}

/// The times of a row, lane by lane and turn by turn.
struct Times {
    lanes: Vec<Vec<f64>>,
}

impl Times {
    /// What lane `n` adds to the first, turn by turn.
    fn added(&self, n: usize) -> Spread {
        let none = Vec::new();
        let (base, lane) = (self.lanes.first().unwrap_or(&none), self.lanes.get(n).unwrap_or(&none));
        spread(lane.iter().zip(base).map(|(a, b)| a - b).collect())
    }
}

fn row(room: &Room, name: &str, lanes: &[Lane<'_>]) -> Result<Times> {
    let mut times = Times { lanes: vec![Vec::with_capacity(TURNS); lanes.len()] };
    for turn in 0..TURNS + 10 {
        for (n, lane) in lanes.iter().enumerate() {
            (lane.before)()?;
            let took = run(&lane.words, &room.environment)?;
            // The first turns fill caches.
            if turn >= 10
                && let Some(list) = times.lanes.get_mut(n)
            {
                list.push(took);
            }
        }
    }
    let cells: Vec<String> = lanes
        .iter()
        .zip(&times.lanes)
        .map(|(lane, list)| {
            let s = spread(list.clone());
            format!("{} {:.0} [{:.0} {:.0}]", lane.name, s.median, s.low, s.high)
        })
        .collect();
    say(&format!("{name:<16} {}", cells.join("   ")));
    Ok(times)
}

fn within(what: &str, value: f64, most: f64) -> bool {
    let good = value <= most;
    let word = if good { "reached" } else { "MISSED" };
    say(&format!("  {word}: {what} {value:.2}, at most {most}"));
    good
}

/// Prints a line; nobody is left to tell when stdout is closed.
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
