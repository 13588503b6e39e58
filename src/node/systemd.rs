//! systemd's first process, asked over its private socket `/run/systemd/private`: root reaches it there without a bus
//! daemon. What is needed of D-Bus is little (D-Bus specification, "Message Protocol"): calls with strings, numbers and
//! lists of bits, one at a time, little endian.

mod unit;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::quote::escaped;
use crate::resize::convert::systemd::{PropertyValue, knobs};
use crate::resize::knob::CgroupVersion;
use crate::resize::knobs::Knobs;

/// The socket.
pub const SOCKET: &str = "/run/systemd/private";

/// The manager's object and interface.
const MANAGER: (&str, &str) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");

/// A reclaim on behalf of a lowered limit happens inside of the call.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer is a few lines; this bounds what is read.
const LIMIT: u32 = 1024 * 1024;

/// The properties that are read of a unit.
const NUMBERS: [&str; 14] = [
    "MemoryMin",
    "MemoryLow",
    "MemoryHigh",
    "MemoryMax",
    "MemorySwapMax",
    "MemoryLimit",
    "CPUShares",
    "CPUWeight",
    "CPUQuotaPerSecUSec",
    "CPUQuotaPeriodUSec",
    "TasksMax",
    "IOWeight",
    "BlockIOWeight",
    "StartupCPUWeight",
];

/// A connection.
#[derive(Debug)]
pub struct Systemd {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    serial: u32,
}

/// Whether this host runs systemd (sd_booted(3)).
pub fn runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

impl Systemd {
    /// Connects.
    ///
    /// # Errors
    /// That the socket can't be reached, or refuses us.
    pub fn connect() -> Result<Systemd> {
        Systemd::connect_at(Path::new(SOCKET))
    }

    /// Connects to a socket of another name: a host's whose root is mounted somewhere.
    ///
    /// # Errors
    /// As [`Systemd::connect`].
    pub fn connect_at(path: &Path) -> Result<Systemd> {
        Systemd::over(UnixStream::connect(path).map_err(Error::io("connect to systemd at", path))?, path)
    }

