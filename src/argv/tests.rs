//! The two readings of a command line, held by properties: what can start a process is read whole or refused, and
//! everything else is never refused.

use proptest::prelude::*;

use super::*;

fn words(text: &[&str]) -> Vec<OsString> {
    text.iter().map(OsString::from).collect()
}

/// What the runtime would get, where the words are handed on in canonical form.
fn canonical(invocation: &Invocation) -> Option<Vec<OsString>> {
    match invocation {
        Invocation::Start(start) | Invocation::Restore(start) => {
            Some(start.words(start.bundle.as_deref().map_or_else(|| OsStr::new("/cwd"), |b| b.as_os_str())))
        }
        Invocation::Exec(exec) => match &exec.process {
            ProcessSource::Document(path) => Some(exec.words(path.as_os_str())),
            ProcessSource::Words(_) => Some(exec.words(OsStr::new("/made"))),
        },
        Invocation::Own | Invocation::Pass | Invocation::Delete(_) | Invocation::Update(_) => None,
    }
}

#[test]
fn a_value_may_look_like_a_flag_or_a_command() {
    let read = |line: &[&str]| canonical(&parse(&words(line)).unwrap()).unwrap();
    let line =
        ["--root", "create", "--log", "--root", "create", "--bundle", "--help", "--pid-file", "-b", "run"];
    assert_eq!(read(&line), words(&line));
    assert_eq!(read(&["run", "-"])[1..], words(&["--bundle", "/cwd", "-"]));
}

#[test]
fn a_switch_that_is_given_as_false_is_not_there() {
    let read = |line: &[&str]| canonical(&parse(&words(line)).unwrap()).unwrap();
    assert_eq!(
        read(&["--debug=0", "create", "--no-pivot=F", "c"]),
        words(&["create", "--bundle", "/cwd", "c"])
    );
    assert_eq!(
        read(&["-debug=T", "create", "-no-pivot=1", "c"]),
        words(&["--debug", "create", "--bundle", "/cwd", "--no-pivot", "c"])
    );
    assert!(matches!(parse(&words(&["--help=false", "state"])).unwrap(), Invocation::Pass));
}

#[test]
fn delete_is_read_for_its_record_only() {
    let target = |line: &[&str]| match parse(&words(line)).unwrap() {
        Invocation::Delete(target) => Some((target.root, target.id)),
        _ => None,
    };
    assert_eq!(target(&["--root=/r", "delete", "--force", "c"]), Some((Some("/r".into()), "c".into())));
    assert_eq!(target(&["delete", "c", "-f"]), Some((None, "c".into())));
    assert_eq!(target(&["delete", "--force"]), None);
    assert_eq!(target(&["--unknown", "delete", "c"]), None);
}

#[test]
fn exec_counts_the_descriptors_that_it_must_leave_alone() {
    let count = |line: &[&str]| match parse(&words(line)).unwrap() {
        Invocation::Exec(exec) => exec.preserve_fds,
        other => panic!("{other:?}"),
    };
    assert_eq!(count(&["exec", "--process", "p", "c"]), 0);
    assert_eq!(count(&["exec", "--preserve-fds=7", "--process", "p", "c"]), 7);
    for number in ["-1", "4294967296", "1.5", " 1", ""] {
        assert!(
            parse(&words(&["exec", "--preserve-fds", number, "--process", "p", "c"])).is_err(),
            "{number:?}"
        );
    }
}

/// Every own command's word is ours alone.
#[test]
fn no_word_of_ours_is_a_runtime_s() {
    // runc(8), crun(1) and youki's `liboci-cli`
    let theirs = [
        "checkpoint",
        "create",
        "delete",
        "events",
        "exec",
        "features",
        "info",
        "init",
        "kill",
        "list",
        "mounts",
        "pause",
        "ps",
        "restore",
        "resume",
        "run",
        "spec",
        "start",
        "state",
        "update",
        "completion",
    ];
    // runc has a word `help` too, which lists its commands; `runc --help` does the same and stays the runtime's with
    // a command behind it.
    assert!(OWN.iter().all(|own| !theirs.contains(own)));
}

