//! A command line: words separated by NUL, as the kernel keeps them.
//!
//! What starts a process is handed on whole and in one form that is read again as the same; everything else is never
//! refused; and what the tables say only passes, passes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use runc_strict::argv::grammar::{Arity, Flag, GLOBALS, PASSED, Verb};
use runc_strict::argv::{Invocation, ProcessSource, Source, parse};

use crate::assert_one_line;

/// What stands in the place of a bundle or a document that the line doesn't name.
const MADE: &str = "/made";

pub(crate) fn check(bytes: &[u8]) {
    let words = bytes.split(|b| *b == 0).map(|word| OsString::from_vec(word.to_vec()));
    let words: Vec<OsString> = if bytes.is_empty() { Vec::new() } else { words.collect() };
    let starts = Verb::ALL.iter().any(|verb| words.iter().any(|word| word == verb.word()));
    let read = parse(&words);
    if only_passes(&words) {
        assert!(matches!(read, Ok(Invocation::Pass)), "{read:?}");
    }
    match read {
        Err(refused) => {
            assert!(starts, "refused, and nothing would have been started");
            assert_one_line(&refused.message);
        }
        Ok(Invocation::Pass | Invocation::Own) => {}
        Ok(Invocation::Delete(target)) => assert!(words.contains(&target.id)),
        Ok(Invocation::Update(update)) => {
            assert!(words.contains(&update.target.id));
            // where it can't be told what is to be changed, the line goes on as it came
            if !matches!(update.source, Source::Unknown(_)) {
                let handed = update.words();
                let Ok(Invocation::Update(again)) = parse(&handed) else { panic!("{handed:?} is no update") };
                assert_eq!((again.target, again.source), (update.target, Source::Stdin));
            }
        }
        Ok(invocation) => {
            assert!(starts);
            let handed = canonical(&invocation).expect("what starts a process is handed on");
            assert_only_given(&words, &handed);
            let again = parse(&handed).expect("what is handed on can be read");
            assert_eq!(canonical(&again), Some(handed));
        }
    }
}

/// What the runtime would get, where the words are handed on in one form.
fn canonical(invocation: &Invocation) -> Option<Vec<OsString>> {
    let or_made =
        |path: Option<&std::path::Path>| path.map_or_else(|| OsStr::new(MADE), OsStr::new).to_owned();
    match invocation {
        Invocation::Start(start) | Invocation::Restore(start) => {
            Some(start.words(&or_made(start.bundle.as_deref())))
        }
        Invocation::Exec(exec) => Some(exec.words(&or_made(match &exec.process {
            ProcessSource::Document(path) => Some(path),
            ProcessSource::Words(_) => None,
        }))),
        _ => None,
    }
}

/// Every word that is handed on stood on the line byte for byte, or is a flag's name; the id comes last.
fn assert_only_given(line: &[OsString], handed: &[OsString]) {
    let stood = |word: &OsStr| {
        let after_equals = |given: &OsString| {
            let bytes = given.as_bytes();
            bytes.iter().position(|b| *b == b'=').is_some_and(|at| &bytes[at + 1..] == word.as_bytes())
        };
        line.iter().any(|given| given == word || after_equals(given))
    };
    let flags = || Verb::ALL.iter().flat_map(|verb| verb.flags()).chain(GLOBALS);
    for word in handed {
        let named = word.to_str().and_then(|word| word.strip_prefix("--"));
        let is_flag = named.is_some_and(|name| flags().any(|flag| flag.long == name));
        assert!(is_flag || word == MADE || stood(word), "{word:?} is handed on, and nobody gave it");
    }
    assert!(handed.last().is_some_and(|id| stood(id)));
}

/// Whether the tables say that the line only passes: flags that they know, and then a word that starts nothing. The
/// program's entry reads the same tables by another code.
fn only_passes(words: &[OsString]) -> bool {
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some(body) = word.as_bytes().strip_prefix(b"-") else {
            return PASSED.iter().any(|passed| word == passed);
        };
        let body = body.strip_prefix(b"-").unwrap_or(body);
        let (name, glued) = match body.iter().position(|b| *b == b'=') {
            Some(at) => (&body[..at], true),
            None => (body, false),
        };
        let is_it = |flag: &&Flag| {
            flag.long.as_bytes() == name || flag.short.is_some_and(|short| short.as_bytes() == name)
        };
        match GLOBALS.iter().find(is_it) {
            Some(flag) if matches!(flag.long, "help" | "version") => return false,
            Some(flag) if flag.arity == Arity::Switch && glued => return false,
            Some(flag) if flag.arity == Arity::Switch || glued => {}
            Some(_) if rest.next().is_some() => {}
            _ => return false,
        }
    }
    false
}
