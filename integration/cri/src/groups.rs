//! Who the processes of a pod are: by the container's log, by ExecSync (a probe) and by streaming exec (somebody's
//! shell). Under the bare runtime each case must show the image's groups, else it would prove nothing.
#![allow(
    clippy::indexing_slicing,
    reason = "serde_json gives null for what is missing, and adds what is assigned"
)]

use anyhow::{Context, Result, bail, ensure};
use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::runtime::Kind;

use crate::bench::Bench;
use crate::pod::{Pod, Who, Wish};

const GROUPS: &str = "runc-strict/supplemental-groups";
const LEVEL: &str = "runc-strict/level";

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "groups",
    about: "pods through the CRI: who they are by log, ExecSync and streaming exec",
    headings: &["pod", "runtime", "bare", "runc-strict"],
    cases,
};

/// What has to become of a pod.
enum Expected {
    /// These supplementary groups, sorted, the primary one among them.
    Groups(&'static [u32]),
    /// As `Groups`, and no_new_privs.
    Sealed(&'static [u32]),
    /// The CRI's error has these words in it.
    Refused(&'static [&'static str]),
}

use Expected::{Groups, Refused, Sealed};

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    bench.kinds.iter().flat_map(|kind| cases_of(*kind)).collect()
}

fn cases_of(kind: Kind) -> Vec<Case<Bench>> {
    let grouped = |groups: &[i64]| Wish { group: Some(1000), ..Wish::alice(groups) };
    // What the image gives alice: engines merge it.
    const MERGED: &[u32] = &[1000, 3000, 50000, 60000];
    let mut list = vec![
        row(kind, "nothing declared", "strict", &[], Wish::alice(&[]), MERGED, Groups(&[1000])),
        row(
            kind,
            "60000 declared, and named by the image too",
            "strict",
            &[],
            grouped(&[60000]),
            MERGED,
            Groups(&[1000, 60000]),
        ),
        row(
            kind,
            "60001 declared",
            "strict",
            &[],
            grouped(&[60001]),
            &[1000, 3000, 50000, 60000, 60001],
            Groups(&[1000, 60001]),
        ),
        row(
            kind,
            "runAsGroup 0",
            "strict",
            &[],
            Wish { group: Some(0), ..Wish::alice(&[60000]) },
            &[0, 3000, 50000, 60000],
            Groups(&[0, 60000]),
        ),
        row(
            kind,
            "user by name",
            "strict",
            &[],
            Wish { user_name: Some("alice"), ..Wish::default() },
            MERGED,
            Groups(&[1000]),
        ),
        row(kind, "the image's own user", "strict", &[], Wish::default(), &[1000, 50000], Groups(&[1000])),
        row(
            kind,
            "annotation narrows two declared to one",
            "strict",
            &[(GROUPS, "60000")],
            grouped(&[60000, 60001]),
            &[1000, 3000, 50000, 60000, 60001],
            Groups(&[1000, 60000]),
        ),
        row(
            kind,
            "annotation narrows to none",
            "strict",
            &[(GROUPS, "")],
            grouped(&[60000]),
            MERGED,
            Groups(&[1000]),
        ),
        row(
            kind,
            "annotation widens by the image's 50000",
            "strict",
            &[(GROUPS, "50000")],
            grouped(&[60000]),
            MERGED,
            Refused(&["gid 50000", "allow"]),
        ),
        row(
            kind,
            "annotation is garbage",
            "strict",
            &[(GROUPS, "5000, -1")],
            grouped(&[]),
            MERGED,
            Refused(&[GROUPS, "-1"]),
        ),
        row(
            kind,
            "annotation asks for what the node allows",
            "allow",
            &[(GROUPS, "3000")],
            grouped(&[60000]),
            MERGED,
            Groups(&[1000, 3000]),
        ),
        row(
            kind,
            "annotation asks for what another namespace may have",
            "allow",
            &[(GROUPS, "50000")],
            grouped(&[]),
            MERGED,
            Refused(&["gid 50000", "allow"]),
        ),
        row(
            kind,
            "primary group of the image, warned of",
            "strict",
            &[],
            Wish { user: Some(1001), ..Wish::default() },
            &[50002],
            Groups(&[50002]),
        ),
        row(
            kind,
            "primary group of the image, refused",
            "deny",
            &[],
            Wish { user: Some(1001), ..Wish::default() },
            &[50002],
            Refused(&["primary gid 50002", "runAsGroup"]),
        ),
        row(kind, "primary group declared", "deny", &[], grouped(&[60000]), MERGED, Groups(&[1000, 60000])),
        // In containerd's JSON a declared 0 is an empty object, which must not be taken for "not declared".
        row(
            kind,
            "primary group 0 declared",
            "deny",
            &[],
            Wish { group: Some(0), ..Wish::alice(&[60000]) },
            &[0, 3000, 50000, 60000],
            Groups(&[0, 60000]),
        ),
        row(
            kind,
            "level sealed by the node",
            "sealed",
            &[],
            grouped(&[60000]),
            MERGED,
            Sealed(&[1000, 60000]),
        ),
        row(
            kind,
            "level sealed by annotation",
            "strict",
            &[(LEVEL, "sealed")],
            grouped(&[60000]),
            MERGED,
            Sealed(&[1000, 60000]),
        ),
        row(
            kind,
            "level paranoid, uid 0",
            "strict",
            &[(LEVEL, "paranoid")],
            Wish { user: Some(0), ..Wish::default() },
            &[0, 50000],
            Refused(&["paranoid", "uid 0"]),
        ),
        // The sandbox runs as uid 0 with the engine's capabilities; containerd's word exempts it.
        row(
            kind,
            "level paranoid, no capabilities",
            "strict",
            &[(LEVEL, "paranoid")],
            Wish { no_capabilities: true, ..grouped(&[60000]) },
            MERGED,
            Sealed(&[1000, 60000]),
        ),
        row(
            kind,
            "privileged",
            "strict",
            &[],
            Wish { privileged: true, ..grouped(&[60000]) },
            MERGED,
            Groups(&[1000, 60000]),
        ),
        row(
            kind,
            "read-only root file system",
            "strict",
            &[],
            Wish { readonly: true, ..grouped(&[60000]) },
            MERGED,
            Groups(&[1000, 60000]),
        ),
        row(kind, "a negative gid", "strict", &[], grouped(&[-1]), &[], Refused(&["-1"])),
    ];
    list.push(Case::new(
        ["an init container, two containers with different users", kind.name()],
        move |bench| several(bench, kind),
    ));
    list.push(Case::new(["annotation taken away, container created again", kind.name()], move |bench| {
        annotated_anew(bench, kind)
    }));
    list.push(Case::new(["a container of ctr, which declares nothing", kind.name()], move |bench| {
        without_cri(bench, kind)
    }));
    list.push(Case::new(["explain asks containerd", kind.name()], move |bench| explained(bench, kind)));
    list.push(Case::new(["user namespace", kind.name()], |_| {
        Ok(Outcome::Skipped("containerd 1.6 has no user namespaces for pods".to_owned()))
    }));
    list
}

