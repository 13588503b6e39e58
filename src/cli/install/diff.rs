//! How a change of files is shown: as `diff -u` does, in colour on a terminal.

use similar::{ChangeTag, TextDiff};

use crate::cli::colour::{Colour, Palette};
use crate::node::engine_config::Change;

/// The lines of context around a change.
const CONTEXT: usize = 3;

/// The difference that `change` makes.
pub(super) fn text(change: &Change, palette: Palette) -> String {
    let name = change.path.display().to_string();
    let side = |text: &Option<String>| if text.is_some() { name.clone() } else { "/dev/null".to_owned() };
    let (old, new) = (change.before.as_deref().unwrap_or(""), change.after.as_deref().unwrap_or(""));
    let head = format!("--- {}\n+++ {}", side(&change.before), side(&change.after));
    let mut out = format!("{}\n", palette.paint(Colour::Bold, &head));
    let diff = TextDiff::from_lines(old, new);
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        out.push_str(&format!("{}\n", hunk.header()));
        for line in hunk.iter_changes() {
            let value = line.value();
            let whole = value.strip_suffix('\n').unwrap_or(value);
            let (sign, colour) = match line.tag() {
                ChangeTag::Equal => (' ', None),
                ChangeTag::Delete => ('-', Some(Colour::Red)),
                ChangeTag::Insert => ('+', Some(Colour::Green)),
            };
            let text = format!("{sign}{}", escape(whole));
            out.push_str(&colour.map_or_else(|| text.clone(), |colour| palette.paint(colour, &text)));
            out.push('\n');
            if whole.len() == value.len() {
                out.push_str("\\ No newline at end of file\n");
            }
        }
    }
    out
}

/// A file's line as it is, but for what a terminal would obey.
fn escape(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}
