//! How words from outside are printed: in quotes, escaped, and short.
//!
//! Command lines, annotations and an image's files are written by people whom the reader of a message doesn't
//! trust. A control character could repaint a terminal or forge a second line, and a name of ten megabytes hides
//! what matters.

use std::fmt::{Display, Write};

/// How many characters of a hostile word are shown.
const SHOWN: usize = 80;

/// How many of a library's sentence: it may list all that it expected.
const TOLD: usize = 400;

/// `text` in double quotes, with everything but printable characters escaped, cut after 80 characters.
pub fn quoted(text: &[u8]) -> String {
    format!("\"{}\"", escaped(text))
}

/// As [`quoted`], without the quotes.
pub fn escaped(text: &[u8]) -> String {
    let mut out = String::new();
    let mut shown = 0;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if shown == SHOWN {
                out.push('…');
                return out;
            }
            shown += 1;
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                ' '..='~' => out.push(c),
                c if c.is_alphanumeric() => out.push(c),
                c => out.extend(c.escape_unicode()),
            }
        }
        for byte in chunk.invalid() {
            shown += 1;
            // Writing to a String can't fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// What a library says of a text from outside, which it may repeat word for word: on one line, with whatever could
/// repaint a terminal shown by its number, its backticks as our quotes, cut after 400 characters.
pub fn told(why: impl Display) -> String {
    let mut out = String::new();
    for (n, c) in why.to_string().chars().enumerate() {
        match c {
            _ if n == TOLD => {
                out.push('…');
                break;
            }
            '\n' => out.push(' '),
            '`' => out.push('"'),
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_library_repeats_stays_on_one_line_and_is_not_obeyed() {
        assert_eq!(
            told("unknown variant `\tsealed\x1b[2J`\nexpected"),
            r#"unknown variant "\u{9}sealed\u{1b}[2J" expected"#
        );
        assert_eq!(told("x".repeat(10_000)), format!("{}…", "x".repeat(400)));
    }

    #[test]
    fn a_terminal_escape_is_shown_and_not_obeyed() {
        assert_eq!(quoted(b"a\x1b[31mb\nc"), r#""a\u{1b}[31mb\u{a}c""#);
    }

    #[test]
    fn invisible_and_right_to_left_characters_are_shown_by_number() {
        assert_eq!(quoted("5\u{200b}000\u{202e}".as_bytes()), r#""5\u{200b}000\u{202e}""#);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_in_hexadecimal() {
        assert_eq!(quoted(b"\xffa\""), r#""\xffa\"""#);
    }

    #[test]
    fn a_long_word_is_cut() {
        assert_eq!(quoted(&[b'x'; 1000]), format!("\"{}…\"", "x".repeat(80)));
    }
}
