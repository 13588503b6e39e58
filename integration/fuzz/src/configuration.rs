//! The configuration, beside what toml itself says of it, and beside the short reading that kill and delete go by.

use runc_strict::node::config::{Config, RUNTIME, runtime_word};
use runc_strict::policy::rules::{AnnotationMode, Engine, PrimaryGid, VulnerableRuntime};
use toml::{Table, Value};

use crate::assert_one_line;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let short = short(text);
    match Config::parse(text) {
        Err(why) => assert_one_line(&why),
        Ok(config) => {
            assert_eq!(short.unwrap_or(RUNTIME), config.runtime, "two readings of runtime");
            let strict: Config =
                toml::from_str(text).expect("what is accepted is right by toml's reading too");
            assert_eq!(strict, config, "lines and toml");
            let table: Table = text.parse().expect("what is accepted is TOML");
            assert_says(&config, &table);
            // What toml writes of it says the same, unless it breaks what the short reading needs.
            let written = toml_text(&table);
            if let Some(Ok(again)) = written.map(|written| Config::parse(&written)) {
                assert_says(&again, &table);
            }
        }
    }
}

/// The short reading, as the program's entry uses it: it ends the word by a NUL in place of the quote.
fn short(text: &str) -> Option<&str> {
    let (start, end) = runtime_word(text.len(), |n| text.as_bytes()[n])?;
    let word = text.get(start..end).expect("the word is whole characters");
    assert!(matches!(text.as_bytes()[end], b'"' | b'\''));
    assert!(!word.contains(['\n', '\\']), "{word:?}");
    Some(word)
}

/// Every value of the table is in the configuration, and what the table lacks is the default.
fn assert_says(config: &Config, table: &Table) {
    let text = |key: &str, default: &'static str| match table.get(key) {
        None => default.to_owned(),
        Some(value) => value.as_str().expect("a word").to_owned(),
    };
    let flag = |table: &Table, key: &str, default: bool| match table.get(key) {
        None => default,
        Some(value) => value.as_bool().expect("true or false"),
    };
    let engine = match text("engine", "none").as_str() {
        "containerd" => Engine::Containerd,
        "cri-o" => Engine::CriO,
        "podman" => Engine::Podman,
        _ => Engine::None,
    };
    assert_eq!(config.engine, engine);
    assert_eq!(config.runtime, text("runtime", RUNTIME));
    assert_eq!(config.annotation == AnnotationMode::Trusted, text("annotation", "narrow") == "trusted");
    assert!(
        config.annotation == AnnotationMode::Narrow || matches!(engine, Engine::Containerd | Engine::CriO)
    );
    assert_eq!(config.level.to_string(), text("level", "groups"));
    assert_eq!(config.primary_gid == PrimaryGid::Deny, text("primary-gid", "warn") == "deny");
    assert_eq!(
        config.vulnerable_runtime == VulnerableRuntime::Refuse,
        text("vulnerable-runtime", "check") == "refuse"
    );
    assert_eq!(config.residual, flag(table, "residual", true));
    assert_eq!(config.check_before_update, flag(table, "check-before-update", false));
    let below = |name: &str, key: &str| table.get(name).and_then(|t| t.get(key)).cloned();
    if let Some(path) = below("audit", "path") {
        assert_eq!(config.audit.path.to_str(), path.as_str());
    }
    if let Some(ms) = below("containerd", "timeout-ms") {
        assert_eq!(Some(i64::from(config.containerd.timeout_ms)), ms.as_integer());
    }
    let tables = table.get("namespace").and_then(Value::as_array).cloned().unwrap_or_default();
    assert_eq!(config.namespace.len(), tables.len());
    for (read, said) in config.namespace.iter().zip(&tables) {
        let said = said.as_table().expect("a table");
        assert_eq!((read.keep, read.ceiling), (flag(said, "keep", false), flag(said, "ceiling", false)));
        let list = |key: &str| {
            let list = said.get(key).and_then(Value::as_array)?;
            Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(read.matches, list("match"));
        let ranges: Vec<String> = read.allow.iter().map(ToString::to_string).collect();
        let plain = |text: String| match text.split_once('-') {
            Some((first, last)) if first == last => first.to_owned(),
            _ => text,
        };
        assert_eq!(ranges, list("allow").unwrap_or_default().into_iter().map(plain).collect::<Vec<_>>());
    }
}

/// The top of the table as plain lines; none where a value can't stand in one.
fn toml_text(table: &Table) -> Option<String> {
    let mut out = String::new();
    for (key, value) in table {
        match value {
            Value::String(text) if !text.contains(['\'', '\n', '\r']) && !text.contains(char::is_control) => {
                out.push_str(&format!("{key} = '{text}'\n"));
            }
            Value::Boolean(value) => out.push_str(&format!("{key} = {value}\n")),
            _ => return None,
        }
    }
    Some(out)
}
