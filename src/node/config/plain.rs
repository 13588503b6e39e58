//! The configuration read line by line, without a parser of TOML.
//!
//! [`whole`] is the strict reading of a file that is written as plainly as the one that packages bring: comments, the lines
//! of tables, and `key = value` with the whole value on that line. It stands in front of every container, where toml's code
//! would be a fifth of all that a create touches. Anything else it leaves to toml, which also says what is wrong with it:
//! so it may answer less often than toml, but never otherwise; fuzzing holds the two together.
//!
//! The others take one key each, whatever else the file says: they are for commands that nothing may stop.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use super::{Config, LOG, RUNTIME};
use crate::policy::rules::Table;

/// The lines of the tables.
const AUDIT: &str = "[audit]";
const CONTAINERD: &str = "[containerd]";
const NAMESPACE: &str = "[[namespace]]";

/// What blanks are in TOML.
const BLANKS: [char; 2] = [' ', '\t'];

/// The whole file; `None` where it takes more to tell what it says, or whether it is right.
pub(super) fn whole(text: &str) -> Option<Config> {
    // a byte order mark is no blank, and stops at the first line
    if text.bytes().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t')) {
        return None;
    }
    let mut config = Config::default();
    let (mut table, mut seen) = ("", Vec::new());
    for line in text.split('\n').map(|line| line.trim_matches(BLANKS)).filter(|line| !is_end(line)) {
        if line.starts_with('[') {
            table = [AUDIT, CONTAINERD, NAMESPACE].into_iter().find(|table| is_table(line, table))?;
            if table == NAMESPACE {
                config.namespace.push(Table::default());
                seen.retain(|(table, _)| *table != NAMESPACE);
            } else if seen.contains(&(table, "")) {
                return None;
            }
            seen.push((table, ""));
            continue;
        }
        let (key, value) = line.split_once('=')?;
        let (key, value) = (key.trim_end_matches(BLANKS), value.trim_start_matches(BLANKS));
        if seen.contains(&(table, key)) {
            return None;
        }
        seen.push((table, key));
        set(&mut config, table, key, value)?;
    }
    Some(config)
}

/// Sets one key; `None` where it isn't known, or the value isn't plain or not right.
fn set(config: &mut Config, table: &str, key: &str, value: &str) -> Option<()> {
    match (table, key) {
        ("", "runtime") => config.runtime = string(value)?.to_owned(),
        ("", "engine") => config.engine = word(value)?,
        ("", "annotation") => config.annotation = word(value)?,
        ("", "residual") => config.residual = flag(value)?,
        ("", "level") => config.level = word(value)?,
        ("", "primary-gid") => config.primary_gid = word(value)?,
        ("", "vulnerable-runtime") => config.vulnerable_runtime = word(value)?,
        ("", "restore") => config.restore = word(value)?,
        ("", "check-before-update") => config.check_before_update = flag(value)?,
        (CONTAINERD, "address") => config.containerd.address = string(value)?.into(),
        (CONTAINERD, "timeout-ms") => config.containerd.timeout_ms = number(value)?,
        (AUDIT, "path") => config.audit.path = string(value)?.into(),
        (NAMESPACE, _) => {
            let namespace = config.namespace.last_mut()?;
            match key {
                "match" => namespace.matches = Some(list(value, |glob| Some(glob.to_owned()))?),
                "allow" => namespace.allow = list(value, read)?,
                "keep" => namespace.keep = flag(value)?,
                "ceiling" => namespace.ceiling = flag(value)?,
                "level" => namespace.level = Some(word(value)?),
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

/// Whether nothing but a comment stands there.
fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('#')
}

/// Whether a line is this table's.
fn is_table(line: &str, table: &str) -> bool {
    line.strip_prefix(table).is_some_and(|rest| is_end(rest.trim_start_matches(BLANKS)))
}

/// What stands before the end of a value, if nothing but a comment follows it.
fn alone<'t>((inner, rest): (&'t str, &str)) -> Option<&'t str> {
    is_end(rest.trim_start_matches(BLANKS)).then_some(inner)
}

