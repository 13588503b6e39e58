//! Go's `path.Match`, by which containerd decides which pod annotations reach the runtime
//! (internal/cri/util: GetPassthroughAnnotations). `*` and `?` don't cross a `/`.

/// Whether `pattern` matches the whole of `name`. A pattern that is none matches nothing, as in containerd.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    go(&pattern, &name) == Some(true)
}

/// None where the pattern is malformed at the point that decides.
fn go(pattern: &[char], name: &[char]) -> Option<bool> {
    let Some((first, rest)) = pattern.split_first() else { return Some(name.is_empty()) };
    if *first == '*' {
        // A segment of a key has at most 253 characters: trying every length is quick enough.
        let reach = name.iter().position(|c| *c == '/').unwrap_or(name.len());
        for taken in 0..=reach {
            if go(rest, name.get(taken..).unwrap_or_default())? {
                return Some(true);
            }
        }
        return Some(false);
    }
    let Some((next, left)) = name.split_first() else { return Some(false) };
    match first {
        '?' => {
            if *next == '/' {
                Some(false)
            } else {
                go(rest, left)
            }
        }
        '[' => {
            let (inside, rest) = class(rest, *next)?;
            if inside { go(rest, left) } else { Some(false) }
        }
        '\\' => {
            let (literal, rest) = rest.split_first()?;
            if literal == next { go(rest, left) } else { Some(false) }
        }
        literal => {
            if literal == next {
                go(rest, left)
            } else {
                Some(false)
            }
        }
    }
}

/// A character class behind its `[`: whether `c` is in it, and what follows its `]`.
fn class(pattern: &[char], c: char) -> Option<(bool, &[char])> {
    let (negated, mut rest) = match pattern.split_first() {
        Some(('^', rest)) => (true, rest),
        _ => (false, pattern),
    };
    let mut inside = false;
    let mut ranges = 0;
    loop {
        match rest.split_first()? {
            (']', after) if ranges > 0 => return Some((inside != negated, after)),
            _ => {}
        }
        let (low, after) = bound(rest)?;
        let (high, after) = match after.split_first()? {
            ('-', after) => bound(after)?,
            _ => (low, after),
        };
        inside |= (low..=high).contains(&c);
        ranges += 1;
        rest = after;
    }
}

/// One end of a range.
fn bound(pattern: &[char]) -> Option<(char, &[char])> {
    match pattern.split_first()? {
        ('-' | ']', _) => None,
        ('\\', rest) => rest.split_first().map(|(c, rest)| (*c, rest)),
        (c, rest) => Some((*c, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_doesn_t_cross_a_slash() {
        assert!(matches("runc-strict/*", "runc-strict/level"));
        assert!(!matches("*", "runc-strict/level"));
        assert!(!matches("runc-strict*", "runc-strict/level"));
        assert!(matches("*/*", "runc-strict/level"));
        assert!(matches("runc-*/*", "runc-strict/supplemental-groups"));
        assert!(!matches("runc-strict/*", "runc-strict/a/b"));
        assert!(matches("*", ""));
    }

    #[test]
    fn the_rest_of_the_language_is_go_s() {
        // The table of Go's own path/match_test.go has these cases.
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*c", "abc", true),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a?b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[]a]", "]", false),
            ("[-]", "-", false),
            ("[", "a", false),
            ("[^bc", "a", false),
            ("a[", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
