//! One run of a program, and rows of programs that run in turn: A B C A B C ..., so that a machine that is slow for a
//! while is slow for each of them, and differences within a turn stay what they are.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::spread::Times;

/// Turns that fill caches and aren't counted.
const WARM: usize = 5;

/// A program's environment, whole.
pub(crate) type Environment = [(String, String)];

/// One program of a row: its words, and its environment.
pub(crate) struct Lane {
    pub(crate) words: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

/// Runs the lanes in turn; before each run `before` puts in place what the one before used up.
pub(crate) fn row(turns: usize, lanes: &[Lane], before: impl Fn() -> Result<()>) -> Result<Times> {
    let mut times = Times::new(lanes.len());
    for turn in 0..turns + WARM {
        for (n, lane) in lanes.iter().enumerate() {
            before()?;
            let took = run(&lane.words, &lane.environment)?;
            if turn >= WARM {
                times.push(n, took);
            }
        }
    }
    Ok(times)
}

/// Runs `words` with `environment` alone; how long it took in microseconds, from before fork(2) until it was reaped.
///
/// # Errors
/// That it can't be started, or that it failed.
pub(crate) fn run(words: &[String], environment: &Environment) -> Result<f64> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let since = Instant::now();
    let status = command.status().with_context(|| format!("can't start {program}"))?;
    let time = since.elapsed().as_secs_f64() * 1e6;
    ensure!(status.success(), "{} ended with {status}", words.join(" "));
    Ok(time)
}

/// Owned words.
pub(crate) fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}
