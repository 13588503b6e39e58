//! The DaemonSet of packaging/kubernetes as a kubelet would run it: the image that `make image` builds, the words, the
//! security context and the mounts of the manifest, by the CRI of the containerd that is set up. The host is a folder.
//!
//! What is left out is `--restart`: the folder has no systemd. The suite stops and starts containerd itself; the
//! virtual machine tries the restart.
#![allow(clippy::indexing_slicing, reason = "serde_json gives null for what is missing")]

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use k8s_cri::v1 as api;
use runc_strict_integration::case::{Case, Outcome, Suite};
use serde_json::Value;

use crate::bench::{Bench, output};
use crate::install::{Engine, Host, configuration};
use crate::pod::{Place, Pod, Wish};

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "cluster",
    about: "the DaemonSet's containers on a host's root, and containerd on what they leave",
    headings: &["step", "seen"],
    cases,
};

fn cases(_: &Bench) -> Vec<Case<Bench>> {
    vec![
        Case::new(["the image is run by containerd"], image_runs),
        Case::new(["configurations of versions 2, 3 and 4, and CRI-O's beside"], samples),
        Case::new(["set up, upgraded, and given back byte for byte"], there_and_back),
    ]
}

/// The project's folder: the manifests, and what builds the image, are not in the program.
fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging")
}

/// The image's archive, which is built here, and its name.
fn image(bench: &Bench) -> Result<(PathBuf, String)> {
    let archive = bench.room.dir.join("runc-strict-image.tar");
    let version = env!("CARGO_PKG_VERSION");
    output(Command::new(packaging().join("image/build")).arg(&bench.product).arg(version).arg(&archive))?;
    Ok((archive, format!("localhost/runc-strict:{version}")))
}

fn image_runs(bench: &Bench) -> Result<Outcome> {
    let host = Host::new(bench, &configuration(bench))?;
    let engine = Engine::start(&host, Path::new("/nonexistent"))?;
    let (archive, name) = image(bench)?;
    engine.import_as(&archive, &name)?;
    let mut run = engine.ctr();
    run.args(["run", "--rm", "--net-host", "--runc-root"]).arg(bench.room.dir.join("runtime"));
    let said = output(run.args([&name, "of-the-image", "/runc-strict", "version", "--json"]))?;
    let version: Value = serde_json::from_str(&said).context("read what the image said")?;
    ensure!(said.contains(env!("CARGO_PKG_VERSION")), "it says {version}");
    Ok(Outcome::Passed(vec!["its version".to_owned()]))
}

/// A manifest.
fn manifest(path: &str) -> Result<Value> {
    let text = fs::read_to_string(packaging().join("kubernetes").join(path)).context("read a manifest")?;
    serde_saphyr::from_str(&text).context("read a manifest")
}

/// A container of the DaemonSet as the kubelet describes it to the CRI. `place` says what of the host each volume is,
/// and `word` changes an argument or leaves it out.
fn described(
    container: &Value,
    place: impl Fn(&str) -> Result<PathBuf>,
    word: impl Fn(&str) -> Option<String>,
) -> Result<api::ContainerConfig> {
    let security = &container["securityContext"];
    let int = |key: &str| security[key].as_i64().map(|value| api::Int64Value { value });
    let names = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let mounts = container["volumeMounts"].as_array().context("a container without mounts")?;
    let mounts = mounts.iter().map(|mount| {
        let text = |key: &str| mount[key].as_str().unwrap_or_default();
        Ok(api::Mount {
            container_path: text("mountPath").to_owned(),
            host_path: place(text("name"))?.display().to_string(),
            readonly: mount["readOnly"].as_bool().unwrap_or_default(),
            ..Default::default()
        })
    });
    let args = names(&container["args"]).iter().filter_map(|argument| word(argument)).collect();
    let context = api::LinuxContainerSecurityContext {
        namespace_options: Some(api::NamespaceOption {
            network: api::NamespaceMode::Node.into(),
            pid: api::NamespaceMode::Container.into(),
            ..Default::default()
        }),
        run_as_user: int("runAsUser"),
        run_as_group: int("runAsGroup"),
        privileged: security["privileged"].as_bool().unwrap_or_default(),
        readonly_rootfs: security["readOnlyRootFilesystem"].as_bool().unwrap_or_default(),
        no_new_privs: security["allowPrivilegeEscalation"] == Value::Bool(false),
        capabilities: Some(api::Capability {
            drop_capabilities: names(&security["capabilities"]["drop"]),
            ..Default::default()
        }),
        // RuntimeDefault, which is the first of its kinds
        seccomp: Some(api::SecurityProfile::default()),
        ..Default::default()
    };
    Ok(api::ContainerConfig {
        image: Some(api::ImageSpec {
            image: container["image"].as_str().unwrap_or_default().to_owned(),
            ..Default::default()
        }),
        args,
        mounts: mounts.collect::<Result<_>>()?,
        linux: Some(api::LinuxContainerConfig {
            resources: Some(api::LinuxContainerResources::default()),
            security_context: Some(context),
        }),
        ..Default::default()
    })
}

