//! Who the calling thread is, as the kernel tells it in /proc/self/status: proc_pid_status(5).

use serde_json::{Map, Value, json};

/// The identity of this process. Ids are numbers, capability sets are the kernel's own hexadecimal words.
pub(crate) fn status() -> Value {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse(&text)
}

/// What [`status`] makes of the text of /proc/self/status. `gid` is real, effective, saved, file system.
fn parse(text: &str) -> Value {
    let mut report = Map::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        let (name, field) = match key {
            "Uid" => ("uid", json!(numbers(value))),
            "Gid" => ("gid", json!(numbers(value))),
            "Groups" => ("groups", json!(numbers(value))),
            "NoNewPrivs" => ("no_new_privs", json!(value == "1")),
            "CapInh" => ("inheritable", json!(value)),
            "CapPrm" => ("permitted", json!(value)),
            "CapEff" => ("effective", json!(value)),
            "CapBnd" => ("bounding", json!(value)),
            "CapAmb" => ("ambient", json!(value)),
            _ => continue,
        };
        report.insert(name.to_owned(), field);
    }
    Value::Object(report)
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn status_lists_ids_as_numbers_and_sets_as_the_kernel_writes_them() {
        let text = "Name:\tprobe\nUid:\t1000\t1000\t1000\t1000\nGid:\t1\t2\t3\t4\nGroups:\t1000 5000 \nCapInh:\t0000000000000000\nNoNewPrivs:\t1\n";
        let report = parse(text);
        assert_eq!(report["gid"], json!([1, 2, 3, 4]));
        assert_eq!(report["groups"], json!([1000, 5000]));
        assert_eq!(report["no_new_privs"], json!(true));
        assert_eq!(report["inheritable"], json!("0000000000000000"));
    }

    #[test]
    fn a_process_without_groups_has_an_empty_list() {
        assert_eq!(parse("Groups:\t\n")["groups"], json!([]));
    }
}
