//! systemd's answers: bytes in their place give an error or a value, and come to an end; a right answer gives what is
//! in it. The other end of the socket has said everything before it is asked.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use runc_strict::error::Result;
use runc_strict::node::systemd::Systemd;
use runc_strict::resize::knob::CgroupVersion;

use crate::assert_one_line;

/// More doesn't fit into a socket that nobody reads meanwhile.
const ROOM: usize = 64 * 1024;

pub(crate) fn check(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    if bytes.len() > ROOM {
        return;
    }
    match kind % 6 {
        0 => drop(asked(bytes, |systemd| systemd.version())),
        1 => drop(asked(&greeted(bytes), |systemd| systemd.unit(CgroupVersion::V2, "a.scope"))),
        2 => drop(asked(&greeted(bytes), |systemd| systemd.active_since("a.service"))),
        3 => drop(asked(&greeted(bytes), |systemd| systemd.restart("a.service"))),
        4 => drop(asked(&greeted(bytes), |systemd| systemd.version())),
        _ => version(bytes),
    }
}

/// What follows when systemd has let us in.
fn greeted(bytes: &[u8]) -> Vec<u8> {
    [b"OK 0123456789abcdef0123456789abcdef\r\n", bytes].concat()
}

/// Asks an end that says these bytes and then nothing more.
fn asked<T>(bytes: &[u8], ask: impl FnOnce(&mut Systemd) -> Result<T>) -> Option<T> {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    theirs.write_all(bytes).expect("there is room");
    theirs.shutdown(Shutdown::Write).expect("the end is told");
    match Systemd::over(ours, Path::new("/run/systemd/private")).and_then(|mut systemd| ask(&mut systemd)) {
        Ok(value) => Some(value),
        Err(why) => {
            assert_one_line(&why.to_string());
            None
        }
    }
}

/// A right answer, made by the specification: what is read of it is what it says.
fn version(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let length = |length: usize| u32::try_from(length).expect("the input is short").to_le_bytes();
    // a variant: its signature, padding to 4, a string
    let body = [&[1, b's', 0, 0][..], &length(text.len()), text.as_bytes(), &[0]].concat();
    // little endian, a return, no flags, version 1; a serial; one field, REPLY_SERIAL, of type u
    let head =
        [&[b'l', 2, 1, 1][..], &length(body.len()), &length(7), &length(8), &[5, 1, b'u', 0, 1, 0, 0, 0]];
    let answer = greeted(&[head.concat(), body].concat());
    let digits = text.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect::<String>();
    let expected = digits.parse().unwrap_or(0_u32);
    assert_eq!(asked(&answer, |systemd| systemd.version()), Some(expected), "{text:?}");
}
