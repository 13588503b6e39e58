//! What time leaves: records of containers that are gone, which a crashed engine never deleted, and files of a time that is
//! still to come, because the clock was set back.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{apart, median, passed};
use crate::bundle::Bundle;
use crate::case::Outcome;
use crate::doors::lists;
use crate::lab::Lab;
use crate::room::records;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Trial};

/// How many stale records there are.
const STALE: usize = 100_000;
/// How many creates are timed.
const CREATES: usize = 9;
/// How many records one create looks at: a create must not pay for all of them.
const LOOKED_AT: usize = 100;

pub(super) fn collected(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    // Each name needs an inode's worth of the disk, and all are links to one file.
    apart("size=16m,nr_inodes=200000", || {
        let root = lab.room.own_root("stale", runtime);
        let trial = Trial::new(lab, runtime, Front::Product, Entry::Exec)?.with_root(&root);
        let bundle = trial.bundle()?;
        ensure!(trial.launch(&bundle)?.is_none(), "the container that lives could not be made");
        let folder = records(&root);
        let record = fs::read(trial.record()).context("read a record")?;
        let first = folder.join("stale-0");
        let without = creates(lab, runtime, &root, |_| Ok(()))?;
        fs::write(&first, gone(&record)?).context("write a stale record")?;
        for n in 1..STALE {
            fs::hard_link(&first, folder.join(format!("stale-{n}"))).context("make a stale record")?;
        }
        // The last collection was long ago.
        fs::remove_file(folder.join(".swept")).context("remove the marker")?;
        let count = || -> Result<usize> {
            let names = fs::read_dir(&folder)?.flatten().map(|entry| entry.file_name());
            Ok(names.filter(|name| name.to_string_lossy().starts_with("stale-")).count())
        };
        let mut before = count()?;
        let with = creates(lab, runtime, &root, |n| {
            let now = count()?;
            ensure!(before - now == LOOKED_AT, "create {n} collected {} records", before - now);
            before = now;
            Ok(())
        })?;
        ensure!(fs::read(trial.record())? == record, "the record of a container that lives was touched");
        enter(&trial, &bundle)?;
        trial.delete()?;
        passed(format!(
            "create {:.1} ms with none, {:.1} ms with {STALE}; each collects {LOOKED_AT}; exec and delete work",
            median(without),
            median(with)
        ))
    })
}

/// Makes and deletes containers, and gives the times of the creates in milliseconds.
fn creates(
    lab: &Lab,
    runtime: &Runtime,
    root: &Path,
    mut after: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<f64>> {
    let one = |n| {
        let trial = Trial::new(lab, runtime, Front::Product, Entry::Create)?.with_root(root);
        let bundle = trial.bundle()?;
        bundle.write()?;
        let since = Instant::now();
        trial.create_call(&bundle).run(b"")?.require_success()?;
        let took = since.elapsed().as_secs_f64() * 1000.0;
        after(n)?;
        trial.delete()?;
        Ok(took)
    };
    (0..CREATES).map(one).collect()
}

/// A record whose creator is gone: whoever has its pid wasn't there yet, one tick after the machine.
fn gone(record: &[u8]) -> Result<String> {
    let mut record: Value = serde_json::from_slice(record).context("read a record")?;
    record["creator"]["start"] = json!(1);
    Ok(record.to_string())
}

fn enter(trial: &Trial<'_>, bundle: &Bundle) -> Result<()> {
    let seen = trial.exec(&bundle.process(&["/probe", "status"]))?;
    let groups = lists(seen.identity()?, "groups");
    ensure!(groups == [1000, 5000], "exec has groups {groups:?}");
    Ok(())
}

/// The machine's clock isn't ours to set. What a clock that was set back changes for the program is that its own files are
/// of a time that is still to come: here they are.
pub(super) fn clock_set_back(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    apart("size=16m", || {
        let root = lab.room.own_root("clock", runtime);
        let trial = Trial::new(lab, runtime, Front::Product, Entry::Exec)?.with_root(&root);
        let bundle = trial.bundle()?;
        ensure!(trial.launch(&bundle)?.is_none(), "the container could not be made");
        let (folder, record) = (records(&root), fs::read(trial.record()).context("read a record")?);
        let mut later: Value = serde_json::from_slice(&record).context("read a record")?;
        later["time"] = json!("2099-01-01T00:00:00.000000Z");
        let stale = folder.join("stale");
        for ahead in [Duration::from_secs(3600), Duration::from_secs(365 * 86_400)] {
            fs::write(trial.record(), later.to_string()).context("write the record")?;
            fs::write(&stale, gone(&record)?).context("write a stale record")?;
            for name in [folder.join(".swept"), trial.record(), stale.clone()] {
                let file = File::options().write(true).open(&name)?;
                file.set_modified(SystemTime::now() + ahead)
                    .with_context(|| format!("age {}", name.display()))?;
            }
            enter(&trial, &bundle)?;
            enter(&trial, &bundle)?;
            let other = Trial::new(lab, runtime, Front::Product, Entry::Create)?.with_root(&root);
            let made = other.bundle()?;
            made.write()?;
            other.create_call(&made).run(b"")?.require_success()?;
            ensure!(!stale.exists(), "a stale record is kept until the clock has come so far again");
            ensure!(trial.record().exists(), "the record of a container that lives is gone");
            other.delete()?;
        }
        trial.delete()?;
        passed("by an hour, by a year: create, exec, the collection and delete go on".to_owned())
    })
}
