//! How words of other people stand in our messages: quoted, on one line, without control characters, and never
//! longer than a terminal's line, since a refusal is read in logs and in a pod's events.

use std::fmt;

/// The longest part of a foreign word that a message repeats, in characters.
const SHOWN: usize = 60;

/// A foreign text in double quotes, its control characters escaped, cut after 60 characters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.char_indices().nth(SHOWN).map(|(at, _)| at);
        let shown = cut.and_then(|at| self.0.get(..at)).unwrap_or(self.0);
        write!(out, "\"{}\"{}", shown.escape_debug(), if cut.is_some() { "..." } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::Quoted;

    #[test]
    fn control_characters_are_escaped_and_long_words_are_cut() {
        assert_eq!(Quoted("1\u{1b}[2J\n").to_string(), r#""1\u{1b}[2J\n""#);
        assert_eq!(Quoted(&"é".repeat(61)).to_string(), format!("\"{}\"...", "é".repeat(60)));
        assert_eq!(Quoted(&"x".repeat(60)).to_string(), format!("\"{}\"", "x".repeat(60)));
    }
}
