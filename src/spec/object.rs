//! One JSON object, read without loss: where the values of the members that we know stand in the text.
//!
//! Go's decoder (runc) matches keys without regard to case and takes the last of several; yajl (crun) matches
//! exactly and takes the first. A document in which the two would read different things is refused: no key that
//! we know may stand twice, nor in another spelling that Go would take for it.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::quote::quoted;

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
        Object::read_by(value, path, known, Spelling::AnyCase)
    }

    /// As [`Object::read`] for a map from free keys, which Go too matches exactly.
    ///
    /// # Errors
    /// As [`Object::read`].
    pub fn read_map(value: Value<'t>, path: &str, known: [&str; N]) -> Result<Object<'t, N>, String> {
        Object::read_by(value, path, known, Spelling::Exact)
    }

    fn read_by(
        value: Value<'t>,
        path: &str,
        known: [&str; N],
        spelling: Spelling,
    ) -> Result<Object<'t, N>, String> {
        let mut json = serde_json::Deserializer::from_str(value.text);
        let members = Members { known, spelling };
        let (raw, empty) = json
            .deserialize_map(members)
            .and_then(|found| json.end().map(|()| found))
            .map_err(|why| format!("{path} can't be read: {}", plain(&why)))?;
        let base = value.text.as_ptr().addr();
        let place =
            |raw: &'t RawValue| Value { text: raw.get(), at: value.at + (raw.get().as_ptr().addr() - base) };
        let brace = value.text.find('{').unwrap_or_default();
        Ok(Object { values: raw.map(|r| r.map(place)), inside: value.at + brace + 1, empty })
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    AnyCase,
    Exact,
}

/// The visitor: keeps the raw text of known members and skips the rest.
struct Members<'k, const N: usize> {
    known: [&'k str; N],
    spelling: Spelling,
}

impl<'t, const N: usize> Visitor<'t> for Members<'_, N> {
    type Value = ([Option<&'t RawValue>; N], bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        let mut empty = true;
        while let Some(which) = map.next_key_seed(Key { known: &self.known, spelling: self.spelling })? {
            empty = false;
            match which {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(n) => {
                    let value = map.next_value::<&'t RawValue>()?;
                    if let Some(slot) = values.get_mut(n)
                        && slot.replace(value).is_some()
                    {
                        let key = self.known.get(n).copied().unwrap_or_default();
                        return Err(serde::de::Error::custom(format!("key \"{key}\" stands twice")));
                    }
                }
            }
        }
        Ok((values, empty))
    }
}

/// Recognises a key without copying it.
struct Key<'k> {
    known: &'k [&'k str],
    spelling: Spelling,
}

impl<'t> DeserializeSeed<'t> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        if let Some(n) = self.known.iter().position(|k| *k == key) {
            return Ok(Some(n));
        }
        // crun compares keys as C strings, which end at a NUL.
        if key.contains('\0') {
            return Err(E::custom(format!("key {} has a NUL character in it", quoted(key.as_bytes()))));
        }
        match self.known.iter().find(|k| folds_to(key, k)) {
            Some(known) if self.spelling == Spelling::AnyCase => Err(E::custom(format!(
                "key {} differs from \"{known}\" only in case, and runtimes disagree on it",
                quoted(key.as_bytes())
            ))),
            _ => Ok(None),
        }
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

/// serde_json's sentence without the place, which counts from the object's start and would mislead.
fn plain(why: &serde_json::Error) -> String {
    let text = why.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
