//! Which lines of the log are asked for. A line's bytes are looked at before it is parsed, so that ten million lines
//! take seconds; only what the bytes don't exclude is parsed and judged by its members.
//!
//! The bytes can't be forged: inside a JSON string every quotation mark has a backslash before it, so `"after":[`
//! stands in a line of ours only where the member begins.

use memchr::memmem::{Finder, FinderRev, rfind};

use crate::node::audit::{Line, SCHEMA};
use crate::policy::gid::Gid;
use crate::policy::subject::Pod;
use crate::quote::quoted;

/// How each of our lines begins, whatever the version of its schema.
const HEAD: &[u8] = b"{\"v\":";

/// How the lines of this version begin; the time follows.
const HEAD_WITH_TIME: &[u8] = b"{\"v\":1,\"time\":\"";

/// What is asked for; what is none excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Since when, in the log's own form.
    pub since: Option<String>,
    /// Namespace and name.
    pub pod: Option<(String, String)>,
    /// The beginning of an id.
    pub container: Option<String>,
    /// Who had this group; of what was refused, who asked for it.
    pub gid: Option<u32>,
    /// Only what was refused.
    pub denied: bool,
}

impl Wanted {
    /// Whether a line, read, is asked for.
    pub fn takes(&self, line: &Line) -> bool {
        self.since.as_ref().is_none_or(|since| line.time >= *since)
            && (!self.denied || line.verdict == "deny")
            && self.takes_container(&line.container, &line.pod)
            && self.gid.is_none_or(|gid| has(line, gid))
    }

    /// Whether a container is asked for, whatever happened to it.
    pub fn takes_container(&self, id: &str, pod: &Pod) -> bool {
        let named = |(namespace, name): &(String, String)| {
            pod.namespace.as_ref() == Some(namespace) && pod.name.as_ref() == Some(name)
        };
        self.container.as_ref().is_none_or(|begin| id.starts_with(begin.as_str()))
            && self.pod.as_ref().is_none_or(named)
    }
}

fn has(line: &Line, gid: u32) -> bool {
    let got = line.gid == Some(gid) || Gid::new(gid).is_some_and(|gid| line.after.contains(gid));
    let stopped = matches!(line.verdict.as_str(), "deny" | "error");
    got || stopped && (line.before.contains(&gid) || line.reason.as_ref().is_some_and(|r| names(r, gid)))
}

/// Whether a reason speaks of the gid: an annotation may have listed it.
fn names(reason: &str, gid: u32) -> bool {
    let digits = gid.to_string();
    reason.split(|c: char| !c.is_ascii_digit()).any(|run| run == digits)
}

/// Reads `NAMESPACE/NAME`.
///
/// # Errors
/// A sentence that quotes the word.
pub fn parse_pod(word: &str) -> Result<(String, String), String> {
    match word.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err(format!("{} is no pod; write NAMESPACE/NAME", quoted(word.as_bytes()))),
    }
}

