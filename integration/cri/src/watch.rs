//! Waits until a file says something: inotify(7) on its folder, never a sleep.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// No event of an engine takes this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `wanted` finds what it looks for in the text of `path`, which needn't exist yet.
///
/// # Errors
/// When it doesn't within [`LIMIT`]; the text is then told.
pub(crate) fn await_text<T>(path: &Path, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
    let folder = path.parent().context("a file has a folder")?;
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).context("inotify_init")?;
    let events = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
    inotify.add_watch(folder, events).with_context(|| format!("watch {}", folder.display()))?;
    let until = Instant::now() + LIMIT;
    loop {
        let text = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if let Some(found) = wanted(&text) {
            return Ok(found);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let tail = text.len().saturating_sub(400);
            let tail: String =
                String::from_utf8_lossy(text.as_bytes().get(tail..).unwrap_or_default()).into();
            bail!("{} didn't say what was waited for; it ends with \"{tail}\"", path.display());
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, timeout).context("poll inotify")?;
        let _ = inotify.read_events();
    }
}