/// One pod of one container: under the bare runtime it has `bare`, under `handler` what is expected.
fn row(
    kind: Kind,
    name: &str,
    handler: &'static str,
    annotations: &'static [(&'static str, &'static str)],
    wish: Wish,
    bare: &'static [u32],
    expected: Expected,
) -> Case<Bench> {
    Case::new([name, kind.name()], move |bench| {
        let hole = if bare.is_empty() {
            "refused by the engine or the runtime".to_owned()
        } else {
            let who = one(bench, &format!("bare-{}", kind.name()), annotations, &wish).context("bare")?;
            ensure!(who.groups == bare, "bare: {:?} instead of {bare:?}", who.groups);
            list(&who.groups)
        };
        let strict = one(bench, &format!("{handler}-{}", kind.name()), annotations, &wish);
        let seen = match (&expected, strict) {
            (Groups(groups), Ok(who)) if who.groups == *groups && !who.no_new_privileges => list(&who.groups),
            (Sealed(groups), Ok(who)) if who.groups == *groups && who.no_new_privileges => {
                format!("{}, no_new_privs", list(&who.groups))
            }
            (Refused(words), Err(why)) => {
                let text = format!("{why:#}");
                if let Some(missing) = words.iter().find(|word| !text.contains(**word)) {
                    bail!("\"{missing}\" isn't in the refusal: {text}");
                }
                ensure!(bare.is_empty() || text.contains("refused"), "that is no refusal of ours: {text}");
                "refused".to_owned()
            }
            (_, Ok(who)) => bail!("{who:?}"),
            (_, Err(why)) => return Err(why),
        };
        Ok(Outcome::Passed(vec![hole, seen]))
    })
}

/// Who the one container of a pod is, by all three roads.
fn one(bench: &Bench, handler: &str, annotations: &[(&str, &str)], wish: &Wish) -> Result<Who> {
    let pod = Pod::run(bench, handler, annotations, wish).context("RunPodSandbox")?;
    let who = pod.container("main", wish)?.who()?;
    pod.remove()?;
    Ok(who)
}

