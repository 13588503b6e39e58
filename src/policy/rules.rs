//! The policy: what the node's administrator wrote, in the form that the decision works with.
//!
//! Reading the file is the business of `node::config`; here is only what its keys mean.

use serde::{Deserialize, Serialize};

use super::gid::{Gid, GidRange};
use super::level::Level;

/// Who calls us, which decides whose annotations name the pod and whether declared groups can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// docker, ctr, bare bundles: an image's labels can become annotations here.
    #[default]
    None,
    /// containerd's CRI.
    Containerd,
    /// CRI-O.
    CriO,
    /// podman.
    Podman,
}

impl Engine {
    /// Its name in the configuration and in the audit log.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::None => "none",
            Engine::Containerd => "containerd",
            Engine::CriO => "cri-o",
            Engine::Podman => "podman",
        }
    }
}

/// What the pod's annotation is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnnotationMode {
    /// It chooses among gids that are authorised elsewhere.
    #[default]
    Narrow,
    /// It authorises, under the ceilings: an admission policy has checked it.
    Trusted,
}

/// What happens to something that deserves a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrimaryGid {
    /// It becomes a finding.
    #[default]
    Warn,
    /// The container is refused.
    Deny,
}

/// What happens on a runtime that looks gids up by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VulnerableRuntime {
    /// The image's etc/group and the mounts are checked.
    #[default]
    Check,
    /// The container is refused.
    Refuse,
}

/// A `[[namespace]]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// Globs over the pod's namespace; none matches every container, also one without a pod.
    #[serde(rename = "match")]
    pub matches: Option<Vec<String>>,
    /// The gids that the administrator allows.
    pub allow: Vec<GidRange>,
    /// Whether gids of the merged list inside `allow` stay without being asked for.
    pub keep: bool,
    /// Whether gids outside `allow` are refused however they were declared.
    pub ceiling: bool,
    /// The level of the containers that the table matches.
    pub level: Option<Level>,
}

/// Everything that decides, beside the container itself.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Who calls.
    pub engine: Engine,
    /// What the annotation is worth.
    pub annotation: AnnotationMode,
    /// Whether gids that can't have come from the image count as authorised.
    pub residual: bool,
    /// The lowest level.
    pub level: Level,
    /// What happens to an undeclared primary gid.
    pub primary_gid: PrimaryGid,
    /// What happens on a runtime that looks gids up by name.
    pub vulnerable_runtime: VulnerableRuntime,
    /// The `[[namespace]]` tables.
    pub tables: Vec<Table>,
    /// The configuration file's name, for messages.
    pub config: String,
}

/// The tables that match one container, added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules<'p> {
    /// The ranges of every `allow`.
    pub(super) allow: Vec<GidRange>,
    /// The ranges of the tables with `keep`.
    pub(super) keep: Vec<GidRange>,
    /// The `allow` of each table with `ceiling`.
    pub(super) ceilings: Vec<&'p [GidRange]>,
    /// The highest level.
    pub(super) level: Level,
    /// A ceiling that may or may not be this container's.
    pub(super) undecided_ceiling: bool,
}

impl Policy {
    /// Adds up the tables for a container in `namespace`.
    pub(super) fn rules(&self, namespace: Option<&str>) -> Rules<'_> {
        let mut rules = Rules { level: self.level, ..Rules::default() };
        for table in &self.tables {
            let matched = match (&table.matches, namespace) {
                (None, _) => true,
                (Some(globs), Some(name)) => globs.iter().any(|g| glob(g.as_bytes(), name.as_bytes())),
                (Some(_), None) => {
                    rules.undecided_ceiling |= table.ceiling;
                    false
                }
            };
            if !matched {
                continue;
            }
            rules.allow.extend(&table.allow);
            if table.keep {
                rules.keep.extend(&table.allow);
            }
            if table.ceiling {
                rules.ceilings.push(&table.allow);
            }
            rules.level = rules.level.max(table.level.unwrap_or_default());
        }
        rules
    }
}

/// Whether `gid` lies in one of `ranges`.
pub(super) fn within(ranges: &[GidRange], gid: Gid) -> bool {
    ranges.iter().any(|r| r.contains(gid))
}

/// Whether `pattern` matches the whole of `text`: `*` is any run of characters, `?` any one.
fn glob(mut pattern: &[u8], mut text: &[u8]) -> bool {
    // What follows the last star, and the text behind what it has swallowed.
    let mut star = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                star = Some((rest, text));
                pattern = rest;
            }
            (Some((c, rest)), Some((t, left))) if *c == b'?' || c == t => (pattern, text) = (rest, left),
            (None, None) => return true,
            // A mismatch: the last star swallows one character more.
            _ => match star.and_then(|(rest, from)| Some((rest, from.split_first()?.1))) {
                Some((rest, left)) => {
                    star = Some((rest, left));
                    (pattern, text) = (rest, left);
                }
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_the_whole_namespace() {
        let hits = [
            ("user-*", "user-a"),
            ("*", ""),
            ("a?c", "abc"),
            ("*-prod", "x-y-prod"),
            ("a*b*c", "aXbXbc"),
            ("", ""),
            ("a**", "a"),
            ("*a?", "aaab"),
        ];
        let misses = [
            ("user-*", "a-user-a"),
            ("user", "user-a"),
            ("a?c", "ac"),
            ("", "a"),
            ("*-prod", "prod"),
            ("a*b", "ac"),
            ("a", ""),
        ];
        for (pattern, text) in hits {
            assert!(glob(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in misses {
            assert!(!glob(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }
}
