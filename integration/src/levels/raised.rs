//! The annotation raises the level and never lowers it; a level that nobody knows is refused. The attack is the
//! setgid program of door 7, which level groups lets through and sealed doesn't.

use crate::trial::Entry;

use super::row::{Expected, Row};

const KEY: &str = "runc-strict/level";

pub(super) fn rows() -> Vec<Row> {
    let row = |value: &'static str| {
        let name = format!("the pod asks for level \"{}\"", value.escape_default());
        let row = Row::new(7, &name, move |bundle| {
            bundle.annotation(KEY, value);
            bundle.probe_copy("probe-setgid", 0, 50000, 0o2755)?;
            bundle.arguments(&["/probe", "setgid-copy"]);
            bundle.spec["process"]["capabilities"] = serde_json::json!({});
            Ok(())
        });
        row.gained(|report| report["gid"][1] == serde_json::json!(50000))
            .entries(&[Entry::Create, Entry::Exec])
    };
    let unknown = |value: &'static str| {
        let refused = || Expected::refused(KEY);
        row(value).entries(&[Entry::Create]).levels(refused(), refused(), refused())
    };
    vec![
        row("groups"),
        row("sealed").levels(Expected::Shut, Expected::Shut, Expected::Shut),
        row("paranoid").levels(Expected::Shut, Expected::Shut, Expected::Shut),
        unknown("none"),
        unknown("Sealed"),
        unknown("sealed\u{200b}"),
        unknown(""),
    ]
}
