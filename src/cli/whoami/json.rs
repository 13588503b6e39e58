//! `whoami --json`: one document, written piece by piece. docs/whoami.md describes it; its version is `v`.

use std::io::{Error, Result, Write};

use caps::Capability;
use serde_json::{Value, json};

use super::{Report, Row};
use crate::cli::selection::Found;
use crate::node::names::Names;
use crate::node::proc_status::Ids;
use crate::quote::escaped;

pub(super) struct Json<W> {
    out: W,
    containers: usize,
    processes: usize,
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W) -> Json<W> {
        Json { out, containers: 0, processes: 0 }
    }

    fn write(&mut self, value: &Value) -> Result<()> {
        serde_json::to_writer(&mut self.out, value).map_err(Error::from)
    }
}

impl<W: Write> Report for Json<W> {
    fn begin(&mut self, container: &Found, started: bool) -> Result<()> {
        let start = if self.containers == 0 { "{\"v\":1,\"containers\":[" } else { "," };
        self.containers += 1;
        self.processes = 0;
        let record = container.record.as_ref();
        let head = json!({
            "container": container.key.id,
            "root": container.key.root.to_string_lossy(),
            "pod": container.pod(),
            "started": started,
            "record": record.ok().map(|record| json!({
                "time": record.time,
                "uid": record.identity.uid,
                "gid": record.identity.gid,
                "groups": record.identity.groups,
                "no_new_privs": record.identity.no_new_privileges,
                "level": record.identity.level,
            })),
            "no_record": record.err(),
        });
        // The object stays open for its processes.
        let head = head.to_string();
        write!(self.out, "{start}{},\"processes\":[", head.strip_suffix('}').unwrap_or(&head))
    }

    fn row(&mut self, row: &Row<'_>, names: &mut Names) -> Result<()> {
        if self.processes > 0 {
            self.out.write_all(b",")?;
        }
        self.processes += 1;
        let status = row.status;
        let ids = |ids: Ids, name: Option<String>| {
            json!({
                "real": ids.real, "effective": ids.effective, "saved": ids.saved, "fs": ids.fs, "name": name
            })
        };
        let groups: Vec<Value> =
            status.groups.iter().map(|gid| json!({"gid": gid, "name": names.group(*gid)})).collect();
        let mut capabilities = json!({
            "setgid": status.capabilities.sets_with(Capability::CAP_SETGID),
            "setuid": status.capabilities.sets_with(Capability::CAP_SETUID),
        });
        if let Some(object) = capabilities.as_object_mut() {
            let masks = status.capabilities.named().map(|(name, mask)| (name, format!("{mask:016x}")));
            object.extend(masks.map(|(name, mask)| (name.to_owned(), Value::from(mask))));
        }
        self.write(&json!({
            "pid": row.member.pid,
            "tid": row.tid,
            "program": escaped(&status.name),
            "exec": row.member.entered,
            "uid": ids(status.uids, names.user(status.uids.effective)),
            "gid": ids(status.gids, names.group(status.gids.effective)),
            "groups": groups,
            "no_new_privs": status.no_new_privileges,
            "capabilities": capabilities,
            "drift": row.drift,
        }))
    }

    fn end(&mut self, drift: bool) -> Result<()> {
        write!(self.out, "],\"drift\":{drift}}}")
    }

    fn finish(&mut self, drift: bool) -> Result<()> {
        if self.containers == 0 {
            self.out.write_all(b"{\"v\":1,\"containers\":[")?;
        }
        writeln!(self.out, "],\"drift\":{drift}}}")?;
        self.out.flush()
    }
}
