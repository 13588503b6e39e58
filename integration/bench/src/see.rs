//! What it costs to see: `whoami` of one container and of all, `audit` over a long log, and how soon `audit --follow` shows a
//! line. `whoami --all` looks at every record of the machine, so as root it all happens in a mount namespace with a /run
//! of its own, which ends with its thread.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::report::{Report, Table};
use crate::room::{Room, start_of};
use crate::spawn::{Environment, words};
use crate::spread::spread;

/// Containers that `whoami --all` looks at.
const CONTAINERS: usize = 1000;

/// Different lines; the log repeats them with other days.
const BLOCK: usize = 100_000;

/// Measures all of it over a log of so many lines.
pub(crate) fn measure(room: &Room, turns: usize, lines: usize, report: &mut Report) -> Result<()> {
    report.heading("Seeing");
    let inside = || -> Result<()> {
        if nix::unistd::geteuid().is_root() {
            room.own_run("seen").context("make a mount namespace")?;
        }
        let log = room.beside_programs("audit.log");
        let environment =
            room.configured(&format!("runtime = \"{}\"\n[audit]\npath = \"{log}\"\n", room.nothing))?;
        audit(room, &environment, &log, turns, lines, report)?;
        follow(room, &environment, &log, turns, report)?;
        fs::write(&log, "")?;
        whoami(room, &environment, turns, report)
    };
    std::thread::scope(|scope| scope.spawn(inside).join())
        .map_err(|_| anyhow::anyhow!("the thread that sees ended early"))?
}

/// Runs it; microseconds and what it printed. whoami answers 1 where processes differ from their records.
fn timed(words: &[String], environment: &Environment) -> Result<(f64, Vec<u8>)> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().cloned()).stdin(Stdio::null());
    let since = Instant::now();
    let answer =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("can't start {program}"))?;
    let took = since.elapsed().as_secs_f64() * 1e6;
    ensure!(matches!(answer.status.code(), Some(0 | 1)), "{} ended with {}", words.join(" "), answer.status);
    Ok((took, answer.stdout))
}

fn audit(
    room: &Room,
    environment: &Environment,
    log: &str,
    turns: usize,
    lines: usize,
    report: &mut Report,
) -> Result<()> {
    generate(log, lines).context("write a long log")?;
    #[expect(clippy::cast_precision_loss, reason = "a length below a few gigabytes")]
    let size = fs::metadata(log)?.len() as f64;
    let turns = turns.clamp(1, 7);
    report.text(&format!(
        "`audit` over {lines} lines ({:.0} MB, in the page cache), {turns} turns; milliseconds, median [quartiles].",
        size / 1e6
    ));
    let mut table = Table::new(&["audit", "lines found", "takes, ms", "MB/s", "peak KiB"]);
    let searches: [(&str, &[&str]); 4] = [
        ("--gid, rare", &["--gid", "50000"]),
        ("--gid, one line in ten", &["--gid", "7000"]),
        ("--gid, none", &["--gid", "12345"]),
        ("--since --denied, none", &["--since", "2026-12-20", "--denied"]),
    ];
    for (name, search) in searches {
        let line = [&[room.product.as_str(), "audit"], search, &["--json"]].concat();
        let line: Vec<String> = line.into_iter().map(str::to_owned).collect();
        let mut found = timed(&line, environment)?.1;
        let mut times = Vec::new();
        for _ in 0..turns {
            let (took, said) = timed(&line, environment)?;
            times.push(took / 1e3);
            found = said;
        }
        let count = found.split(|byte| *byte == b'\n').count() - 1;
        ensure!(count > 0 || name.ends_with("none"), "{} found nothing", line.join(" "));
        let (spread, peak) = (spread(times), room.peak_kib_with(&line, environment)?);
        // with --since it goes straight to the day, so a rate would say nothing
        let rate = match search.first() {
            Some(&"--gid") => format!("{:.0}", size / 1e3 / spread.median),
            _ => String::new(),
        };
        table.row(name, [count.to_string(), spread.to_string(), rate, format!("{peak:.0}")]);
    }
    report.table(&table);
    Ok(())
}

/// One line as runc-strict writes it; every tenth has gid 7000, every hundred thousandth has gid 50000.
fn line(n: usize) -> String {
    let extra = match n {
        n if n % 10 == 0 => 7000,
        n if n % BLOCK == 1 => 50000,
        _ => 60000,
    };
    let second = n / 1000;
    let stamp = format!("2026-11-01T{:02}:{:02}:{:02}", second / 3600 % 24, second / 60 % 60, second % 60);
    let (command, time) =
        (if n.is_multiple_of(4) { "create" } else { "exec" }, format!("{stamp}.{:03}000Z", n % 1000));
    // The members stand in the order in which runc-strict writes them.
    format!(
        concat!(
            r#"{{"v":1,"time":"{time}","command":"{command}","container":"{container:064x}","#,
            r#""root":"/run/containerd/runc/k8s.io","engine":"containerd","#,
            r#""pod":{{"namespace":"user-{namespace}","name":"web-{pod}","container":"nginx"}},"#,
            r#""verdict":"change","uid":1000,"gid":1000,"before":[1000,3000,{extra}],"after":[1000,{extra}],"#,
            r#""level":"groups","rulings":[{{"gid":1000,"origins":["primary"],"kept":true,"rule":"primary"}},"#,
            r#"{{"gid":3000,"origins":[{{"image":"staff"}}],"kept":false,"rule":"from-image"}},"#,
            r#"{{"gid":{extra},"origins":["declared"],"kept":true,"rule":"declared"}}],"#,
            r#""findings":[],"duration_us":{duration},"runtime":"runc 1.3.0"}}"#,
            "\n"
        ),
        time = time,
        command = command,
        container = n / 50,
        namespace = n % 40,
        pod = n % 400,
        extra = extra,
        duration = 900 + n % 100,
    )
}

