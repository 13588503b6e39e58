//! The record: bytes in its place give an error or a record that stands; one that create writes is read back equal, and
//! an exec that is judged by it is judged as by the original.

use std::path::PathBuf;

use arbitrary::{Result, Unstructured};
use runc_strict::node::process::ProcessKey;
use runc_strict::node::record::Record;
use runc_strict::node::version::Binary;
use runc_strict::policy::subject::Pod;

use crate::{laws, people};

pub(crate) fn check(bytes: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(bytes) {
        let text = serde_json::to_vec(&record).expect("what was read can be written");
        let again: Record = serde_json::from_slice(&text).expect("what is written can be read");
        assert_eq!(serde_json::to_vec(&again).ok(), Some(text));
    }
    let _ = written(&mut Unstructured::new(bytes));
}

fn written(u: &mut Unstructured<'_>) -> Result<()> {
    let annotation = if u.arbitrary()? { Some("1000, 5000".to_owned()) } else { None };
    let subject = people::subject(u, annotation)?;
    let policy = people::policy(u)?;
    let Some(identity) = laws::hold(&subject, &policy) else { return Ok(()) };
    let exec = people::process(u)?;
    let record = Record {
        format: Record::FORMAT,
        creator: ProcessKey { pid: u.arbitrary()?, start: u.arbitrary()? },
        declared: u.arbitrary()?,
        before: subject.process.groups,
        pod: Pod { name: u.arbitrary()?, container: u.arbitrary()?, ..subject.pod },
        identity,
        bond: None,
        runtime: u.arbitrary()?,
        looks_up_names: u.arbitrary()?,
        binary: Binary::default(),
        root: PathBuf::from(u.arbitrary::<String>()?),
        bundle: PathBuf::from(u.arbitrary::<String>()?),
        time: "2026-11-22T21:58:15.000000Z".to_owned(),
        engine: "containerd".to_owned(),
        id: u.arbitrary()?,
    };
    let text = serde_json::to_string(&record).expect("a record can be written");
    assert!(!text.contains('\n'));
    let read: Record = serde_json::from_str(&text).expect("a record can be read");
    assert_eq!(read.identity, record.identity);
    assert_eq!((&read.id, &read.root, &read.bundle), (&record.id, &record.root, &record.bundle));
    assert_eq!((&read.pod, &read.before, read.creator), (&record.pod, &record.before, record.creator));
    assert_eq!(serde_json::to_string(&read).ok(), Some(text));
    assert_eq!(laws::hold_exec(&exec, &read.identity), laws::hold_exec(&exec, &record.identity));
    Ok(())
}
