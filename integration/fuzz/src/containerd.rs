//! containerd's answers: bytes in the place of a message give an error or a word; a right message gives what the JSON
//! in it says.

use runc_strict::node::containerd::{Word, word_in};
use runc_strict::policy::gid::{Gid, GidSet};
use runc_strict::policy::subject::Declared;
use serde_json::Value;

use crate::assert_one_line;

const ID: &str = "c1";

pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let read = match kind % 3 {
        0 => word_in(rest, ID),
        1 => word_in(&message("io.cri-containerd.container.metadata", rest), ID),
        _ => word_in(&message("io.cri-containerd.sandbox.metadata", rest), ID),
    };
    match (kind % 3, &read) {
        (_, Err(why)) => assert_one_line(why),
        (0, Ok(_)) => {}
        (kind, Ok(word)) => assert_says(rest, word, kind == 2),
    }
}

/// A field with a length before it, in the wire format of protobuf.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        out.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or_default());
    [out.as_slice(), content].concat()
}

/// GetContainerResponse with one extension.
fn message(extension: &str, json: &[u8]) -> Vec<u8> {
    let any = field(2, &field(2, json));
    let entry = field(10, &[field(1, extension.as_bytes()), any].concat());
    field(1, &[field(1, ID.as_bytes()), entry].concat())
}

/// What was read is what another reader of the JSON finds.
fn assert_says(json: &[u8], word: &Word, sandbox: bool) {
    assert_eq!(word.sandbox, sandbox);
    // deeper than that reader goes, or with a number that it can't hold
    let Ok(document) = serde_json::from_slice::<Value>(json) else { return };
    assert_eq!(document["Version"], "v1");
    let context = &document["Metadata"]["Config"]["linux"]["security_context"];
    let listed = context["supplemental_groups"].as_array().cloned().unwrap_or_default();
    let gids =
        listed.iter().map(|gid| Gid::new(u32::try_from(gid.as_u64()?).ok()?)).collect::<Option<GidSet>>();
    let gids = gids.expect("each is a gid");
    let group = &context["run_as_group"];
    let expected =
        Declared::Known { groups: if sandbox { GidSet::default() } else { gids }, primary: !group.is_null() };
    assert_eq!(word.declared, expected);
}
