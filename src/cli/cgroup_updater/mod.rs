//! `runc-strict cgroup-updater`: CPU, memory and other limits of running containers changed in place, as a transaction:
//! planned, applied in order, read back, and rolled back when something fails. Docs: docs/resize.md.

mod apply;
mod change;
mod commit;
mod crowd;
mod exclusive;
mod exit;
mod history;
mod options;
mod recover;
mod scene;
mod show;
mod signs;
mod status;
mod sticky;
mod target;
mod unset;

use clap::{Args, Subcommand};

use exit::Exit;

/// The table that every help text of this command ends with.
const EXIT_CODES: &str = "Exit codes:\n  \
    0  done, or nothing to do\n  \
    1  anything unforeseen\n  \
    2  wrong usage\n  \
    3  refused: processes would be killed for lack of memory\n  \
    4  failed, and rolled back: everything is as it was\n  \
    5  failed, and could not be rolled back: the message says what remains\n  \
    6  no such container, pod, cgroup or transaction\n  \
    7  infeasible: this machine or a cgroup above doesn't allow it\n  \
    8  busy: another transaction on the same pod is under way";

/// What to do.
#[derive(Debug, Args)]
#[group(skip)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = EXIT_CODES
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Change limits of one container, and of its pod in step
    #[command(after_help = EXIT_CODES)]
    Set(Box<options::Set>),
    /// Change limits of several containers of one or many pods at once, by their manifests
    #[command(after_help = EXIT_CODES)]
    Apply(options::Apply),
    /// Drop what set keeps against the engine, and give the container the engine's own limits again
    #[command(after_help = EXIT_CODES)]
    Unset(Box<options::Unset>),
    /// Show limits, usage and pressure of a container or a pod, and where the runtime believes otherwise
    #[command(after_help = EXIT_CODES)]
    Status(options::Status),
    /// Undo a transaction
    #[command(after_help = EXIT_CODES)]
    Rollback(options::Rollback),
    /// Undo what killed runs left half done, and what could not be rolled back
    #[command(after_help = EXIT_CODES)]
    Recover(options::Recover),
    /// Show the transactions since boot
    #[command(after_help = EXIT_CODES)]
    History(options::History),
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let (json, done) = match &arguments.command {
        Command::Set(set) => (set.how.json, change::set(set)),
        Command::Apply(apply) => (apply.how.json, apply::apply(apply)),
        Command::Unset(asked) => (asked.how.json, unset::unset(asked)),
        Command::Status(asked) => (asked.json, status::status(asked)),
        Command::Rollback(asked) => (asked.back.json, history::rollback(asked)),
        Command::Recover(asked) => (asked.back.json, recover::recover(asked)),
        Command::History(asked) => (asked.json, history::history(asked)),
    };
    match done {
        Ok(()) => Exit::Done.code(),
        Err(halt) => {
            if json {
                super::print(&show::halt(&halt));
            }
            super::fail(&halt.message);
            halt.exit.code()
        }
    }
}
