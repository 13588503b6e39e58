//! The system calls of a program that is about to become another: counted, and one of them made to fail or to be the
//! last. The tracer is ptrace(2): every call is a stop before and a stop after, so that no call is missed and none is
//! counted twice, whatever makes it. At the execve that succeeds the program is let go: what it became runs as ever.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// What befalls one system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It does nothing, and returns this error.
    Errno(Errno),
    /// The program is killed in front of it.
    Kill,
}

/// Calls that have no way to fail (getpid(2), getuid(2)): whoever makes them looks at no error.
pub(crate) fn can_fail(call: u64) -> bool {
    use nix::libc::{SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getpid, SYS_gettid, SYS_getuid, SYS_umask};
    let never = [SYS_getpid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_umask];
    !never.into_iter().any(|number| u64::try_from(number) == Ok(call))
}

/// What was seen of a program.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The numbers of its system calls, in their order (syscalls(2)); after an injected fault none is added.
    pub(crate) calls: Vec<u64>,
    /// The call that the fault befell; none where the program didn't make as many.
    pub(crate) hit: Option<u64>,
    /// Whether it has become another program.
    pub(crate) became: bool,
}

/// Why a traced program stands still.
enum Stop {
    /// Before or after a system call.
    Call,
    /// It has become another program.
    Exec,
    /// A signal is about to reach it.
    Signal(Signal),
    /// It has ended, and waits to be waited for.
    Ended,
}

/// Follows a child that was started by this thread with [`crate::sys::traced`], until it becomes another program or ends.
/// `fault` befalls the call of that number, counted from 1.
///
/// # Errors
/// When it can't be traced.
pub(crate) fn follow(pid: u32, fault: Option<(usize, Fault)>) -> Result<Trace> {
    let pid = Pid::from_raw(i32::try_from(pid).context("a pid")?);
    let mut trace = Trace::default();
    let Stop::Signal(Signal::SIGTRAP) = next_stop(pid)? else { bail!("it doesn't stop when it is executed") };
    let options = Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC;
    ptrace::setoptions(pid, options).context("set what is traced")?;
    let mut signal = None;
    // The call that is being made, and what it shall return.
    let mut inside: Option<Option<Errno>> = None;
    loop {
        ptrace::syscall(pid, signal.take()).context("let it go on")?;
        match next_stop(pid)? {
            Stop::Ended => return Ok(trace),
            Stop::Exec => {
                trace.became = true;
                ptrace::detach(pid, None).context("let it go")?;
                return Ok(trace);
            }
            Stop::Signal(other) => signal = Some(other),
            Stop::Call => {
                let mut registers = ptrace::getregs(pid).context("read its registers")?;
                inside = match inside {
                    Some(result) => {
                        if let Some(errno) = result {
                            set_result(&mut registers, errno);
                            ptrace::setregs(pid, registers).context("set the result")?;
                        }
                        None
                    }
                    None => {
                        let number = registers.orig_rax;
                        if trace.hit.is_none() {
                            trace.calls.push(number);
                        }
                        let here = |(n, _): &(usize, Fault)| trace.hit.is_none() && *n == trace.calls.len();
                        match fault.filter(here) {
                            None => Some(None),
                            Some((_, what)) => {
                                trace.hit = Some(number);
                                let Fault::Errno(errno) = what else {
                                    kill(pid, Signal::SIGKILL).context("kill it")?;
                                    return Ok(trace);
                                };
                                // No call has this number, so that nothing is done.
                                registers.orig_rax = u64::MAX;
                                ptrace::setregs(pid, registers).context("take the call away")?;
                                Some(Some(errno))
                            }
                        }
                    }
                };
            }
        }
    }
}

/// The kernel returns an error as a negative number.
fn set_result(registers: &mut user_regs_struct, errno: Errno) {
    registers.rax = i64::from(errno as i32).wrapping_neg().cast_unsigned();
}

/// Waits for the next stop. An end is seen and left to whoever waits for the child.
fn next_stop(pid: Pid) -> Result<Stop> {
    let either = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::__WALL;
    match waitid(Id::Pid(pid), either | WaitPidFlag::WNOWAIT).context("wait for it")? {
        WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(Stop::Ended),
        _ => {}
    }
    match waitid(Id::Pid(pid), either).context("wait for it")? {
        WaitStatus::PtraceSyscall(_) => Ok(Stop::Call),
        WaitStatus::PtraceEvent(_, _, event) if event == nix::libc::PTRACE_EVENT_EXEC => Ok(Stop::Exec),
        WaitStatus::PtraceEvent(_, signal, _) | WaitStatus::Stopped(_, signal) => Ok(Stop::Signal(signal)),
        other => bail!("it stands still in an unknown way: {other:?}"),
    }
}
