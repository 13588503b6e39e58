//! One JSON object, read without loss: where the values of the members that we know stand in the text.
//!
//! Go's decoder (runc) matches keys without regard to case and takes the last of several; yajl (crun) matches
//! exactly and takes the first. A document in which the two would read different things is refused: no key that
//! we know may stand twice, nor in another spelling that Go would take for it.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

use super::scan::{blanks, key_end, value_end};
use crate::quote::{quoted, told};

/// A value of the document: its text and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Value<'t> {
    /// The text of the value, exactly as it stands.
    pub text: &'t str,
    /// The first byte's place in the whole document.
    pub at: usize,
}

impl<'t> Value<'t> {
    /// The whole of `text`, as a value.
    pub fn whole(text: &'t str) -> Value<'t> {
        Value { text, at: 0 }
    }

    /// The bytes that the value takes in the whole document.
    pub fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// Whether it is `null`, which Go and yajl alike take as absent.
    pub fn is_null(self) -> bool {
        self.text == "null"
    }
}

/// The known members of an object.
#[derive(Debug)]
pub struct Object<'t, const N: usize> {
    values: [Option<Value<'t>>; N],
    /// Where a first member would be inserted: behind the opening brace.
    pub inside: usize,
    /// Whether it has no member at all.
    pub empty: bool,
}

impl<'t, const N: usize> Object<'t, N> {
    /// Reads `value` as an object, which messages call `path`, and finds the members called `known`.
    ///
    /// # Errors
    /// A sentence that names the path: not JSON, not an object, or a key that two decoders would read apart.
    pub fn read(value: Value<'t>, path: &str, known: [&str; N]) -> Result<Object<'t, N>, String> {
        Object::read_by(value, path, known, Spelling::AnyCase, &mut |_, _| Ok(None))
    }

    /// As [`Object::read`] for a map from free keys, which Go too matches exactly.
    ///
    /// # Errors
    /// As [`Object::read`].
    pub fn read_map(value: Value<'t>, path: &str, known: [&str; N]) -> Result<Object<'t, N>, String> {
        Object::read_by(value, path, known, Spelling::Exact, &mut |_, _| Ok(None))
    }

    /// As [`Object::read`], with members that `inner` reads on the way, so that nothing is passed over twice.
    ///
    /// # Errors
    /// As [`Object::read`].
    pub fn read_with(
        value: Value<'t>,
        path: &str,
        known: [&str; N],
        inner: &mut Inner<'_, 't>,
    ) -> Result<Object<'t, N>, String> {
        Object::read_by(value, path, known, Spelling::AnyCase, inner)
    }

    /// The object that `rest` begins with, whatever follows it, and its length; none where no object begins.
    ///
    /// # Errors
    /// As [`Object::read`].
    pub fn first(
        rest: Value<'t>,
        path: &str,
        known: [&str; N],
    ) -> Result<Option<(Object<'t, N>, usize)>, Unread> {
        if !rest.text.starts_with('{') {
            return Ok(None);
        }
        Object::begin(rest, path, known, Spelling::AnyCase, &mut |_, _| Ok(None)).map(Some)
    }

    fn read_by(
        value: Value<'t>,
        path: &str,
        known: [&str; N],
        spelling: Spelling,
        inner: &mut Inner<'_, 't>,
    ) -> Result<Object<'t, N>, String> {
        let text = value.text.as_bytes();
        match Object::begin(value, path, known, spelling, inner) {
            Ok((object, end)) if blanks(text, end) == text.len() => Ok(object),
            Ok(_) | Err(Unread::Syntax) => Err(format!("{path} can't be read: {}", why_unread(value.text))),
            Err(Unread::Told(why)) => Err(why),
        }
    }

    fn begin(
        rest: Value<'t>,
        path: &str,
        known: [&str; N],
        spelling: Spelling,
        inner: &mut Inner<'_, 't>,
    ) -> Result<(Object<'t, N>, usize), Unread> {
        let mut values = [None; N];
        let passed = pass_over(rest, path, &known, spelling, &mut values, inner)?;
        Ok((Object { values, inside: rest.at + passed.inside, empty: passed.empty }, passed.end))
    }

    /// The value of the `n`-th known member; `null` counts as absent.
    pub fn get(&self, n: usize) -> Option<Value<'t>> {
        self.values.get(n).copied().flatten().filter(|v| !v.is_null())
    }

