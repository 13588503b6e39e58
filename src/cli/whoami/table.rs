//! `whoami` for people: a few lines about the container, then one line for each process.

use std::io::{Result, Write};

use caps::Capability;

use super::{Report, Row};
use crate::cli::colour::{Colour, Palette};
use crate::cli::selection::{Found, pod_text};
use crate::error::show;
use crate::node::names::Names;
use crate::node::proc_status::Ids;
use crate::policy::Finding;
use crate::quote::escaped;

/// How many groups, and how many differences, a line names.
const SHOWN: usize = 32;

/// What NFS with AUTH_SYS carries (RFC 5531, section 8.2).
const AUTH_SYS_GROUPS: usize = 16;

pub(super) struct Table<W> {
    out: W,
    palette: Palette,
    containers: usize,
    most_groups: usize,
    recorded: bool,
}

impl<W: Write> Table<W> {
    pub(super) fn new(out: W, palette: Palette) -> Table<W> {
        Table { out, palette, containers: 0, most_groups: 0, recorded: false }
    }
}

impl<W: Write> Report for Table<W> {
    fn begin(&mut self, container: &Found, started: bool) -> Result<()> {
        if self.containers > 0 {
            writeln!(self.out)?;
        }
        self.containers += 1;
        self.most_groups = 0;
        self.recorded = container.record.is_ok() && started;
        let id = self.palette.paint(Colour::Bold, &escaped(container.key.id.as_bytes()));
        writeln!(self.out, "container {id} in {}", show(&container.key.root))?;
        if let Some(pod) = container.pod().and_then(pod_text) {
            writeln!(self.out, "pod       {pod}")?;
        }
        match &container.record {
            Ok(record) => {
                let identity = &record.identity;
                let groups: Vec<u32> = identity.groups.iter().map(|gid| gid.get()).collect();
                let no_new = if identity.no_new_privileges { "on" } else { "off" };
                writeln!(
                    self.out,
                    "record    uid {}, gid {}, groups {}; no_new_privs {no_new}; level {}",
                    identity.uid,
                    identity.gid,
                    list(&groups, |gid| gid.to_string()),
                    identity.level
                )?;
            }
            Err(why) => writeln!(self.out, "record    none: {why}; what differs can't be told")?,
        }
        if !started {
            writeln!(self.out, "state     created and not started: its init is still the runtime's")?;
        }
        writeln!(
            self.out,
            "{:>9}  {:<16} {:<16} {:<16} {:<12} {:<31} GROUPS",
            "PID", "PROGRAM", "UID", "GID", "NO_NEW_PRIVS", "CAN CHANGE IDS"
        )
    }

    fn row(&mut self, row: &Row<'_>, names: &mut Names) -> Result<()> {
        let status = row.status;
        self.most_groups = self.most_groups.max(status.groups.len());
        let pid = match row.tid {
            None => row.member.pid.to_string(),
            Some(tid) => format!("thread {tid}"),
        };
        let mut program = escaped(&status.name);
        if row.member.entered {
            program.push_str(" (exec)");
        }
        let named = |id: u32, name: Option<String>| match name {
            Some(name) => format!("{id}({name})"),
            None => id.to_string(),
        };
        let uid = ids(status.uids, |id| named(id, names.user(id)));
        let gid = ids(status.gids, |id| named(id, names.group(id)));
        let groups = list(&status.groups, |id| named(id, names.group(id)));
        let no_new = if status.no_new_privileges { "on" } else { "off" };
        let can = can_change(row);
        writeln!(self.out, "{pid:>9}  {program:<16} {uid:<16} {gid:<16} {no_new:<12} {can:<31} {groups}")?;
        for drift in row.drift.iter().take(SHOWN) {
            let line = self.palette.paint(Colour::Red, &format!("drift: {}", drift.sentence()));
            writeln!(self.out, "{:>9}  {line}", "")?;
        }
        let more = row.drift.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(self.out, "{:>9}  drift: and {more} more", "")?;
        }
        Ok(())
    }

    fn end(&mut self, drift: bool) -> Result<()> {
        if self.most_groups > AUTH_SYS_GROUPS {
            let finding = Finding::ManyGroups { count: self.most_groups };
            writeln!(self.out, "note: {}", self.palette.paint(Colour::Yellow, &finding.sentence()))?;
        }
        if self.recorded && !drift {
            writeln!(self.out, "as recorded")?;
        }
        Ok(())
    }

    fn finish(&mut self, _: bool) -> Result<()> {
        if self.containers == 0 {
            writeln!(self.out, "no container runs that there is a record of")?;
        }
        self.out.flush()
    }
}

/// One id where all four are the same, else real/effective/saved/file system.
fn ids(ids: Ids, name: impl FnMut(u32) -> String) -> String {
    match ids.single() {
        Some(id) => [id].map(name).concat(),
        None => ids.all().map(|id| id.to_string()).join("/"),
    }
}

fn list(ids: &[u32], name: impl FnMut(u32) -> String) -> String {
    if ids.is_empty() {
        return "none".to_owned();
    }
    let mut text = ids.iter().copied().take(SHOWN).map(name).collect::<Vec<_>>().join(" ");
    if ids.len() > SHOWN {
        text.push_str(&format!(" and {} more", ids.len() - SHOWN));
    }
    text
}

/// Which of CAP_SETGID and CAP_SETUID it has in which sets: `setgid(b,e,p)`.
fn can_change(row: &Row<'_>) -> String {
    let known = [("setgid", Capability::CAP_SETGID), ("setuid", Capability::CAP_SETUID)];
    let words = known.into_iter().filter_map(|(name, capability)| {
        let sets = row.status.capabilities.sets_with(capability);
        let letters: Vec<&str> = sets.iter().filter_map(|set| set.get(..1)).collect();
        (!letters.is_empty()).then(|| format!("{name}({})", letters.join(",")))
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "no".to_owned() } else { words.join(" ") }
}
