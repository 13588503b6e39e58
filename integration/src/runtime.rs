//! The real runtimes that this machine has: where they are, which they are, and what version they tell.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Where a runtime is looked for. No PATH: the same binary must be found by whoever starts the suites.
const SEARCHED: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Which runtime it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// runc.
    Runc,
    /// crun.
    Crun,
    /// youki, which no distribution has: it is built from its crate.
    Youki,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Runc, Kind::Crun, Kind::Youki];

    /// Those that a run uses unless told otherwise.
    pub const DEFAULT: [Kind; 2] = [Kind::Runc, Kind::Crun];

    /// The program's name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Runc => "runc",
            Kind::Crun => "crun",
            Kind::Youki => "youki",
        }
    }
}

/// A runtime on this machine.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// Which it is.
    pub kind: Kind,
    /// Where its binary is.
    pub path: PathBuf,
    /// Major and minor version.
    pub version: (u32, u32),
    /// Whether it can restore a container: runc always can, crun when it was built with criu.
    pub restores: bool,
}

impl Runtime {
    /// Finds a runtime, at `path` or among the installed ones, and asks it for its version.
    ///
    /// # Errors
    /// When there is no such binary, or it doesn't tell a version.
    pub fn find(kind: Kind, path: Option<&Path>) -> Result<Self> {
        let path = match path {
            Some(path) => path.canonicalize().with_context(|| format!("find {}", path.display()))?,
            None => find_program(kind.name())?,
        };
        let output = Command::new(&path).arg("--version").output();
        let output = output.with_context(|| format!("call {} --version", path.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version_of(&text).with_context(|| format!("{} tells no version", path.display()))?;
        let restores = kind == Kind::Runc || text.contains("+CRIU");
        Ok(Self { kind, path, version, restores })
    }

    /// The name and version for tables, e.g. `runc 1.1`.
    pub fn title(&self) -> String {
        format!("{} {}.{}", self.kind.name(), self.version.0, self.version.1)
    }

    /// Deletes every container below a `--root`.
    pub fn delete_containers(&self, root: &Path) {
        let Ok(entries) = std::fs::read_dir(root) else { return };
        for entry in entries.flatten() {
            let mut command = Command::new(&self.path);
            command.arg("--root").arg(root).args(["delete", "--force"]).arg(entry.file_name());
            let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }

    /// Whether each additional gid is looked up by name in the image's etc/group: runc before 1.3.
    pub fn looks_up_numeric_names(&self) -> bool {
        self.kind == Kind::Runc && self.version < (1, 3)
    }
}

/// The absolute path of an installed program.
///
/// # Errors
/// When none of the folders has it.
pub fn find_program(name: &str) -> Result<PathBuf> {
    let found = SEARCHED.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!("{name} is not installed (looked in {})", SEARCHED.join(", ")),
    }
}

/// The first `major.minor` in the first line.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let word = text
        .lines()
        .next()?
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = word.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_first_line_of_either_runtime() {
        assert_eq!(version_of("runc version 1.1.5+ds1\ncommit: 1.1.5\n"), Some((1, 1)));
        assert_eq!(version_of("crun version 1.8.1\ncommit: f8a0\n"), Some((1, 8)));
        assert_eq!(version_of("runc version 1.3.0-rc.1\n"), Some((1, 3)));
        assert_eq!(version_of("youki version: 0.7.0\ncommit: 0.7.0\n"), Some((0, 7)));
        assert_eq!(version_of("no number\n"), None);
    }
}
