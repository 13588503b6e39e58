//! exec's process document that isn't what it should be. The container lives on.

use anyhow::{Result, bail, ensure};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::doors::refusal;
use crate::trial::{Seen, Trial};

use super::Input;
use super::documents::told;

pub(super) fn inputs() -> Vec<Input> {
    let text = |name: &str, text: &'static str| Input::new(name, move |trial| refused(trial, text));
    vec![
        text("exec: an empty document", ""),
        text("exec: half a document", "{\"user\":{\"uid\":1000"),
        text("exec: an array", "[]"),
        text("exec: no user", "{\"args\":[\"/probe\"],\"cwd\":\"/\"}"),
        text(
            "exec: gid is a text",
            "{\"user\":{\"uid\":1000,\"gid\":\"1000\"},\"args\":[\"/probe\"],\"cwd\":\"/\"}",
        ),
        Input::new("exec: the document doesn't exist", |trial| path(trial, false)),
        Input::new("exec: the document is a fifo", |trial| path(trial, true)),
        Input::new("exec: the container doesn't exist", unknown),
    ]
}

fn launch(trial: &Trial) -> Result<()> {
    match trial.launch(&trial.bundle()?)? {
        Some(refused) => bail!("{refused}"),
        None => Ok(()),
    }
}

fn refused(trial: &Trial, document: &str) -> Result<String> {
    launch(trial)?;
    let Seen::Refused(answer) = trial.exec_text(document)? else { bail!("exec took the document") };
    refusal(trial, &answer, &["process.json".to_owned()])?;
    ensure!(trial.init_groups()? == [1000, 5000], "the container is another");
    Ok(told(trial, &answer))
}

fn path(trial: &Trial, fifo: bool) -> Result<String> {
    launch(trial)?;
    let document = trial.dir.join("process.json");
    if fifo {
        mkfifo(&document, Mode::from_bits_truncate(0o600))?;
    }
    let answer = trial
        .attempt(trial.call().arguments(["exec", "--process"]).argument(&document).argument(&trial.id))?;
    refusal(trial, &answer, &["process.json".to_owned()])?;
    Ok(told(trial, &answer))
}

fn unknown(trial: &Trial) -> Result<String> {
    let bundle = trial.bundle()?;
    let Seen::Refused(answer) = trial.exec_text(&bundle.process(&["/probe", "status"]).to_string())? else {
        bail!("exec entered a container that doesn't exist")
    };
    refusal(trial, &answer, &[])?;
    Ok(told(trial, &answer))
}
