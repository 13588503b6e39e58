//! The documents that the runs work on: a config.json of a given size, as containerd would write it.

use serde_json::{Value, json};

/// A config.json of about `size` bytes: what a container has, and environment for the rest.
pub(crate) fn config(size: usize) -> String {
    let mut document = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 1000, "gid": 1000, "additionalGids": [1000, 3000, 50000, 60000]},
            "args": ["sh"], "cwd": "/",
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}
        },
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec"]}],
        "annotations": {"io.kubernetes.cri.container-type": "container"},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}], "maskedPaths": ["/proc/kcore"]}
    });
    // Half of the rest is environment, half is mounts: strings, and small objects.
    let mut length = document.to_string().len();
    let mut n = 0;
    while length < size {
        let (list, item) = match n % 2 {
            0 => ("/process/env", json!(format!("SERVICE_{n}_PORT=tcp://10.0.{}.{}:8080", n / 250, n % 250))),
            _ => (
                "/mounts",
                json!({"destination": format!("/data/{n}"), "type": "bind", "source": format!("/srv/{n}"), "options": ["rbind", "ro"]}),
            ),
        };
        length += item.to_string().len() + 1;
        if let Some(Value::Array(items)) = document.pointer_mut(list) {
            items.push(item);
        }
        n += 1;
    }
    document.to_string()
}

/// An exec's document with the engine's own list.
pub(crate) fn process() -> String {
    let config: Value = serde_json::from_str(&config(0)).unwrap_or_default();
    config.get("process").unwrap_or(&Value::Null).to_string()
}

/// What `update` is given, as containerd sends it.
pub(crate) fn resources() -> String {
    json!({
        "memory": {"limit": 104_857_600},
        "cpu": {"shares": 102, "quota": 20_000, "period": 100_000, "cpus": "", "mems": ""},
    })
    .to_string()
}

/// The document of a container that runs `/pause`, of about 5 KB.
pub(crate) fn real(cgroup: &str) -> String {
    let services = (0..90).map(|n| format!("SERVICE_{n}_PORT=tcp://10.0.0.{n}:8080"));
    let environment: Vec<String> = std::iter::once("PATH=/".to_owned()).chain(services).collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0, "additionalGids": [0, 3000, 50000]},
            "args": ["/pause"], "cwd": "/", "env": environment,
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        ],
        "annotations": {"io.kubernetes.cri.container-type": "container"},
        "linux": {
            "cgroupsPath": cgroup, "namespaces": [{"type": "pid"}, {"type": "mount"}],
            "resources": {"memory": {"limit": 209_715_200}, "cpu": {"shares": 204, "quota": 20_000, "period": 100_000}},
        },
    })
    .to_string()
}

/// An etc/group of forty lines.
pub(crate) fn group_file() -> String {
    let mut text = "staff:x:3000:alice\ndata:x:50000:alice\n".to_owned();
    (0..38).for_each(|n| text.push_str(&format!("group{n}:x:{}:\n", 100 + n)));
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_document_has_about_the_size_that_was_asked_for() {
        for size in [5_000, 20_000, 1_000_000] {
            let length = super::config(size).len();
            assert!((size..size + 200).contains(&length), "{length}");
        }
    }
}
