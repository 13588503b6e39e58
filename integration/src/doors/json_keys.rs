//! Door 17: two keys that one reader takes for the same and another doesn't. runc, as everything in Go, folds case
//! and takes the last; crun compares bytes and takes the first.

use anyhow::{Context, Result, ensure};

use crate::bundle::Bundle;
use crate::runtime::Kind;
use crate::trial::{Entry, Seen, Trial};

use super::{Closed, Door, Hole, Row};

const CLEAN: &str = "\"additionalGids\":[1000,5000]";

pub(super) fn doors() -> Vec<Door> {
    let row = |name: &str, kinds: &'static [Kind], text: &'static str| {
        Row::new(name, move |trial| twins(trial, text))
            .hole(Hole::On(kinds), Closed::refused(&[]))
            .closed(Closed::refused(&[]))
    };
    let both = [Entry::Create, Entry::Run, Entry::Exec];
    vec![Door {
        number: 17,
        rows: [
            row(
                "a key in capitals",
                &[Kind::Runc],
                "\"additionalGids\":[1000,5000],\"ADDITIONALGIDS\":[1000,5000,50000]",
            )
            .entries(&both),
            row(
                "a key twice, the last counts",
                &[Kind::Runc],
                "\"additionalGids\":[1000,5000],\"additionalGids\":[1000,5000,50000]",
            )
            .entries(&both),
            row(
                "a key twice, the first counts",
                &[Kind::Crun],
                "\"additionalGids\":[1000,5000,50000],\"additionalGids\":[1000,5000]",
            )
            .entries(&both),
            row(
                "a key with a long s",
                &[Kind::Runc],
                "\"additionalGids\":[1000,5000],\"additionalGid\u{17f}\":[1000,5000,50000]",
            )
            .entries(&both),
            row(
                "a key with an escape",
                &[Kind::Runc],
                "\"additionalGids\":[1000,5000],\"additional\\u0047ids\":[1000,5000,50000]",
            )
            .entries(&both),
            Row::new("a second process in capitals", second_process)
                .hole(Hole::On(&[Kind::Runc]), Closed::refused(&[]))
                .closed(Closed::refused(&[])),
        ]
        .map(|row| row.not_through_an_engine("containerd writes the document: whoever asks it names no key"))
        .into(),
    }]
}

fn clean_bundle(trial: &Trial) -> Result<Bundle> {
    let mut bundle = trial.bundle()?;
    bundle.user(1000, 1000, &[1000, 5000]);
    Ok(bundle)
}

/// Puts the two keys in place of the one, in config.json or in exec's document.
fn twins(trial: &Trial, text: &str) -> Result<Seen> {
    let bundle = clean_bundle(trial)?;
    let replace = |document: &str| {
        ensure!(document.contains(CLEAN), "no list of groups in {document}");
        Ok(document.replace(CLEAN, text))
    };
    if trial.entry == Entry::Exec {
        if let Some(refused) = trial.launch(&bundle)? {
            return Ok(Seen::Refused(refused));
        }
        return trial.exec_text(&replace(&bundle.spec["process"].to_string())?);
    }
    bundle.write_text(&replace(&bundle.spec.to_string())?)?;
    trial.enter_written(&bundle)
}

fn second_process(trial: &Trial) -> Result<Seen> {
    let bundle = clean_bundle(trial)?;
    let text = bundle.spec.to_string();
    let open = text.strip_suffix('}').context("the document is no object")?;
    let twin = ",\"PROCESS\":{\"USER\":{\"additionalgids\":[1000,5000,50000]}}";
    bundle.write_text(&format!("{open}{twin}}}"))?;
    trial.enter_written(&bundle)
}
