//! Memory freed before a limit is lowered on version 2, where a limit below the usage kills. By `memory.reclaim`, which
//! harms nothing; on kernels before 5.19 by `memory.high`, which throttles and never kills.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{Failure, Scene, Site, Watcher};
use crate::node::cgroup::Fault;
use crate::resize::amount::Bytes;
use crate::resize::plan::Reclaim;
use crate::resize::snapshot::ReclaimWay;

/// How much is asked for at once: enough for speed, little enough to show progress and to keep to a deadline.
const STEP: u64 = 64 << 20;

/// How often in a row nothing may come of it: the kernel gives up early when pages are busy.
const TRIES: u32 = 5;

/// How long to rest after an attempt without result.
const REST: Duration = Duration::from_millis(20);

/// Frees memory until no more than the target is in use.
///
/// # Errors
/// [`Failure::Stuck`] if that can't be reached, unless it is forced.
pub(super) fn reclaim(
    scene: &Scene,
    site: &Site,
    what: &str,
    wanted: &Reclaim,
    watcher: &dyn Watcher,
) -> Result<(), Failure> {
    let high = site.group.read("memory.high")?;
    let outcome = attempt(scene, site, what, wanted, watcher);
    if wanted.way == ReclaimWay::High
        && let Some(high) = high
    {
        site.group.write("memory.high", high.trim())?;
    }
    match outcome {
        Err(Failure::Stuck { .. }) if scene.force => Ok(()),
        other => other,
    }
}

fn attempt(
    scene: &Scene,
    site: &Site,
    what: &str,
    wanted: &Reclaim,
    watcher: &dyn Watcher,
) -> Result<(), Failure> {
    let (target, mut idle, mut least) = (wanted.target, 0, u64::MAX);
    if wanted.way == ReclaimWay::High && usage(site)? > target {
        site.group.write("memory.high", &target.get().to_string())?;
    }
    loop {
        let now = usage(site)?;
        if now <= target {
            return Ok(());
        }
        watcher.reclaiming(what, now, target);
        let late = Instant::now() >= scene.deadline;
        if late || idle >= TRIES {
            return Err(Failure::Stuck { usage: now, target, late });
        }
        idle = if now.get() < least { 0 } else { idle + 1 };
        least = least.min(now.get());
        let answer = match wanted.way {
            ReclaimWay::Probe => {
                site.group.write("memory.reclaim", &now.saturating_sub(target).get().min(STEP).to_string())
            }
            ReclaimWay::High | ReclaimWay::ByTheWrite => Ok(()),
        };
        match answer {
            Ok(()) if wanted.way == ReclaimWay::Probe => {}
            // less than asked for was freed; or time is what it takes
            Ok(()) | Err(Fault::System { why: Errno::EAGAIN, .. }) => std::thread::sleep(REST),
            Err(fault) => return Err(fault.into()),
        }
    }
}

fn usage(site: &Site) -> Result<Bytes, Failure> {
    let text = site.group.read("memory.current")?.unwrap_or_default();
    let bytes = text.trim().parse().ok().and_then(Bytes::new);
    bytes.ok_or_else(|| Failure::Other("memory.current holds no number of bytes".to_owned()))
}