/// A string.
fn string(value: &str) -> Option<&str> {
    quoted(value).and_then(alone)
}

/// A word of the few that there are.
fn word<'t, T: Deserialize<'t>>(value: &'t str) -> Option<T> {
    string(value).and_then(read)
}

/// What the text of a string means.
fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Option<T> {
    let from: StrDeserializer<'t, Error> = text.into_deserializer();
    T::deserialize(from).ok()
}

/// The letters and digits that a value begins with.
fn bare(value: &str) -> Option<&str> {
    alone(value.split_at(value.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(value.len())))
}

/// True or false.
fn flag(value: &str) -> Option<bool> {
    match bare(value)? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A number in decimal digits.
fn number(value: &str) -> Option<u32> {
    let digits = bare(value)?;
    // TOML has no leading zeros
    let plain = digits == "0" || !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

/// A list of strings.
fn list<'t, T>(value: &'t str, read: impl Fn(&'t str) -> Option<T>) -> Option<Vec<T>> {
    let mut items = Vec::new();
    let mut rest = value.strip_prefix('[')?.trim_start_matches(BLANKS);
    loop {
        if let Some(rest) = rest.strip_prefix(']') {
            return alone(("", rest)).map(|_| items);
        }
        let (item, behind) = quoted(rest)?;
        items.push(read(item)?);
        rest = behind.trim_start_matches(BLANKS);
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start_matches(BLANKS),
            None if rest.starts_with(']') => {}
            None => return None,
        }
    }
}

/// The string that `value` begins with, if nothing in it is escaped, and what stands behind it.
fn quoted(value: &str) -> Option<(&str, &str)> {
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let (inner, rest) = value.get(1..)?.split_once(quote)?;
    (!inner.contains('\\')).then_some((inner, rest))
}

/// Whether the key `check-before-update` above the first table says true.
pub(super) fn check_in(text: &str) -> bool {
    let word = value_in(text, "", "check-before-update");
    word.and_then(|value| value.split(['#', ' ', '\t']).next()).is_some_and(|word| word == "true")
}

/// What the key `path` below `[audit]` says.
pub(super) fn log_in(text: &str) -> &str {
    value_in(text, AUDIT, "path").and_then(quoted).map_or(LOG, |(path, _)| path)
}

/// What stands behind `key =` on a line of its own below the line `table`, or above the first table where that is empty.
fn value_in<'t>(text: &'t str, table: &str, key: &str) -> Option<&'t str> {
    let mut here = table.is_empty();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            here = !table.is_empty() && is_table(line, table);
        } else if here
            && let Some(value) = line.strip_prefix(key).and_then(|rest| rest.trim_start().strip_prefix('='))
        {
            return Some(value.trim_start());
        }
    }
    None
}

/// Where the value of the key `runtime` stands, above the first table and as a plain string on one line.
///
/// The program's entry calls it before the C library has started, and before anything was relocated: so it is put
/// into its caller, and goes from byte to byte.
#[inline(always)]
#[allow(clippy::indexing_slicing, reason = "the key's own length is compared first")]
pub fn runtime_word(length: usize, byte: impl Fn(usize) -> u8) -> Option<(usize, usize)> {
    const KEY: [u8; 7] = *b"runtime";
    let blank = |n: usize| n < length && (byte(n) == b' ' || byte(n) == b'\t');
    let mut at = 0;
    while at < length {
        while blank(at) {
            at += 1;
        }
        if at < length && byte(at) == b'[' {
            return None;
        }
        let mut matched = 0;
        while matched < KEY.len() && at < length && byte(at) == KEY[matched] {
            matched += 1;
            at += 1;
        }
        while blank(at) {
            at += 1;
        }
        if matched == KEY.len() && at < length && byte(at) == b'=' {
            at += 1;
            while blank(at) {
                at += 1;
            }
            if at < length && (byte(at) == b'"' || byte(at) == b'\'') {
                let (quote, start) = (byte(at), at + 1);
                at = start;
                while at < length && byte(at) != quote && byte(at) != b'\\' && byte(at) != b'\n' {
                    at += 1;
                }
                if at < length && byte(at) == quote {
                    return Some((start, at));
                }
            }
        }
        while at < length && byte(at) != b'\n' {
            at += 1;
        }
        at += 1;
    }
    None
}

