//! One run of a program, and what many of them took.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs `words` with `environment` alone; how long it took in microseconds, from before fork(2) until it was reaped.
///
/// # Errors
/// That it can't be started, or that it failed.
pub(crate) fn run(words: &[String], environment: &[(String, String)]) -> Result<f64> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let since = Instant::now();
    let status = command.status().with_context(|| format!("can't start {program}"))?;
    let time = since.elapsed().as_secs_f64() * 1e6;
    if !status.success() {
        bail!("{} ended with {status}", words.join(" "));
    }
    Ok(time)
}

/// The median and the quartiles of some durations, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// A quarter is below.
    pub(crate) low: f64,
    /// Half is below.
    pub(crate) median: f64,
    /// Three quarters are below.
    pub(crate) high: f64,
}

/// The spread of `times`, which isn't empty.
pub(crate) fn spread(mut times: Vec<f64>) -> Spread {
    times.sort_by(f64::total_cmp);
    let at =
        |part: usize| times.get(times.len() * part / 4).or_else(|| times.last()).copied().unwrap_or_default();
    Spread { low: at(1), median: at(2), high: at(3) }
}
