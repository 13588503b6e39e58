//! The same commands on real runtimes: runc and crun by themselves and behind runc-strict, with real containers. A turn makes
//! one container under each of the four and takes them through their lives side by side.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use runc_strict_integration::cgroup::{self, Hugetlb};
use runc_strict_integration::room::{Room as Swept, end_process};
use runc_strict_integration::runtime::{Kind, Runtime};
use serde_json::json;

use crate::documents;
use crate::report::{Report, Table};
use crate::room::Room;
use crate::spawn::{run, words};
use crate::spread::Times;

/// What is timed, in the order of a container's life.
const CALLS: [&str; 5] = ["create", "state", "exec", "update", "delete"];

/// Turns that aren't counted.
const WARM: usize = 2;

/// One of the four ways.
struct Way {
    program: String,
    root: PathBuf,
    environment: Vec<(String, String)>,
    bundle: PathBuf,
    name: &'static str,
}

/// Measures what is here of runc and crun.
pub(crate) fn measure(room: &Room, swept: Option<&Swept>, turns: usize, report: &mut Report) -> Result<()> {
    report.heading("On real runtimes");
    let Some(swept) = swept else {
        report.skipped("real containers", "they need root");
        return Ok(());
    };
    let ways = ways(room, swept, report)?;
    let mut times = vec![Times::new(ways.len()); CALLS.len()];
    for turn in 0..turns + WARM {
        let mut keep = |call: usize, lane: usize, took: f64| {
            if turn >= WARM
                && let Some(times) = times.get_mut(call)
            {
                times.push(lane, took);
            }
        };
        turn_of(&ways, &mut keep)?;
    }
    report.text(&format!(
        "Real containers of a static program that waits, {turns} turns; microseconds, median [quartiles]. `exec` is detached, of a \
         command that ends at once; the document of `create` has 5 KB, and its groups change. What runc-strict adds is the \
         difference within a turn, beside runtimes that take milliseconds and vary by more than it adds: the first tables \
         say more exactly what it is."
    ));
    for (first, pair) in ways.chunks(2).enumerate() {
        let Some(way) = pair.first() else { continue };
        let (bare, strict) = (first * 2, first * 2 + 1);
        let mut table = Table::new(&[way.name, "bare", "behind runc-strict", "adds", "adds, %"]);
        for (call, times) in CALLS.iter().zip(&times) {
            let (base, added) = (times.spread(bare), times.added(strict, bare));
            let share = format!("{:.1}", added.median / base.median * 100.0);
            table.row(call, [base.to_string(), times.spread(strict).to_string(), added.to_string(), share]);
        }
        report.table(&table);
    }
    Ok(())
}

/// The bare runtime and runc-strict before it, for each runtime that is here.
fn ways(room: &Room, swept: &Swept, report: &mut Report) -> Result<Vec<Way>> {
    let mut ways = Vec::new();
    for kind in Kind::DEFAULT {
        let runtime = match Runtime::find(kind, None) {
            Ok(runtime) => runtime,
            Err(why) => {
                report.skipped(kind.name(), &format!("{why:#}"));
                continue;
            }
        };
        let real = runtime.path.display().to_string();
        let strict = ("strict", room.product.clone(), room.node(&real)?);
        let both = [("bare", real, room.environment.clone()), strict];
        for (name, program, environment) in both {
            let root = swept.dir.join(format!("root-{name}-{}", kind.name()));
            let bundle = swept.dir.join(format!("bundle-{name}-{}", kind.name()));
            fill(room, &bundle)?;
            let (runtime, state) = (runtime.clone(), root.clone());
            swept.on_sweep(move |_| runtime.delete_containers(&state));
            ways.push(Way { program, root, environment, bundle, name: kind.name() });
        }
    }
    let crun = ways.iter().find(|way| way.name == "crun");
    if let Some(crun) = crun
        && crun.life(&mut |_, _| ()).is_err()
    {
        if Hugetlb::is_mounted() {
            report.skipped("crun", "it can't make a container here");
            ways.retain(|way| way.name != "crun");
        } else {
            swept.keep_hugetlb(Hugetlb::mount()?);
            report.text(
                "crun refuses this machine's cgroup layout; hugetlb is mounted until the end of this run.",
            );
        }
    }
    Ok(ways)
}

/// One container of each way, each command on all of them before the next command.
fn turn_of(ways: &[Way], keep: &mut impl FnMut(usize, usize, f64)) -> Result<()> {
    for way in ways {
        way.document()?;
    }
    for (n, way) in ways.iter().enumerate() {
        keep(0, n, way.call(&way.create())?);
    }
    for (n, way) in ways.iter().enumerate() {
        keep(1, n, way.call(&words(["state"]))?);
    }
    for way in ways {
        way.call(&words(["start"]))?;
    }
    for (n, way) in ways.iter().enumerate() {
        keep(2, n, way.call(&way.file("exec", "--detach", "--process", "process.json"))?);
    }
    for (n, way) in ways.iter().enumerate() {
        keep(3, n, way.call(&way.file("update", "", "--resources", "resources.json"))?);
    }
    for way in ways {
        way.end()?;
    }
    for (n, way) in ways.iter().enumerate() {
        keep(4, n, way.call(&words(["delete"]))?);
    }
    Ok(())
}

impl Way {
    /// One container's life by itself.
    fn life(&self, keep: &mut impl FnMut(usize, f64)) -> Result<()> {
        turn_of(std::slice::from_ref(self), &mut |call, _, took| keep(call, took))
    }

    fn id(&self) -> String {
        self.bundle.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn call(&self, verb: &[String]) -> Result<f64> {
        let mut line = words([&self.program, "--root", &self.root.display().to_string()]);
        line.extend(verb.iter().cloned().chain([self.id()]));
        run(&line, &self.environment)
    }

    fn create(&self) -> Vec<String> {
        let pid = self.bundle.join("pid").display().to_string();
        words(["create", "--bundle", &self.bundle.display().to_string(), "--pid-file", &pid])
    }

    fn file(&self, verb: &str, flag: &str, option: &str, file: &str) -> Vec<String> {
        let path = self.bundle.join(file).display().to_string();
        let all = words([verb, flag, option, &path]);
        all.into_iter().filter(|word| !word.is_empty()).collect()
    }

    /// Kills the container's process and waits until it is gone.
    fn end(&self) -> Result<()> {
        let pid = fs::read_to_string(self.bundle.join("pid")).context("read a container's pid")?;
        end_process(pid.trim().parse().context("a container's pid")?);
        Ok(())
    }

    /// The document as the engine leaves it: a create before has rewritten it.
    fn document(&self) -> Result<()> {
        let text = documents::real(&format!("{}/{}", cgroup::parent(), self.id()));
        fs::write(self.bundle.join("config.json"), text).context("write a config.json")
    }
}

/// A bundle, but for its document.
fn fill(room: &Room, bundle: &Path) -> Result<()> {
    for folder in ["rootfs/proc", "rootfs/dev", "rootfs/etc"] {
        fs::create_dir_all(bundle.join(folder)).context("make a bundle")?;
    }
    room.compile("pause.c", &bundle.join("rootfs/pause").display().to_string())?;
    fs::write(bundle.join("rootfs/etc/group"), documents::group_file())?;
    let process = json!({
        "user": {"uid": 0, "gid": 0, "additionalGids": [0, 3000, 50000]}, "args": ["/pause", "not"], "cwd": "/",
        "env": ["PATH=/"],
    });
    fs::write(bundle.join("process.json"), process.to_string())?;
    fs::write(bundle.join("resources.json"), documents::resources())?;
    Ok(())
}
