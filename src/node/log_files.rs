//! The audit log and what rotation made of it: `runc-strict.log`, `runc-strict.log.1`, `runc-strict.log.2.gz`,
//! `runc-strict.log-20261122`, `runc-strict-20261122.log.gz`.
//!
//! All files are opened before one is read, so a rotation in the middle takes none away.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::file;
use crate::error::{Error, Result, show};

/// Which file, whatever its name is by now.
pub type FileKey = (u64, u64);

/// An open file of the log.
#[derive(Debug)]
pub struct LogFile {
    /// Its name when it was opened.
    pub path: PathBuf,
    /// Which file it is.
    pub key: FileKey,
    compressed: bool,
    file: File,
}

impl LogFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// That it can't be opened, or is no regular file.
    pub fn open(path: &Path) -> Result<LogFile> {
        let file = file::open_regular(path)?;
        let compressed = path.extension().is_some_and(|e| e == "gz");
        Ok(LogFile {
            path: path.to_path_buf(),
            key: (file.found.dev, file.found.ino),
            compressed,
            file: file.file,
        })
    }

    /// Whether it was written last before `seconds` since 1970: nothing in it is younger.
    pub fn is_older_than(&self, seconds: i64) -> bool {
        self.file.metadata().is_ok_and(|found| found.mtime() < seconds)
    }

    /// The file itself, where its bytes are its text.
    pub fn into_plain(self) -> Option<File> {
        (!self.compressed).then_some(self.file)
    }

    /// Its text.
    pub fn into_reader(self) -> Source {
        match self.compressed {
            true => Source::Compressed(Box::new(flate2::read::MultiGzDecoder::new(self.file))),
            false => Source::Plain(self.file),
        }
    }
}

/// Where the text of a log's file comes from.
#[derive(Debug)]
pub enum Source {
    /// The file itself.
    Plain(File),
    /// What gzip made of it.
    Compressed(Box<flate2::read::MultiGzDecoder<File>>),
}

impl Read for Source {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Plain(file) => file.read(to),
            Source::Compressed(decoder) => decoder.read(to),
        }
    }
}

/// What was found beside the log.
#[derive(Debug, Default)]
pub struct LogFiles {
    /// The files, oldest first; the log itself is the last one.
    pub files: Vec<LogFile>,
    /// What is there and can't be read, as sentences.
    pub unreadable: Vec<String>,
}

/// Opens the log at `path` and its rotated files.
///
/// # Errors
/// That the folder can't be read, or that the log itself is no regular file.
pub fn open(path: &Path) -> Result<LogFiles> {
    // A rotation may rename while we look: then the names change, and we look again.
    for _ in 0..16 {
        let names = names(path)?;
        let mut found = open_all(path, &names)?;
        let same = |again: Vec<Named>| again.iter().map(|n| &n.path).eq(names.iter().map(|n| &n.path));
        let still = found.files.iter().all(|f| key_of(&f.path) == Some(f.key));
        if still && same(self::names(path)?) {
            let foreign = |path: &PathBuf| {
                format!("{} is compressed in another way than gzip and isn't read", show(path))
            };
            found.unreadable.extend(listing(path)?.iter().filter(|p| is_foreign(path, p)).map(foreign));
            return Ok(found);
        }
    }
    Err(Error::Content {
        path: path.to_path_buf(),
        why: "is being rotated without end; try again".to_owned(),
    })
}

/// Which file has this name now.
pub fn key_of(path: &Path) -> Option<FileKey> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

fn open_all(path: &Path, names: &[Named]) -> Result<LogFiles> {
    let mut found = LogFiles::default();
    for named in names {
        match LogFile::open(&named.path) {
            Ok(file) => found.files.push(file),
            Err(why) if why.is_not_found() => {}
            Err(why) if named.path == path => return Err(why),
            Err(why) => found.unreadable.push(why.to_string()),
        }
    }
    Ok(found)
}

/// A file of the log by its name, and how old the name says it is.
#[derive(Debug)]
struct Named {
    path: PathBuf,
    age: Age,
}

/// From the oldest to the youngest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// A date in the name: later dates are younger.
    Dated(String),
    /// A number in the name: higher numbers are older.
    Numbered(Reverse<u64>),
    /// The log itself.
    Now,
}

