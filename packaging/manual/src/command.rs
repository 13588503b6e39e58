//! The pages of the commands, in section 8: one for the program, one for each sub-command, and theirs.

use anyhow::{Context, Result};
use clap::Command;
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::{Frame, Page};

const SECTION: &str = "8";

/// The pages of `command` and of all below it.
pub(crate) fn pages(frame: &Frame, command: Command) -> Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(frame, &command, &command, &mut pages)?;
    Ok(pages)
}

fn add(frame: &Frame, root: &Command, command: &Command, pages: &mut Vec<Page>) -> Result<()> {
    pages.push(page(frame, root, command)?);
    for sub in command.get_subcommands() {
        add(frame, root, sub, pages)?;
    }
    Ok(())
}

fn page(frame: &Frame, root: &Command, command: &Command) -> Result<Page> {
    let name = name(command);
    let mut shown = command.clone();
    // The usage of the help: the options are listed below, they need not fill the synopsis too.
    let usage = shown.render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).trim_end().to_owned();
    let has_subcommands = shown.has_subcommands();
    let man = Man::new(shown.override_usage(usage).subcommand_help_heading("COMMANDS"))
        .title(&name)
        .section(SECTION)
        .date(&frame.date)
        .source(&frame.source)
        .manual("runc-strict");

    let mut text = Vec::new();
    man.render_title(&mut text)?;
    // Options and paths are not torn apart at the end of a line.
    text.extend_from_slice(b".nh\n.ad l\n");
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    let by_hand = frame.by_hand(&name)?;
    // What stands before the first heading goes on with the description.
    let (description, sections) = match by_hand.find(".SH ") {
        Some(at) => by_hand.split_at_checked(at).context("a heading begins a line")?,
        None => (by_hand.as_str(), ""),
    };
    text.extend_from_slice(description.as_bytes());
    if has_subcommands {
        man.render_subcommands_section(&mut text)?;
    }
    text.extend_from_slice(options(&man)?.as_bytes());
    text.extend_from_slice(after_help(command).as_bytes());
    text.extend_from_slice(sections.as_bytes());
    text.extend_from_slice(see_also(root, command, has_subcommands).as_bytes());
    let text = String::from_utf8(text).context("a man page is text")?;
    Ok(Page { name, section: SECTION, text })
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// The options. A heading loses what it explains in brackets: headings are set in capitals, and 500m is not 500M.
fn options(man: &Man) -> Result<String> {
    let mut text = Vec::new();
    man.render_options_section(&mut text)?;
    let text = String::from_utf8(text).context("a man page is text")?;
    let line = |line: &str| match line.split_once(" (").filter(|_| line.starts_with(".SH \"")) {
        Some((heading, _)) => format!("{heading}\"\n"),
        None => format!("{line}\n"),
    };
    Ok(text.lines().map(line).collect())
}

/// What the help ends with: lines about exit codes make a section of their own.
fn after_help(command: &Command) -> String {
    let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) else {
        return String::new();
    };
    let text = text.to_string();
    let mut notes = Roff::new();
    let mut status = Roff::new();
    let mut table = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("Exit code: ") {
            status.text([roman(rest)]);
        } else if line.starts_with("Exit codes:") {
            table = true;
        } else if let Some((code, meaning)) = line.trim().split_once("  ").filter(|_| table) {
            status.control("TP", []);
            status.text([bold(code)]);
            status.text([roman(meaning)]);
        } else {
            notes.text([roman(line)]);
        }
    }
    let section = |heading: &str, roff: &Roff| match roff.to_roff() {
        empty if empty.trim().is_empty() => String::new(),
        text => format!(".SH \"{heading}\"\n{text}"),
    };
    format!("{}{}", section("NOTES", &notes), section("EXIT STATUS", &status))
}

/// The other pages: of the program all commands, of a command the program and its neighbours.
fn see_also(root: &Command, command: &Command, has_subcommands: bool) -> String {
    let own = name(command);
    let parent = own.rsplit_once('-').map(|_| root).filter(|root| name(root) != own);
    let mut names: Vec<String> = parent.iter().map(|root| name(root)).collect();
    if has_subcommands {
        names.extend(command.get_subcommands().map(name));
    } else {
        // The commands beside it.
        let mut level = vec![root];
        while let Some(above) = level.pop() {
            if above.get_subcommands().any(|sub| name(sub) == own) {
                names.extend(above.get_subcommands().map(name).filter(|sub| *sub != own));
            }
            level.extend(above.get_subcommands());
        }
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    for name in names {
        roff.text([bold(name), roman(format!("({SECTION}),"))]);
    }
    roff.text([bold("runc-strict-config.toml"), roman("(5)")]);
    roff.to_roff()
}
