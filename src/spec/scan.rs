//! Where a JSON value ends: all that a lossless edit has to know of most of a document.
//!
//! It takes what RFC 8259 takes and what serde_json takes, and nothing else; a property test holds the two together. It
//! is our own because every create reads its whole document through it, and telling values apart without keeping any is
//! what a parser that builds values is slow at. What runs for each string is inlined: 7 % of the instructions of a create
//! would otherwise be calls.

/// The place of the first byte from `at` on that is no white space.
#[inline(always)]
pub(super) fn blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

/// The place behind the value at `at`, blanks before it allowed; none where there is no value.
pub(super) fn value_end(text: &[u8], mut at: usize) -> Option<usize> {
    // What closes the objects and lists that the place is in.
    let mut open: Vec<u8> = Vec::new();
    loop {
        at = blanks(text, at);
        at = match *text.get(at)? {
            b'"' => string_end(text, at)?,
            b'-' | b'0'..=b'9' => number_end(text, at)?,
            b't' => word_end(text, at, b"true")?,
            b'f' => word_end(text, at, b"false")?,
            b'n' => word_end(text, at, b"null")?,
            b'[' => match blanks(text, at + 1) {
                end if text.get(end) == Some(&b']') => end + 1,
                first => {
                    open.push(b']');
                    at = first;
                    continue;
                }
            },
            b'{' => match blanks(text, at + 1) {
                end if text.get(end) == Some(&b'}') => end + 1,
                first => {
                    open.push(b'}');
                    at = key_end(text, first)?.1;
                    continue;
                }
            },
            _ => return None,
        };
        loop {
            let Some(close) = open.last() else { return Some(at) };
            at = blanks(text, at);
            match *text.get(at)? {
                b',' if *close == b'}' => {
                    at = key_end(text, blanks(text, at + 1))?.1;
                    break;
                }
                b',' => {
                    at += 1;
                    break;
                }
                byte if byte == *close => {
                    at += 1;
                    open.pop();
                }
                _ => return None,
            }
        }
    }
}

/// The place behind the key at `at`, and the place behind the colon that follows it.
#[inline(always)]
pub(super) fn key_end(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let end = string_end(text, at)?;
    let colon = blanks(text, end);
    (text.get(colon) == Some(&b':')).then_some((end, colon + 1))
}

/// The place behind the string at `at`.
#[inline(always)]
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at = plain_end(text, at);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if text.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => at += 6,
                _ => return None,
            },
            byte if *byte < b' ' => return None,
            _ => at += 1,
        }
    }
}

/// The place of the first byte from `at` on that isn't plain inside a string, or one before it: eight bytes at a time.
#[inline(always)]
fn plain_end(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    // The lowest byte with its highest bit set is the first that is below `bound`, for bytes and bounds below 128 (Sean
    // Eron Anderson, Bit Twiddling Hacks, "Determine if a word has a byte less than n").
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    while let Some(Ok(eight)) = text.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(eight);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let escape = below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = quote | escape | below(word, u64::from(b' '));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at
}

