//! Several pods in one transaction: all of them change, or none.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::case::Outcome;
use crate::lab::Lab;
use crate::runtime::Runtime;

use super::passed;
use super::pod::{MIB, Pod};

/// The manifests of some pods with one container each, which its annotations call "probe", as `kubectl get pods -o json` prints them.
fn list(pods: &[&Pod<'_>], memory: &str, cpu: &str) -> Value {
    let item = |pod: &&Pod<'_>| {
        json!({"kind": "Pod", "metadata": {"uid": pod.uid, "name": "web-1", "namespace": "default"},
               "spec": {"containers": [{"name": "probe", "resources": {"limits": {"memory": memory, "cpu": cpu}}}]}})
    };
    json!({"kind": "List", "items": pods.iter().map(item).collect::<Vec<_>>()})
}

pub(super) fn one_transaction(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let (one, other) = (Pod::make(lab, runtime, 1)?, Pod::make(lab, runtime, 1)?);
    let both = [&one, &other];
    let before = (one.limits(0)?, other.limits(0)?);
    let now = || -> Result<_> { Ok((one.limits(0)?, other.limits(0)?)) };
    for mode in ["runtime", "direct"] {
        let words = |file: &str| ["apply", "-f", file, "--mode", mode, "--json"].map(str::to_owned);
        let apply = |document: &str| -> Result<_> {
            let words = words(&one.file("pods", document)?);
            one.updater(&words.each_ref().map(String::as_str))
        };
        let done = apply(&list(&both, "128Mi", "300m").to_string())?.require_success()?;
        let found = now()?;
        ensure!((found.0.memory, found.0.quota) == (128 * MIB, 30_000), "{found:?} after {done}");
        ensure!(found.0 == found.1, "{found:?} after {done}");
        let name = done.report()?["transaction"].as_str().context("no transaction")?.to_owned();
        one.updater(&["rollback", &name])?.require_success()?;
        ensure!(now()? == before, "after the rollback {:?} instead of {before:?}", now()?);

        // YAML, a document each; the second one fails, after the first one was done
        other.make_inner(0, before.1.quota)?;
        let yaml = format!(
            "---\n{}\n---\n{}\n",
            list(&both[..1], "128Mi", "300m"),
            list(&both[1..], "128Mi", "300m")
        );
        let failed = apply(&yaml)?;
        other.remove_inner(0)?;
        ensure!(failed.code == Some(4), "{failed}");
        ensure!(
            failed.stderr().contains("pod default/web-1, container"),
            "it doesn't say which pod: {failed}"
        );
        ensure!(now()? == before, "after the failure {:?} instead of {before:?}", now()?);
    }
    // what isn't here is told before anything is changed
    let elsewhere =
        list(&both, "64Mi", "200m").to_string().replace(&other.uid, "00000000-0000-0000-0000-000000000000");
    let absent = one.updater(&["apply", "-f", &one.file("pods", &elsewhere)?])?;
    ensure!(absent.code == Some(6) && absent.stderr().contains("don't run on this host"), "{absent}");
    ensure!(now()? == before, "something changed");
    one.finish()?;
    other.finish()?;
    passed("both or none, by the files and through the runtime")
}

pub(super) fn no_deadlock(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let (one, other) = (Pod::make(lab, runtime, 1)?, Pod::make(lab, runtime, 1)?);
    let orders = [[&one, &other], [&other, &one], [&one, &other], [&other, &one]];
    let sizes = ["110Mi", "120Mi", "130Mi", "140Mi"];
    let mut calls = Vec::new();
    for (at, (order, size)) in orders.iter().zip(sizes).enumerate() {
        let file = one.file(&format!("pods-{at}"), &list(order, size, "300m").to_string())?;
        calls.push(one.call()?.arguments(["apply", "-f", &file, "--timeout", "50"]));
    }
    let answers: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = calls.into_iter().map(|call| scope.spawn(|| call.run(b""))).collect();
        callers.into_iter().map(|caller| caller.join()).collect()
    });
    for answer in answers {
        let Ok(answer) = answer else { anyhow::bail!("a caller panicked") };
        answer?.require_success()?;
    }
    let (first, second) = (one.limits(0)?, other.limits(0)?);
    ensure!(first == second, "{first:?} and {second:?} are of two transactions");
    one.finish()?;
    other.finish()?;
    passed("four in two orders went one after the other")
}
