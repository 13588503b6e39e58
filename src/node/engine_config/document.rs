//! Edits of a TOML document that change what they name and nothing else: comments, order, blanks and quotes stay.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, RawString, Table, TableLike, Value};

use crate::error::{Error, Result};
use crate::quote::quoted;

/// Reads the text of the file at `path`.
///
/// # Errors
/// One sentence with the line.
pub fn parse(text: &str, path: &Path) -> Result<DocumentMut> {
    text.parse::<DocumentMut>().map_err(|why| {
        let at = why.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let why = why.message().lines().next().unwrap_or_default().replace('`', "\"");
        Error::Content { path: path.to_path_buf(), why: format!("line {line}: {why}; mend it first") }
    })
}

/// What stands at `path`.
pub fn get<'d>(document: &'d DocumentMut, path: &[&str]) -> Option<&'d Item> {
    let mut item = document.as_item();
    for key in path {
        item = item.as_table_like()?.get(key)?;
    }
    Some(item)
}

/// The table at `path`.
pub fn table<'d>(document: &'d DocumentMut, path: &[&str]) -> Option<&'d dyn TableLike> {
    get(document, path)?.as_table_like()
}

/// The string at `path`.
pub fn string<'d>(document: &'d DocumentMut, path: &[&str]) -> Option<&'d str> {
    get(document, path)?.as_str()
}

/// The strings of an array; what is no string is left out.
pub fn strings(item: &Item) -> Vec<String> {
    item.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// An array of strings.
pub fn array<'s>(strings: impl IntoIterator<Item = &'s str>) -> Value {
    Value::Array(strings.into_iter().collect::<Array>())
}

/// Whether a value is what Go's zero value is: a key with it says nothing.
pub fn is_zero(item: &Item) -> bool {
    match item.as_value() {
        Some(Value::String(text)) => text.value().is_empty(),
        Some(Value::Integer(number)) => *number.value() == 0,
        Some(Value::Boolean(truth)) => !*truth.value(),
        Some(Value::Array(items)) => items.is_empty(),
        _ => false,
    }
}

/// The table at `path`, made where it is missing; tables that only lead there get no header of their own. `wrong`
/// names the file in the error.
///
/// # Errors
/// That something on the way is no table.
pub fn make<'d>(document: &'d mut DocumentMut, path: &[&str], wrong: &Path) -> Result<&'d mut dyn TableLike> {
    let mut here: &mut dyn TableLike = document.as_table_mut();
    for key in path {
        let implicit = || {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        };
        let item = here.entry(key).or_insert_with(implicit);
        here = item.as_table_like_mut().ok_or_else(|| {
            let why = format!("{} is no table; mend it first", quoted(key.as_bytes()));
            Error::Content { path: wrong.to_path_buf(), why }
        })?;
    }
    Ok(here)
}

/// Adds an empty table `name` to `parent`, with a header that is indented by `indent`, and gives it back.
pub fn add<'t>(parent: &'t mut dyn TableLike, name: &str, indent: &str) -> Option<&'t mut dyn TableLike> {
    let mut table = Table::new();
    table.decor_mut().set_prefix(format!("\n{indent}"));
    parent.insert(name, Item::Table(table));
    parent.get_mut(name)?.as_table_like_mut()
}

/// Sets `key`. What is there keeps its place, its blanks and its comment; a new key is indented by `indent`.
pub fn set(table: &mut dyn TableLike, key: &str, value: Value, indent: &str) {
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        let decor = old.decor().clone();
        *old = value;
        *old.decor_mut() = decor;
        return;
    }
    table.insert(key, Item::Value(value));
    if let Some(mut key) = table.key_mut(key) {
        key.leaf_decor_mut().set_prefix(indent);
    }
}

/// How the header of a table is indented, and its keys.
pub fn indents(item: &Item) -> (String, String) {
    let header = item.as_table().and_then(|table| table.decor().prefix());
    let header = last_line(header);
    let first = item.as_table().and_then(|table| {
        let (name, _) = table.iter().find(|(_, item)| item.is_value())?;
        Some(last_line(table.key(name)?.leaf_decor().prefix()))
    });
    let keys = first.unwrap_or_else(|| header.clone());
    (header, keys)
}

/// The blanks behind the last line break of what precedes a key.
fn last_line(before: Option<&RawString>) -> String {
    let text = before.and_then(RawString::as_str).unwrap_or_default();
    let line = text.rsplit('\n').next().unwrap_or_default();
    line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect()
}

/// Removes the last key of `path`, and every table on the way that thereby becomes empty and had no header.
pub fn remove(document: &mut DocumentMut, path: &[&str]) {
    fn inside(table: &mut dyn TableLike, path: &[&str]) {
        let Some((key, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            table.remove(key);
            return;
        }
        let Some(item) = table.get_mut(key) else { return };
        if let Some(inner) = item.as_table_like_mut() {
            inside(inner, rest);
        }
        if item.as_table().is_some_and(|inner| inner.is_implicit() && inner.is_empty()) {
            table.remove(key);
        }
    }
    inside(document.as_table_mut(), path);
}