fn word() -> impl Strategy<Value = OsString> {
    use std::os::unix::ffi::OsStringExt;
    let known: Vec<&'static str> = vec![
        "create",
        "run",
        "exec",
        "restore",
        "delete",
        "update",
        "--resources",
        "--memory=1",
        "state",
        "kill",
        "--root",
        "--root=/r",
        "-root",
        "--log",
        "--log-format=json",
        "--bundle",
        "--bundle=/b",
        "-b",
        "-b=/b",
        "--bund",
        "--config",
        "-f",
        "--process",
        "-p",
        "-u",
        "-g=1",
        "--cap",
        "--detach",
        "-d=false",
        "--systemd-cgroup",
        "--preserve-fds",
        "3",
        "--help",
        "-v",
        "",
        "-",
        "--",
        "c",
        "id",
        "/p",
        "explain",
        "help",
    ];
    prop_oneof![
        8 => proptest::sample::select(known).prop_map(OsString::from),
        1 => proptest::collection::vec(1_u8.., 0..6).prop_map(OsString::from_vec),
    ]
}

/// Whether a word by itself is one of the four commands.
fn starts(words: &[OsString]) -> bool {
    Verb::ALL.iter().any(|verb| words.iter().any(|w| w == verb.word()))
}

proptest! {
    #[test]
    fn only_a_line_that_names_one_of_the_four_is_ever_refused(line in proptest::collection::vec(word(), 0..10)) {
        if let Err(refused) = parse(&line) {
            prop_assert!(starts(&line), "{line:?}");
            prop_assert!(!refused.message.contains('\n') && !refused.message.is_empty());
        }
    }

    #[test]
    fn what_is_handed_on_is_read_again_as_the_same(line in proptest::collection::vec(word(), 0..10)) {
        let once = parse(&line).ok().and_then(|invocation| canonical(&invocation));
        if let Some(once) = once {
            let twice = parse(&once).map(|invocation| canonical(&invocation));
            prop_assert_eq!(twice.map_err(|refused| refused.message), Ok(Some(once.clone())), "{:?}", line);
        }
    }

    #[test]
    fn what_is_handed_on_names_one_bundle_or_one_document_and_no_other_identity(
        line in proptest::collection::vec(word(), 0..10)
    ) {
        let Some(handed) = parse(&line).ok().and_then(|invocation| canonical(&invocation)) else { return Ok(()) };
        // The words after the command, pair by pair: a flag is never read as another flag's value.
        let at = handed.iter().position(|w| Verb::ALL.iter().any(|v| w == v.word()));
        let verb = at.and_then(|at| Verb::ALL.into_iter().find(|v| handed.get(at).is_some_and(|w| w == v.word())));
        prop_assert!(verb.is_some());
        // A value before the command may itself be a command's word; the reading above then can't tell.
        let (Some(at), Some(verb)) = (at, verb) else { return Ok(()) };
        let globals_hold_a_command = handed.iter().filter(|w| Verb::ALL.iter().any(|v| *w == v.word())).count() > 1;
        if globals_hold_a_command {
            return Ok(());
        }
        let key = if verb == Verb::Exec { "--process" } else { "--bundle" };
        prop_assert_eq!(handed.get(at + 1), Some(&OsString::from(key)));
        let mut rest = handed.get(at + 3..).unwrap_or_default();
        while rest.len() > 1 {
            match scan::step(rest, verb.flags()) {
                Ok(Step::Flag(given, taken)) => {
                    prop_assert!(!["bundle", "process", "user", "additional-gids", "cap"].contains(&given.name));
                    rest = rest.get(taken..).unwrap_or_default();
                }
                other => prop_assert!(false, "{other:?} in {handed:?}"),
            }
        }
        prop_assert_eq!(rest.len(), 1, "the id comes last: {:?}", handed);
    }

    #[test]
    fn a_line_that_starts_nothing_is_never_looked_at_twice(line in proptest::collection::vec(word(), 0..10)) {
        // Without the four commands' words there is nothing to judge.
        if !starts(&line) {
            let invocation = parse(&line);
            prop_assert!(
                matches!(
                    invocation,
                    Ok(Invocation::Pass | Invocation::Own | Invocation::Delete(_) | Invocation::Update(_))
                ),
                "{line:?}"
            );
        }
    }
}
