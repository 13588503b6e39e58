//! The private folder of a run: the C programs, a configuration, a bundle, and a state folder as a runtime makes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::documents;

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// The folder and what is in it.
pub(crate) struct Room {
    folder: TempDir,
    /// On a disk, as programs are.
    programs: TempDir,
    /// The product, as installed.
    pub(crate) product: String,
    /// A runtime that does nothing.
    pub(crate) nothing: String,
    /// A static C program that becomes it, on glibc.
    pub(crate) floor: String,
    /// The same on musl, whose start-up asks the processor nothing.
    pub(crate) musl: String,
    /// A C program on musl that makes only the system calls that a create can't do without.
    pub(crate) least: String,
    /// The environment of every run.
    pub(crate) environment: Vec<(String, String)>,
}

impl Room {
    /// Makes the folder.
    pub(crate) fn new(product: &str) -> Result<Room> {
        if !Path::new(product).is_file() {
            bail!("there is no program {product}; build it with make build");
        }
        // Engines keep bundles in memory, below /run; a disk would measure itself.
        let place = Some(Path::new("/dev/shm"))
            .filter(|p| p.is_dir())
            .map_or_else(std::env::temp_dir, Path::to_path_buf);
        let folder = tempfile::Builder::new().prefix("runc-strict-bench.").tempdir_in(place)?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let programs = tempfile::Builder::new().prefix("runc-strict-bench.").tempdir()?;
        let program = |name: &str| programs.path().join(name).display().to_string();
        let (nothing, installed) = (program("nothing"), program("runc-strict"));
        let (floor, musl) = (program("floor"), program("floor-musl"));
        compile("cc", "nothing.c", &nothing, "")?;
        compile("cc", "floor.c", &floor, &nothing)?;
        compile("musl-gcc", "floor.c", &musl, &nothing)?;
        let least = program("least");
        compile("musl-gcc", "least.c", &least, &nothing)?;
        compile("cc", "peak.c", &program("peak"), "")?;
        // As it is installed: without symbols (packaging/dist).
        let linked = linked(&installed);
        let stripped = Command::new("strip").args(["-o", &linked, product]).status();
        if !stripped.context("can't run strip")?.success() {
            bail!("can't strip {product}");
        }
        fs::copy(&linked, &installed)?;
        fs::create_dir_all(folder.path().join("bundle/rootfs/etc"))?;
        fs::write(folder.path().join("bundle/rootfs/etc/group"), documents::group_file())?;
        fs::write(folder.path().join("process.json"), documents::process())?;
        fs::write(folder.path().join("resources.json"), documents::resources())?;
        let config = format!("runtime = \"{nothing}\"\n[audit]\npath = \"{}\"\n", at("audit.log"));
        fs::write(at("config.toml"), config)?;
        let environment = vec![
            ("RUNC_STRICT_CONFIG".to_owned(), at("config.toml")),
            ("XDG_RUNTIME_DIR".to_owned(), folder.path().display().to_string()),
        ];
        Ok(Room { nothing, floor, musl, least, product: installed, environment, folder, programs })
    }

    /// The same environment for a node whose runtime is this program.
    pub(crate) fn node(&self, runtime: &str) -> Result<Vec<(String, String)>> {
        self.node_with(runtime, "")
    }

    /// The same with more keys at the configuration's top.
    pub(crate) fn node_with(&self, runtime: &str, keys: &str) -> Result<Vec<(String, String)>> {
        let (log, containerd) = (self.path("audit.log"), self.path("containerd.sock"));
        self.configured(&format!(
            "runtime = \"{runtime}\"\n{keys}[audit]\npath = \"{log}\"\n[containerd]\naddress = \"{containerd}\"\n"
        ))
    }

    /// The environment of a node with this configuration.
    pub(crate) fn configured(&self, text: &str) -> Result<Vec<(String, String)>> {
        let count = fs::read_dir(self.folder.path())?.count();
        let config = self.path(&format!("config-{count}.toml"));
        fs::write(&config, text)?;
        let mut environment = self.environment.clone();
        environment.retain(|(name, _)| name != "RUNC_STRICT_CONFIG");
        environment.push(("RUNC_STRICT_CONFIG".to_owned(), config));
        Ok(environment)
    }

    /// What has to go away with the run.
    pub(crate) fn folders(&self) -> [PathBuf; 2] {
        [self.folder.path().to_owned(), self.programs.path().to_owned()]
    }

    /// A place beside the programs, from which containers can run.
    pub(crate) fn beside_programs(&self, name: &str) -> String {
        self.programs.path().join(name).display().to_string()
    }

