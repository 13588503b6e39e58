//! Our own sub-commands, one file each. Their flags are defined once, here, for clap; help, man pages and
//! completions come from that.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::{Parser, Subcommand};

pub mod audit;
mod cgroup_updater;
mod check;
mod colour;
mod explain;
mod install;
mod selection;
mod uninstall;
mod version;
mod whoami;

/// The command line of our own sub-commands.
#[derive(Debug, Parser)]
#[command(
    name = "runc-strict",
    about = "An OCI runtime that replaces a container's supplementary groups instead of merging them",
    long_about = "An OCI runtime that replaces a container's supplementary groups instead of merging them.\n\n\
        Called as an engine calls runc (create, run, exec, start, kill, delete, state, ...), it makes the container \
        run with exactly the groups that it is entitled to, and becomes the real runtime. The commands below are its own.",
    disable_version_flag = true,
    after_help = "Configuration: /etc/runc-strict/config.toml. Every other command and flag is the real runtime's."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show who a bundle's container would be, or who a container is, and why; changes nothing
    Explain(explain::Arguments),
    /// Show who the processes of a container are now, and where they differ from the record
    Whoami(whoami::Arguments),
    /// Show from the audit log who got which groups, when and why
    Audit(audit::Arguments),
    /// Show whether this node is set up as it should be, and what to do where it isn't
    Check(check::Arguments),
    /// Set an engine up to run pods by us: show what changes in its configuration, and write it
    Install(install::Arguments),
    /// Take us out of an engine's configuration again
    Uninstall(uninstall::Arguments),
    /// Resize running containers in place: CPU, memory and more, as a transaction
    CgroupUpdater(cgroup_updater::Arguments),
    /// Show our version, and the real runtime's
    Version {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// The definition that help, man pages and completions are made of.
pub fn definition() -> clap::Command {
    use clap::CommandFactory;
    Cli::command()
}

/// Runs the sub-command that `words` name.
pub fn run(words: &[OsString]) -> u8 {
    let program = OsString::from("runc-strict");
    // `--debug --help`: the runtime's globals are not ours, and what is asked for is help.
    let help = [OsString::from("--help")];
    let asked = words.len() > 1 && words.first().is_some_and(|w| w.as_bytes().starts_with(b"-"));
    let words = if asked { &help } else { words };
    let cli = match Cli::try_parse_from(std::iter::once(&program).chain(words)) {
        Ok(cli) => cli,
        Err(why) => {
            // Help goes to stdout with 0, a wrong command line to stderr with 2; nothing is left to tell if that fails.
            let _ = why.print();
            return u8::try_from(why.exit_code()).unwrap_or(2);
        }
    };
    match cli.command {
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Whoami(arguments) => whoami::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Install(arguments) => install::run(&arguments),
        Command::Uninstall(arguments) => uninstall::run(&arguments),
        Command::CgroupUpdater(arguments) => cgroup_updater::run(&arguments),
        Command::Version { json } => version::run(json),
    }
}

/// Prints to stdout; a reader that went away is no error (`runc-strict explain ... | head`).
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Tells on stderr what could not be done, and gives the exit code for it.
fn fail(why: &dyn std::fmt::Display) -> u8 {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "runc-strict: {why}");
    1
}
