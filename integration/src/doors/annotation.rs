//! Door 27: what isn't a list of gids in the annotation. Each must be refused with the token quoted, since reading it
//! generously would grant what nobody wrote.

use anyhow::Result;

use crate::trial::{Entry, Seen, Trial};

use super::{Closed, Door, Row};

/// What the pod wrote, and what the sentence must quote.
const WRONG: &[(&str, &str)] = &[
    ("5000,-1", "-1"),
    ("+5000", "+5000"),
    ("0x1388", "0x1388"),
    ("staff", "staff"),
    ("4294967296", "4294967296"),
    ("4295017296", "4295017296"),
    ("2147483648", "2147483648"),
    ("5000;6000", "5000;6000"),
    ("5e3", "5e3"),
    ("5000.0", "5000.0"),
    ("5000 6000", "5000 6000"),
    ("5000,,6000", "\"\""),
    ("5000\u{200b}", "5000"),
    ("5000\u{202e}", "5000"),
    ("\u{ff15}000", "000"),
    ("5000\n50000", "5000"),
    ("5000\u{0}", "5000"),
    ("[5000]", "[5000]"),
];

pub(super) fn doors() -> Vec<Door> {
    let row = |name: &str, list: String, quoted: &str| {
        Row::new(name, move |trial| annotated(trial, &list))
            .entries(&[Entry::Create])
            .closed(Closed::refused(&[quoted]))
    };
    let mut rows: Vec<Row> = WRONG
        .iter()
        .map(|(list, quoted)| row(&format!("\"{}\"", list.escape_default()), (*list).to_owned(), quoted))
        .collect();
    let many =
        |count: u32| (100_000..100_000 + count).map(|gid| gid.to_string()).collect::<Vec<_>>().join(",");
    rows.push(row("10000 gids", many(10_000), "100000"));
    rows.push(row("65537 gids", many(65_537), "65536"));
    vec![Door { number: 27, rows }]
}

fn annotated(trial: &Trial, list: &str) -> Result<Seen> {
    let mut bundle = trial.bundle()?;
    bundle.annotation("runc-strict/supplemental-groups", list);
    trial.enter(&bundle)
}
