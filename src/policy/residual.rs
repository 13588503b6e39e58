//! Which gids of the merged list can have come from the image's etc/group.
//!
//! Engines read that file with a parser that ignores errors and wraps: containerd, CRI-O and docker take the
//! third field by Go's `strconv.Atoi` and convert to uint32, so `4295017296` and `-4294917295` became 50000 and
//! 50001, and `nix` became 0. Instead of imitating each parser we take every maximal run of decimal digits in
//! the file, wherever it stands, and every number that such a parser could make of it. What remains can't have
//! come from the image.

use super::subject::ImageGroup;

/// The gids of `merged` that the text of an etc/group could have given, each with the first line that could.
///
/// 0 is always among them, because it is what a parser makes of garbage.
pub fn image_groups(text: &[u8], merged: &[u32]) -> Vec<ImageGroup> {
    let mut wanted: Vec<u32> = merged.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut found: Vec<ImageGroup> = Vec::new();
    for line in text.split(|b| *b == b'\n') {
        let mut number: Option<Run> = None;
        for byte in line.iter().map(Some).chain([None]) {
            match byte {
                Some(d) if d.is_ascii_digit() => number.get_or_insert_default().push(*d),
                _ => {
                    if let Some(run) = number.take() {
                        for gid in run.readings() {
                            note(&wanted, gid, line, &mut found);
                        }
                    }
                }
            }
        }
    }
    note(&wanted, 0, b"", &mut found);
    found
}

/// Whether a line of an etc/group names its group by a number, as runc before 1.3.0 can be tricked by.
pub fn numeric_name(text: &[u8]) -> Option<String> {
    text.split(|b| *b == b'\n').find_map(|line| {
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        // runc trims a line of every white space that Unicode has: a vertical tab, a no-break space.
        let name = String::from_utf8_lossy(name);
        let name = name.trim();
        let numeric = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        numeric.then(|| name.to_owned())
    })
}

fn note(wanted: &[u32], gid: u32, line: &[u8], found: &mut Vec<ImageGroup>) {
    if wanted.binary_search(&gid).is_ok() && !found.iter().any(|g| g.gid == gid) {
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        found.push(ImageGroup { gid, name: name.to_vec() });
    }
}

/// A maximal run of decimal digits, as a number that saturates beyond 64 bits.
#[derive(Clone, Copy, Default)]
struct Run(u64);

impl Run {
    fn push(&mut self, digit: u8) {
        self.0 = self.0.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    }

    /// What a parser can make of the run, with a minus sign before it or not: the number modulo 2^32; and, where it
    /// doesn't fit into a signed 64-bit number, also the largest of those, at which such a parser saturates. (The
    /// smallest of them is 0 modulo 2^32, which counts always.)
    fn readings(self) -> impl Iterator<Item = u32> {
        let saturated = i64::try_from(self.0).is_err().then_some(i64::MAX.unsigned_abs());
        [self.0].into_iter().chain(saturated).flat_map(|n| [low(n), low(n.wrapping_neg())])
    }
}

/// `n` modulo 2^32.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
const fn low(n: u64) -> u32 {
    n as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gids(text: &str, merged: &[u32]) -> Vec<u32> {
        let mut gids: Vec<u32> = image_groups(text.as_bytes(), merged).iter().map(|g| g.gid).collect();
        gids.sort_unstable();
        gids
    }

    #[test]
    fn a_number_anywhere_in_the_file_takes_its_gid_away() {
        let text = "alice:x:1000:\nstaff:x:3000:alice\n7:4000,5000:y z6000";
        assert_eq!(gids(text, &[1000, 3000, 4000, 5000, 6000, 7000]), [1000, 3000, 4000, 5000, 6000]);
    }

    #[test]
    fn only_whole_runs_of_digits_count() {
        assert_eq!(gids("a:x:50001:", &[5000, 50001, 1]), [50001]);
    }

    #[test]
    fn overflow_negation_and_garbage_are_read_as_engines_read_them() {
        // tried with containerd 1.6: these three lines gave 50000, 50001 and 0
        let text = "a:x:4295017296:u\nb:x:-4294917295:u\nc:x:nix:u";
        assert_eq!(gids(text, &[0, 50000, 50001, 50002]), [0, 50000, 50001]);
    }

    #[test]
    fn a_number_beyond_64_bits_counts_as_what_a_parser_saturates_at() {
        assert_eq!(gids("a:x:99999999999999999999999999:u", &[0, 1, u32::MAX, 7]), [0, 1, u32::MAX]);
        assert_eq!(gids("a:x:9223372036854775808:u", &[0, 1, u32::MAX, 7]), [0, 1, u32::MAX]);
    }

    #[test]
    fn zero_never_counts_as_residual() {
        assert_eq!(gids("", &[0, 7]), [0]);
    }

    #[test]
    fn the_name_of_the_group_is_told() {
        let found = image_groups(b"root:x:0:\nstaff:x:3000:alice\n", &[3000]);
        assert_eq!(found, [ImageGroup { gid: 3000, name: b"staff".to_vec() }]);
    }

    #[test]
    fn a_group_named_by_a_number_is_found() {
        assert_eq!(numeric_name(b"root:x:0:\n 60000 :x:50000:\n"), Some("60000".to_owned()));
        assert_eq!(numeric_name(b"root:x:0:\nuser1:x:1:\n:x:5:\n"), None);
    }

    #[test]
    fn a_group_named_by_a_number_is_found_behind_whatever_white_space() {
        for blank in
            ["\u{b}", "\u{c}", "\r", "\u{85}", "\u{a0}", "\u{1680}", "\u{2003}", "\u{2028}", "\u{3000}"]
        {
            let text = format!("root:x:0:\n{blank}60000:x:50000:\n");
            assert_eq!(numeric_name(text.as_bytes()), Some("60000".to_owned()), "{blank:?}");
        }
        // none is white space to runc either, so the name is another one
        for byte in ["\u{0}", "\u{200b}", "\u{feff}"] {
            assert_eq!(numeric_name(format!("{byte}60000:x:50000:").as_bytes()), None, "{byte:?}");
        }
    }
}
