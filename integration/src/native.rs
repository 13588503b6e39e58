//! What level groups leaves alone. Ordinary programs run on the bare runtime and through the product, and the kernel's
//! account of them, /proc/PID/status, must be the same line by line, but for the groups.

use std::rc::Rc;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::bundle::Bundle;
use crate::case::{Case, Outcome, Suite};
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Trial};

/// `suites run native`.
pub(crate) const SUITE: Suite<Lab> = Suite {
    name: "native",
    about: "ordinary containers run at level groups exactly as on the bare runtime",
    headings: &["program", "runtime", "entry", "result"],
    cases,
};

/// An ordinary container: its name and how its bundle differs from the standard one.
type Program = (&'static str, fn(&mut Bundle));

const PROGRAMS: &[Program] = &[
    ("alice's shell", |bundle| script(bundle, "")),
    ("root's shell", |bundle| {
        bundle.user(0, 0, &[0, 5000]);
        script(bundle, "");
    }),
    ("a server that binds port 80 as root", |bundle| {
        bundle.user(0, 0, &[0, 5000]);
        script(bundle, "/bin/busybox httpd -p 127.0.0.1:80 -h /tmp");
    }),
    ("a server that drops to alice by setgid and setuid", |bundle| {
        bundle.user(0, 0, &[0, 5000]);
        script(bundle, "/bin/busybox httpd -p 127.0.0.1:80 -u alice:alice -h /tmp");
    }),
    ("ping by unprivileged ICMP", |bundle| {
        bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ping_group_range": "0 2147483647"});
        script(bundle, "/probe icmp >/tmp/ping; /bin/busybox grep -q '\"ok\":true' /tmp/ping || exit 7");
    }),
    ("a container without new privileges", |bundle| {
        bundle.spec["process"]["noNewPrivileges"] = json!(true);
        script(bundle, "");
    }),
];

/// Runs the words, then lets the kernel tell of every process in the container but the telling one.
fn script(bundle: &mut Bundle, words: &str) {
    let tell = "for status in /proc/[0-9]*/status; do /bin/busybox cat $status; done";
    bundle.arguments(&["/bin/busybox", "sh", "-c", &format!("{words}\n{tell}")]);
}

fn cases(lab: &Lab) -> Vec<Case<Lab>> {
    let mut cases = Vec::new();
    for (kind, reason) in &lab.missing {
        let reason = reason.clone();
        let cells = vec!["all".to_owned(), kind.name().to_owned(), String::new()];
        cases.push(Case::new(cells, move |_| Outcome::Skipped(reason.clone())));
    }
    for (name, alter) in PROGRAMS {
        for runtime in lab.runtimes.clone().into_iter().map(Rc::new) {
            for entry in [Entry::Create, Entry::Run, Entry::Exec] {
                let runtime = Rc::clone(&runtime);
                let cells = vec![(*name).to_owned(), runtime.title(), entry.name().to_owned()];
                cases.push(Case::new(cells, move |lab| compare(lab, &runtime, entry, *alter)));
            }
        }
    }
    cases
}

fn compare(lab: &Lab, runtime: &Runtime, entry: Entry, alter: fn(&mut Bundle)) -> Result<Outcome> {
    let bare = told_by_kernel(lab, runtime, Front::Bare, entry, alter)?;
    ensure!(bare.lines().any(|line| line.starts_with("CapBnd:")), "the bare container tells nothing: {bare}");
    if lab.product.is_none() {
        return Ok(Outcome::Skipped("needs the product, and --bare-only was given".to_owned()));
    }
    let product = told_by_kernel(lab, runtime, Front::Product, entry, alter)?;
    let differences: Vec<String> = bare
        .lines()
        .zip(product.lines())
        .filter(|(ours, theirs)| ours != theirs)
        .map(|(ours, theirs)| format!("\"{ours}\" became \"{theirs}\""))
        .collect();
    ensure!(differences.is_empty(), "{}", differences.join(", "));
    let (before, after) = (bare.lines().count(), product.lines().count());
    ensure!(before == after, "{before} lines on the bare runtime and {after} through runc-strict");
    Ok(Outcome::Passed(vec![format!("{before} lines of status are the same")]))
}

/// What may differ: the groups, and numbers that differ from run to run anyway.
const VARYING: [&str; 11] =
    ["Groups", "Pid", "PPid", "Tgid", "Ngid", "NSpid", "NStgid", "NSpgid", "NSsid", "SigQ", "State"];

fn told_by_kernel(
    lab: &Lab,
    runtime: &Runtime,
    front: Front,
    entry: Entry,
    alter: fn(&mut Bundle),
) -> Result<String> {
    let trial = Trial::new(lab, runtime, front, entry)?;
    let mut bundle = trial.bundle()?;
    bundle.open_folder("tmp")?;
    alter(&mut bundle);
    let answer = trial.enter_plainly(&bundle)?;
    if !answer.succeeded() {
        bail!("{answer}");
    }
    let stdout = answer.stdout();
    trial.finish()?;
    let varies = |key: &str| {
        VARYING.contains(&key)
            || key.starts_with("Vm")
            || key.starts_with("Rss")
            || key.ends_with("ctxt_switches")
    };
    let same = |line: &&str| line.split_once(':').is_some_and(|(key, _)| !varies(key));
    Ok(stdout.lines().filter(same).collect::<Vec<_>>().join("\n"))
}