/// The kubelet starts init containers one after the other, then the others; each is judged by its own declaration.
fn several(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let mut cells = Vec::new();
    let expectations: [(&str, [&[u32]; 3]); 2] = [
        ("bare", [&[1000, 3000, 50000, 60000], &[1000, 3000, 50000, 60000], &[1002, 50000, 60001]]),
        ("strict", [&[1000], &[1000, 60000], &[1002, 60001]]),
    ];
    for (handler, expected) in expectations {
        let wishes = [
            ("init", Wish { ends: true, ..Wish::alice(&[]) }),
            ("one", Wish::alice(&[60000])),
            ("two", Wish { user: Some(1002), groups: vec![60001], ..Wish::default() }),
        ];
        let pod = Pod::run(bench, &format!("{handler}-{}", kind.name()), &[], &Wish::default())?;
        let mut seen = Vec::new();
        for ((name, wish), groups) in wishes.iter().zip(expected) {
            let container = pod.container(name, wish)?;
            let who = if wish.ends { container.by_log()? } else { container.who()? };
            ensure!(who.groups == groups, "{handler}, {name}: {:?} instead of {groups:?}", who.groups);
            seen.push(list(&who.groups));
        }
        pod.remove()?;
        cells.push(seen.join("; "));
    }
    Ok(Outcome::Passed(cells))
}

fn annotated_anew(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let mut cells = Vec::new();
    let expectations: [(&str, [&[u32]; 2]); 2] = [
        ("bare", [&[1000, 3000, 50000, 60000], &[1000, 3000, 50000, 60000]]),
        ("strict", [&[1000], &[1000, 60000]]),
    ];
    for (handler, expected) in expectations {
        let wish = Wish::alice(&[60000]);
        let mut pod = Pod::run(bench, &format!("{handler}-{}", kind.name()), &[(GROUPS, "")], &wish)?;
        let mut seen = Vec::new();
        for (attempt, groups) in expected.into_iter().enumerate() {
            let container = pod.container(&format!("main-{attempt}"), &wish)?;
            let who = container.who()?;
            ensure!(who.groups == groups, "{handler}: {:?} instead of {groups:?}", who.groups);
            seen.push(list(&who.groups));
            container.remove()?;
            pod.annotate(&[]);
        }
        pod.remove()?;
        cells.push(seen.join("; then "));
    }
    Ok(Outcome::Passed(cells))
}

/// Beside a living container, explain on its bundle gets containerd's word as create did.
fn explained(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let handler = format!("strict-{}", kind.name());
    let pod = Pod::run(bench, &handler, &[], &Wish::default())?;
    let container = pod.container("main", &Wish { group: Some(1000), ..Wish::alice(&[60000]) })?;
    let bundle = bench.containerd()?.bundle(&container.id);
    let mut command = std::process::Command::new(bench.room.dir.join(&handler));
    let text = crate::bench::output(command.arg("explain").arg(bundle).arg("--json"))?;
    let document: serde_json::Value = serde_json::from_str(&text).context("read explain's document")?;
    ensure!(document["declared"] == true && document["unasked"].is_null(), "{text}");
    ensure!(document["after"] == serde_json::json!([1000, 60000]), "{text}");
    let origins = document["rulings"].to_string();
    ensure!(origins.contains("declared"), "no gid comes from the declaration: {text}");
    pod.remove()?;
    Ok(Outcome::Passed(vec!["-".to_owned(), "60000 is declared".to_owned()]))
}

/// ctr writes no metadata of the CRI: the residual decides, and the image's groups stay out.
fn without_cri(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let containerd = bench.containerd()?;
    let mut cells = Vec::new();
    for (handler, expected) in [("bare", &[1000, 3000, 50000, 60000][..]), ("strict", &[1000][..])] {
        let binary = match handler {
            "bare" => bench.real(kind)?.to_owned(),
            _ => bench.room.dir.join(format!("{handler}-{}", kind.name())),
        };
        let id = format!("ctr-{}", bench.next());
        let mut command = containerd.ctr();
        command.args(["run", "--rm", "--runc-root"]).arg(bench.room.dir.join("runtime"));
        command.arg("--runc-binary").arg(binary).args([
            crate::image::GROUPS,
            &id,
            "/bin/sh",
            "-c",
            crate::pod::WHO,
        ]);
        let who = Who::read(&crate::bench::output(&mut command)?)?;
        ensure!(who.groups == expected, "{handler}: {:?} instead of {expected:?}", who.groups);
        cells.push(list(&who.groups));
    }
    Ok(Outcome::Passed(cells))
}

fn list(groups: &[u32]) -> String {
    groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
