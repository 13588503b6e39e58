//! The image's etc/group, and etc/passwd behind the first NUL: read beside an imitation of the parser of runc and of the
//! engines (github.com/moby/sys/user, opencontainers/runc libcontainer/user).

use num_bigint::BigUint;
use runc_strict::node::image::GroupFile;
use runc_strict::node::lookup;
use runc_strict::node::names::Names;
use runc_strict::policy::residual::{image_groups, numeric_name};
use runc_strict::policy::subject::LookupTrap;

pub(crate) fn check(bytes: &[u8]) {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let (group, passwd) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let lines: Vec<GoGroup<'_>> = group.split(|b| *b == b'\n').filter_map(go_line).collect();

    // What an engine makes of a line can never be taken for what it can't have made.
    let mut merged: Vec<u32> = lines.iter().map(|line| line.gid).collect();
    merged.extend([0, 1000, u32::MAX]);
    let from_image: Vec<u32> = image_groups(group, &merged).iter().map(|found| found.gid).collect();
    for gid in lines.iter().map(|line| line.gid).chain([0]) {
        assert!(from_image.contains(&gid), "{gid} is given by a line, and counts as residual");
    }
    // And nothing is taken away that no run of digits can be read as.
    let possible = readings(group);
    assert!(from_image.iter().all(|gid| *gid == 0 || possible.contains(gid)));

    // A name that runc before 1.3 would take for a gid is found, and nothing is found in a file without such a name.
    let found = numeric_name(group);
    if lines.iter().any(|line| is_number(line.name)) {
        assert!(found.is_some(), "a name that is a number isn't seen");
    }
    let trap = lookup::trap_in(&GroupFile::Text(group.to_vec()));
    assert_eq!(trap, found.clone().map(LookupTrap::NumericName));
    if let Some(name) = found {
        assert!(is_number(name.as_bytes()));
    }

    // Names are only shown: none may repaint a terminal.
    let mut names = Names::of_files(passwd.to_vec(), group.to_vec());
    for id in merged {
        for name in [names.user(id), names.group(id)].into_iter().flatten() {
            assert!(!name.is_empty() && !name.contains(char::is_control), "{name:?}");
        }
    }
}

fn is_number(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

/// A line as Go's parser reads it.
struct GoGroup<'l> {
    name: &'l [u8],
    gid: u32,
}

/// bytes.TrimSpace on the line, then fields between colons; what is no number is 0.
fn go_line(line: &[u8]) -> Option<GoGroup<'_>> {
    let line = go_trim(line);
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let mut fields = line.split(|b| *b == b':');
    let name = fields.next()?;
    let gid = fields.nth(1).map_or(0, go_atoi);
    // the conversion to uint32, which wraps
    let gid = u32::try_from(gid.rem_euclid(1 << 32)).ok()?;
    Some(GoGroup { name, gid })
}

/// bytes.TrimSpace: white space of Unicode; a byte that is no UTF-8 is none.
fn go_trim(line: &[u8]) -> &[u8] {
    let start =
        line.utf8_chunks().next().map_or(0, |first| first.valid().len() - first.valid().trim_start().len());
    let line = &line[start..];
    let end = match line.utf8_chunks().last() {
        Some(last) if last.invalid().is_empty() => last.valid().len() - last.valid().trim_end().len(),
        _ => 0,
    };
    &line[..line.len() - end]
}

/// strconv.Atoi with its error ignored: 0 for what is no number, and the nearest of 64 bits for what is too large.
fn go_atoi(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if !is_number(digits) {
        return 0;
    }
    let text = std::str::from_utf8(digits).unwrap_or_default();
    let Ok(value) = text.parse::<i128>() else { return if negative { i64::MIN } else { i64::MAX } };
    let value = if negative { -value } else { value };
    i64::try_from(value).unwrap_or(if negative { i64::MIN } else { i64::MAX })
}

/// Every number that some parser could make of the runs of digits in the text.
fn readings(text: &[u8]) -> Vec<u32> {
    let low = |number: u64| u32::try_from(number % (1 << 32)).unwrap_or_default();
    let mut all = Vec::new();
    for run in text.split(|b| !b.is_ascii_digit()).filter(|run| !run.is_empty()) {
        let number = BigUint::parse_bytes(run, 10).unwrap_or_default();
        let mut values = vec![u64::try_from(&number).unwrap_or(u64::MAX)];
        if values.iter().any(|value| i64::try_from(*value).is_err()) {
            values.extend([1 << 63, (1 << 63) - 1]);
        }
        all.extend(values.into_iter().flat_map(|value| [low(value), low(value.wrapping_neg())]));
    }
    all
}
