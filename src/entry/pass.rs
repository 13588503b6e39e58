//! The short way of a command that only passes: find the word for the runtime, and become it.
//!
//! Nothing here may need what a start-up sets up: no relocation (so no pointer in a constant), no thread-local storage (so
//! no errno and no allocation), no function of the C library, not even one that the compiler puts in (so bytes are read
//! as volatile: a loop over them can't become a call of strlen).
#![allow(
    clippy::indexing_slicing,
    reason = "tables end with a NUL, and lists are longer than what is counted"
)]

use std::mem::MaybeUninit;

use runc_strict::node::config::{VARIABLE, runtime_word};

use super::raw::{Stack, Text, become_it, open, put, read};
use super::tables::{
    DEFAULT_PATH, DEFAULT_RUNTIME, DEPTH_NAME, FIRST_DEPTH, FOLDERS, PASSING, STARTING, SWITCHES, VALUES,
    VARIABLE_NAME,
};

/// The longest configuration that is read here; a longer one is left to the other reading.
const CONFIGURATION: usize = 16 * 1024;

// The file that packages bring, with as much again of somebody's own, is no reason to go the slow way.
const _: () = assert!(2 * include_bytes!("../../packaging/config/config.toml").len() < CONFIGURATION);

/// The longest path of a runtime that is found by name.
const PLACE: usize = 64;

/// The longest environment that is passed on from here.
const ENVIRONMENT: usize = 240;

/// What is written to on the way. It isn't on the stack, where every page of it would have to be touched; here that is
/// only what is used, and most environments and configurations share one page.
#[repr(C, align(4096))]
pub(super) struct Room {
    place: [MaybeUninit<u8>; PLACE],
    environment: [MaybeUninit<Text>; ENVIRONMENT + 2],
    configuration: [MaybeUninit<u8>; CONFIGURATION],
}

impl Room {
    /// An empty one.
    pub(super) const EMPTY: Room = Room {
        place: [MaybeUninit::zeroed(); PLACE],
        environment: [MaybeUninit::zeroed(); ENVIRONMENT + 2],
        configuration: [MaybeUninit::zeroed(); CONFIGURATION],
    };
}

/// What a command line is for us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Road {
    /// A command that only passes.
    Passes,
    /// A command that we look into.
    Starts,
    /// Anything else.
    Usual,
}

/// Whether the words are global flags that the table knows, and then a command that it knows.
pub(super) fn road(stack: &Stack) -> Road {
    let mut n = 1;
    while n < stack.count() {
        let text = stack.word(n);
        if text.at(0) != b'-' {
            return match (text.ends_after(&PASSING), text.ends_after(&STARTING)) {
                (Some(0), _) => Road::Passes,
                (_, Some(0)) => Road::Starts,
                _ => Road::Usual,
            };
        }
        let name = text.from(if text.at(1) == b'-' { 2 } else { 1 });
        n += match (name.ends_after(&SWITCHES), name.ends_after(&VALUES)) {
            (Some(0), _) | (None, Some(b'=')) => 1,
            (None, Some(_)) => 2,
            _ => return Road::Usual,
        };
    }
    Road::Usual
}

/// Becomes the real runtime if that is all there is to do; else comes back and has changed nothing.
///
/// It isn't looked up first: what can't be executed is looked at by the other reading, which says why. Should it be
/// ourselves, then the variable that counts rounds makes the next one take the other reading.
pub(super) fn pass(stack: &Stack, room: &mut Room) {
    let Room { place, environment, configuration } = room;
    let mut named = None;
    let mut n = 0;
    while let Some(text) = stack.variable(n) {
        // Who has become a runtime before is counted by the other reading.
        if n == ENVIRONMENT || matches!(text.behind(&DEPTH_NAME, 0), Some(b'=')) {
            return;
        }
        let is_named = matches!(text.behind(&VARIABLE_NAME, 0), Some(b'='));
        if is_named && named.is_none() && text.at(VARIABLE.len() + 1) != 0 {
            named = Some(text.from(VARIABLE.len() + 1));
        }
        put(environment, n, text);
        n += 1;
    }
    put(environment, n, Text::of(&FIRST_DEPTH));
    put(environment, n + 1, Text::NULL);

    let Some(word) = configured(named, configuration) else { return };
    if word.at(0) == b'/' {
        become_it(stack, word, environment);
        return;
    }
    let mut folder = 0;
    // What is there and can't be executed is looked at by the other reading too.
    while let Some(next) = placed(word, folder, place)
        && become_it(stack, Text::of_filled(place), environment)
    {
        folder = next;
    }
}

/// The word that the configuration has for the runtime, with a NUL behind it; none where it takes more to tell.
fn configured(named: Option<Text>, space: &mut [MaybeUninit<u8>; CONFIGURATION]) -> Option<Text> {
    let file = match open(named.unwrap_or_else(|| Text::of(&DEFAULT_PATH))) {
        Ok(file) => file,
        Err(libc::ENOENT) if named.is_none() => return Some(Text::of(&DEFAULT_RUNTIME)),
        Err(_) => return None,
    };
    let length = read(&file, space)?;
    let text = Text::of_filled(space);
    let mut n = 0;
    while n < length {
        // What isn't ASCII may not be UTF-8 either: that is looked at later.
        if !text.at(n).is_ascii() {
            return None;
        }
        n += 1;
    }
    let Some((start, end)) = runtime_word(length, |n| text.at(n)) else {
        return Some(Text::of(&DEFAULT_RUNTIME));
    };
    // The quote behind the word becomes the NUL.
    put(space, end, 0);
    Some(text.from(start))
}

/// Puts the path of `word` in the folder that begins at `folder` of the search path into `space`, and says where the next
/// folder begins. None at the end, and for what is no name, or a long one.
fn placed(word: Text, mut folder: usize, space: &mut [MaybeUninit<u8>; PLACE]) -> Option<usize> {
    if folder >= FOLDERS.len() || word.at(0) == 0 {
        return None;
    }
    let mut n = 0;
    while FOLDERS[folder] != 0 {
        put(space, n, FOLDERS[folder]);
        n += 1;
        folder += 1;
    }
    put(space, n, b'/');
    let mut letter = 0;
    loop {
        n += 1;
        if n == PLACE || word.at(letter) == b'/' {
            return None;
        }
        put(space, n, word.at(letter));
        if word.at(letter) == 0 {
            return Some(folder + 1);
        }
        letter += 1;
    }
}