/// The same of a text.
pub(super) fn runtime_in(text: &str) -> &str {
    let word = runtime_word(text.len(), |n| text.as_bytes().get(n).copied().unwrap_or_default());
    word.and_then(|(start, end)| text.get(start..end)).unwrap_or(RUNTIME)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The file that packages bring, with every key set to what it shows.
    fn every_key() -> String {
        let shown = |line: &str| line.starts_with('#') && !line.starts_with("# ");
        let text = include_str!("../../../packaging/config/config.toml");
        let lines = text.lines().map(|line| if shown(line) { &line[1..] } else { line });
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    #[test]
    fn what_is_written_plainly_is_what_toml_reads() {
        let all = every_key();
        assert!(all.contains("\n[[namespace]]\n") && all.contains("\nkeep = false\n"), "{all}");
        let more = [
            "",
            include_str!("../../../packaging/config/config.toml"),
            &all,
            "\t runtime='/usr/bin/crun'# x\n\n  [audit]\t# where\npath = \"/ü \t# no comment\" # = [\n",
            "[[namespace]]\nmatch = [ ]\n[[namespace]]\nmatch = ['a*', \"b\",]\nallow=[\"0\",'5-5']#\n[audit]",
            "engine = \"cri-o\"\nannotation = \"trusted\"\nresidual = false\ncheck-before-update = true\nlevel = \"paranoid\"",
            "primary-gid = 'deny'\nvulnerable-runtime = 'refuse'\nrestore = 'allow'\n[containerd]\ntimeout-ms = 0\naddress = ''",
            "[[namespace]]\nlevel = 'sealed'\nkeep = true\nceiling = true\n[[namespace]]\n[containerd]\ntimeout-ms=4294967295",
        ];
        for text in more {
            let read = whole(text).unwrap_or_else(|| panic!("not read: {text}"));
            assert_eq!(Ok(read), Config::from_toml(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_written_plainly_or_not_right_is_left_to_toml() {
        for text in [
            "\u{feff}level = 'sealed'",
            "level = 'sealed'\r\n",
            "# \u{7f}",
            "level",
            "level =",
            "level = sealed",
            "level = \"\\u0073ealed\"",
            "level = \"\"\"sealed\"\"\"",
            "level = 'closed'",
            "level = 'sealed' 'x'",
            "level = 'sealed'\nlevel = 'sealed'",
            "'level' = 'sealed'",
            "level = 'sealed",
            "Level = 'sealed'",
            "\u{a0}level = 'sealed'",
            "residual = true false",
            "residual = True",
            "audit.path = '/a'",
            "audit = { path = '/a' }",
            "[ audit ]",
            "[audit] path = '/a'",
            "[audit]\n[audit]",
            "[audit]\nlevel = 'sealed'",
            "[[audit]]",
            "[namespace]",
            "[containerd]\ntimeout-ms = 01",
            "[containerd]\ntimeout-ms = 1_000",
            "[containerd]\ntimeout-ms = -1",
            "[containerd]\ntimeout-ms = 4294967296",
            "[containerd]\ntimeout-ms =",
            "[[namespace]]\nkeep = true\nkeep = true",
            "[[namespace]]\nallow = ['5000-4000']",
            "[[namespace]]\nallow = ['5000' '6000']",
            "[[namespace]]\nallow = [,]",
            "[[namespace]]\nallow = ['5000',\n'6000']",
            "[[namespace]]\nallow = [5000]",
            "[[namespace]]\nallow = ['5000'] x",
            "[[namespace]]\nallow = '5000'",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn the_short_readings_see_what_is_written_plainly() {
        let text = every_key()
            .replace("runtime = \"runc\"", "runtime = \"/a\"")
            .replace("before-update = false", "before-update = true");
        let text = text.replace("path = \"/var", "path = \"/b/var");
        let config = whole(&text).unwrap();
        assert_eq!((config.runtime.as_str(), config.check_before_update), ("/a", true));
        assert!(config.audit.path.starts_with("/b"));
        assert_eq!((runtime_in(&text), check_in(&text)), ("/a", true));
        assert_eq!(Path::new(log_in(&text)), config.audit.path);
    }

    #[test]
    fn the_two_readings_of_runtime_can_t_disagree() {
        for (text, word) in [
            ("# x\n runtime='/usr/bin/crun' # y\n", "/usr/bin/crun"),
            ("x = 1\r\n\truntime\t=\"a\"\r\nruntime = 'b'", "a"),
            ("runtimes = 'x'\nruntime = \"a\n\"\nruntime = 'it'", "it"),
            ("runtime = \"a\\\"\nruntim\nruntime =\nruntime = ''", ""),
            ("[[namespace]]\nruntime = \"evil\"\n", RUNTIME),
            ("runtime = \"open", RUNTIME),
            ("runtime", RUNTIME),
            ("", RUNTIME),
        ] {
            assert_eq!(runtime_in(text), word, "{text}");
        }
        for text in [
            "\"runtime\" = \"crun\"",
            "runtime = \"\"\"crun\"\"\"",
            "runtime = \"\\u0063run\"",
            "level = \"\"\"\nruntime = \"x\"\n\"\"\"",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_two_readings_of_check_before_update_can_t_disagree() {
        assert!(Config::parse("check-before-update = true").unwrap().check_before_update);
        assert!(Config::parse("check-before-update=true#so").unwrap().check_before_update);
        assert!(!Config::parse("check-before-update = false # true").unwrap().check_before_update);
        assert!(!check_in("[audit]\ncheck-before-update = true") && !check_in("check-before-updates = true"));
        for text in ["\"check-before-update\" = true", "level = \"\"\"\ncheck-before-update = true\n\"\"\""] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_two_readings_of_the_log_s_place_can_t_disagree() {
        for (text, place) in [
            ("[audit]\npath = \"/a\"\n", "/a"),
            (
                "runtime = \"x\"\n [audit] # where\n\n\t path='/b' # here\n[containerd]\naddress = \"/c\"",
                "/b",
            ),
            (
                "[containerd]\naddress = \"/c\"\n[audit]\r\npath = \"/d\"\r\n[[namespace]]\nallow = [\"5000\"]",
                "/d",
            ),
            ("[ audit ]\npath = \"/var/log/runc-strict/runc-strict.log\"", LOG),
            ("[audit]", LOG),
            ("", LOG),
        ] {
            assert_eq!(log_in(text), place, "{text}");
            assert!(Config::parse(text).is_ok_and(|config| config.audit.path == Path::new(place)), "{text}");
        }
        for text in [
            "audit.path = \"/a\"",
            "audit = { path = \"/a\" }",
            "[ audit ]\npath = \"/a\"",
            "[audit]\n\"path\" = \"/a\"",
            "[audit]\npath = \"\"\"/a\"\"\"",
            "[audit]\npath = \"/\\u0061\"",
            "level = \"\"\"\n[audit]\npath = \"/a\"\n\"\"\"",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
        // what is broken elsewhere is read all the same
        assert_eq!(log_in("runtme =\n[audit]\npath = \"/a\"\npath = 5"), "/a");
        assert_eq!(
            log_in("[audits]\npath = \"/a\"\n[audit.x]\npath = \"/b\"\n[[audit]]\npath = \"/c\""),
            LOG
        );
    }
}
