//! A service of systemd's: whether it runs, since when, and how it is restarted to the end.
//!
//! A restart is a job (org.freedesktop.systemd1(5), RestartUnit and JobRemoved). The answer to the call names the job;
//! how it ended comes as a signal, which systemd sends to everybody on its private socket without being asked
//! (src/core/dbus.c: bus_foreach_bus). The signal may come before the answer.

use std::time::Duration;

use super::{Answer, MANAGER, Message, Reader, Systemd, Writer};
use crate::error::{Error, Result};
use crate::quote::escaped;

/// Stopping may take 90 seconds before systemd kills, and starting as long (systemd-system.conf(5)).
const PATIENCE: Duration = Duration::from_secs(200);

/// The interface with what every unit has.
const UNIT: &str = "org.freedesktop.systemd1.Unit";

impl Systemd {
    /// Since when a unit runs, in microseconds of the clock; `None` where there is none or it doesn't run.
    ///
    /// # Errors
    /// That systemd doesn't answer.
    pub fn active_since(&mut self, unit: &str) -> Result<Option<u64>> {
        let Some(object) = self.object(unit)? else { return Ok(None) };
        let state = self.property(&object, UNIT, "ActiveState")?;
        match Reader::new(&state).variant_string().as_deref() {
            Some("inactive" | "failed" | "deactivating") | None => Ok(None),
            Some(_) => {
                let since = self.property(&object, UNIT, "ActiveEnterTimestamp")?;
                Ok(Some(Reader::new(&since).variant_number().unwrap_or_default()))
            }
        }
    }

    /// Restarts a unit and waits until it runs again.
    ///
    /// # Errors
    /// That systemd doesn't know it, or that it doesn't come up.
    pub fn restart(&mut self, unit: &str) -> Result<()> {
        let timed = self.stream.get_ref().set_read_timeout(Some(PATIENCE));
        timed.map_err(Error::io("set up the connection to", &self.path))?;
        let mut body = Writer::default();
        body.string(unit);
        body.string("replace");
        let mut ended = Vec::new();
        let answer = self.call_hearing(MANAGER, "RestartUnit", "ss", body, |signal| {
            ended.extend(job_removed(signal));
        })?;
        let job = match answer {
            Answer::Reply(body) => Reader::new(&body).string().unwrap_or_default(),
            Answer::Error { said } => {
                return Err(Error::Other(format!("systemd can't restart {unit}: {said}")));
            }
        };
        loop {
            match ended.iter().find(|(known, _)| *known == job) {
                Some((_, result)) if result == "done" => return Ok(()),
                Some((_, result)) => {
                    let result = escaped(result.as_bytes());
                    return Err(Error::Other(format!(
                        "systemd's restart of {unit} ended with \"{result}\"; journalctl -u {unit} says why"
                    )));
                }
                None => ended.extend(job_removed(&self.receive()?)),
            }
        }
    }
}

/// The job that a signal says has ended, and how: `done`, `failed`, `timeout` and others.
fn job_removed(message: &Message) -> Option<(String, String)> {
    if message.kind != 4 || member(&message.fields).as_deref() != Some("JobRemoved") {
        return None;
    }
    // number, job, unit, result
    let mut body = Reader::new(&message.body);
    body.number()?;
    let job = body.string()?;
    body.string()?;
    Some((job, body.string()?))
}

/// The member's name in a header's fields: an array of pairs of a code and a variant.
fn member(fields: &[u8]) -> Option<String> {
    let mut reader = Reader::new(fields);
    loop {
        reader.at = reader.at.next_multiple_of(8);
        let code = reader.take(1)?.first().copied()?;
        match (code, reader.variant()?) {
            (3, b"s") => return reader.string(),
            (_, b"s" | b"o") => drop(reader.string()?),
            (_, b"u") => drop(reader.number()?),
            (_, b"g") => drop(reader.variant()?),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signal as systemd 252 sends it, but for the numbers.
    fn signal(name: &str) -> Message {
        let mut fields = Writer::default();
        for (code, kind, text) in [
            (1, "o", "/org/freedesktop/systemd1"),
            (2, "s", "org.freedesktop.systemd1.Manager"),
            (3, "s", name),
        ] {
            fields.pad(8);
            fields.0.push(code);
            fields.signature(kind);
            fields.string(text);
        }
        fields.pad(8);
        fields.0.push(8);
        fields.signature("g");
        fields.signature("uoss");
        let mut body = Writer::default();
        body.number(7);
        body.string("/org/freedesktop/systemd1/job/7");
        body.string("containerd.service");
        body.string("failed");
        Message { kind: 4, fields: fields.0, body: body.0 }
    }

    #[test]
    fn a_job_s_end_is_read_from_its_signal_and_from_no_other() {
        let expected = ("/org/freedesktop/systemd1/job/7".to_owned(), "failed".to_owned());
        assert_eq!(job_removed(&signal("JobRemoved")), Some(expected));
        assert_eq!(job_removed(&signal("JobNew")), None);
        assert_eq!(job_removed(&Message { kind: 2, ..signal("JobRemoved") }), None);
    }

    #[test]
    fn a_signal_that_is_cut_short_is_none() {
        let whole = signal("JobRemoved");
        for cut in 0..whole.body.len() {
            let message = Message { kind: 4, fields: whole.fields.clone(), body: whole.body[..cut].to_vec() };
            assert_eq!(job_removed(&message), None, "{cut}");
        }
        assert_eq!(member(&whole.fields[..20]), None);
    }
}
