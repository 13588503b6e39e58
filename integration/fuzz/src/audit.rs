//! The audit log: what is written for hostile names is one line of JSON that our own reader gives back; a search by bytes
//! finds exactly the lines that a search by members finds; whatever stands around a line hides it not.

use arbitrary::{Result, Unstructured};
use runc_strict::cli::audit::search::{Judged, Search, Wanted};
use runc_strict::node::audit::Line;
use runc_strict::node::log_reader::{Lines, Piece};
use runc_strict::policy::gid::Gid;
use runc_strict::policy::subject::Pod;
use runc_strict::policy::{Origin, Rule, Ruling};

pub(crate) fn check(bytes: &[u8]) {
    // Bytes in the place of a log: each line is something, and nothing panics.
    for wanted in [Wanted::default(), Wanted { gid: Some(5000), denied: true, ..Wanted::default() }] {
        let search = Search::new(wanted);
        bytes.split(|b| *b == b'\n').for_each(|line| drop(search.judge(line)));
    }
    let _ = told(&mut Unstructured::new(bytes));
}

/// The lines of a log, by our own reader.
fn pieces(log: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut reader = Lines::new(log);
    let each = |piece: Piece<'_>| {
        lines.extend(if let Piece::Line(line) = piece { Some(line.to_vec()) } else { None });
        Ok(())
    };
    reader.drain(each).expect("bytes in memory can be read");
    lines
}

fn told(u: &mut Unstructured<'_>) -> Result<()> {
    let gids = |u: &mut Unstructured<'_>| -> Result<Vec<u32>> {
        (0..u.int_in_range(0..=4)?)
            .map(|_| u.choose(&[0, 1, 5000, 50000, 60000, u32::MAX]).copied())
            .collect()
    };
    let primary = *u.choose(&[1, 1000, 60000])?;
    let (before, after) = (gids(u)?, gids(u)?);
    let verdict = (*u.choose(&["keep", "change", "deny", "error"])?).to_owned();
    let stopped = matches!(verdict.as_str(), "deny" | "error");
    let sought = *u.choose(&[0, 1, 5, 5000, 60000])?;
    // law 2: the primary gid is among the groups of what isn't stopped
    let mut kept: Vec<u32> = if stopped { Vec::new() } else { after };
    kept.extend((!stopped).then_some(primary));
    let line = Line {
        v: 1,
        time: "2026-11-22T21:58:15.000000Z".to_owned(),
        command: (*u.choose(&["create", "run", "exec", "restore"])?).to_owned(),
        gid: (!stopped).then_some(primary),
        rulings: before.iter().map(|gid| ruling(u, *gid)).collect::<Result<_>>()?,
        before,
        after: kept.into_iter().filter_map(Gid::new).collect(),
        verdict,
        pod: Pod { namespace: u.arbitrary()?, name: u.arbitrary()?, uid: u.arbitrary()?, container: None },
        container: u.arbitrary()?,
        root: u.arbitrary()?,
        engine: u.arbitrary()?,
        runtime: u.arbitrary()?,
        reason: u.arbitrary()?,
        ..Line::default()
    };
    let text = line.text().expect("a line can be written");
    let (end, body) = text.split_last().expect("a line has an end");
    assert!(*end == b'\n' && !body.contains(&b'\n'), "a line is one line");
    let json: serde_json::Value = serde_json::from_slice(body).expect("a line is JSON");
    assert_eq!(json["container"].as_str(), Some(line.container.as_str()));

    for wanted in wishes(&line, sought) {
        let judged = Search::new(wanted.clone());
        let found = judged.judge(body);
        assert_eq!(matches!(found, Judged::Wanted(..)), wanted.takes(&line), "{wanted:?} {found:?}");
        assert!(matches!(found, Judged::Wanted(..) | Judged::Other), "a line of ours is {found:?}");
        if let Judged::Wanted(read, bytes) = found {
            assert_eq!((read.text().ok(), bytes), (Some(text.clone()), body));
        }
    }
    // A write that was cut short stands before it, and whatever follows.
    let cut = u.int_in_range(0..=body.len())?;
    let rest = u.bytes(u.len())?;
    let log = [&body[..cut], text.as_slice(), rest, b"\n", text.as_slice()].concat();
    let search = Search::new(Wanted::default());
    let lines = pieces(&log);
    let whole = lines.last().expect("the log ends with a line");
    assert!(matches!(search.judge(whole), Judged::Wanted(..)));
    let mut first = search.judge(&lines[0]);
    while let Judged::Salvaged(behind) = first {
        first = *behind;
    }
    assert!(matches!(&first, Judged::Wanted(_, bytes) if bytes.ends_with(body)), "{first:?}");
    Ok(())
}

fn ruling(u: &mut Unstructured<'_>, gid: u32) -> Result<Ruling> {
    Ok(Ruling { gid, origins: vec![Origin::Image(u.arbitrary()?)], kept: false, rule: Rule::FromImage })
}

/// What somebody could ask for who knows something of the line.
fn wishes(line: &Line, gid: u32) -> Vec<Wanted> {
    let begin: String = line.container.chars().take(2).collect();
    let pod = line.pod.namespace.clone().zip(line.pod.name.clone());
    vec![
        Wanted::default(),
        Wanted { gid: Some(gid), ..Wanted::default() },
        Wanted { gid: Some(gid), denied: true, ..Wanted::default() },
        Wanted { container: Some(begin), pod, ..Wanted::default() },
        Wanted { container: Some(line.container.clone()), denied: true, ..Wanted::default() },
        Wanted { since: Some("2026-11-22T21:58:15.000001Z".to_owned()), ..Wanted::default() },
        Wanted { since: Some("2026-11-22".to_owned()), ..Wanted::default() },
    ]
}