/// What a line turns out to be.
#[derive(Debug)]
pub enum Judged<'l> {
    /// It is asked for: the line, and its bytes.
    Wanted(Box<Line>, &'l [u8]),
    /// One of ours that isn't asked for.
    Other,
    /// Of a later version than this program knows.
    Newer,
    /// None of ours, or torn.
    Damaged,
    /// A torn line with a whole one behind it, on the same line.
    Salvaged(Box<Judged<'l>>),
}

/// Looks through lines.
#[derive(Debug)]
pub struct Search {
    wanted: Wanted,
    /// Texts that a wanted line holds.
    needles: Vec<Finder<'static>>,
    gid: Option<GidSearch>,
}

impl Search {
    /// A search for `wanted`.
    pub fn new(wanted: Wanted) -> Search {
        let mut needles = Vec::new();
        let mut needle = |text: String| needles.push(Finder::new(&text).into_owned());
        // As serde_json writes a string, without its last quotation mark where only the beginning is known.
        let json = |text: &str| serde_json::Value::from(text).to_string();
        if let Some((_, name)) = &wanted.pod {
            needle(format!("\"name\":{}", json(name)));
        }
        if let Some(begin) = &wanted.container {
            needle(format!("\"container\":{}", json(begin).trim_end_matches('"')));
        }
        if wanted.denied {
            needle("\"verdict\":\"deny\"".to_owned());
        }
        let gid = wanted.gid.map(GidSearch::new);
        Search { wanted, needles, gid }
    }

    /// What is asked for.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Judges a line, without its end.
    pub fn judge<'l>(&self, bytes: &'l [u8]) -> Judged<'l> {
        if !bytes.starts_with(HEAD) || !bytes.ends_with(b"}") {
            return self.salvage(bytes);
        }
        if self.excludes(bytes) {
            return Judged::Other;
        }
        match serde_json::from_slice::<Line>(bytes) {
            Ok(line) if line.v != SCHEMA => Judged::Newer,
            Ok(line) if self.wanted.takes(&line) => Judged::Wanted(Box::new(line), bytes),
            Ok(_) => Judged::Other,
            Err(_) if is_newer(bytes) => Judged::Newer,
            Err(_) => self.salvage(bytes),
        }
    }

    /// Whether the bytes alone tell that the line isn't asked for.
    fn excludes(&self, bytes: &[u8]) -> bool {
        let too_old = self.wanted.since.as_ref().is_some_and(|since| {
            let time = bytes.strip_prefix(HEAD_WITH_TIME).and_then(|rest| rest.get(..since.len()));
            // A torn line may have a younger one behind it; it is looked at when it doesn't end as it begins.
            time.is_some_and(|time| time < since.as_bytes()) && rfind(bytes, HEAD_WITH_TIME) == Some(0)
        });
        too_old
            || self.needles.iter().any(|needle| needle.find(bytes).is_none())
            || self.gid.as_ref().is_some_and(|gid| gid.excludes(bytes))
    }

    /// A writer that could write only a part of its line (the disk was full) leaves the next line behind it.
    fn salvage<'l>(&self, bytes: &'l [u8]) -> Judged<'l> {
        let behind = rfind(bytes, HEAD_WITH_TIME).filter(|at| *at > 0).and_then(|at| bytes.get(at..));
        match behind {
            Some(whole) => Judged::Salvaged(Box::new(self.judge(whole))),
            None => Judged::Damaged,
        }
    }
}

/// Whether a line says that its version is another one than ours.
fn is_newer(bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Version {
        v: u32,
    }
    serde_json::from_slice::<Version>(bytes).is_ok_and(|version| version.v > SCHEMA)
}

/// Looks for a gid where a line says who has it.
#[derive(Debug)]
struct GidSearch {
    digits: String,
    any: Finder<'static>,
    after: FinderRev<'static>,
    stopped: [Finder<'static>; 2],
}

impl GidSearch {
    fn new(gid: u32) -> GidSearch {
        let digits = gid.to_string();
        GidSearch {
            any: Finder::new(&digits).into_owned(),
            digits,
            after: FinderRev::new(b"\"after\":["),
            stopped: [Finder::new(b"\"verdict\":\"deny\""), Finder::new(b"\"verdict\":\"error\"")],
        }
    }

