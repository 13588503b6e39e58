//! A line of the log for people.

use std::fmt::Write;

use crate::cli::colour::{Colour, Palette};
use crate::node::audit::{Line, Resize};
use crate::policy::gid::Gid;
use crate::policy::subject::Pod;
use crate::quote::escaped;

/// How many gids a line names.
const SHOWN: usize = 32;

/// How much of a reason is shown; reasons quote what they speak of, and quoting shortens it.
const REASON: usize = 1000;

/// `line` as one line of text: when, what became of it, the command, who, and the groups.
pub(super) fn of(line: &Line, palette: Palette) -> String {
    let verdict = format!("{:<7}", escaped(line.verdict.as_bytes()));
    let verdict = match line.verdict.as_str() {
        "deny" | "error" => palette.paint(Colour::Red, &verdict),
        "change" => palette.paint(Colour::Yellow, &verdict),
        _ => verdict,
    };
    let mut out = format!(
        "{}  {verdict} {:<8} {}",
        escaped(line.time.as_bytes()),
        escaped(line.command.as_bytes()),
        who(&line.container, &line.pod)
    );
    // Writing to a String can't fail.
    let _ = match (line.uid, line.gid) {
        (Some(uid), Some(gid)) => write!(out, "  uid {uid} gid {gid}"),
        _ => Ok(()),
    };
    let kept = !line.after.is_empty();
    if kept {
        let _ = write!(out, " groups {}", list(line.after.iter().map(Gid::get)));
    } else if !line.before.is_empty() {
        let _ = write!(out, "  asked {}", list(line.before.iter().copied()));
    }
    let lost = |gid: &u32| kept && Gid::new(*gid).is_none_or(|gid| !line.after.contains(gid));
    let dropped: Vec<u32> = line.before.iter().copied().filter(lost).collect();
    if !dropped.is_empty() {
        let _ = write!(out, "  dropped {}", list(dropped.into_iter()));
    }
    if let Some(resize) = &line.resize {
        out.push_str(&limits(resize));
    }
    if let Some(reason) = &line.reason {
        let _ = write!(out, "  {}", sentence(reason));
    }
    out
}

/// What became of the limits: changed, kept against the engine, no longer kept.
fn limits(resize: &Resize) -> String {
    let mut out = String::new();
    let parts = [
        ("", &resize.changes),
        ("kept ", &resize.sticky),
        ("no longer kept ", &resize.ended),
        ("not merged this time ", &resize.waiting),
    ];
    for (title, words) in parts.into_iter().filter(|(_, words)| !words.is_empty()) {
        let _ = write!(out, "  {title}{}", sentence(&words.join(", ")));
    }
    if let Some(transaction) = &resize.transaction {
        let _ = write!(out, "  transaction {}", sentence(transaction));
    }
    out
}

/// A container that has ended.
pub(super) fn ended(time: &str, id: &str, pod: &Pod, palette: Palette) -> String {
    format!("{time}  {} {:<8} {}", palette.paint(Colour::Bold, &format!("{:<7}", "ended")), "-", who(id, pod))
}

fn who(id: &str, pod: &Pod) -> String {
    // As engines shorten ids.
    let short: String = id.chars().take(12).collect();
    let id = if id.is_empty() { "-".to_owned() } else { escaped(short.as_bytes()) };
    let part = |text: &Option<String>| escaped(text.as_deref().unwrap_or("-").as_bytes());
    match &pod.namespace {
        None => id,
        Some(_) => {
            let container =
                if pod.container.is_some() { format!(":{}", part(&pod.container)) } else { String::new() };
            format!("{}/{}{container} {id}", part(&pod.namespace), part(&pod.name))
        }
    }
}

fn list(mut gids: impl Iterator<Item = u32>) -> String {
    let mut text = gids.by_ref().take(SHOWN).map(|gid| gid.to_string()).collect::<Vec<_>>().join(",");
    let more = gids.count();
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// A sentence with its control characters escaped; unlike a name it isn't cut after a few words.
fn sentence(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(REASON) {
        // Alphanumeric or printable ASCII, as in `escaped`, but quotation marks, backslashes and our arrow are part of
        // it.
        match c {
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() || c == '→' => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_keeps_its_quotation_marks_and_loses_its_escapes() {
        assert_eq!(
            sentence("gid \"5\\u{200b}\" \x1b[31m\u{202e}x"),
            "gid \"5\\u{200b}\" \\u{1b}[31m\\u{202e}x"
        );
        assert_eq!(sentence(&"x".repeat(10_000_000)).len(), REASON);
    }

    #[test]
    fn a_resize_says_what_changed_what_stays_and_what_has_ended() {
        let words = |text: &str| vec![text.to_owned()];
        let resize = Resize {
            transaction: Some("20261123033504437300".to_owned()),
            changes: vec!["memory.limit 128Mi → 256Mi".to_owned(), "cpu.quota 5\x1b[31m".to_owned()],
            sticky: words("memory.limit"),
            ended: words("pids.limit 5; the engine sets 6"),
            waiting: words("cpu.burst"),
        };
        assert_eq!(
            limits(&resize),
            "  memory.limit 128Mi → 256Mi, cpu.quota 5\\u{1b}[31m  kept memory.limit  no longer kept pids.limit 5; the \
             engine sets 6  not merged this time cpu.burst  transaction 20261123033504437300"
        );
        assert_eq!(limits(&Resize::default()), "");
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(list(0..3), "0,1,2");
        assert!(list(0..65536).ends_with(",31 and 65504 more"));
    }
}