    /// The value of the `n`-th known member, also where it is `null`.
    pub fn place(&self, n: usize) -> Option<Value<'t>> {
        self.values.get(n).copied().flatten()
    }
}

/// Reads a member on the way: it is given which of the known ones it is and the text from its value on, and says how long
/// the value is; none for one that is only to be passed over.
pub type Inner<'i, 't> = dyn FnMut(usize, Value<'t>) -> Result<Option<usize>, Unread> + 'i;

/// Why a text isn't the object that it should be.
#[derive(Debug)]
pub enum Unread {
    /// It isn't JSON, or isn't an object; what exactly, serde_json tells of the whole text.
    Syntax,
    /// A sentence that names the path.
    Told(String),
}

/// An object that was passed over: places from its text's beginning on.
struct Passed {
    inside: usize,
    empty: bool,
    end: usize,
}

/// Passes over the object that `rest` begins with, and puts into `values` where the known members stand.
fn pass_over<'t>(
    rest: Value<'t>,
    path: &str,
    known: &[&str],
    spelling: Spelling,
    values: &mut [Option<Value<'t>>],
    inner: &mut Inner<'_, 't>,
) -> Result<Passed, Unread> {
    let cannot = |why: String| Unread::Told(format!("{path} can't be read: {why}"));
    let text = rest.text.as_bytes();
    let mut at = blanks(text, 0);
    if text.get(at) != Some(&b'{') {
        return Err(Unread::Syntax);
    }
    at += 1;
    let inside = at;
    at = blanks(text, at);
    if text.get(at) == Some(&b'}') {
        return Ok(Passed { inside, empty: true, end: at + 1 });
    }
    loop {
        let (end, behind) = key_end(text, at).ok_or(Unread::Syntax)?;
        let key = unescaped(rest.text.get(at..end).unwrap_or_default()).map_err(cannot)?;
        let which = recognised(&key, known, spelling).map_err(cannot)?;
        let start = blanks(text, behind);
        let from = |range: Range<usize>| Value {
            text: rest.text.get(range).unwrap_or_default(),
            at: rest.at + start,
        };
        let read = which.map_or(Ok(None), |n| inner(n, from(start..text.len())))?;
        at = match read {
            Some(length) => start + length,
            None => value_end(text, start).ok_or(Unread::Syntax)?,
        };
        if let Some(slot) = which.and_then(|n| values.get_mut(n))
            && slot.replace(from(start..at)).is_some()
        {
            return Err(cannot(format!("key \"{key}\" stands twice")));
        }
        at = blanks(text, at);
        match text.get(at) {
            Some(b',') => at = blanks(text, at + 1),
            Some(b'}') => return Ok(Passed { inside, empty: false, end: at + 1 }),
            _ => return Err(Unread::Syntax),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    AnyCase,
    Exact,
}

/// What the key says, without its quotes.
fn unescaped(key: &str) -> Result<Cow<'_, str>, String> {
    let inner = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
    match inner.filter(|inner| !inner.contains('\\')) {
        Some(inner) => Ok(Cow::Borrowed(inner)),
        None => serde_json::from_str(key).map(Cow::Owned).map_err(|why| plain(&why)),
    }
}

/// Which of the known names the key is, if any.
fn recognised(key: &str, known: &[&str], spelling: Spelling) -> Result<Option<usize>, String> {
    if let Some(n) = known.iter().position(|k| *k == key) {
        return Ok(Some(n));
    }
    // crun compares keys as C strings, which end at a NUL.
    if key.contains('\0') {
        return Err(format!("key {} has a NUL character in it", quoted(key.as_bytes())));
    }
    match known.iter().find(|k| folds_to(key, k)) {
        Some(known) if spelling == Spelling::AnyCase => Err(format!(
            "key {} differs from \"{known}\" only in case, and runtimes disagree on it",
            quoted(key.as_bytes())
        )),
        _ => Ok(None),
    }
}

/// Whether Go's decoder takes `key` for the ASCII name `known`: Unicode simple case folding, by which only two
/// characters outside ASCII fold to a letter of it: U+017F (long s) and U+212A (Kelvin sign).
fn folds_to(key: &str, known: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(known.chars().map(fold))
}

/// What is wrong with a text that isn't one object: serde_json's word.
fn why_unread(text: &str) -> String {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(why) => plain(&why),
        Ok(_) => "it is no object".to_owned(),
    }
}

/// serde_json's sentence without the place, which counts from the object's start and would mislead.
fn plain(why: &serde_json::Error) -> String {
    let text = told(why);
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
