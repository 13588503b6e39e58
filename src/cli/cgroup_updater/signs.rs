//! The signs of use and of trouble of a cgroup: what it uses, how often it was held back, how long its tasks waited. `status`
//! shows them as they are; after a change they are told before and after.

use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use crate::node::cgroup::{Fault, Group};
use crate::node::transaction::Scene;
use crate::resize::knob::CgroupVersion;
use crate::resize::plan::{Level, Step};
use crate::resize::snapshot::CgroupKey;

/// The files that tell, shown as they are.
const FILES_V2: [&str; 7] = [
    "memory.current",
    "memory.swap.current",
    "memory.events",
    "cpu.stat",
    "memory.pressure",
    "cpu.pressure",
    "pids.current",
];
const FILES_V1: [&str; 5] =
    ["memory.usage_in_bytes", "memory.failcnt", "memory.oom_control", "cpu.stat", "pids.current"];

/// What is told before and after a change: the file, its line, the number in it; and how it is called.
const TOLD_V2: [(&str, &str, &str); 5] = [
    ("memory.events", "max", "reached memory.max"),
    ("memory.events", "oom_kill", "killed for lack of memory"),
    ("cpu.stat", "nr_throttled", "throttled periods"),
    ("memory.pressure", "some", "memory pressure %"),
    ("cpu.pressure", "some", "cpu pressure %"),
];
const TOLD_V1: [(&str, &str, &str); 3] = [
    ("memory.failcnt", "", "reached the memory limit"),
    ("memory.oom_control", "oom_kill", "killed for lack of memory"),
    ("cpu.stat", "nr_throttled", "throttled periods"),
];

/// The files of a cgroup, as far as it has them.
///
/// # Errors
/// [`Fault`] where it can't be read.
pub(super) fn files(group: &Group) -> Result<Vec<(&'static str, String)>, Fault> {
    let files: &[&'static str] = match group.version() {
        CgroupVersion::V1 => &FILES_V1,
        CgroupVersion::V2 => &FILES_V2,
    };
    let mut signs = Vec::new();
    for file in files {
        if let Some(text) = group.read(file)? {
            signs.push((*file, text.trim().to_owned()));
        }
    }
    Ok(signs)
}

/// The signs of one cgroup, by their names.
type Signs = Vec<(&'static str, String)>;

/// The signs of the cgroups that steps change, at one moment.
#[derive(Debug, Default)]
pub(super) struct Moment(Vec<(CgroupKey, String, Signs)>);

impl Moment {
    /// Looks at them. What went away, or can't be read, tells nothing.
    pub(super) fn of(scene: &Scene, steps: &[Step]) -> Moment {
        let mut seen: Vec<(CgroupKey, String, _)> = Vec::new();
        for step in steps.iter().filter(|step| step.level != Level::Pod) {
            let known = seen.iter().any(|(key, _, _)| *key == step.cgroup);
            if let Some(site) = scene.sites.get(&step.cgroup).filter(|_| !known) {
                let name = scene.name(&step.cgroup, &step.level);
                seen.push((step.cgroup.clone(), name, numbers(&site.group)));
            }
        }
        Moment(seen)
    }
}

/// The numbers that are told.
fn numbers(group: &Group) -> Vec<(&'static str, String)> {
    let told: &[_] = match group.version() {
        CgroupVersion::V1 => &TOLD_V1,
        CgroupVersion::V2 => &TOLD_V2,
    };
    let number = |(file, line, name): &(&'static str, &str, &'static str)| {
        let text = group.read(file).ok().flatten()?;
        pick(&text, line).map(|number| (*name, number))
    };
    told.iter().filter_map(number).collect()
}

/// The number in the line that begins with this word; of a pressure the average over ten seconds.
fn pick(text: &str, line: &str) -> Option<String> {
    if line.is_empty() {
        return Some(text.trim().to_owned());
    }
    let rest = text.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(' '))?;
    let word = rest.split_ascii_whitespace().next()?;
    Some(word.strip_prefix("avg10=").unwrap_or(word).to_owned())
}

/// Before and after for people: a line for each cgroup.
pub(super) fn text(before: &Moment, after: &Moment) -> String {
    let mut out = String::new();
    for (name, signs) in paired(before, after) {
        let words: Vec<String> = signs
            .iter()
            .map(
                |(what, old, new)| {
                    if old == new { format!("{what} {new}") } else { format!("{what} {old} → {new}") }
                },
            )
            .collect();
        if !words.is_empty() {
            // Writing to a String can't fail.
            let _ = writeln!(out, "{name}: {}", words.join(", "));
        }
    }
    out
}

/// The same for programs.
pub(super) fn json(before: &Moment, after: &Moment) -> Json {
    let of = |(name, signs): (&String, Vec<(&str, &String, &String)>)| {
        let side = |pick: fn(&(&str, &String, &String)) -> String| -> Map<String, Json> {
            signs.iter().map(|sign| (sign.0.to_owned(), json!(pick(sign)))).collect()
        };
        json!({ "what": name, "before": side(|sign| sign.1.clone()), "after": side(|sign| sign.2.clone()) })
    };
    Json::Array(paired(before, after).into_iter().map(of).collect())
}

type Paired<'a> = Vec<(&'a String, Vec<(&'static str, &'a String, &'a String)>)>;

fn paired<'a>(before: &'a Moment, after: &'a Moment) -> Paired<'a> {
    let pair = |(key, name, old): &'a (CgroupKey, String, Vec<(&'static str, String)>)| {
        let (_, _, new) = after.0.iter().find(|(other, _, _)| other == key)?;
        let sign = |(what, old): &'a (&'static str, String)| {
            let (_, new) = new.iter().find(|(other, _)| other == what)?;
            Some((*what, old, new))
        };
        Some((name, old.iter().filter_map(sign).collect()))
    };
    before.0.iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_picked_by_the_word_that_their_line_begins_with() {
        let events = "low 0\nhigh 0\nmax 3\noom 0\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(pick(events, "max").as_deref(), Some("3"));
        assert_eq!(pick(events, "oom_kill").as_deref(), Some("1"));
        let pressure = "some avg10=1.25 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(pick(pressure, "some").as_deref(), Some("1.25"));
        assert_eq!((pick("7\n", "").as_deref(), pick("", "max")), (Some("7"), None));
    }

    #[test]
    fn before_and_after_stand_in_one_line_for_each_cgroup() {
        let moment = |kills: &str| {
            Moment(vec![(
                CgroupKey("a".to_owned()),
                "container \"app\"".to_owned(),
                vec![("killed for lack of memory", "0".to_owned()), ("throttled periods", kills.to_owned())],
            )])
        };
        assert_eq!(
            text(&moment("17"), &moment("19")),
            "container \"app\": killed for lack of memory 0, throttled periods 17 → 19\n"
        );
        assert_eq!(text(&moment("17"), &Moment::default()), "");
        let document = json(&moment("17"), &moment("19"));
        assert_eq!(document[0]["after"]["throttled periods"], "19");
    }
}
