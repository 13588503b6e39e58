//! OCI bundles as an engine hands them over: a root file system from busybox and the probe, with the attacker's
//! etc/passwd and etc/group, and a config.json whose list of groups the engine has merged already.

mod document;
mod snapshot;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::sys;

pub(crate) use snapshot::Snapshot;

/// The user of every container, unless a door says otherwise.
pub(crate) const ALICE: u32 = 1000;
/// A group that the pod declares and the image says nothing of.
pub(crate) const DECLARED: u32 = 5000;
/// The group that only the image gives. No container is entitled to it.
pub(crate) const IMAGE: u32 = 50000;

/// CAP_SETGID's bit: capabilities(7), linux/capability.h.
const SETGID: u32 = 6;

/// One capability below 32 as a file capability of version 2, permitted and effective: capabilities(7), `struct
/// vfs_cap_data`, five little-endian words.
fn file_capability(bit: u32) -> Vec<u8> {
    const REVISION_2_EFFECTIVE: u32 = 0x0200_0001;
    [REVISION_2_EFFECTIVE, 1 << bit, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect()
}

/// A bundle on disk. Its document is in memory until [`Bundle::write`].
pub struct Bundle {
    /// Its folder; the root file system is `rootfs` in it.
    pub dir: PathBuf,
    /// config.json.
    pub spec: Value,
    /// The groups that the pod declares: an engine merges them with what the image says.
    pub declared: Vec<u32>,
    /// Whether the pod declares the primary group, or leaves it to the image's etc/passwd.
    pub declares_primary: bool,
    /// Whether the pod is privileged.
    pub is_privileged: bool,
    /// File capabilities of the image, by path inside.
    pub file_capabilities: Vec<(String, Vec<u8>)>,
    /// The pod's annotations.
    pub annotations: Vec<(String, String)>,
    /// The pod's volumes: where they are, and where the container sees them.
    pub volumes: Vec<(PathBuf, String)>,
    probe: PathBuf,
}

impl Bundle {
    /// Makes the folder and the root file system. `probe` and `busybox` must lie on the same file system as `dir`:
    /// they are linked, not copied.
    ///
    /// # Errors
    /// When a file can't be made.
    pub(crate) fn make(dir: &Path, id: &str, cgroup: &str, probe: &Path, busybox: &Path) -> Result<Self> {
        let rootfs = dir.join("rootfs");
        for folder in ["bin", "dev", "etc", "proc", "sys", "tmp", "data"] {
            let folder = rootfs.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        }
        fs::hard_link(probe, rootfs.join("probe")).context("link the probe into the root file system")?;
        fs::hard_link(busybox, rootfs.join("bin/busybox"))
            .context("link busybox into the root file system")?;
        symlink("busybox", rootfs.join("bin/sh")).context("link sh")?;
        let bundle = Self {
            dir: dir.to_owned(),
            spec: document::config(id, cgroup),
            declared: vec![DECLARED],
            declares_primary: true,
            is_privileged: false,
            file_capabilities: Vec::new(),
            annotations: Vec::new(),
            volumes: Vec::new(),
            probe: probe.to_owned(),
        };
        bundle.file("etc/passwd", "root:x:0:0:root:/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n")?;
        bundle.file("etc/group", "root:x:0:\nalice:x:1000:\nstolen:x:50000:alice\n")?;
        Ok(bundle)
    }

    /// Lets the image put nobody anywhere.
    pub(crate) fn harmless_groups(&self) -> Result<()> {
        self.file("etc/group", "root:x:0:\nalice:x:1000:\n")
    }

    /// A file of the image, given by its path inside.
    pub(crate) fn file(&self, inside: &str, content: &str) -> Result<()> {
        let path = self.inside(inside);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))
    }

    /// Makes a folder of the image writable for everybody, as /tmp is.
    pub(crate) fn open_folder(&self, inside: &str) -> Result<()> {
        own(&self.inside(inside), 0, 0, 0o1777)
    }

    /// The path on the host of a path inside.
    pub(crate) fn inside(&self, path: &str) -> PathBuf {
        self.dir.join("rootfs").join(path.trim_start_matches('/'))
    }

    /// A file with the given owner, group and mode, whose content is its name.
    pub(crate) fn guarded_file(&self, inside: &str, uid: u32, gid: u32, mode: u32) -> Result<()> {
        self.file(inside, inside)?;
        own(&self.inside(inside), uid, gid, mode)
    }

    /// A copy of the probe, which an image can make setgid or setuid.
    pub(crate) fn probe_copy(&self, inside: &str, uid: u32, gid: u32, mode: u32) -> Result<()> {
        fs::copy(&self.probe, self.inside(inside)).context("copy the probe")?;
        own(&self.inside(inside), uid, gid, mode)
    }

    /// A copy of the probe with the file capability cap_setgid=ep.
    pub(crate) fn probe_with_capability(&mut self, inside: &str) -> Result<()> {
        self.probe_copy(inside, 0, 0, 0o755)?;
        self.give_capability(inside, SETGID)
    }

    /// Copies of the probe and of busybox as `/probe-able` and `/busybox-able`, with a capability given by its bit.
    pub(crate) fn able_programs(&mut self, bit: u32) -> Result<()> {
        self.probe_copy("probe-able", 0, 0, 0o755)?;
        fs::copy(self.inside("bin/busybox"), self.inside("busybox-able")).context("copy busybox")?;
        own(&self.inside("busybox-able"), 0, 0, 0o755)?;
        ["probe-able", "busybox-able"].into_iter().try_for_each(|program| self.give_capability(program, bit))
    }

    fn give_capability(&mut self, inside: &str, bit: u32) -> Result<()> {
        let (path, value) = (self.inside(inside), file_capability(bit));
        sys::set_attribute(&path, "security.capability", &value).context("set a file capability")?;
        self.file_capabilities.push((inside.to_owned(), value));
        Ok(())
    }

    /// The container's user, its primary group and the list that the engine has merged.
    pub(crate) fn user(&mut self, uid: u32, gid: u32, merged: &[u32]) {
        self.spec["process"]["user"] = json!({"uid": uid, "gid": gid, "additionalGids": merged});
    }

    /// A privileged pod's: every capability that there is for us to give.
    pub(crate) fn privileged(&mut self) -> Result<()> {
        let held = caps::read(None, caps::CapSet::Effective).context("read our own capabilities")?;
        let names: Vec<String> = held.iter().map(ToString::to_string).collect();
        self.spec["process"]["capabilities"] =
            json!({"bounding": names, "effective": names, "permitted": names});
        self.is_privileged = true;
        Ok(())
    }

    /// What the container runs.
    pub(crate) fn arguments(&mut self, words: &[&str]) {
        self.spec["process"]["args"] = json!(words);
    }

    pub(crate) fn annotation(&mut self, key: &str, value: &str) {
        self.spec["annotations"][key] = json!(value);
        self.annotations.push((key.to_owned(), value.to_owned()));
    }

    /// A bind mount, as a volume is.
    pub(crate) fn volume(&mut self, source: &Path, destination: &str) {
        let mount =
            json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", "rw"]});
        if let Some(mounts) = self.spec["mounts"].as_array_mut() {
            mounts.push(mount);
        }
        self.volumes.push((source.to_owned(), destination.to_owned()));
    }

    /// Puts the document on disk.
    pub(crate) fn write(&self) -> Result<()> {
        self.write_text(&self.spec.to_string())
    }

    /// Puts any text in the document's place.
    pub(crate) fn write_text(&self, text: &str) -> Result<()> {
        let path = self.dir.join("config.json");
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// The document that an engine sends for exec: the same identity, merged list included, and another program.
    pub(crate) fn process(&self, words: &[&str]) -> Value {
        let mut process = self.spec["process"].clone();
        process["args"] = json!(words);
        process
    }
}

/// chown before chmod: chown clears the setgid bit.
fn own(path: &Path, uid: u32, gid: u32, mode: u32) -> Result<()> {
    chown(path, Some(uid), Some(gid)).with_context(|| format!("chown {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("chmod {}", path.display()))
}
