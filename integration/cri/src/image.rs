//! OCI archives as `ctr images import` and `podman load` take them, made from busybox and two files of /etc. No
//! registry is needed.
#![allow(
    clippy::indexing_slicing,
    reason = "serde_json gives null for what is missing, and adds what is assigned"
)]

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The image's user database: bob's primary group is the image's own idea.
pub(crate) const PASSWD: &str = "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nbob:x:1001:50002::/:/bin/sh\ncarol:x:1002:1002::/:/bin/sh\n";

/// The image's group database: it puts alice into 3000, 50000 and 60000, of which a pod may declare 60000.
pub(crate) const GROUP: &str =
    "root:x:0:\nalice:x:1000:\nextra:x:3000:alice\nsecret:x:50000:alice,root,carol\nshared:x:60000:alice\n";

/// What every image sets; youki starts nothing without it.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The image that the cases run.
pub(crate) const GROUPS: &str = "localhost/groups:1";

/// The sandbox's image: it has no /etc.
pub(crate) const PAUSE: &str = "localhost/pause:1";

/// Writes both images as one archive each: `groups.tar` and `pause.tar` in `folder`, and the layer of the first.
///
/// # Errors
/// What can't be read or written.
pub(crate) fn write_both(folder: &Path, busybox: &Path) -> Result<()> {
    let busybox = fs::read(busybox).context("read busybox")?;
    let applets = ["sh", "id", "cat", "grep", "sleep", "echo", "nc", "kill", "head"];
    let mut layer = Builder::new(Vec::new());
    for folder in ["bin/", "etc/", "tmp/", "proc/", "sys/", "dev/"] {
        entry(&mut layer, EntryType::Directory, folder, 0o755, b"", None)?;
    }
    entry(&mut layer, EntryType::Regular, "bin/busybox", 0o755, &busybox, None)?;
    for applet in applets {
        entry(&mut layer, EntryType::Symlink, &format!("bin/{applet}"), 0o777, b"", Some("busybox"))?;
    }
    entry(&mut layer, EntryType::Regular, "etc/passwd", 0o644, PASSWD.as_bytes(), None)?;
    entry(&mut layer, EntryType::Regular, "etc/group", 0o644, GROUP.as_bytes(), None)?;
    let layer = layer.into_inner()?;
    // docker takes the bare layer.
    fs::write(folder.join("groups.layer.tar"), &layer).context("write the layer")?;
    archive(&folder.join("groups.tar"), GROUPS, layer, &json!({ "Cmd": ["/bin/sh"], "User": "alice" }))?;

    let mut layer = Builder::new(Vec::new());
    entry(&mut layer, EntryType::Regular, "pause", 0o755, &busybox, None)?;
    // busybox takes its applet from argv[1] when it isn't called by an applet's name.
    entry(&mut layer, EntryType::Symlink, "busybox", 0o777, b"", Some("pause"))?;
    let config = json!({ "Entrypoint": ["/busybox", "sleep", "2147483647"], "Env": [PATH] });
    archive(&folder.join("pause.tar"), PAUSE, layer.into_inner()?, &config)
}

/// What tells one root file system from another: file capabilities, names, kinds, modes, owners, and the content of small
/// files. The large ones are the two programs, and a file of a size that no other has.
pub(crate) fn key_of(root: &Path, capabilities: &[(String, Vec<u8>)]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    capabilities.hash(&mut hasher);
    for path in paths_below(root)? {
        let data = fs::symlink_metadata(&path).with_context(|| format!("look at {}", path.display()))?;
        path.strip_prefix(root)?.hash(&mut hasher);
        (data.mode(), data.uid(), data.gid(), data.len()).hash(&mut hasher);
        if data.is_symlink() {
            fs::read_link(&path)?.hash(&mut hasher);
        } else if data.is_file() && data.len() < 1 << 16 {
            fs::read(&path)?.hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

/// Writes an image of everything in a folder to an archive. `capabilities` are file capabilities by their path inside.
pub(crate) fn write_folder(
    to: &Path,
    name: &str,
    root: &Path,
    capabilities: &[(String, Vec<u8>)],
) -> Result<()> {
    let mut layer = Builder::new(Vec::new());
    layer.follow_symlinks(false);
    for path in paths_below(root)? {
        let inside = path.strip_prefix(root)?;
        if let Some((_, value)) = capabilities.iter().find(|(name, _)| Path::new(name) == inside) {
            layer.append_pax_extensions([("SCHILY.xattr.security.capability", value.as_slice())])?;
        }
        layer.append_path_with_name(&path, inside).with_context(|| format!("pack {}", path.display()))?;
    }
    archive(to, name, layer.into_inner()?, &json!({ "Env": [PATH] }))
}

/// Everything below a folder, parents first, by name.
fn paths_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut names: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?;
    names.sort();
    for path in names {
        let is_folder = fs::symlink_metadata(&path)?.is_dir();
        found.push(path.clone());
        if is_folder {
            found.extend(paths_below(&path)?);
        }
    }
    Ok(found)
}

fn entry(
    to: &mut Builder<Vec<u8>>,
    kind: EntryType,
    path: &str,
    mode: u32,
    content: &[u8],
    link: Option<&str>,
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    match link {
        Some(target) => to.append_link(&mut header, path, target)?,
        None => to.append_data(&mut header, path, content)?,
    }
    Ok(())
}

/// An OCI image layout (image-spec image-layout.md) with one image of one layer that isn't compressed.
fn archive(path: &Path, name: &str, layer: Vec<u8>, config: &Value) -> Result<()> {
    let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    let mut to = Builder::new(Vec::new());
    let mut blob = |media: &str, content: &[u8]| -> Result<Value> {
        let digest = hex(&Sha256::digest(content));
        entry(&mut to, EntryType::Regular, &format!("blobs/sha256/{digest}"), 0o644, content, None)?;
        Ok(json!({ "mediaType": media, "digest": format!("sha256:{digest}"), "size": content.len() }))
    };
    let layer = blob("application/vnd.oci.image.layer.v1.tar", &layer)?;
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes())?;
    manifest["annotations"] =
        json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    entry(&mut to, EntryType::Regular, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#, None)?;
    entry(&mut to, EntryType::Regular, "index.json", 0o644, index.to_string().as_bytes(), None)?;
    let bytes = to.into_inner()?;
    std::io::Write::write_all(&mut { file }, &bytes).with_context(|| format!("write {}", path.display()))
}

/// Bytes in hexadecimal, as digests are written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