/// A path without its first slash.
fn below_root(path: &Path) -> Result<PathBuf> {
    Ok(path.strip_prefix("/").context("the room has an absolute path")?.to_path_buf())
}

/// A node, and the DaemonSet on it.
struct Node<'h, 'b> {
    host: &'h Host<'b>,
    pod: Value,
    /// Where the ConfigMap is mounted from.
    config: PathBuf,
    /// Where the program is brought to; the same on this machine and on the host.
    bin: PathBuf,
}

impl<'h, 'b> Node<'h, 'b> {
    fn new(host: &'h Host<'b>) -> Result<Node<'h, 'b>> {
        let dir = &host.bench.room.dir;
        let bin = dir.join(format!("bin-{}", host.bench.next()));
        let on_host = host.root.join(below_root(&bin)?);
        fs::create_dir_all(&on_host).context("make the program's folder")?;
        symlink(&on_host, &bin).context("name it for this machine")?;
        let config = host.root.join("configmap");
        fs::create_dir_all(&config).context("make the ConfigMap's folder")?;
        let node = Node {
            host,
            pod: manifest("installer/daemonset.yaml")?["spec"]["template"]["spec"].clone(),
            config,
            bin,
        };
        // The runtime has to be there; the one that is called is this machine's.
        let runc = host.root.join("usr/sbin/runc");
        fs::create_dir_all(host.root.join("usr/sbin")).context("make the runtime's folder")?;
        fs::write(&runc, "").context("make the runtime")?;
        fs::set_permissions(&runc, fs::Permissions::from_mode(0o755))
            .context("make the runtime executable")?;
        node.configure("")?;
        fs::create_dir_all(host.log_folder()).context("make the log's folder")?;
        Ok(node)
    }

    /// What the pool's administrator writes: the manifest's own, and where this containerd listens.
    fn configure(&self, more: &str) -> Result<()> {
        let own = fs::read_to_string(packaging().join("kubernetes/installer/config.toml"))
            .context("read config.toml")?;
        let address = self.host.bench.room.dir.join("i.sock");
        let text = format!("{own}{more}\n[containerd]\naddress = \"{}\"\n", address.display());
        fs::write(self.config.join("config.toml"), text).context("write config.toml")
    }

    fn place(&self, volume: &str) -> Result<PathBuf> {
        Ok(match volume {
            "host" => self.host.root.clone(),
            "config" => self.config.clone(),
            "log" => self.host.log_folder(),
            other => bail!("the manifest has a volume \"{other}\", which isn't known here"),
        })
    }

