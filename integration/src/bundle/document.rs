//! The document of a container as containerd's CRI writes it: the default capabilities, the merged list of groups,
//! containerd's own annotations, no seccomp. What raises a limit or lowers an oom score is left out, because root
//! in a test machine may lack CAP_SYS_RESOURCE.

use serde_json::{Value, json};

use super::{ALICE, DECLARED, IMAGE};

/// containerd's default set: oci/spec.go, `defaultUnixCaps`.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// config.json of a container of alice, who declared 5000 and whom the image put into 50000.
pub(super) fn config(id: &str, cgroup: &str) -> Value {
    let quick = ["nosuid", "noexec", "nodev"];
    json!({
        "ociVersion": "1.0.2-dev",
        "process": {
            "user": {"uid": ALICE, "gid": ALICE, "additionalGids": [ALICE, DECLARED, IMAGE]},
            "args": ["/probe", "status"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=node"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": quick},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "annotations": {
            "io.kubernetes.cri.container-name": "probe",
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.image-name": "localhost/probe:1",
            "io.kubernetes.cri.sandbox-id": "8562b5e0a00c9272d1d4256e94ebb05f39104fc92660f06e18c1a0f9abdb76c6",
            "io.kubernetes.cri.sandbox-name": "web-1",
            "io.kubernetes.cri.sandbox-namespace": "default",
        },
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "cgroupsPath": format!("{cgroup}/{id}"),
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}],
        },
    })
}
