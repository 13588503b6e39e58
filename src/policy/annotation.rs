//! The two annotations that a pod may carry, and how their text is read.
//!
//! The prefix `runc-strict/` is a valid DNS label, so containerd's `pod_annotations = ["runc-strict/*"]` passes
//! these keys and nothing else.

use super::gid::{Gid, GidSet, NGROUPS_MAX};
use crate::quote::quoted;

/// The exact supplementary groups: decimal gids separated by commas.
pub const GROUPS_KEY: &str = "runc-strict/supplemental-groups";

/// The level that the pod asks for; it can only raise it.
pub const LEVEL_KEY: &str = "runc-strict/level";

/// crun's annotation that makes it skip setgroups(2).
pub const KEEP_ORIGINAL_GROUPS_KEY: &str = "run.oci.keep_original_groups";

/// runc finds the bundle of an exec by the first `bundle=` label, and annotations come first.
pub const BUNDLE_KEY: &str = "bundle";

/// Reads `"5000, 6000"`. Blanks (space and tab) around a gid are allowed; an empty text means no group.
///
/// # Errors
/// A sentence that quotes the token that is no gid.
pub fn parse_groups(text: &str) -> Result<GidSet, String> {
    let blank = [' ', '\t'];
    if text.trim_matches(blank).is_empty() {
        return Ok(GidSet::default());
    }
    let mut gids = Vec::new();
    for token in text.split(',') {
        let digits = token.trim_matches(blank);
        let gid = Gid::parse(digits).ok_or_else(|| {
            format!(
                "{} is no gid; write decimal numbers from 0 to {}, separated by commas",
                quoted(digits.as_bytes()),
                Gid::MAX
            )
        })?;
        gids.push(gid);
        if gids.len() > NGROUPS_MAX {
            return Err(format!("it lists more than {NGROUPS_MAX} gids, the most that the kernel takes"));
        }
    }
    Ok(GidSet::from(gids))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gids(text: &str) -> Vec<u32> {
        parse_groups(text).unwrap().iter().map(Gid::get).collect()
    }

    #[test]
    fn gids_are_sorted_and_unique_and_blanks_around_them_are_allowed() {
        assert_eq!(gids(" 6000,\t5000 ,6000"), [5000, 6000]);
        assert_eq!(gids("0"), [0]);
        assert_eq!(gids("2147483647"), [2147483647]);
    }

    #[test]
    fn an_empty_text_means_no_group() {
        assert!(gids("").is_empty());
        assert!(gids(" \t ").is_empty());
    }

    #[test]
    fn anything_that_is_no_plain_decimal_gid_is_refused_with_the_token_quoted() {
        let bad = [
            ("5000,abc", "\"abc\""),
            ("+5000", "\"+5000\""),
            ("-1", "\"-1\""),
            ("0x1388", "\"0x1388\""),
            ("2147483648", "\"2147483648\""),
            ("4294967296", "\"4294967296\""),
            ("99999999999999999999999", "\"99999999999999999999999\""),
            ("5000,,6000", "\"\""),
            ("5000,", "\"\""),
            ("5 000", "\"5 000\""),
            ("007", "\"007\""),
            ("5000\n", "\"5000\\u{a}\""),
            ("5\u{200b}000", "\"5\\u{200b}000\""),
            ("５０００", "\"５０００\""),
            ("1e3", "\"1e3\""),
        ];
        for (text, token) in bad {
            let sentence = parse_groups(text).unwrap_err();
            assert!(sentence.starts_with(&format!("{token} is no gid")), "{text:?}: {sentence}");
        }
    }

    #[test]
    fn more_gids_than_the_kernel_takes_are_refused() {
        let list = |n: u32| (0..n).map(|g| g.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(gids(&list(65536)).len(), 65536);
        assert!(parse_groups(&list(65537)).is_err());
    }
}