    /// A place in the folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    /// Compiles one of our C programs.
    pub(crate) fn compile(&self, source: &str, program: &str) -> Result<()> {
        compile("cc", source, program, "")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Gives this thread, and what it starts, a /run that lies in a folder of ours: in memory, as a node's is, and empty.
    pub(crate) fn own_run(&self, name: &str) -> Result<()> {
        let folder = self.at(name);
        fs::create_dir_all(&folder)?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        Ok(mount(Some(&folder), "/run", None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
    }

    /// The runtime's state folder.
    pub(crate) fn root(&self) -> String {
        self.at("root").display().to_string()
    }

    /// The bundle.
    pub(crate) fn bundle(&self) -> String {
        self.at("bundle").display().to_string()
    }

    /// The exec's document.
    pub(crate) fn process(&self) -> String {
        self.at("process.json").display().to_string()
    }

    /// The update's document.
    pub(crate) fn resources(&self) -> String {
        self.at("resources.json").display().to_string()
    }

    /// Puts a config.json into the bundle, and forgets what a run before remembered.
    pub(crate) fn fresh(&self, text: &str) -> Result<()> {
        let _ = fs::remove_file(self.records().join("x"));
        Ok(fs::write(self.at("bundle/config.json"), text)?)
    }

    /// As root the records lie below /run/runc-strict, in a folder named after our root.
    fn records(&self) -> PathBuf {
        Path::new("/run/runc-strict/containers").join(self.root().replace('/', "%2F"))
    }

    /// The peak of the resident memory of `words` in KiB, over all programs that they become (getrusage(2)).
    pub(crate) fn peak_kib(&self, words: &[String]) -> Result<f64> {
        self.peak_kib_with(words, &self.environment)
    }

    /// The same with another environment.
    pub(crate) fn peak_kib_with(&self, words: &[String], environment: &[(String, String)]) -> Result<f64> {
        self.peak_kib_up_to(0, words, environment)
    }

    /// The same for a program whose exit code may be up to `most`.
    pub(crate) fn peak_kib_up_to(
        &self,
        most: u8,
        words: &[String],
        environment: &[(String, String)],
    ) -> Result<f64> {
        let mut command = Command::new(self.programs.path().join("peak"));
        command.arg(most.to_string()).args(words).env_clear().envs(environment.iter().cloned());
        let answer = command.output().context("can't run the launcher")?;
        let why = String::from_utf8_lossy(&answer.stderr);
        ensure!(answer.status.success(), "{} failed: {}", words.join(" "), why.trim());
        let text = String::from_utf8(answer.stdout)?;
        // what the program itself says comes before
        let last = text.lines().next_back().unwrap_or_default();
        last.trim().parse().with_context(|| format!("{} failed", words.join(" ")))
    }

    /// Makes the state of a container that runs, as crun would: this process stands for its init.
    pub(crate) fn running(&self, id: &str) -> Result<()> {
        // The record was made by a later process than this one; a container is younger than its record.
        self.state(&self.root(), id, std::process::id(), start_of("self")? + 1_000_000)
    }

    /// Writes crun's state of a container whose init is `pid`, which began at `start`.
    pub(crate) fn state(&self, root: &str, id: &str, pid: u32, start: u64) -> Result<()> {
        let folder = Path::new(root).join(id);
        fs::create_dir_all(&folder)?;
        let bundle = self.bundle();
        let status = format!("{{\"pid\":{pid},\"process-start-time\":{start},\"bundle\":\"{bundle}\"}}");
        Ok(fs::write(folder.join("status"), status)?)
    }

    /// The system calls between the start of `words` and its execve(2).
    pub(crate) fn system_calls(&self, words: &[String]) -> Result<Vec<String>> {
        let trace = self.at("trace");
        let status = Command::new("strace")
            .args(["-f", "-o"])
            .arg(&trace)
            .args(words)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("PATH", "/usr/bin:/bin")
            .status()
            .context("can't run strace")?;
        if !status.success() {
            bail!("strace failed");
        }
        let text = fs::read_to_string(&trace)?;
        let names = text.lines().filter_map(|line| {
            let call = line.split_whitespace().nth(1)?;
            call.split_once('(').map(|(name, _)| name.to_owned())
        });
        Ok(names.skip(1).take_while(|name| name != "execve").collect())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.records());
    }
}

/// When a process began: the 22nd field of proc_pid_stat(5).
pub(crate) fn start_of(process: &str) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let start = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19));
    Ok(start.context("no start time")?.parse()?)
}

/// What linkers and strip write lies in the page cache in smaller pieces than what an installer wrote, and starts up to 100 us
/// slower: it is written here, and copied.
fn linked(program: &str) -> String {
    format!("{program}.linked")
}

fn compile(compiler: &str, source: &str, program: &str, runtime: &str) -> Result<()> {
    let linked = linked(program);
    let status = Command::new(compiler)
        .args(["-O2", "-static", "-o", &linked])
        .arg(format!("-DRUNTIME=\"{runtime}\""))
        .arg(Path::new(SOURCES).join(source))
        .status()
        .with_context(|| format!("can't run {compiler}"))?;
    if !status.success() {
        bail!("{compiler} failed on {source}");
    }
    fs::copy(&linked, program)?;
    Ok(())
}
