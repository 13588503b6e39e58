//! Sets of CPUs and memory nodes, in the kernel's list format (`bitmap_parselist` in lib/bitmap-str.c, man cpuset(7)):
//! `0-3,8,10-11`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::resize::quoted::Quoted;

/// The largest number that a list may name. The kernel's own bound is NR_CPUS, at most 8192 on the largest
/// distribution kernels; this one only keeps `0-99999999999` from filling our memory.
const LARGEST: u32 = 65_535;

/// A set of CPUs or of memory nodes; may be empty, which on version 2 means "as the parent".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Cpuset(BTreeSet<u32>);

impl Cpuset {
    /// True if it has no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if each member is one of `other`, too.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The members of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// The members that `other` lacks.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    /// systemd's form of it (AllowedCPUs, AllowedMemoryNodes): a bit for each member, the lowest bit of the first
    /// byte first. (opencontainers/cgroups: `RangeToBits`.)
    pub fn to_bits(&self) -> Vec<u8> {
        let length = self.0.last().map_or(0, |last| *last as usize / 8 + 1);
        let mut bits = vec![0; length];
        for member in &self.0 {
            if let Some(byte) = bits.get_mut(*member as usize / 8) {
                *byte |= 1_u8 << (member % 8);
            }
        }
        bits
    }
}

impl FromStr for Cpuset {
    type Err = CpusetError;

    /// Reads a list. Blanks around the whole are allowed, as the kernel's files end in a line feed; the empty list
    /// is the empty set.
    ///
    /// # Errors
    /// [`CpusetError`] with the part that is no number or range, runs backwards or goes beyond 65535.
    fn from_str(text: &str) -> Result<Self, CpusetError> {
        let mut members = BTreeSet::new();
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self(members));
        }
        for part in text.split(',') {
            let fault = |what| CpusetError { part: part.to_owned(), what };
            let number = |digits: &str| {
                let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                let number = if plain {
                    Ok(digits.parse::<u32>().unwrap_or(u32::MAX))
                } else {
                    Err(fault("no number"))
                };
                number
                    .and_then(|number| if number > LARGEST { Err(fault("above 65535")) } else { Ok(number) })
            };
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(fault("a range that runs backwards"));
            }
            members.extend(first..=last);
        }
        Ok(Self(members))
    }
}

impl fmt::Display for Cpuset {
    /// In the kernel's own shortest form: neighbours joined to ranges.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = members.next() {
            let mut last = first;
            while let Some(next) = members.next_if_eq(&(last + 1)) {
                last = next;
            }
            match first == last {
                true => write!(out, "{comma}{first}")?,
                false => write!(out, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

/// A list that names no set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpusetError {
    part: String,
    what: &'static str,
}

impl fmt::Display for CpusetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is {}; write a list such as 0-3,8", Quoted(&self.part), self.what)
    }
}

impl std::error::Error for CpusetError {}