    /// Introduces itself to whoever is at the other end of `stream`, which messages call `path`.
    ///
    /// # Errors
    /// As [`Systemd::connect`].
    pub fn over(stream: UnixStream, path: &Path) -> Result<Systemd> {
        let timed =
            stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        timed.map_err(Error::io("set up the connection to", path))?;
        let mut systemd = Systemd { stream: BufReader::new(stream), path: path.to_path_buf(), serial: 0 };
        // SASL EXTERNAL: the user's number in decimal, written in hexadecimal
        let uid = nix::unistd::geteuid()
            .to_string()
            .bytes()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        // all at once: what is read together with BEGIN, systemd 252 lets lie until more comes
        systemd.send(format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").as_bytes())?;
        let mut line = String::new();
        let read = (&mut systemd.stream).take(4096).read_line(&mut line);
        read.map_err(Error::io("read from systemd at", path))?;
        if !line.starts_with("OK ") {
            return Err(Error::Other(format!(
                "systemd refuses the connection: {}",
                escaped(line.trim().as_bytes())
            )));
        }
        Ok(systemd)
    }

    /// Its version: 252 of `252.39-1~deb12u1`.
    ///
    /// # Errors
    /// That it doesn't answer.
    pub fn version(&mut self) -> Result<u32> {
        let (object, interface) = MANAGER;
        let reply = self.property(object, interface, "Version")?;
        let text = Reader::new(&reply).variant_string().unwrap_or_default();
        let digits: String = text.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect();
        Ok(digits.parse().unwrap_or_default())
    }

    /// What it believes of a unit; `None` if it has no such unit.
    ///
    /// # Errors
    /// That it doesn't answer.
    pub fn unit(&mut self, version: CgroupVersion, unit: &str) -> Result<Option<Knobs>> {
        let Some(object) = self.object(unit)? else { return Ok(None) };
        let kind = if unit.ends_with(".slice") { "Slice" } else { "Scope" };
        let interface = format!("org.freedesktop.systemd1.{kind}");
        let mut numbers = Vec::new();
        for name in NUMBERS {
            // versions differ in what they have
            if let Ok(reply) = self.property(&object, &interface, name)
                && let Some(number) = Reader::new(&reply).variant_number()
            {
                numbers.push((name, number));
            }
        }
        Ok(Some(knobs(version, numbers)))
    }

    /// Sets properties of a unit until the next boot, all in one call, and waits until its cgroup has them.
    ///
    /// # Errors
    /// What systemd said.
    pub fn set(&mut self, unit: &str, properties: &[(&str, &PropertyValue)]) -> Result<()> {
        let mut body = Writer::default();
        body.string(unit);
        body.number(1);
        body.properties(properties);
        self.reply("SetUnitProperties", "sba(sv)", body)?;
        // the cgroup is written before the next message is looked at (src/core/manager.c: manager_loop)
        self.version().map(|_| ())
    }

    /// The object of a unit; `None` if it has no such unit.
    fn object(&mut self, unit: &str) -> Result<Option<String>> {
        let mut body = Writer::default();
        body.string(unit);
        Ok(match self.call(MANAGER.0, MANAGER.1, "GetUnit", "s", body)? {
            Answer::Reply(body) => Some(Reader::new(&body).string().unwrap_or_default()),
            Answer::Error { .. } => None,
        })
    }

    fn property(&mut self, object: &str, interface: &str, name: &str) -> Result<Vec<u8>> {
        let mut body = Writer::default();
        body.string(interface);
        body.string(name);
        match self.call(object, "org.freedesktop.DBus.Properties", "Get", "ss", body)? {
            Answer::Reply(body) => Ok(body),
            Answer::Error { said } => Err(Error::Other(format!("systemd doesn't tell {name}: {said}"))),
        }
    }

    fn reply(&mut self, member: &str, signature: &str, body: Writer) -> Result<Vec<u8>> {
        match self.call(MANAGER.0, MANAGER.1, member, signature, body)? {
            Answer::Reply(body) => Ok(body),
            Answer::Error { said } => Err(Error::Other(format!("systemd's {member} failed: {said}"))),
        }
    }

    fn call(
        &mut self,
        object: &str,
        interface: &str,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<Answer> {
        self.call_hearing((object, interface), member, signature, body, |_| ())
    }

    /// As `call`; the signals that come before the answer go to `hear`.
    fn call_hearing(
        &mut self,
        (object, interface): (&str, &str),
        member: &str,
        signature: &str,
        body: Writer,
        mut hear: impl FnMut(&Message),
    ) -> Result<Answer> {
        self.serial += 1;
        let mut fields = Writer::default();
        for (code, kind, text) in [(1, "o", object), (2, "s", interface), (3, "s", member)] {
            fields.pad(8);
            fields.0.push(code);
            fields.signature(kind);
            fields.string(text);
        }
        fields.pad(8);
        fields.0.push(8);
        fields.signature("g");
        fields.signature(signature);
        // little endian, a call, no flags, version 1
        let mut message = Writer(vec![b'l', 1, 0, 1]);
        message.number(u32::try_from(body.0.len()).unwrap_or(u32::MAX));
        message.number(self.serial);
        message.number(u32::try_from(fields.0.len()).unwrap_or(u32::MAX));
        message.0.extend(fields.0);
        message.pad(8);
        message.0.extend(body.0);
        self.send(&message.0)?;
        loop {
            let message = self.receive()?;
            match message.kind {
                2 => return Ok(Answer::Reply(message.body)),
                3 => {
                    let said = Reader::new(&message.body).string().unwrap_or_default();
                    return Ok(Answer::Error { said: escaped(said.as_bytes()) });
                }
                _ => hear(&message),
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes).map_err(Error::io("write to systemd at", &self.path))
    }

    /// The next message.
    fn receive(&mut self) -> Result<Message> {
        let fail = Error::io("read from systemd at", &self.path);
        let mut fixed = [0u8; 16];
        self.stream.read_exact(&mut fixed).map_err(fail)?;
        let [endian, kind, _, _, rest @ ..] = fixed;
        let mut numbers = Reader::new(&rest);
        let sizes = (numbers.number(), numbers.number(), numbers.number());
        let (Some(body), Some(_), Some(fields)) = sizes else {
            return Err(Error::Other("systemd's answer is cut short".to_owned()));
        };
        if endian != b'l' || body > LIMIT || fields > LIMIT {
            return Err(Error::Other(
                "systemd's answer can't be read: it isn't what was asked for".to_owned(),
            ));
        }
        let mut padded = vec![0u8; fields.next_multiple_of(8) as usize];
        let mut bytes = vec![0u8; body as usize];
        let read = self.stream.read_exact(&mut padded).and_then(|()| self.stream.read_exact(&mut bytes));
        read.map_err(Error::io("read from systemd at", &self.path))?;
        padded.truncate(fields as usize);
        Ok(Message { kind, fields: padded, body: bytes })
    }
}

/// What came: an answer (2), an error (3) or a signal (4).
struct Message {
    kind: u8,
    fields: Vec<u8>,
    body: Vec<u8>,
}

/// What a call was answered.
enum Answer {
    Reply(Vec<u8>),
    Error { said: String },
}

/// Bytes being marshalled; alignment counts from their beginning.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn pad(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.pad(4);
        self.0.extend(number.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.number(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text.bytes().chain([0]));
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.bytes().chain([0]));
    }

    /// Writes the length of an array in front of its elements, which begin at a multiple of `align`.
    fn array(&mut self, align: usize, elements: impl FnOnce(&mut Self)) {
        self.number(0);
        let at = self.0.len() - 4;
        self.pad(align);
        let from = self.0.len();
        elements(self);
        let length = u32::try_from(self.0.len() - from).unwrap_or(u32::MAX);
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// `a(sv)` with numbers and lists of bits.
    fn properties(&mut self, properties: &[(&str, &PropertyValue)]) {
        self.array(8, |out| {
            for (name, value) in properties {
                out.pad(8);
                out.string(name);
                match value {
                    PropertyValue::Number(number) => {
                        out.signature("t");
                        out.pad(8);
                        out.0.extend(number.to_le_bytes());
                    }
                    PropertyValue::Bits(bits) => {
                        out.signature("ay");
                        out.array(1, |out| out.0.extend(bits));
                    }
                }
            }
        });
    }
}

/// Bytes being read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.at = self.at.next_multiple_of(4);
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn string(&mut self) -> Option<String> {
        let length = self.number()?;
        let text = self.take(usize::try_from(length).ok()?)?;
        // a NUL ends it, which isn't counted
        self.take(1)?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn variant(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?.first().copied()?;
        let signature = self.take(usize::from(length))?;
        self.take(1)?;
        Some(signature)
    }

    fn variant_string(&mut self) -> Option<String> {
        if self.variant()? == b"s" { self.string() } else { None }
    }

    fn variant_number(&mut self) -> Option<u64> {
        if self.variant()? != b"t" {
            return None;
        }
        self.at = self.at.next_multiple_of(8);
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_written_as_the_specification_aligns_them() {
        let mut body = Writer::default();
        body.properties(&[("A", &PropertyValue::Number(258)), ("Bc", &PropertyValue::Bits(vec![7]))]);
        let expected: &[u8] = &[
            43, 0, 0, 0, 0, 0, 0, 0, // the array's length, and padding to its first structure
            1, 0, 0, 0, b'A', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 0, // name, signature, padding to 8
            2, 1, 0, 0, 0, 0, 0, 0, // 258
            2, 0, 0, 0, b'B', b'c', 0, 2, b'a', b'y', 0, 0, 1, 0, 0, 0, 7,
        ];
        let (length, rest) = body.0.split_at(4);
        assert_eq!(rest, &expected[4..]);
        assert_eq!(u32::from_le_bytes(length.try_into().unwrap()) as usize, expected.len() - 8);
    }

    #[test]
    fn answers_that_are_cut_short_or_of_another_type_give_nothing() {
        assert_eq!(Reader::new(&[9, 0, 0, 0, b'x']).string(), None);
        assert_eq!(Reader::new(&[1, b't', 0, 0]).variant_number(), None);
        assert_eq!(Reader::new(&[1, b'u', 0, 0, 1, 0, 0, 0]).variant_number(), None);
        assert_eq!(
            Reader::new(&[1, b't', 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]).variant_number(),
            Some(5)
        );
        assert_eq!(Reader::new(&[]).variant_string(), None);
    }
}
