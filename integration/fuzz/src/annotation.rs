//! The annotation: its text up to the first NUL; what follows says who carries it, and by which policy it is judged.

use arbitrary::Unstructured;
use runc_strict::policy::annotation::parse_groups;
use runc_strict::policy::gid::Gid;

use crate::{assert_one_line, laws, people};

pub(crate) fn check(bytes: &[u8]) {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else { return };
    let read = parse_groups(text);
    assert_eq!(read.as_ref().ok().map(|set| set.iter().map(Gid::get).collect()), reference(text));
    match read {
        Err(why) => assert_one_line(&why),
        Ok(set) => {
            let list = set.to_string();
            let bare = list.trim_matches(['[', ']']);
            assert_eq!(parse_groups(bare), Ok(set), "what is written is read again");
        }
    }
    let mut rest = Unstructured::new(bytes.get(end + 1..).unwrap_or_default());
    let people = people::subject(&mut rest, Some(text.to_owned()))
        .and_then(|subject| Ok((subject, people::policy(&mut rest)?, people::process(&mut rest)?)));
    let Ok((subject, policy, exec)) = people else { return };
    if let Some(identity) = laws::hold(&subject, &policy) {
        let _ = laws::hold_exec(&exec, &identity);
    }
}

/// The list as the documentation describes it, read by plain arithmetic; none where something in it is no gid.
fn reference(text: &str) -> Option<Vec<u32>> {
    let blank = |c: char| c == ' ' || c == '\t';
    let mut gids = Vec::new();
    if text.chars().all(blank) {
        return Some(gids);
    }
    for token in text.split(',').map(|token| token.trim_matches(blank)) {
        let mut sum = 0_u64;
        for c in token.chars() {
            sum = (sum * 10 + u64::from(c.to_digit(10)?)).min(1 << 40);
        }
        let plain = token == "0" || (!token.is_empty() && !token.starts_with('0'));
        gids.push(u32::try_from(sum).ok().filter(|gid| plain && *gid <= 2_147_483_647)?);
    }
    gids.sort_unstable();
    gids.dedup();
    Some(gids)
}
