//! Door 15: restore takes the credentials from a checkpoint image, which whoever brings the image has written.

use std::fs;

use anyhow::{Context, Result};

use crate::trial::{Entry, Seen, Trial};

use super::{Closed, Door, Hole, Row};

pub(super) fn doors() -> Vec<Door> {
    vec![Door {
        number: 15,
        rows: vec![
            Row::new("restore from a checkpoint image", restore)
                .entries(&[Entry::Restore])
                .open(|seen| match seen {
                    Seen::Refused(answer) if answer.stderr().contains("criu") => {
                        Some("it goes to criu".to_owned())
                    }
                    _ => None,
                })
                .hole(Hole::WithCriu, Closed::refused(&["restore"]))
                .closed(Closed::refused(&["restore"]))
                .not_through_an_engine("the CRI of containerd 1.6 restores nothing"),
        ],
    }]
}

/// The image is empty, since criu doesn't run on every kernel: what is shown is that the bare runtime asks nobody
/// before it hands the image to criu.
fn restore(trial: &Trial) -> Result<Seen> {
    let bundle = trial.bundle()?;
    bundle.write()?;
    let (image, work) = (trial.dir.join("image"), trial.dir.join("work"));
    for folder in [&image, &work] {
        fs::create_dir(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    // runc reads this one file itself: the paths of the standard streams.
    fs::write(image.join("descriptors.json"), "[]").context("write the image's descriptors")?;
    // containerd's shim really sends a single dash before no-subreaper.
    let call = trial.call().argument("restore").argument("--image-path").argument(image);
    let call = call.argument("--work-path").argument(work).argument("--detach").argument("--pid-file");
    let call = call.argument(trial.dir.join("init.pid")).argument("--bundle").argument(&bundle.dir);
    Seen::of(trial.attempt(call.argument(&trial.id))?)
}
