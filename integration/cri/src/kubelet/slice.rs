//! A pod's slice, made by systemd as the kubelet has it made: pkg/kubelet/cm/cgroup_manager_linux.go asks libcontainer
//! (opencontainers/cgroups, systemd/v2.go), which calls StartTransientUnit. The names are those of
//! pkg/kubelet/cm/pod_container_manager_linux.go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use runc_strict_integration::room::Room;

use crate::bench::output;
use crate::group::below;

/// A pod's class, which says in which slice its own one lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    pub(crate) const ALL: [Qos; 3] = [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort];

    /// As the pod's `status.qosClass` writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }

    /// The slice of the class. Guaranteed pods stand right below the top.
    const fn slice(self) -> &'static str {
        match self {
            Qos::Guaranteed => "kubepods.slice",
            Qos::Burstable => "kubepods-burstable.slice",
            Qos::BestEffort => "kubepods-besteffort.slice",
        }
    }
}

/// What the kubelet writes to a pod's slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes; `None` is no limit.
    pub(crate) memory: Option<u64>,
    /// Microseconds of CPU time in each second; `None` is no limit.
    pub(crate) cpu: Option<u64>,
    /// 1 to 10000.
    pub(crate) weight: u64,
}

/// The slice of one pod. It goes away with this value, and with the room.
pub(crate) struct PodSlice {
    pub(crate) name: String,
    pub(crate) uid: String,
    /// Its folder below `/sys/fs/cgroup`.
    pub(crate) folder: PathBuf,
    /// Slices of classes that were not there before, the inner one first.
    made: Vec<&'static str>,
}

impl PodSlice {
    /// Has systemd make the slice, and waits until it is there.
    ///
    /// # Errors
    /// systemd's, and a slice of that name that exists.
    pub(crate) fn make(room: &Room, qos: Qos, uid: &str, limits: Limits) -> Result<PodSlice> {
        let name = below(qos.slice(), &format!("pod{}", uid.replace('-', "_")));
        let of_classes = [qos.slice(), "kubepods.slice"];
        let made = of_classes.into_iter().filter(|slice| !is_active(slice)).collect();
        ensure!(!is_active(&name), "there is a slice {name} already");
        let swept = name.clone();
        room.on_sweep(move |_| {
            if is_active(&swept) {
                crate::group::stop(&swept);
            }
        });
        let mut slice = PodSlice { name, uid: uid.to_owned(), folder: PathBuf::new(), made };
        slice.start(qos, limits)?;
        let path = property(&slice.name, "ControlGroup")?;
        slice.folder = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
        ensure!(slice.folder.is_dir(), "there is no cgroup {}", slice.folder.display());
        Ok(slice)
    }

    fn start(&self, qos: Qos, limits: Limits) -> Result<()> {
        let mut properties = vec![
            format!("Description s libcontainer-container-{}", self.name),
            format!("Wants as 1 {}", qos.slice()),
            "DefaultDependencies b false".to_owned(),
            "MemoryAccounting b true".to_owned(),
            "CPUAccounting b true".to_owned(),
            "IOAccounting b true".to_owned(),
            "TasksAccounting b true".to_owned(),
            format!("CPUWeight t {}", limits.weight),
        ];
        properties.extend(limits.memory.map(|bytes| format!("MemoryMax t {bytes}")));
        properties.extend(limits.cpu.map(|time| format!("CPUQuotaPerSecUSec t {time}")));
        let mut call = Command::new("busctl");
        call.args(["--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"]);
        call.args(["org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))"]);
        call.args([&self.name, "replace", &properties.len().to_string()]);
        properties.iter().for_each(|property| {
            call.args(property.split(' '));
        });
        output(call.arg("0")).context("StartTransientUnit")?;
        // The answer is a job; this joins it and waits for its end.
        output(Command::new("systemctl").args(["start", &self.name])).map(drop)
    }

    /// The folder of a container's cgroup, as containerd names it.
    pub(crate) fn scope(&self, id: &str) -> PathBuf {
        self.folder.join(scope_name(id))
    }
}

impl Drop for PodSlice {
    fn drop(&mut self) {
        crate::group::stop(&self.name);
        for slice in &self.made {
            // Another pod may be in it by now; whoever ends last takes it away.
            let folder = fs::read_dir(class_folder(slice)).into_iter().flatten().flatten();
            if !folder.into_iter().any(|entry| entry.path().extension().is_some_and(|end| end == "slice")) {
                crate::group::stop(slice);
            }
        }
    }
}

fn class_folder(slice: &str) -> PathBuf {
    let top = Path::new("/sys/fs/cgroup/kubepods.slice");
    if slice == "kubepods.slice" { top.to_owned() } else { top.join(slice) }
}

/// The name of a container's unit: containerd's `pkg/cri/sbserver/podsandbox/helpers.go`, getCgroupsPath.
pub(crate) fn scope_name(id: &str) -> String {
    format!("cri-containerd-{id}.scope")
}

/// What systemd says of a unit.
///
/// # Errors
/// When it can't be asked.
pub(crate) fn property(unit: &str, name: &str) -> Result<String> {
    let text = said(Command::new("systemctl").args(["show", "--value", "--property", name, unit]))?;
    Ok(text.trim().to_owned())
}

/// As [`output`], but also while a signal ends the run.
fn said(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&command.output().context("call systemctl")?.stdout).into_owned())
}

fn is_active(unit: &str) -> bool {
    property(unit, "ActiveState").is_ok_and(|state| state == "active")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_called_as_the_kubelet_calls_it() {
        let name = |qos: Qos| below(qos.slice(), "pod7b1f_3a");
        assert_eq!(
            Qos::ALL.map(name),
            [
                "kubepods-pod7b1f_3a.slice",
                "kubepods-burstable-pod7b1f_3a.slice",
                "kubepods-besteffort-pod7b1f_3a.slice"
            ]
        );
    }
}
