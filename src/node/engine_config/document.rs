//! Edits of a TOML document that change what they name and nothing else: comments, order, blanks and quotes stay.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, RawString, Table, TableLike, Value};

use crate::error::{Error, Result};
use crate::quote::{quoted, told};

/// Reads the text of the file at `path`.
///
/// # Errors
/// One sentence with the line.
pub fn parse(text: &str, path: &Path) -> Result<DocumentMut> {
    text.parse::<DocumentMut>().map_err(|why| {
        let at = why.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let why = told(why.message().lines().next().unwrap_or_default());
        Error::Content { path: path.to_path_buf(), why: format!("line {line}: {why}; mend it first") }
    })
}

/// A document that is being edited, behind the comments of a file that holds nothing else: they would otherwise end
/// up behind what is put in.
pub struct Draft {
    comments: String,
    /// The rest.
    pub document: DocumentMut,
}

impl Draft {
    /// Begins with the text of the file at `path`.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn new(text: &str, path: &Path) -> Result<Draft> {
        let document = parse(text, path)?;
        if !document.is_empty() || text.is_empty() {
            return Ok(Draft { comments: String::new(), document });
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        Ok(Draft { comments: format!("{text}{end}"), document: DocumentMut::new() })
    }

    /// The file's text.
    pub fn text(&self) -> String {
        format!("{}{}", self.comments, self.document)
    }
}

/// What stands at `path`.
pub fn get<'d>(document: &'d DocumentMut, path: &[&str]) -> Option<&'d Item> {
    let mut item = document.as_item();
    for key in path {
        item = item.as_table_like()?.get(key)?;
    }
    Some(item)
}

/// The table at `path`, to be changed.
pub fn get_mut<'d>(document: &'d mut DocumentMut, path: &[&str]) -> Option<&'d mut dyn TableLike> {
    let mut here: &mut dyn TableLike = document.as_table_mut();
    for key in path {
        here = here.get_mut(key)?.as_table_like_mut()?;
    }
    Some(here)
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

/// Removes the last key of `path`, and every table on the way that thereby becomes empty and had no header. Comments
/// above the header of what is removed stay: they may be about anything.
pub fn remove(document: &mut DocumentMut, path: &[&str]) {
    fn inside(table: &mut dyn TableLike, path: &[&str]) -> Option<Item> {
        let (key, rest) = path.split_first()?;
        if rest.is_empty() {
            return table.remove(key);
        }
        let item = table.get_mut(key)?;
        let removed = item.as_table_like_mut().and_then(|inner| inside(inner, rest));
        if item.as_table().is_some_and(|inner| inner.is_implicit() && inner.is_empty()) {
            table.remove(key);
        }
        removed
    }
    let Some(Item::Table(removed)) = inside(document.as_table_mut(), path) else { return };
    let above = removed.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
    if !above.contains('#') {
        return;
    }
    // The blank line before a header went with the header.
    let above = above.strip_suffix('\n').filter(|rest| rest.ends_with('\n')).unwrap_or(above).to_owned();
    match next_header(document.as_table_mut(), removed.position().unwrap_or_default()) {
        Some(next) => {
            let old = next.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
            let both = format!("{above}{old}");
            next.decor_mut().set_prefix(both);
        }
        None => {
            let both = format!("{above}{}", document.trailing().as_str().unwrap_or_default());
            document.set_trailing(both);
        }
    }
}

/// The table whose header comes first behind `position`.
fn next_header(table: &mut Table, position: isize) -> Option<&mut Table> {
    let mut next: Option<&mut Table> = None;
    for (_, item) in table.iter_mut() {
        let Some(inner) = item.as_table_mut() else { continue };
        let own = inner.position().is_some_and(|at| at > position) && !inner.is_implicit();
        let candidate = if own { Some(inner) } else { next_header(inner, position) };
        let Some(candidate) = candidate else { continue };
        if next.as_ref().is_none_or(|best| candidate.position() < best.position()) {
            next = Some(candidate);
        }
    }
    next
}
