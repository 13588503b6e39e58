//! The page of the configuration, in section 5: the comments of the file that the packages install, key by key.

use anyhow::{Result, bail};
use roff::{Roff, bold, italic, roman};

use crate::{Frame, Page};

const NAME: &str = "runc-strict-config.toml";

/// The page.
pub(crate) fn page(frame: &Frame, config: &str) -> Result<Page> {
    let mut roff = Roff::new();
    roff.control("TH", [NAME, "5", frame.date.as_str(), frame.source.as_str(), "runc-strict"]);
    roff.control("nh", []);
    roff.control("ad", ["l"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{NAME} - configuration file of runc-strict"))]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold("/etc/runc-strict/config.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    // The first block says that there is this page.
    let mut blocks = config.split("\n\n").skip(1);
    let Some((opening, None)) = blocks.next().map(read) else { bail!("the file begins with a key") };
    roff.text([roman(opening)]);
    roff.control("SH", ["KEYS"]);
    for block in blocks {
        match read(block) {
            (explained, Some(Shown::Table(header))) => {
                roff.control("SS", [header]);
                roff.text([roman(explained)]);
            }
            (explained, Some(Shown::Key(key, value))) => {
                roff.control("TP", []);
                roff.text([bold(key), roman(" = "), italic(value)]);
                roff.text([roman(explained)]);
            }
            (explained, None) => bail!("there is no key below {explained:?}"),
        }
    }
    let text = format!("{}{}", roff.to_roff(), frame.by_hand(NAME)?);
    Ok(Page { name: NAME.to_owned(), section: "5", text })
}

/// What a block of comments explains.
enum Shown<'b> {
    Table(&'b str),
    Key(&'b str, &'b str),
}

/// The explanation of a block, and what it explains.
fn read(block: &str) -> (String, Option<Shown<'_>>) {
    let mut explained = Vec::new();
    let mut shown = None;
    for line in block.lines() {
        match line.strip_prefix('#') {
            Some(text) if text.starts_with(' ') => explained.push(text.trim()),
            Some(setting) => {
                shown = setting.split_once(" = ").map(|(key, value)| Shown::Key(key, value));
                shown = shown.or(Some(Shown::Table(setting)));
            }
            None => {}
        }
    }
    (explained.join(" "), shown)
}
