//! Writes a few values into a document and leaves every other byte as it is.
//!
//! The result is never put together in memory: it is a list of pieces, most of them slices of the old document,
//! that one writev(2) writes. A document of ten megabytes is therefore held once.

use std::ops::Range;

use super::object::Object;

/// A document and what is to be written into it.
#[derive(Debug)]
pub struct Splice<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, String)>,
    /// Where a first member was inserted into an object without any: a further one needs a comma before it.
    filled: Vec<usize>,
}

impl<'t> Splice<'t> {
    /// No change to `text` yet.
    pub fn new(text: &'t str) -> Splice<'t> {
        Splice { text, edits: Vec::new(), filled: Vec::new() }
    }

    /// Sets the `n`-th known member of `object`, called `key`: its old value is replaced, or a member is
    /// inserted behind the opening brace.
    pub fn set<const N: usize>(&mut self, object: &Object<'_, N>, n: usize, key: &str, value: String) {
        match object.place(n) {
            Some(old) => self.edits.push((old.span(), value)),
            None => {
                let member = match (object.empty, self.filled.contains(&object.inside)) {
                    (false, _) => format!("\"{key}\":{value},"),
                    (true, false) => format!("\"{key}\":{value}"),
                    (true, true) => format!(",\"{key}\":{value}"),
                };
                if object.empty {
                    self.filled.push(object.inside);
                }
                self.edits.push((object.inside..object.inside, member));
            }
        }
    }

    /// The new document, in pieces.
    pub fn pieces(&mut self) -> Vec<&[u8]> {
        // A stable sort: two members inserted at one place keep their order.
        self.edits.sort_by_key(|(span, _)| span.start);
        let mut pieces = Vec::with_capacity(self.edits.len() * 2 + 1);
        let mut at = 0;
        for (span, value) in &self.edits {
            pieces.push(self.text.as_bytes().get(at..span.start).unwrap_or_default());
            pieces.push(value.as_bytes());
            at = span.end;
        }
        pieces.push(self.text.as_bytes().get(at..).unwrap_or_default());
        pieces
    }

    /// The new document, whole.
    pub fn to_text(&mut self) -> String {
        String::from_utf8_lossy(&self.pieces().concat()).into_owned()
    }
}
