//! The attacks of the matrix through containerd's CRI. What an attack wrote as a bundle becomes an image and a
//! container: the CRI hands no bundle over. All attacks on one runtime share two pods, one of the bare runtime's handler
//! and one of the product's, whose program and configuration each attack sets.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use k8s_cri::v1 as api;
use runc_strict_integration::bundle::Bundle;
use runc_strict_integration::engine::{Engine, Made, Way};
use runc_strict_integration::runtime::{Kind, Runtime};
use runc_strict_integration::trial::Front;

use crate::bench::{Bench, output};
use crate::image;
use crate::pod::{Pod, Wish, int, namespaces};
use crate::stream;
use crate::watch::await_text;

/// What attacks share.
#[derive(Default)]
pub(crate) struct Attacks {
    /// By handler.
    pods: RefCell<HashMap<String, Pod>>,
    /// The name of the image with a root file system.
    images: RefCell<HashMap<u64, String>>,
    /// The log of a container.
    logs: RefCell<HashMap<String, PathBuf>>,
}

impl Attacks {
    /// Removes the pods.
    pub(crate) fn forget(&self) {
        self.pods.borrow_mut().clear();
    }
}

/// The name of the handler behind which attacks are made.
pub(crate) fn handler(front: Front, kind: Kind) -> String {
    let front = if front == Front::Bare { "bare" } else { "attack" };
    format!("{front}-{}", kind.name())
}

impl Bench {
    /// The program of the product's handler: the product, or where it is bypassed the real runtime.
    pub(crate) fn attack_handler(&self, kind: Kind, bypassed: bool) -> Result<()> {
        let path = self.room.dir.join(handler(Front::Product, kind));
        if !bypassed {
            return self.script(&handler(Front::Product, kind), &self.attack_configuration(kind)).map(drop);
        }
        let text = format!("#!/bin/sh\nexec {} \"$@\"\n", self.real(kind)?.display());
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("make it executable")
    }

    fn attack_configuration(&self, kind: Kind) -> PathBuf {
        self.room.dir.join(format!("attack-{}.toml", kind.name()))
    }

    /// Starts the handler's pod, under the product's defaults: what an attack configures is meant for its container.
    fn attack_pod(&self, front: Front, kind: Kind) -> Result<()> {
        let name = handler(front, kind);
        if self.attacks.pods.borrow().contains_key(&name) {
            return Ok(());
        }
        let path = self.attack_configuration(kind);
        let configured = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        fs::copy(self.room.dir.join(format!("strict-{}.toml", kind.name())), &path)
            .context("write the product's configuration")?;
        let pod = Pod::run(self, &name, &[], &Wish { privileged: true, ..Wish::default() });
        fs::write(&path, configured).context("put the product's configuration back")?;
        self.attacks.pods.borrow_mut().insert(name, pod?);
        Ok(())
    }

    /// The image with the root file system of a bundle, which is imported once.
    fn attack_image(&self, bundle: &Bundle) -> Result<String> {
        let root = bundle.dir.join("rootfs");
        let key = image::key_of(&root, &bundle.file_capabilities)?;
        if let Some(name) = self.attacks.images.borrow().get(&key) {
            return Ok(name.clone());
        }
        let name = format!("localhost/attack-{}:1", self.next());
        let archive = self.room.dir.join("attack.tar");
        image::write_folder(&archive, &name, &root, &bundle.file_capabilities)?;
        let containerd = self.containerd()?;
        output(containerd.ctr().args(["images", "import"]).arg(&archive))?;
        containerd.cri.await_image(&name)?;
        self.attacks.images.borrow_mut().insert(key, name.clone());
        Ok(name)
    }
}

