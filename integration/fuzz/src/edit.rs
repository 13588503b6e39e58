//! Another reader of documents, and a model of what is written into them: the exact bytes that an edit may change.

use std::fmt;
use std::ops::Range;

use serde_json::value::RawValue;

/// The members of an object in their order, each with its key and the text of its value.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'t> serde::Deserialize<'t> for Members<'t> {
    fn deserialize<D: serde::Deserializer<'t>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'t> serde::de::Visitor<'t> for Visitor {
            type Value = Members<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'t>>(self, mut map: A) -> Result<Members<'t>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Visitor)
    }
}

/// Where in `text` the value at `path` stands, if each object on the way has the key once.
pub(crate) fn place(text: &str, path: &[&str]) -> Option<Range<usize>> {
    let mut at = text;
    for key in path {
        let members: Members<'_> = serde_json::from_str(at).ok()?;
        let mut found = members.0.into_iter().filter(|(name, _)| name == key).map(|(_, value)| value.get());
        at = found.next()?;
        assert!(found.next().is_none(), "a document with {key} twice was accepted");
    }
    let start = at.as_ptr().addr() - text.as_ptr().addr();
    Some(start..start + at.len())
}

/// A change: the object's path, the member's key, its new value.
pub(crate) struct Change<'c> {
    pub(crate) object: Vec<&'c str>,
    pub(crate) key: &'c str,
    pub(crate) value: String,
}

/// `text` with the changes and no other byte touched: a value that is there is replaced; one that isn't becomes the first
/// member of its object, and of several the first comes first.
pub(crate) fn expected(text: &str, changes: &[Change<'_>]) -> String {
    let mut out = text.to_owned();
    // from the last to the first, so that no place moves before it was used
    for change in changes.iter().rev() {
        let path: Vec<&str> = change.object.iter().copied().chain([change.key]).collect();
        if let Some(place) = place(&out, &path) {
            out.replace_range(place, &change.value);
            continue;
        }
        let object = place_of_object(&out, &change.object);
        let empty = out[object.clone()].trim_start_matches('{').trim_start().starts_with('}');
        let brace = object.start + out[object.clone()].find('{').expect("an object has a brace");
        let comma = if empty { "" } else { "," };
        out.insert_str(brace + 1, &format!("\"{}\":{}{comma}", change.key, change.value));
    }
    out
}

fn place_of_object(text: &str, path: &[&str]) -> Range<usize> {
    place(text, path).expect("the object is there")
}
