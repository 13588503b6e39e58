//! A systemd on a host's private socket, which says what a test wants of one service.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What it was asked, and what it answers.
#[derive(Default)]
pub(crate) struct Systemd {
    /// The restarts that were asked for, by unit.
    pub(crate) restarts: Mutex<Vec<String>>,
    /// How restarts end, one after the other; `done` when there is no more.
    pub(crate) results: Mutex<Vec<&'static str>>,
    /// The service's ActiveState, and since when: microseconds since 1970.
    pub(crate) state: Mutex<(&'static str, u64)>,
}

impl Systemd {
    /// Listens at `socket` as long as the test runs.
    pub(crate) fn listen(socket: &Path, state: &'static str) -> Arc<Systemd> {
        let listener = UnixListener::bind(socket).unwrap();
        let systemd = Arc::new(Systemd { state: Mutex::new((state, 1)), ..Systemd::default() });
        let served = Arc::clone(&systemd);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                served.serve(stream.unwrap());
            }
        });
        systemd
    }

    fn serve(&self, stream: UnixStream) {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "BEGIN\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        reader.get_mut().write_all(b"OK 0123456789abcdef\r\n").unwrap();
        let mut fixed = [0u8; 16];
        while reader.read_exact(&mut fixed).is_ok() {
            let number = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().unwrap()) as usize;
            let mut fields = vec![0u8; number(12).next_multiple_of(8)];
            let mut body = vec![0u8; number(4)];
            reader.read_exact(&mut fields).unwrap();
            reader.read_exact(&mut body).unwrap();
            let names = |word: &str, bytes: &[u8]| bytes.windows(word.len()).any(|w| w == word.as_bytes());
            let (state, since) = *self.state.lock().unwrap();
            let mut out = reader.get_ref();
            match () {
                () if names("GetUnit", &fields) => out.write_all(&message(2, "", &string("/unit"))),
                () if names("ActiveState", &body) => {
                    let variant = [b"\x01s\0\0".as_slice(), &string(state)].concat();
                    out.write_all(&message(2, "", &variant))
                }
                () if names("ActiveEnterTimestamp", &body) => {
                    let variant = [b"\x01t\0\0\0\0\0\0".as_slice(), &since.to_le_bytes()].concat();
                    out.write_all(&message(2, "", &variant))
                }
                () if names("RestartUnit", &fields) => {
                    let length = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
                    let unit = String::from_utf8(body[4..4 + length].to_vec()).unwrap();
                    self.restarts.lock().unwrap().push(unit.clone());
                    let mut results = self.results.lock().unwrap();
                    let result = if results.is_empty() { "done" } else { results.remove(0) };
                    // the end of somebody else's job, then ours, then the answer that names ours
                    let ended = |job: &str, result: &str| {
                        let mut body = 7u32.to_le_bytes().to_vec();
                        for text in [job, &unit, result] {
                            body.resize(body.len().next_multiple_of(4), 0);
                            body.extend(string(text));
                        }
                        message(4, "JobRemoved", &body)
                    };
                    let all = [
                        ended("/job/1", "failed"),
                        ended("/job/2", result),
                        message(2, "", &string("/job/2")),
                    ];
                    out.write_all(&all.concat())
                }
                () => panic!("asked for what it doesn't know: {}", String::from_utf8_lossy(&fields)),
            }
            .unwrap();
        }
    }
}

fn string(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes(), b"\0"].concat()
}

/// A message with no field but the member.
fn message(kind: u8, member: &str, body: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    if !member.is_empty() {
        fields = [b"\x03\x01s\0".as_slice(), &string(member)].concat();
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let mut out = [&[b'l', kind, 0, 1][..], &length(body), &1u32.to_le_bytes(), &length(&fields)].concat();
    out.extend(&fields);
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(body);
    out
}
