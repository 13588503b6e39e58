//! The rows for people and for programs.

use serde_json::json;

use super::{Row, State};
use crate::cli::colour::{Colour, Palette};

/// The version of the JSON's schema.
const SCHEMA: u32 = 1;

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail => "fail",
    }
}

/// A table; what to do stands below what was found.
pub(super) fn table(rows: &[Row], palette: Palette) -> String {
    let width = rows.iter().map(|row| row.check.len()).max().unwrap_or_default();
    let mut out = String::new();
    for row in rows {
        let colour = match row.state {
            State::Ok => Colour::Green,
            State::Warn => Colour::Yellow,
            State::Fail => Colour::Red,
        };
        let state = palette.paint(colour, &format!("{:<4}", word(row.state)));
        out.push_str(&format!("{state}  {:<width$}  {}\n", row.check, row.found));
        if let Some(advice) = &row.advice {
            out.push_str(&format!("{:<4}  {:<width$}  do: {advice}\n", "", ""));
        }
    }
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    let (warn, fail) = (count(State::Warn), count(State::Fail));
    out.push_str(&format!("{} ok, {warn} to look at, {fail} failed\n", count(State::Ok)));
    out
}

/// One document: `{"v": 1, "ok": BOOL, "checks": [{"check", "state", "found", "advice"}]}`.
pub(super) fn json(rows: &[Row]) -> String {
    let checks: Vec<_> = rows
        .iter()
        .map(|row| json!({"check": row.check, "state": word(row.state), "found": row.found, "advice": row.advice}))
        .collect();
    let ok = rows.iter().all(|row| row.state != State::Fail);
    format!("{}\n", json!({"v": SCHEMA, "ok": ok, "checks": checks}))
}