    /// Runs the first container with the `words` of install or uninstall, as a new pod of the DaemonSet does.
    fn set(&self, engine: &Engine<'_, '_>, words: &Value) -> Result<String> {
        let mut container = self.pod["initContainers"][0].clone();
        container["args"] = words.clone();
        let word = |word: &str| match word {
            "--restart" => None,
            "--copy" => Some(format!("--copy={}", self.bin.display())),
            other => Some(other.to_owned()),
        };
        let pod = self.sandbox(engine)?;
        let mut config = described(&container, |volume| self.place(volume), word)?;
        // These two are of this machine and not below the folder; on a host the mount of its root brings them along.
        let runtime = self.host.bench.room.dir.join("runtime");
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create("/run/runc-strict").context("make the records' folder")?;
        for (path, at) in
            [(Path::new("/run/runc-strict"), "run/runc-strict".into()), (&runtime, below_root(&runtime)?)]
        {
            config.mounts.push(api::Mount {
                container_path: Path::new("/host").join(at).display().to_string(),
                host_path: path.display().to_string(),
                readonly: true,
                ..Default::default()
            });
        }
        let (code, said) = pod.described("install", config)?.ended()?;
        ensure!(code == 0, "{words}: exit code {code}: {said}");
        pod.remove()?;
        Ok(said)
    }

    fn sandbox(&self, engine: &Engine<'_, '_>) -> Result<Pod> {
        let bench = self.host.bench;
        Pod::run_at(engine.cri.clone(), &bench.room, Place::of(bench.next()), "", &[], &Wish::default())
    }
}

/// The words of the manifests: those that set a node up, and those that give it back.
fn words() -> Result<(Value, Value)> {
    let install = manifest("installer/daemonset.yaml")?;
    let install = install["spec"]["template"]["spec"]["initContainers"][0]["args"].clone();
    let component = manifest("uninstall/component/kustomization.yaml")?;
    let patch = component["patches"][0]["patch"].as_str().context("the component has no patch")?;
    let patch: Value = serde_saphyr::from_str(patch).context("read the component's patch")?;
    Ok((install, patch[1]["value"].clone()))
}

/// A containerd of 1.6 reads version 2 alone; what the others become is held by golden files. Here it is the container
/// of the DaemonSet that does it, and undoes it.
fn samples(bench: &Bench) -> Result<Outcome> {
    let machine = Host::new(bench, &configuration(bench))?;
    let engine = Engine::start(&machine, Path::new("/nonexistent"))?;
    engine.import()?;
    let (archive, name) = image(bench)?;
    engine.import_as(&archive, &name)?;
    let (install, uninstall) = words()?;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/install");
    let mut done = 0;
    for version in ["v2-default", "v2-debian", "v2-kubeadm", "v3-default", "v4-default"] {
        let before = fs::read_to_string(samples.join(format!("containerd/{version}.toml")))
            .context("read a sample")?;
        let host = Host::new(bench, &before)?;
        let node = Node::new(&host)?;
        let crio = host.root.join("etc/crio/crio.conf.d");
        if version == "v2-kubeadm" {
            fs::create_dir_all(&crio).context("make CRI-O's folder")?;
            fs::copy(samples.join("cri-o/10-crio.conf"), crio.join("10-crio.conf"))
                .context("copy CRI-O's sample")?;
        }
        let with_crio = crio.exists();
        let said = node.set(&engine, &install).context(version)?;
        ensure!(said.contains("restarted: systemctl restart containerd"), "{version}: {said}");
        ensure!(said.contains("restarted: systemctl restart crio") == with_crio, "{version}: {said}");
        node.set(&engine, &uninstall).context(version)?;
        let after = fs::read_to_string(&host.config).context("read it again")?;
        ensure!(after == before, "{version}: uninstall left \"{after}\"");
        ensure!(!crio.join("90-runc-strict.conf").exists(), "{version}: CRI-O's file is left");
        for left in ["etc/runc-strict", "var/lib/runc-strict", "etc/containerd/conf.d"] {
            ensure!(!host.root.join(left).exists(), "{version}: {left} is left");
        }
        done += 1;
    }
    Ok(Outcome::Passed(vec![format!("{done} given back byte for byte")]))
}

