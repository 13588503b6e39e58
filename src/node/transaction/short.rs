//! How a program is started that runs for a few milliseconds and is started hundreds of times: a real runtime's `update`.
//!
//! Most of what runc takes is Go's own doing. Its threads hand the work to each other, and across CPUs each hand-over and
//! each change of the address space interrupts the other CPU; and one of them wakes up every 20 µs to see to the others
//! (runtime/proc.go, `sysmon`). On the CPU that it was started on, and with timers that may be a little late, 500 updates
//! take a fifth less.

use std::io;
use std::num::NonZeroU64;
use std::process::{Child, Command};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity, set_current_timer_slack};

/// How late a timer of the program may be, in nanoseconds: prctl(2), `PR_SET_TIMERSLACK`. Nobody waits for a runtime's
/// timers, and it would have ended before.
const LATE: Option<NonZeroU64> = NonZeroU64::new(5_000_000);

/// Settles this thread on one of its CPUs for good, the `n`-th counted around: what it starts stays there too. Threads that
/// each take what is next are then spread evenly, and none of them is woken up beside the others while a CPU is idle.
pub(super) fn settle(n: usize) {
    let Ok(all) = sched_getaffinity(None) else { return };
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).cycle();
    if let Some(cpu) = cpus.nth(n) {
        // one that can't be had means that the thread runs as it did
        let _ = sched_setaffinity(None, &only(cpu));
    }
}

fn only(cpu: usize) -> CpuSet {
    let mut one = CpuSet::new();
    one.set(cpu);
    one
}

/// Starts a program that stays on this CPU. It inherits both from this thread, which gets its own back.
///
/// # Errors
/// As [`Command::spawn`].
pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _given_back = Habits::put_on();
    command.spawn()
}

/// What this thread's children inherit, while it lives. Where it can't be set, they run as any program does.
struct Habits {
    cpus: Option<CpuSet>,
}

impl Habits {
    fn put_on() -> Habits {
        let _ = set_current_timer_slack(LATE);
        // a machine may have more CPUs than a set has room for
        let here = Some(sched_getcpu()).filter(|cpu| *cpu < CpuSet::MAX_CPU);
        let all = sched_getaffinity(None).ok().filter(|all| all.count() > 1);
        let cpus =
            here.zip(all).and_then(|(cpu, all)| sched_setaffinity(None, &only(cpu)).ok().map(|()| all));
        Habits { cpus }
    }
}

impl Drop for Habits {
    fn drop(&mut self) {
        // without a value: the one that the thread began with
        let _ = set_current_timer_slack(None);
        if let Some(cpus) = &self.cpus {
            // it can fail only if a cpuset has changed meanwhile, and then the kernel has set others
            let _ = sched_setaffinity(None, cpus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_stays_on_one_cpu_with_late_timers_and_this_thread_does_not() {
        let before = sched_getaffinity(None).unwrap();
        let slack = rustix::thread::current_timer_slack().unwrap();
        let mut command = Command::new("/bin/cat");
        let files = ["/proc/self/status", "/proc/self/timerslack_ns"];
        let child = spawn(command.args(files).stdout(std::process::Stdio::piped())).unwrap();
        assert_eq!(sched_getaffinity(None).unwrap(), before);
        assert_eq!(rustix::thread::current_timer_slack().unwrap(), slack);
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let list = said.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        assert!(list.trim().parse::<usize>().is_ok(), "{list}");
        assert_eq!(said.lines().last(), Some("5000000"));
    }

    #[test]
    fn threads_settle_on_their_cpus_in_turn() {
        let all = sched_getaffinity(None).unwrap();
        let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
        for n in 0..=cpus.len() {
            let settled = std::thread::spawn(move || {
                settle(n);
                sched_getaffinity(None).unwrap()
            });
            let set = settled.join().unwrap();
            assert_eq!(set.count(), 1);
            assert!(set.is_set(cpus[n % cpus.len()]), "thread {n}");
        }
        assert_eq!(sched_getaffinity(None).unwrap(), all);
    }
}
