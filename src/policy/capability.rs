//! The five capability sets of a document, by name.
//!
//! Names that we don't know are kept: a newer kernel may have them. Names that we do know are recognised in
//! every spelling that some runtime accepts: runc wants `CAP_SETGID`, youki also takes `SETGID`, and crun asks
//! libcap, which ignores case and takes numbers (`6`, `0x6`).

use caps::Capability;
use serde::{Deserialize, Serialize};

/// The names of the five sets, as they stand in a document and as [`CapabilitySets`] orders them.
pub const SET_NAMES: [&str; 5] = ["bounding", "effective", "inheritable", "permitted", "ambient"];

/// `process.capabilities`. A set that is absent means none, to runc and crun alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitySets(pub [Option<Vec<String>>; 5]);

impl CapabilitySets {
    /// The bounding set; empty where it is absent.
    pub fn bounding(&self) -> &[String] {
        self.0.first().and_then(Option::as_deref).unwrap_or_default()
    }

    /// Whether any of the five sets names `wanted`.
    pub fn contain(&self, wanted: Capability) -> bool {
        self.0.iter().flatten().any(|set| names(set, wanted))
    }

    /// The sets without what `drop` says, or none where nothing is dropped.
    pub fn without(&self, drop: impl Fn(&str) -> bool) -> Option<CapabilitySets> {
        let kept = CapabilitySets(self.0.each_ref().map(|set| {
            set.as_ref().map(|names| names.iter().filter(|n| !drop(n)).cloned().collect::<Vec<_>>())
        }));
        (kept != *self).then_some(kept)
    }
}

/// Whether `set` names `wanted`.
pub fn names(set: &[String], wanted: Capability) -> bool {
    set.iter().any(|name| is(name, wanted))
}

/// Whether some runtime takes `name` for `wanted`.
pub fn is(name: &str, wanted: Capability) -> bool {
    let name = name.trim();
    let mut full = name.to_ascii_uppercase();
    if !full.starts_with("CAP_") {
        full.insert_str(0, "CAP_");
    }
    match full.parse::<Capability>() {
        Ok(known) => known == wanted,
        Err(_) => c_number(name) == Some(u64::from(wanted.index())),
    }
}

/// strtoul(3) with base 0, as libcap reads a capability given by number.
fn c_number(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    match lower.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        Some(octal) => u64::from_str_radix(octal, 8).ok(),
        None => lower.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_recognised_in_every_spelling_that_a_runtime_takes() {
        for name in ["CAP_SETGID", "cap_setgid", "Cap_SetGid", "SETGID", "6", "0x6", "06", " CAP_SETGID "] {
            assert!(is(name, Capability::CAP_SETGID), "{name}");
        }
        for name in ["CAP_SETUID", "CAP_SETGIDX", "", "7", "60"] {
            assert!(!is(name, Capability::CAP_SETGID), "{name}");
        }
    }

    #[test]
    fn a_capability_in_any_of_the_sets_is_found() {
        for n in 0..5 {
            let mut sets = CapabilitySets::default();
            assert!(!sets.contain(Capability::CAP_SETGID));
            sets.0[n] = Some(vec!["CAP_KILL".into(), "setgid".into()]);
            assert!(sets.contain(Capability::CAP_SETGID) && !sets.contain(Capability::CAP_SETUID));
        }
    }

    #[test]
    fn number_zero_is_the_capability_of_that_number() {
        for name in ["0", "00", "0x0"] {
            assert!(is(name, Capability::CAP_CHOWN), "{name}");
        }
        assert!(!is("08", Capability::CAP_CHOWN));
    }

    #[test]
    fn a_name_that_nobody_knows_is_kept() {
        let sets =
            CapabilitySets([Some(vec!["CAP_FUTURE".into(), "CAP_SETGID".into()]), None, None, None, None]);
        let kept = sets.without(|n| is(n, Capability::CAP_SETGID)).unwrap();
        assert_eq!(kept.bounding(), ["CAP_FUTURE"]);
        assert_eq!(kept.0[1], None);
        assert_eq!(kept.without(|n| is(n, Capability::CAP_SETGID)), None);
    }
}