fn there_and_back(bench: &Bench) -> Result<Outcome> {
    let before = configuration(bench);
    let host = Host::new(bench, &before)?;
    let node = Node::new(&host)?;
    let (install, uninstall) = words()?;
    let nobody = Path::new("/nonexistent");
    let (archive, name) = image(bench)?;
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();

    // A node is set up by a pod of the containerd that it sets up, and a second pod changes nothing.
    {
        let engine = Engine::start(&host, nobody)?;
        engine.import()?;
        engine.import_as(&archive, &name)?;
        let said = node.set(&engine, &install)?;
        ensure!(said.contains("copied: runc-strict"), "{said}");
        let installed = text(&host.config);
        ensure!(
            installed.contains(&format!("BinaryName = \"{}/runc-strict\"", node.bin.display())),
            "{installed}"
        );
        let again = node.set(&engine, &install)?;
        ensure!(again.contains("nothing to change: containerd has the handler"), "{again}");
        ensure!(text(&host.config) == installed, "the second run changed something");
    }

    // After the restart pods run by the handler; the second container tells of the one that is refused.
    {
        let engine = Engine::start(&host, &host.own()?)?;
        let bare = engine.groups("").context("the default handler")?;
        ensure!(bare.contains(&50000), "the default handler gives {bare:?}: the hole isn't shown");
        let strict = engine.groups("strict").context("our handler")?;
        ensure!(strict == [1000, 5000], "our handler gives {strict:?}");

        let pod = node.sandbox(&engine)?;
        let config = described(&node.pod["containers"][0], |v| node.place(v), |word| Some(word.to_owned()))?;
        let refusals = pod.described("refusals", config)?;
        let asks = [("runc-strict/supplemental-groups", "50000")];
        let wish = Wish { group: Some(1000), ..Wish::alice(&[5000]) };
        let asking =
            Pod::run_at(engine.cri.clone(), &bench.room, Place::of(bench.next()), "strict", &asks, &wish)?;
        let why = match asking.container("main", &wish) {
            Ok(_) => bail!("a gid that nobody authorised is given"),
            Err(why) => format!("{why:#}"),
        };
        ensure!(why.contains("gid 50000 is listed by annotation"), "{why}");
        asking.remove()?;
        refusals.await_line("50000").context("the refusal in the DaemonSet's log")?;
        pod.remove()?;

        // An upgrade of the configuration alone.
        node.configure("level = \"sealed\"\n")?;
        let said = node.set(&engine, &install)?;
        ensure!(said.contains("+level = \"sealed\"") && !said.contains("BinaryName"), "{said}");

        // While a pod lives by the handler, the program stays; its containers could not be ended otherwise.
        let living =
            Pod::run_at(engine.cri.clone(), &bench.room, Place::of(bench.next()), "strict", &[], &wish)?;
        living.container("main", &wish)?.by_log()?;
        let said = node.set(&engine, &uninstall)?;
        ensure!(said.contains("by which") && said.contains("still entered and ended"), "{said}");
        ensure!(text(&host.config) == before, "uninstall left \"{}\"", text(&host.config));
        living.remove()?;
        let said = node.set(&engine, &uninstall)?;
        ensure!(said.contains("removed: "), "{said}");
    }
    for left in ["etc/runc-strict", "var/lib/runc-strict"] {
        ensure!(!host.root.join(left).exists(), "{left} is left");
    }
    ensure!(!node.bin.join("runc-strict").exists(), "the program is left");
    let engine = Engine::start(&host, nobody)?;
    match engine.groups("strict") {
        Ok(groups) => bail!("the handler is there after uninstall, and gives {groups:?}"),
        Err(why) if format!("{why:#}").contains("no runtime for \"strict\"") => {}
        Err(why) => return Err(why.context("after uninstall")),
    }
    Ok(Outcome::Passed(vec!["by runc as merged, by strict 1000 5000; afterwards as before".to_owned()]))
}