    fn excludes(&self, bytes: &[u8]) -> bool {
        if self.any.find(bytes).is_none() {
            return true;
        }
        // The primary gid is among the groups that the line says the process has (law 2); so they tell it all,
        // unless it was stopped.
        let Some(list) = self.after.rfind(bytes).and_then(|at| bytes.get(at + b"\"after\":[".len()..)) else {
            return false;
        };
        let end = memchr::memchr(b']', list).unwrap_or(list.len());
        let mut gids = list.get(..end).unwrap_or_default().split(|b| *b == b',');
        !gids.any(|gid| gid == self.digits.as_bytes()) && self.stopped.iter().all(|s| s.find(bytes).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(change: impl FnOnce(&mut Line)) -> Vec<u8> {
        let mut line = Line::new("create", "c0ffee", "containerd");
        line.time = "2026-11-22T21:58:15.000000Z".to_owned();
        line.verdict = "change".to_owned();
        line.pod =
            Pod { namespace: Some("user-1".to_owned()), name: Some("web".to_owned()), ..Pod::default() };
        line.gid = Some(1000);
        line.before = vec![1000, 3000, 60000];
        line.after = [1000, 60000].into_iter().filter_map(Gid::new).collect();
        change(&mut line);
        serde_json::to_vec(&line).unwrap()
    }

    fn finds(wanted: &Wanted, bytes: &[u8]) -> bool {
        let search = Search::new(wanted.clone());
        let found = matches!(search.judge(bytes), Judged::Wanted(..));
        // The bytes may exclude nothing that the members don't.
        let read: Line = serde_json::from_slice(bytes).unwrap();
        assert_eq!(found, wanted.takes(&read));
        found
    }

    #[test]
    fn a_gid_is_found_where_somebody_had_it_and_nowhere_else() {
        let gid = |gid| Wanted { gid: Some(gid), ..Wanted::default() };
        assert!(finds(&gid(60000), &line(|_| {})));
        assert!(finds(&gid(1000), &line(|_| {})));
        for other in [3000, 6000, 600, 0, 1, 2026, 15] {
            assert!(!finds(&gid(other), &line(|_| {})), "{other}");
        }
        assert!(!finds(&gid(50000), &line(|l| l.reason = Some("\"after\":[50000]".to_owned()))));
        assert!(!finds(&gid(50000), &line(|l| l.container = "50000".to_owned())));
    }

    #[test]
    fn of_what_was_refused_it_is_told_who_asked_for_a_gid() {
        let denied = |l: &mut Line| {
            l.verdict = "deny".to_owned();
            l.after = Default::default();
        };
        assert!(finds(&Wanted { gid: Some(3000), ..Wanted::default() }, &line(denied)));
        assert!(finds(&Wanted { gid: Some(3000), denied: true, ..Wanted::default() }, &line(denied)));
        assert!(!finds(&Wanted { gid: Some(4000), denied: true, ..Wanted::default() }, &line(denied)));
        let annotated = |l: &mut Line| {
            denied(l);
            l.reason = Some("gid 50000 is listed by an annotation".to_owned());
        };
        assert!(finds(&Wanted { gid: Some(50000), denied: true, ..Wanted::default() }, &line(annotated)));
        assert!(!finds(&Wanted { gid: Some(5000), denied: true, ..Wanted::default() }, &line(annotated)));
        assert!(!finds(&Wanted { denied: true, ..Wanted::default() }, &line(|_| {})));
    }

    #[test]
    fn a_pod_is_found_by_both_names_and_a_container_by_the_beginning_of_its_id() {
        let pod = |word: &str| Wanted { pod: Some(parse_pod(word).unwrap()), ..Wanted::default() };
        assert!(finds(&pod("user-1/web"), &line(|_| {})));
        for other in ["user-1/we", "user-1/web2", "user-2/web", "web/user-1"] {
            assert!(!finds(&pod(other), &line(|_| {})), "{other}");
        }
        let container = |id: &str| Wanted { container: Some(id.to_owned()), ..Wanted::default() };
        for id in ["c0ffee", "c0f", ""] {
            assert!(finds(&container(id), &line(|_| {})), "{id}");
        }
        for id in ["0ffee", "c0ffee1", "\""] {
            assert!(!finds(&container(id), &line(|_| {})), "{id}");
        }
        assert!(finds(&container("a\"b"), &line(|l| l.container = "a\"b\\c".to_owned())));
    }

    #[test]
    fn since_takes_what_is_as_old_or_younger() {
        let since = |text: &str| Wanted { since: Some(text.to_owned()), ..Wanted::default() };
        assert!(finds(&since("2026-11-22T21:58:15.000000Z"), &line(|_| {})));
        assert!(!finds(&since("2026-11-22T21:58:15.000001Z"), &line(|_| {})));
    }

    #[test]
    fn a_torn_line_hides_neither_itself_nor_what_stands_behind_it() {
        let whole = line(|_| {});
        let wanted = Wanted { gid: Some(60000), ..Wanted::default() };
        let search = Search::new(wanted);
        for cut in 1..whole.len() {
            // Cut behind a bracket it has the shape of a line; as long as it isn't asked for, nobody looks closer.
            let alone = search.judge(&whole[..cut]);
            let shaped = whole[..cut].ends_with(b"}");
            assert!(matches!(alone, Judged::Damaged) || shaped && matches!(alone, Judged::Other), "{cut}");
            let joined = [&whole[..cut], whole.as_slice()].concat();
            match search.judge(&joined) {
                Judged::Salvaged(behind) => assert!(matches!(*behind, Judged::Wanted(..)), "{cut}"),
                other => panic!("{cut}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_isn_t_ours_is_damaged_and_what_is_newer_is_newer() {
        let search = Search::new(Wanted::default());
        for bytes in
            [&b""[..], b"{}", b"{\"v\":1}", b"\x00\x00\x00", b"hello", b"{\"v\":1,\"time\":3}", b"\xff"]
        {
            assert!(matches!(search.judge(bytes), Judged::Damaged), "{bytes:?}");
        }
        for bytes in [&b"{\"v\":2}"[..], b"{\"v\":2,\"time\":[]}"] {
            assert!(matches!(search.judge(bytes), Judged::Newer), "{bytes:?}");
        }
    }

    #[test]
    fn a_pod_needs_both_names() {
        for word in ["", "web", "/web", "user-1/", "a/b/c"] {
            assert!(parse_pod(word).unwrap_err().starts_with(&quoted(word.as_bytes())), "{word}");
        }
    }
}