fn number_end(text: &[u8], mut at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at)? {
        b'0' => at + 1,
        _ => digits_end(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits_end(text, at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at = digits_end(text, at + 1 + sign)?;
    }
    Some(at)
}

/// The place behind the digits at `at`, of which there is at least one.
fn digits_end(text: &[u8], at: usize) -> Option<usize> {
    let count = text.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}

fn word_end(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(word).then_some(at + word.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    /// Whether the whole text is one value, blanks around it allowed.
    fn takes(text: &str) -> bool {
        value_end(text.as_bytes(), 0).is_some_and(|end| blanks(text.as_bytes(), end) == text.len())
    }

    fn serde_takes(text: &str) -> bool {
        serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    #[test]
    fn the_end_of_what_is_plain_is_told_to_the_byte_in_whole_eights() {
        for filler in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
            for special in [b'"', b'\\', 0, 0x1f] {
                for (length, from) in (0..27usize).flat_map(|length| [(length, 0), (length, length.min(3))]) {
                    for place in from..=length {
                        let mut text = vec![filler; length];
                        if let Some(byte) = text.get_mut(place) {
                            *byte = special;
                        }
                        let whole = from + (length - from) / 8 * 8;
                        assert_eq!(plain_end(&text, from), place.min(whole), "{text:?} from {from}");
                    }
                }
            }
        }
    }

    #[test]
    fn it_takes_what_the_rfc_takes_and_nothing_else() {
        let good = [
            "0",
            "-0",
            "12",
            "-1.5e+10",
            "1E5",
            "0.0",
            "0e0",
            "true",
            "false",
            "null",
            "\"\"",
            "[]",
            "{}",
            " [ ] ",
            " { } ",
            "[1,2]",
            "[[],{}]",
            "{\"a\":1}",
            "{\"a\":{\"b\":[{}]},\"c\":\"d\"}",
            "\"\\u00e9\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
            "\"\\ud800\"",
            "\t\r\n1\n",
            "\"12345678\"",
            "\"1234567\\\"\"",
            "\"\u{7f}\u{e9}\u{10ffff}\"",
        ];
        let bad = [
            "",
            " ",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "0x1",
            "tru",
            "nul",
            "nulls",
            "[1,]",
            "[,]",
            "[1 2]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[}",
            "{]",
            "[",
            "{",
            "{\"a\":1",
            "\"",
            "\"a",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\u",
            "\"\n\"",
            "\"1234567\u{1f}\"",
            "\"\u{0}\"",
            "1 2",
            "'a'",
            "[1]]",
            "NaN",
            "Infinity",
            "// a\n1",
            "\u{feff}1",
            "\u{a0}1",
        ];
        for text in good {
            assert!(takes(text) && serde_takes(text), "{text}");
        }
        for text in bad {
            assert!(!takes(text) && !serde_takes(text), "{text}");
        }
    }

    #[test]
    fn a_value_ends_where_it_ends_whatever_follows() {
        for (text, end) in
            [("1,2", 1), (" \"a\\\"b\"x", 7), ("{\"a\":[1,{}]}]", 12), ("nullnull", 4), ("-0.5e3]", 6)]
        {
            assert_eq!(value_end(text.as_bytes(), 0), Some(end), "{text}");
        }
    }

    #[test]
    fn depth_is_no_matter() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        assert!(takes(&deep) && !takes(&deep[1..]) && !takes(&deep[..deep.len() - 1]));
    }

    #[test]
    fn every_byte_in_a_string_is_taken_or_not_at_every_place() {
        for byte in (0..=127u8).map(char::from) {
            for before in 0..17 {
                let text = format!("\"{}{byte}{}\"", "x".repeat(before), "y".repeat(17 - before));
                assert_eq!(takes(&text), serde_takes(&text), "{text:?}");
            }
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let list = proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into);
            let map = proptest::collection::btree_map(any::<String>(), inner, 0..5);
            prop_oneof![list, map.prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))]
        })
    }

    proptest! {
        #[test]
        fn it_takes_a_document_with_a_slip_exactly_if_serde_takes_it(
            value in value(),
            pretty in any::<bool>(),
            at in any::<prop::sample::Index>(),
            slip in prop::sample::select(b"\"\\{}[],:0e.-+tn \x1f\x7f".to_vec()),
            how in 0..4,
        ) {
            let mut text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert!(takes(&text));
            let mut bytes = text.clone().into_bytes();
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = slip,
                1 => bytes.insert(at, slip),
                2 => {
                    bytes.remove(at);
                }
                _ => bytes.truncate(at),
            }
            if let Ok(slipped) = String::from_utf8(bytes) {
                text = slipped;
                prop_assert_eq!(takes(&text), serde_takes(&text), "{}", text);
            }
        }
    }
}
