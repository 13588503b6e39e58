//! `runc-strict audit`: who got which groups, when and why, from the log that create, run, exec, restore and update
//! write. docs/audit.md describes its lines.

mod follow;
pub mod search;
mod text;

use std::io::{self, BufWriter, StdoutLock, Write};
use std::time::SystemTime;

use clap::Args;
use serde_json::json;

use super::colour::Palette;
use super::fail;
use crate::error::{Error, Result, show};
use crate::node::audit::{Line, SCHEMA};
use crate::node::clock;
use crate::node::config::Config;
use crate::node::log_files::{self, LogFiles};
use crate::node::log_reader::{Lines, Piece};
use crate::node::since;
use crate::policy::subject::Pod;
use search::{Judged, Search, Wanted};

/// What is asked for, and how it is shown.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Wait for new lines, and tell when a container ends; without --since only what is new is shown
    #[arg(long, short)]
    follow: bool,
    /// Nothing older: 90s, 30m, 2h or 7d, or a time as 2026-11-22T21:58:15Z
    #[arg(long, value_name = "TIME", value_parser = |text: &str| since::parse(text, SystemTime::now()))]
    since: Option<String>,
    /// Of this pod alone
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = search::parse_pod)]
    pod: Option<(String, String)>,
    /// Of this container alone: its id, or the beginning of it
    #[arg(long, value_name = "ID")]
    container: Option<String>,
    /// Who had this group; with --denied, who asked for it
    #[arg(long, value_name = "N")]
    gid: Option<u32>,
    /// Only what was refused
    #[arg(long)]
    denied: bool,
    /// Print the log's own JSON, one line each
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let wanted = Wanted {
        since: arguments.since.clone(),
        pod: arguments.pod.clone(),
        container: arguments.container.clone(),
        gid: arguments.gid,
        denied: arguments.denied,
    };
    let mut reader = Reader {
        search: Search::new(wanted),
        printer: Printer {
            out: BufWriter::with_capacity(64 * 1024, io::stdout().lock()),
            json: arguments.json,
            palette: Palette::of_stdout(),
        },
        tally: Tally::default(),
        following: arguments.follow,
        started: Vec::new(),
    };
    let done = match arguments.follow {
        true => follow::run(&mut reader, arguments.since.is_some()),
        false => once(&mut reader),
    };
    match done {
        Ok(()) => 0,
        Err(why) => fail(&why),
    }
}

/// Reads everything that is there, oldest first.
fn once(reader: &mut Reader) -> Result<()> {
    let path = Config::load()?.audit.path;
    let found = log_files::open(&path)?;
    if found.files.is_empty() && found.unreadable.is_empty() {
        let why = "there is no log yet; create, run and exec write it".to_owned();
        return Err(Error::Content { path, why });
    }
    reader.read_all(found)?;
    reader.printer.flush()?;
    reader.tally.tell();
    match reader.tally.ours == 0 && reader.tally.damaged > 0 {
        true => Err(Error::Content {
            path,
            why: "holds no line of runc-strict; is it another program's?".to_owned(),
        }),
        false => Ok(()),
    }
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Tally {
    ours: u64,
    damaged: u64,
    newer: u64,
}

impl Tally {
    /// Tells on stderr what couldn't be read.
    fn tell(&self) {
        let tell = |sentence: String| {
            let _ = writeln!(io::stderr(), "runc-strict: {sentence}");
        };
        let lines = |n: u64| if n == 1 { "1 line".to_owned() } else { format!("{n} lines") };
        if self.damaged > 0 {
            tell(format!("{} of the log can't be read", lines(self.damaged)));
        }
        if self.newer > 0 {
            tell(format!("{} of the log are of a later version; use a newer runc-strict", lines(self.newer)));
        }
    }
}

/// Reads lines, and shows those that are asked for.
struct Reader {
    search: Search,
    printer: Printer,
    tally: Tally,
    following: bool,
    /// While following: the containers that a shown line says were made, as runtime root and id.
    started: Vec<(String, String)>,
}

impl Reader {
    /// Reads all files; one that breaks off takes no other with it.
    fn read_all(&mut self, found: LogFiles) -> Result<()> {
        for why in found.unreadable {
            let _ = writeln!(io::stderr(), "runc-strict: {why}");
        }
        let since = self.search.wanted().since.as_deref().and_then(since::seconds);
        for file in found.files {
            if since.is_some_and(|since| file.is_older_than(since)) {
                continue;
            }
            let path = file.path.clone();
            let mut lines = Lines::new(file.into_reader());
            self.drain(&mut lines, &path)?;
            self.tally.damaged += u64::from(lines.has_rest());
        }
        Ok(())
    }

    /// Reads what there is of `lines`.
    fn drain<R: io::Read>(&mut self, lines: &mut Lines<R>, path: &std::path::Path) -> Result<()> {
        let mut broken = None;
        let read = lines.drain(|piece| {
            let shown = match piece {
                Piece::Line(bytes) => self.take(bytes),
                Piece::TooLong => {
                    self.tally.damaged += 1;
                    Ok(())
                }
            };
            shown.map_err(|why| {
                broken = Some(why);
                io::ErrorKind::Other.into()
            })
        });
        match (read, broken) {
            (_, Some(why)) => Err(Error::io("write to", "stdout".as_ref())(why)),
            (Err(why), None) => {
                // A damaged gzip file: what was read of it is shown, and the others are read.
                let _ = writeln!(io::stderr(), "runc-strict: can't read {} to its end: {why}", show(path));
                self.tally.damaged += 1;
                Ok(())
            }
            (Ok(()), None) => Ok(()),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut judged = self.search.judge(bytes);
        while let Judged::Salvaged(behind) = judged {
            self.tally.damaged += 1;
            judged = *behind;
        }
        match judged {
            Judged::Wanted(line, bytes) => {
                self.tally.ours += 1;
                let made = matches!(line.command.as_str(), "create" | "run");
                if self.following && made && matches!(line.verdict.as_str(), "keep" | "change") {
                    self.started.push((line.root.clone(), line.container.clone()));
                }
                self.printer.line(&line, bytes)
            }
            Judged::Other => {
                self.tally.ours += 1;
                Ok(())
            }
            Judged::Newer => {
                self.tally.newer += 1;
                Ok(())
            }
            Judged::Damaged | Judged::Salvaged(_) => {
                self.tally.damaged += 1;
                Ok(())
            }
        }
    }
}

/// Prints to stdout.
struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    json: bool,
    palette: Palette,
}

impl Printer {
    fn line(&mut self, line: &Line, bytes: &[u8]) -> io::Result<()> {
        if self.json {
            self.out.write_all(bytes)?;
        } else {
            self.out.write_all(text::of(line, self.palette).as_bytes())?;
        }
        self.out.write_all(b"\n")
    }

    fn ended(&mut self, id: &str, root: &std::path::Path, pod: &Pod) -> io::Result<()> {
        let time = clock::now();
        if self.json {
            let event = json!({
                "v": SCHEMA, "time": time, "event": "ended", "container": id, "root": root.to_string_lossy(),
                "pod": pod
            });
            return writeln!(self.out, "{event}");
        }
        writeln!(self.out, "{}", text::ended(&time, id, pod, self.palette))
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(Error::io("write to", "stdout".as_ref()))
    }
}
