//! `explain --json`: one document. docs/audit.md describes the members that it shares with the log's lines.

use serde_json::json;

use super::Case;

pub(super) fn of(case: &Case) -> String {
    let identity = case.outcome.identity.as_ref();
    let document = json!({
        "v": 1,
        "container": case.container,
        "root": case.root,
        "verdict": case.outcome.verdict,
        "reason": identity.err(),
        "pod": case.pod,
        "uid": case.uid,
        "gid": case.gid,
        "before": case.before,
        "after": identity.ok().map(|i| &i.groups),
        "declared": case.declared,
        "unasked": case.unasked,
        "native_strict": case.native_strict(),
        "level": identity.ok().map(|i| i.level),
        "no_new_privs": identity.ok().map(|i| i.no_new_privileges),
        "rulings": identity.ok().map(|i| &i.rulings),
        "findings": identity.ok().map(|i| &i.findings),
    });
    format!("{document}\n")
}
