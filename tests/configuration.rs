//! The configuration file that the packages bring: it explains every key, and what it shows as a default is one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use runc_strict::node::config::Config;

const SHIPPED: &str = include_str!("../packaging/config/config.toml");

/// With every key and table in force: "#key" is one that isn't, "# text" explains.
fn in_force(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The keys that `table` may have, by the parser's own word.
fn keys(table: &str) -> Vec<String> {
    let why = Config::parse(&format!("{table}\nno-such-key = 1\n")).unwrap_err();
    let (_, names) = why.split_once("expected ").unwrap_or_else(|| panic!("{why}"));
    let keys: Vec<String> = names.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!keys.is_empty(), "{why}");
    keys
}

#[test]
fn the_shipped_file_sets_nothing() {
    let shipped = Config::parse(SHIPPED).unwrap();
    assert_eq!(format!("{shipped:?}"), format!("{:?}", Config::default()));
}

#[test]
fn with_every_key_in_force_the_shipped_file_says_what_holds_without_it() {
    let text = in_force(SHIPPED);
    assert_ne!(text, SHIPPED);
    let mut config = Config::parse(&text).unwrap_or_else(|why| panic!("{why}:\n{text}"));
    // The one thing that isn't a default: an example of a table.
    assert_eq!(config.namespace.len(), 1);
    config.namespace.clear();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
}

#[test]
fn the_shipped_file_explains_every_key_of_every_table() {
    let lines: Vec<&str> = SHIPPED.lines().collect();
    let explained = |shown: &str| {
        let at = lines.iter().position(|line| line.starts_with(shown));
        let at = at.unwrap_or_else(|| panic!("{shown} is missing"));
        assert!(at > 0 && lines[at - 1].starts_with("# "), "{shown} isn't explained");
        at
    };
    let mut tables = vec![(0, "".to_owned())];
    for (header, shown) in
        [("[containerd]", "#[containerd]"), ("[audit]", "#[audit]"), ("[[namespace]]", "#[[namespace]]")]
    {
        tables.push((explained(shown), header.to_owned()));
    }
    let names: Vec<String> = keys("").into_iter().collect();
    for name in &names {
        let header = tables.iter().find(|(_, header)| header.trim_matches(['[', ']']) == name);
        if header.is_none() {
            let at = explained(&format!("#{name} = "));
            assert!(at < tables[1].0, "{name} stands in a table");
        }
    }
    assert_eq!(tables.len() - 1, names.iter().filter(|n| tables.iter().any(|(_, h)| h.contains(*n))).count());
    for (n, (from, header)) in tables.iter().enumerate().skip(1) {
        let to = tables.get(n + 1).map_or(lines.len(), |(at, _)| *at);
        for name in keys(header) {
            let shown = format!("#{name} = ");
            let at = (*from..to).find(|at| lines[*at].starts_with(&shown));
            let at = at.unwrap_or_else(|| panic!("{name} is missing in {header}"));
            assert!(lines[at - 1].starts_with("# "), "{name} in {header} isn't explained");
        }
    }
}