impl Engine for Bench {
    fn name(&self) -> &'static str {
        "CRI"
    }

    fn configuration(&self, runtime: &Runtime) -> Result<(PathBuf, String, String)> {
        let socket = self.room.dir.join("c.sock");
        let table = format!("[containerd]\naddress = \"{}\"\n", socket.display());
        Ok((self.attack_configuration(runtime.kind), "engine = \"containerd\"\n".to_owned(), table))
    }

    fn bypass(&self, runtime: &Runtime, bypassed: bool) -> Result<()> {
        self.attack_handler(runtime.kind, bypassed)
    }

    fn start(&self, runtime: &Runtime, front: Front, bundle: &Bundle, words: &[&str]) -> Result<Made> {
        self.attack_pod(front, runtime.kind)?;
        let name = format!("attack-{}", self.next());
        let config = container(bundle, &name, self.attack_image(bundle)?, words)?;
        let pods = self.attacks.pods.borrow();
        let pod = pods.get(&handler(front, runtime.kind)).context("the pod is gone")?;
        let id = pod.create(&config, &bundle.annotations).context("CreateContainer")?;
        self.attacks.logs.borrow_mut().insert(id.clone(), pod.log(&config));
        match self.containerd()?.cri.start(&id) {
            Ok(()) => Ok(Made::Container(id)),
            Err(error) => Ok(Made::Refused { id, error: format!("{error:#}") }),
        }
    }

    fn first_line(&self, id: &str) -> Result<String> {
        let log = self.attacks.logs.borrow().get(id).cloned().context("no such container")?;
        await_text(&log, |text| {
            // TIME STREAM F|P TEXT; a runtime's own complaints go to stderr.
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            let mut stdout = whole.filter_map(|line| line.split_once(" stdout F "));
            stdout.next().map(|(_, line)| line.trim_end().to_owned())
        })
    }

    fn exec(&self, id: &str, way: Way, words: &[&str]) -> Result<Result<String, String>> {
        let cri = &self.containerd()?.cri;
        let done = match way {
            Way::Probe => cri.exec_sync(id, words).and_then(|(code, text)| {
                ensure!(code == 0, "ExecSync ended with {code}: \"{text}\"");
                Ok(text)
            }),
            Way::Stream => cri.exec(id, words).and_then(|url| stream::exec(&url)),
        };
        // Both streams come as one here, and a runtime may complain on stderr.
        let report = |text: &str| text.lines().find(|line| line.starts_with('{')).map(str::to_owned);
        Ok(done.map(|text| report(&text).unwrap_or(text)).map_err(|error| format!("{error:#}")))
    }

    fn bundle(&self, id: &str) -> PathBuf {
        self.room.dir.join("state/io.containerd.runtime.v2.task/k8s.io").join(id)
    }

    fn runtime_root(&self) -> PathBuf {
        self.room.dir.join("runtime/k8s.io")
    }

    fn remove(&self, id: &str) -> Result<()> {
        self.containerd()?.cri.remove_ending(id)
    }
}

/// The container that a bundle stands for.
fn container(bundle: &Bundle, name: &str, image: String, words: &[&str]) -> Result<api::ContainerConfig> {
    let process = bundle.spec.get("process").context("the bundle has no process")?;
    let user = |key: &str| process.pointer(&format!("/user/{key}")).and_then(serde_json::Value::as_i64);
    let bounding = process.pointer("/capabilities/bounding").and_then(serde_json::Value::as_array);
    let names = bounding.into_iter().flatten().filter_map(serde_json::Value::as_str);
    let capabilities = api::Capability {
        drop_capabilities: vec!["ALL".to_owned()],
        add_capabilities: names.map(|name| name.trim_start_matches("CAP_").to_owned()).collect(),
        ..Default::default()
    };
    let security = api::LinuxContainerSecurityContext {
        namespace_options: Some(namespaces()),
        run_as_user: user("uid").map(int),
        run_as_group: user("gid").filter(|_| bundle.declares_primary).map(int),
        supplemental_groups: bundle.declared.iter().map(|gid| i64::from(*gid)).collect(),
        privileged: bundle.is_privileged,
        capabilities: (!bundle.is_privileged).then_some(capabilities),
        ..Default::default()
    };
    let mount = |(source, destination): &(PathBuf, String)| api::Mount {
        host_path: source.display().to_string(),
        container_path: destination.clone(),
        ..Default::default()
    };
    Ok(api::ContainerConfig {
        metadata: Some(api::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(api::ImageSpec { image, ..Default::default() }),
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        log_path: format!("{name}.log"),
        mounts: bundle.volumes.iter().map(mount).collect(),
        linux: Some(api::LinuxContainerConfig {
            resources: Some(api::LinuxContainerResources { cpu_shares: 100, ..Default::default() }),
            security_context: Some(security),
        }),
        ..Default::default()
    })
}
