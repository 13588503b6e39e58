//! What could not be done. Each error is one sentence: what failed, on what, and where it helps what to do.
//!
//! A refusal is no error: see [`crate::policy::Verdict::Deny`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::quote::quoted;

/// The error of the effects: `could not`.
#[derive(Debug)]
pub enum Error {
    /// A system call on a path failed.
    Io {
        /// What was tried: `open`, `rename`.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file says something that it may not say.
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Anything else, as a whole sentence.
    Other(String),
}

/// The result of an effect.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A closure for `map_err` that adds verb and path to what the system said.
    pub fn io<E: Into<io::Error>>(verb: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
        move |source| Error::Io { verb, path: path.to_path_buf(), source: source.into() }
    }

    /// A closure for `map_err` that says whose content is wrong.
    pub fn content(path: &Path) -> impl FnOnce(String) -> Error {
        move |why| Error::Content { path: path.to_path_buf(), why }
    }

    /// Whether a path of the call doesn't exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { verb, path, source } => {
                write!(f, "can't {verb} {}: {}", show(path), system(source))
            }
            Error::Content { path, why } => write!(f, "{}: {why}", show(path)),
            Error::Other(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for Error {}

/// A path in quotes, escaped.
pub fn show(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    quoted(path.as_os_str().as_bytes())
}

/// What the system said, without Rust's "(os error 2)".
fn system(source: &io::Error) -> String {
    let text = source.to_string();
    match text.split_once(" (os error") {
        Some((sentence, _)) => sentence.to_lowercase(),
        None => text,
    }
}