fn names(path: &Path) -> Result<Vec<Named>> {
    let log = name_of(path);
    let all = listing(path)?;
    // gzip keeps the original until it is done.
    let doubled = |p: &Path| p.extension().is_some_and(|e| e == "gz") && all.contains(&p.with_extension(""));
    let named = |p: &PathBuf| Some(Named { path: p.clone(), age: age(&log, &name_of(p))? });
    let mut names: Vec<Named> = all.iter().filter(|p| !doubled(p)).filter_map(named).collect();
    names.sort_by(|a, b| (&a.age, &a.path).cmp(&(&b.age, &b.path)));
    Ok(names)
}

/// Everything in the folder of the log at `path`.
fn listing(path: &Path) -> Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    match fs::read_dir(folder) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => {
            let entries = other.map_err(Error::io("read the folder", folder))?;
            Ok(entries.flatten().map(|entry| path.with_file_name(entry.file_name())).collect())
        }
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether `other` is a rotated file of the log at `path` that something else than gzip compressed.
fn is_foreign(path: &Path, other: &Path) -> bool {
    let known = ["zst", "xz", "bz2", "lz4", "lzma", "Z"];
    let foreign = other.extension().is_some_and(|e| known.iter().any(|k| e == *k));
    foreign && age(&name_of(path), &name_of(&other.with_extension(""))).is_some()
}

/// How old `name` says it is, if it belongs to the log called `log`.
fn age(log: &str, name: &str) -> Option<Age> {
    if name == log {
        return Some(Age::Now);
    }
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let (stem, extension) = log.rsplit_once('.').unwrap_or((log, ""));
    let between = |name: &str| {
        let rest = name.strip_prefix(stem)?;
        rest.strip_suffix(extension)?.strip_suffix('.').map(str::to_owned)
    };
    let mark = name.strip_prefix(log).map(str::to_owned).or_else(|| between(name))?;
    let digits = mark.strip_prefix(['.', '-'])?;
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'_' | b':' | b'T'));
    if !plain {
        return None;
    }
    // logrotate counts from 1; a date has eight digits.
    match digits.parse::<u64>() {
        Ok(number) if digits.len() < 8 => Some(Age::Numbered(Reverse(number))),
        _ => Some(Age::Dated(digits.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn listed(files: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = open(&folder.path().join("x.log")).unwrap();
        let name = |f: &LogFile| f.path.file_name().unwrap().to_str().unwrap().to_owned();
        found.files.iter().map(name).collect()
    }

    #[test]
    fn rotated_files_come_oldest_first_and_the_log_last() {
        assert_eq!(
            listed(&["x.log", "x.log.1", "x.log.10.gz", "x.log.2.gz"]),
            ["x.log.10.gz", "x.log.2.gz", "x.log.1", "x.log"]
        );
        assert_eq!(
            listed(&[
                "x.log",
                "x.log-20261122",
                "x.log-20261101.gz",
                "x-20251231.log.gz",
                "x.log-20261122-14"
            ]),
            ["x-20251231.log.gz", "x.log-20261101.gz", "x.log-20261122", "x.log-20261122-14", "x.log"]
        );
    }

    #[test]
    fn what_belongs_to_another_log_is_left_alone() {
        assert_eq!(
            listed(&[
                "x.log",
                "y.log",
                "x.log.bak",
                "x.logs.1",
                "x.log.",
                "x.log.1.zst",
                "xx.log.1",
                "x.log.1~"
            ]),
            ["x.log"]
        );
    }

    #[test]
    fn a_file_that_is_just_being_compressed_counts_once() {
        assert_eq!(listed(&["x.log.1", "x.log.1.gz"]), ["x.log.1"]);
    }

    #[test]
    fn a_log_that_is_a_folder_is_an_error_and_a_folder_beside_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        fs::create_dir(folder.path().join("x.log.1")).unwrap();
        fs::write(&path, "").unwrap();
        let found = open(&path).unwrap();
        assert_eq!(found.files.len(), 1);
        assert!(found.unreadable[0].contains("x.log.1\": is no regular file"), "{:?}", found.unreadable);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(open(&path).unwrap_err().to_string().ends_with("x.log\": is no regular file"));
    }

    #[test]
    fn a_file_that_something_else_compressed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x.log", "x.log.1.zst", "y.log.1.zst", "notes.zst"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = open(&folder.path().join("x.log")).unwrap();
        assert_eq!(found.unreadable.len(), 1);
        assert!(found.unreadable[0].contains("x.log.1.zst"));
    }

    #[test]
    fn a_compressed_file_is_read_as_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log.1.gz");
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        encoder.write_all(b"a\nb\n").unwrap();
        encoder.finish().unwrap();
        let mut text = String::new();
        LogFile::open(&path).unwrap().into_reader().read_to_string(&mut text).unwrap();
        assert_eq!(text, "a\nb\n");
    }
}