fn generate(path: &str, lines: usize) -> Result<()> {
    let block: Vec<String> = (0..lines.min(BLOCK)).map(line).collect();
    let mut log = BufWriter::new(File::create(path)?);
    for n in 0..lines / block.len().max(1) {
        let day = format!("2026-{:02}-{:02}", 1 + n / 28 % 11, 1 + n % 28);
        for line in &block {
            log.write_all(line.replace("2026-11-01", &day).as_bytes())?;
        }
    }
    Ok(log.flush()?)
}

/// A process that ends with its value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn follow(
    room: &Room,
    environment: &Environment,
    log: &str,
    turns: usize,
    report: &mut Report,
) -> Result<()> {
    let mut command = Command::new(&room.product);
    command.args(["audit", "--follow", "--json"]).env_clear().envs(environment.iter().cloned());
    let mut child = Ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("follow")?);
    let out = child.0.stdout.take().context("no stdout")?;
    let (send, shown) = channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if send.send((Instant::now(), line)).is_err() {
                break;
            }
        }
    });
    let append = |text: &str| OpenOptions::new().append(true).open(log)?.write_all(text.as_bytes());
    // It shows nothing until it watches; lines are written until the first one comes back.
    let mut begun = 0;
    while shown.recv_timeout(Duration::from_millis(50)).is_err() {
        append(&line(begun))?;
        begun += 1;
        ensure!(begun < 1000, "audit --follow shows nothing");
    }
    let mut times = Vec::new();
    for n in 0..turns {
        let text = line(BLOCK + n * 50);
        let since = Instant::now();
        append(&text)?;
        loop {
            let Ok((when, line)) = shown.recv_timeout(Duration::from_secs(10)) else {
                bail!("audit --follow doesn't show a line");
            };
            if line == text.trim_end() {
                times.push((when - since).as_secs_f64() * 1e6);
                break;
            }
        }
    }
    drop(child);
    let _ = reader.join();
    report.text(&format!(
        "`audit --follow` shows a line {} microseconds after it is written, {turns} lines.",
        spread(times)
    ));
    Ok(())
}

fn whoami(room: &Room, environment: &Environment, turns: usize, report: &mut Report) -> Result<()> {
    let root = room.path("see");
    // The containers' processes are our children, and are what we are.
    let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    let groups: Vec<u32> = nix::unistd::getgroups()?.into_iter().map(nix::unistd::Gid::as_raw).collect();
    let document = json!({
        "ociVersion": "1.0.2", "root": {"path": "rootfs"}, "linux": {},
        "process": {"user": {"uid": uid, "gid": gid, "additionalGids": groups}, "cwd": "/", "args": ["x"]},
    });
    let pause = room.beside_programs("pause");
    room.compile("pause.c", &pause)?;
    let mut children = Vec::new();
    for n in 0..CONTAINERS {
        let id = format!("container-{n:04}");
        room.fresh(&document.to_string())?;
        let create = words([&room.product, "--root", &root, "create", "--bundle", &room.bundle(), &id]);
        crate::spawn::run(&create, environment)?;
        let child =
            Command::new(&pause).stdin(Stdio::null()).spawn().context("start a container's process")?;
        let pid = child.id();
        children.push(Ended(child));
        room.state(&root, &id, pid, start_of(&pid.to_string())?)?;
    }
    let turns = turns.clamp(1, 20);
    report.text(&format!(
        "`whoami` where {CONTAINERS} containers run, {turns} turns; microseconds, median [quartiles]."
    ));
    let mut table = Table::new(&["whoami", "containers shown", "takes", "peak KiB"]);
    let rows = [
        ("of one", words([&room.product, "whoami", "container-0500", "--json"]), 1),
        ("--all", words([&room.product, "whoami", "--all", "--json"]), CONTAINERS),
    ];
    for (name, line, expected) in rows {
        let (_, said) = timed(&line, environment)?;
        let said: Value = serde_json::from_slice(&said).context("what whoami prints")?;
        let shown = said.get("containers").and_then(Value::as_array).map_or(0, Vec::len);
        ensure!(shown == expected, "{} showed {shown} containers and not {expected}", line.join(" "));
        let times: Result<Vec<f64>> = (0..turns).map(|_| Ok(timed(&line, environment)?.0)).collect();
        let peak = room.peak_kib_up_to(1, &line, environment)?;
        table.row(name, [shown.to_string(), spread(times?).to_string(), format!("{peak:.0}")]);
    }
    report.table(&table);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_generated_line_is_one_line_of_json_with_a_time_and_groups() {
        let text = super::line(123_450);
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["time"], "2026-11-01T00:02:03.450000Z");
        assert_eq!(line["after"], serde_json::json!([1000, 7000]));
    }
}
