//! Where containerd's shims listen. There is one folder for it on a machine, and a shim that is killed leaves its
//! socket there.

use std::fs;
use std::path::{Path, PathBuf};

use runc_strict_integration::room::Room;
use sha2::{Digest, Sha256};

use crate::image::hex;

/// The tasks of our containerd and of docker's, below the room, and the address that their shims' names come from.
const TASKS: [(&str, &str); 2] = [
    ("state/io.containerd.runtime.v2.task/k8s.io", "c.sock/k8s.io"),
    (
        "docker/exec/containerd/daemon/io.containerd.runtime.v2.task/moby",
        "docker/exec/containerd/containerd.sock/moby",
    ),
];

/// Removes the sockets of all shims that are still there.
pub(crate) fn remove_sockets(room: &Room) {
    for (tasks, address) in TASKS {
        for entry in fs::read_dir(room.dir.join(tasks)).into_iter().flatten().flatten() {
            // A shim that has only begun has told nobody yet.
            let socket = told(&entry.path())
                .unwrap_or_else(|| derived(&room.dir.join(address).join(entry.file_name())));
            let _ = fs::remove_file(socket);
        }
    }
}

fn told(bundle: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(bundle.join("address")).ok()?;
    Some(PathBuf::from(text.trim().strip_prefix("unix://")?))
}

/// containerd's runtime/v2/shim, SocketAddress.
fn derived(key: &Path) -> PathBuf {
    Path::new("/run/containerd/s").join(hex(&Sha256::digest(key.as_os_str().as_encoded_bytes())))
}
