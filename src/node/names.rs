//! The names that an image gives to uids and gids, for people to read beside the numbers.
//!
//! Whoever writes the image writes these names: they prove nothing, and they are escaped before they are shown.

use std::collections::HashMap;
use std::path::PathBuf;

use super::image::{GroupFile, Root};
use crate::quote::escaped;

/// The names in the image's etc/passwd and etc/group.
#[derive(Debug, Default)]
pub struct Names {
    passwd: Vec<u8>,
    group: Vec<u8>,
    known_users: HashMap<u32, Option<String>>,
    known_groups: HashMap<u32, Option<String>>,
}

impl Names {
    /// Those that a process sees; none where its root can't be read.
    pub fn of_process(pid: u32) -> Names {
        let Ok(root) = Root::open(&PathBuf::from(format!("/proc/{pid}/root"))) else {
            return Names::default();
        };
        let group = match root.group_file() {
            Ok(GroupFile::Text(text)) => text,
            Ok(GroupFile::Absent | GroupFile::Unusable(_)) | Err(_) => Vec::new(),
        };
        Names::of_files(root.passwd_file().unwrap_or_default(), group)
    }

    /// Those in the bytes of an etc/passwd and an etc/group.
    pub fn of_files(passwd: Vec<u8>, group: Vec<u8>) -> Names {
        Names { passwd, group, ..Names::default() }
    }

    /// The name of a user, escaped.
    pub fn user(&mut self, uid: u32) -> Option<String> {
        let passwd = &self.passwd;
        self.known_users.entry(uid).or_insert_with(|| find(passwd, uid)).clone()
    }

    /// The name of a group, escaped.
    pub fn group(&mut self, gid: u32) -> Option<String> {
        let group = &self.group;
        self.known_groups.entry(gid).or_insert_with(|| find(group, gid)).clone()
    }
}

/// The first field of the first line whose third field is `id`; passwd(5) and group(5) agree so far.
fn find(text: &[u8], id: u32) -> Option<String> {
    let wanted = id.to_string();
    let named = |line: &[u8]| {
        let mut fields = line.split(|b| *b == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.trim_ascii() == wanted.as_bytes()).then(|| escaped(name))
    };
    text.split(|b| *b == b'\n').find_map(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_with_the_number_gives_the_name() {
        let text = b"root:x:0:0::/:\n#app:x:1000:\napp:x:1000:1000\nother:x:1000:1\n:x:7:\nshort:x\n";
        assert_eq!(find(text, 0).as_deref(), Some("root"));
        assert_eq!(find(text, 1000).as_deref(), Some("#app"));
        assert_eq!(find(text, 7), None);
        assert_eq!(find(text, 1), None);
    }

    #[test]
    fn a_hostile_name_is_shown_and_not_obeyed() {
        let mut text = b"\x1b]0;owned\x07\xff:x:5000:\n".to_vec();
        assert_eq!(find(&text, 5000).as_deref(), Some("\\u{1b}]0;owned\\u{7}\\xff"));
        text = [vec![b'a'; 10_000_000], b":x:6000:".to_vec()].concat();
        assert_eq!(find(&text, 6000).unwrap().chars().count(), 81);
    }
}
