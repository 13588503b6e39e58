//! The machine and the programs that figures were measured on and with, as the page names them.

use std::fs;
use std::process::Command;

/// A list, a line for each.
pub(crate) fn list(product: &str) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let rows = [
        ("processor", value(&cpuinfo, "model name").to_owned()),
        ("cores", cores.to_string()),
        ("memory", value(&memory, "MemTotal").to_owned()),
        ("hypervisor", hypervisor(&cpuinfo)),
        ("kernel", format!("Linux {}", kernel.trim())),
        ("load when it began", load.split(' ').take(3).collect::<Vec<_>>().join(" ")),
        ("program", first_line(product, "version")),
        ("runc", first_line("runc", "--version")),
        ("crun", first_line("crun", "--version")),
        ("podman", first_line("podman", "--version")),
        ("Rust compiler", first_line("rustc", "--version")),
        ("C compiler", first_line("cc", "--version")),
        ("date", first_line("date", "--utc")),
    ];
    rows.map(|(name, text)| format!("- {name}: {text}")).join("\n")
}

/// What stands behind a key in a file of `key : value`.
fn value<'t>(text: &'t str, key: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or("unknown").trim_start_matches(['\t', ' ', ':'])
}

/// Whether there is one below us, and which if lscpu can tell.
fn hypervisor(cpuinfo: &str) -> String {
    if !value(cpuinfo, "flags").split(' ').any(|flag| flag == "hypervisor") {
        return "none seen".to_owned();
    }
    let said = output("lscpu", &[]).unwrap_or_default();
    let vendor = said.lines().find_map(|line| line.strip_prefix("Hypervisor vendor:"));
    format!("yes, {}", vendor.map_or("which one isn't told", str::trim))
}

fn first_line(program: &str, word: &str) -> String {
    let said = output(program, &[word]).unwrap_or_default();
    said.lines().next().map_or_else(|| "not installed".to_owned(), str::to_owned)
}

/// What a program prints, wherever Debian has it.
fn output(program: &str, words: &[&str]) -> Option<String> {
    let inherited = std::env::var("PATH").unwrap_or_default();
    let path = format!("{inherited}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin");
    let answer = Command::new(program).args(words).env("LC_ALL", "C").env("PATH", path).output().ok()?;
    answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_stands_behind_its_key() {
        let text = "vendor_id\t: Maker\nmodel name\t: Maker's Processor 9\nmodel\t\t: 17\n";
        assert_eq!(value(text, "model name"), "Maker's Processor 9");
        assert_eq!(value(text, "flags"), "unknown");
    }

    #[test]
    fn a_hypervisor_is_told_by_the_flag_that_it_sets() {
        assert_eq!(hypervisor("flags\t\t: fpu vme\n"), "none seen");
        assert!(hypervisor("flags\t\t: fpu hypervisor vme\n").starts_with("yes, "));
    }

    #[test]
    fn a_program_that_is_not_here_is_said_to_be_missing() {
        assert_eq!(first_line("no-such-program-anywhere", "--version"), "not installed");
    }
}
