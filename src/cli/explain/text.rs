//! `explain` for people.

use std::fmt::Write;

use super::Case;
use crate::cli::colour::{Colour, Palette};
use crate::cli::selection::pod_text;
use crate::policy::gid::{Gid, GidSet};
use crate::policy::{Origin, Ruling};

pub(super) fn of(case: &Case) -> String {
    let palette = Palette::of_stdout();
    let mut out = String::new();
    let mut line = |label: &str, text: &str| {
        // Writing to a String can't fail.
        let _ = writeln!(out, "{label:<13} {text}");
    };
    for (label, text) in &case.place {
        line(label, text);
    }
    if let Some(pod) = pod_text(&case.pod) {
        line("pod", &pod);
    }
    line("process", &format!("uid {}, gid {}", case.uid, case.gid));
    let identity = match &case.outcome.identity {
        Ok(identity) => identity,
        Err(reason) => {
            line("verdict", &palette.paint(Colour::Red, &format!("refused: {reason}")));
            return out;
        }
    };
    let verdict = match case.outcome.verdict {
        "keep" => "kept: what the engine asked for",
        _ => "changed",
    };
    line("verdict", verdict);
    let no_new = if identity.no_new_privileges { "on" } else { "off" };
    line("level", &format!("{}; no_new_privs {no_new}", identity.level));
    line("asked", &words(case.before.iter().copied()));
    line("gets", &set(&identity.groups));
    let strict = case.native_strict();
    let strict = strict
        .as_ref()
        .map_or_else(|| "unknown: the engine can't be asked what the pod declares".to_owned(), set);
    line("native Strict", &strict);

    let _ = writeln!(out, "\n{:>10}  {:<8} {:<44} WHY", "GID", "", "COMES FROM");
    for ruling in &identity.rulings {
        // The colour goes around the padded word, or the columns would shift.
        let kept = match ruling.kept {
            true => format!("{:<8}", "kept"),
            false => palette.paint(Colour::Yellow, &format!("{:<8}", "dropped")),
        };
        let _ =
            writeln!(out, "{:>10}  {kept} {:<44} {}", ruling.gid, origins(ruling), ruling.rule.sentence());
    }
    for finding in &identity.findings {
        let _ = writeln!(out, "{} {}", palette.paint(Colour::Yellow, "note:"), finding.sentence());
    }
    out
}

fn set(groups: &GidSet) -> String {
    words(groups.iter().map(Gid::get))
}

fn words(gids: impl Iterator<Item = u32>) -> String {
    let text = gids.map(|gid| gid.to_string()).collect::<Vec<_>>().join(" ");
    if text.is_empty() { "none".to_owned() } else { text }
}

fn origins(ruling: &Ruling) -> String {
    let name = |origin: &Origin| match origin {
        Origin::Primary => "primary gid".to_owned(),
        Origin::Declared => "declared".to_owned(),
        Origin::Node => "node's allow".to_owned(),
        Origin::Annotation => "annotation".to_owned(),
        Origin::Residual => "engine's list, not the image".to_owned(),
        Origin::Image(name) if name.is_empty() => "image's etc/group".to_owned(),
        Origin::Image(name) => format!("image's etc/group \"{name}\""),
        Origin::Merged => "engine's list".to_owned(),
    };
    ruling.origins.iter().map(name).collect::<Vec<_>>().join(", ")
}
