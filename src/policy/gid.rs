//! Group ids, sets of them, and ranges of them.
//!
//! Kubernetes allows 0..=2147483647, and runc 1.1.5 refuses what lies above; the kernel takes at most 65536
//! supplementary groups (`NGROUPS_MAX`, limits.h). [`GidSet`] holds the invariant that law 5 asks for: sorted
//! and unique.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A group id that may stand in a result: 0..=2147483647.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Gid(u32);

/// The largest number of supplementary groups that setgroups(2) takes.
pub const NGROUPS_MAX: usize = 65536;

impl Gid {
    /// The largest gid.
    pub const MAX: u32 = i32::MAX as u32;

    /// The group of root.
    pub const ROOT: Gid = Gid(0);

    /// `raw` as a gid, unless it is above [`Gid::MAX`].
    pub const fn new(raw: u32) -> Option<Gid> {
        if raw <= Gid::MAX { Some(Gid(raw)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Reads plain decimal digits: no sign, no blank, no leading zero.
    pub fn parse(text: &str) -> Option<Gid> {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !plain || (text.len() > 1 && text.starts_with('0')) {
            return None;
        }
        text.parse().ok().and_then(Gid::new)
    }
}

impl TryFrom<u32> for Gid {
    type Error = String;

    fn try_from(raw: u32) -> Result<Gid, String> {
        Gid::new(raw).ok_or_else(|| format!("gid {raw} is above {}", Gid::MAX))
    }
}

impl From<Gid> for u32 {
    fn from(gid: Gid) -> u32 {
        gid.0
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A sorted set of gids without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Gid>")]
pub struct GidSet(Vec<Gid>);

impl GidSet {
    /// Whether `gid` is in the set.
    pub fn contains(&self, gid: Gid) -> bool {
        self.0.binary_search(&gid).is_ok()
    }

    /// Adds `gid`.
    pub fn insert(&mut self, gid: Gid) {
        if let Err(at) = self.0.binary_search(&gid) {
            self.0.insert(at, gid);
        }
    }

    /// The gids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Gid> + '_ {
        self.0.iter().copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `raw` is exactly this set, in this order.
    pub fn is_exactly(&self, raw: &[u32]) -> bool {
        self.0.len() == raw.len() && self.0.iter().zip(raw).all(|(a, b)| a.0 == *b)
    }
}

impl From<Vec<Gid>> for GidSet {
    fn from(mut gids: Vec<Gid>) -> GidSet {
        gids.sort_unstable();
        gids.dedup();
        GidSet(gids)
    }
}

impl FromIterator<Gid> for GidSet {
    fn from_iter<I: IntoIterator<Item = Gid>>(gids: I) -> GidSet {
        GidSet::from(gids.into_iter().collect::<Vec<_>>())
    }
}

/// As a JSON array without blanks, which is how it stands in a document: `[1000,5000]`.
impl fmt::Display for GidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (n, gid) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            f.write_str(&gid.get().to_string())?;
        }
        f.write_str("]")
    }
}

/// Gids from `first` to `last`, both included. In the configuration: `"5000"` or `"60000-60999"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GidRange {
    first: Gid,
    last: Gid,
}

impl GidRange {
    /// Whether `gid` lies in the range.
    pub fn contains(self, gid: Gid) -> bool {
        self.first <= gid && gid <= self.last
    }
}

impl TryFrom<String> for GidRange {
    type Error = String;

    fn try_from(text: String) -> Result<GidRange, String> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (Gid::parse(first), Gid::parse(last)) {
            (Some(first), Some(last)) if first <= last => Ok(GidRange { first, last }),
            _ => Err(format!(
                "{} is no gid and no range of gids; write \"5000\" or \"60000-60999\", up to {}",
                crate::quote::quoted(text.as_bytes()),
                Gid::MAX
            )),
        }
    }
}

impl From<GidRange> for String {
    fn from(range: GidRange) -> String {
        range.to_string()
    }
}

impl fmt::Display for GidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}
