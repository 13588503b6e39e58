//! Disks that take nothing more: full of bytes, full of files, read-only.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::bundle::Bundle;
use crate::doors::{lists, refusal};
use crate::trial::{Entry, Seen, Trial};

use super::documents::told;
use super::{Input, count};

pub(super) fn inputs() -> Vec<Input> {
    vec![
        Input::new("the bundle's disk is full", |trial| create_on(trial, "size=64k", fill)),
        Input::new("the bundle's disk takes no more files", |trial| {
            create_on(trial, "nr_inodes=4", fill_inodes)
        }),
        Input::new("the bundle is read-only", |trial| create_on(trial, "size=64k", read_only)),
        Input::new("exec's disk is full", exec_on_full_disk),
        Input::new("the disk is full when the container is killed and deleted", delete_on_full_disk),
    ]
}

pub(crate) fn tmpfs(folder: &Path, options: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    let kind = Some("tmpfs");
    mount(kind, folder, kind, MsFlags::empty(), Some(options)).context("mount a small disk")
}

pub(crate) fn unmount(folder: &Path) -> Result<()> {
    umount2(folder, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", folder.display()))
}

/// Writes until not a byte more goes.
pub(crate) fn fill(folder: &Path) -> Result<()> {
    let mut filler = fs::File::create(folder.join("filler"))?;
    for block in [vec![b'x'; 4096], vec![b'x'; 1]] {
        loop {
            match filler.write(&block) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(Errno::ENOSPC as i32) => break,
                Err(error) => return Err(error).context("fill the disk"),
            }
        }
    }
    Ok(())
}

pub(crate) fn fill_inodes(folder: &Path) -> Result<()> {
    for number in 0..64 {
        match fs::File::create(folder.join(format!("filler-{number}"))) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(Errno::ENOSPC as i32) => return Ok(()),
            Err(error) => return Err(error).context("use up the inodes"),
        }
    }
    bail!("the disk still takes files")
}

pub(crate) fn read_only(folder: &Path) -> Result<()> {
    let none: Option<&str> = None;
    mount(none, folder, none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)
        .context("make the disk read-only")
}

/// A bundle whose document lies on a small disk, and its root file system beside it.
fn bundle_on(trial: &Trial, options: &str) -> Result<Bundle> {
    let mut bundle = trial.bundle_in(&trial.dir.join("elsewhere"))?;
    bundle.spec["root"]["path"] = serde_json::json!(bundle.dir.join("rootfs"));
    bundle.dir = trial.dir.join("bundle");
    tmpfs(&bundle.dir, options)?;
    Ok(bundle)
}

fn create_on(trial: &Trial, options: &str, exhaust: fn(&Path) -> Result<()>) -> Result<String> {
    let bundle = bundle_on(trial, options)?;
    bundle.write()?;
    exhaust(&bundle.dir)?;
    let answer = trial.attempt(trial.create_call(&bundle))?;
    refusal(trial, &answer, &[bundle.dir.to_string_lossy().into_owned()])?;
    unmount(&bundle.dir)?;
    Ok(told(trial, &answer))
}

/// exec needs no room beside its document.
fn exec_on_full_disk(trial: &Trial) -> Result<String> {
    let bundle = trial.bundle()?;
    if let Some(refused) = trial.launch(&bundle)? {
        bail!("{refused}");
    }
    let folder = trial.dir.join("full");
    tmpfs(&folder, "size=64k")?;
    let document = folder.join("process.json");
    fs::write(&document, bundle.process(&["/probe", "status"]).to_string())?;
    fill(&folder)?;
    let answer = trial
        .attempt(trial.call().arguments(["exec", "--process"]).argument(&document).argument(&trial.id))?;
    let groups = lists(Seen::of(answer)?.identity()?, "groups");
    ensure!(groups == [1000, 5000], "exec has groups {groups:?}");
    ensure!(count(&folder)? == 2, "exec left something on the full disk");
    unmount(&folder)?;
    Ok("runs with groups [1000, 5000]".to_owned())
}

fn delete_on_full_disk(trial: &Trial) -> Result<String> {
    let mut bundle = bundle_on(trial, "size=64k")?;
    bundle.arguments(&["/probe", "pause"]);
    bundle.write()?;
    ensure!(trial.entry == Entry::Create, "made by create");
    trial.attempt(trial.create_call(&bundle))?.require_success()?;
    fill(&bundle.dir)?;
    trial.call().arguments(["start", &trial.id]).run(b"")?.require_success()?;
    trial.call().arguments(["kill", &trial.id, "KILL"]).run(b"")?.require_success()?;
    trial.delete()?;
    unmount(&bundle.dir)?;
    Ok("start, kill and delete work".to_owned())
}
