//! Which file a runtime will find at etc/group inside the container: runc before 1.3 looks gids up there by name,
//! after the mounts. The path may lead through links of the image and through volumes, whose links count too.
//!
//! The walk follows links as runc's securejoin does: component by component, inside the root; what doesn't exist is
//! taken as it is written, because the runtime makes it.

use std::borrow::Cow;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::file;
use super::image::{GroupFile, Root};
use crate::policy::residual::numeric_name;
use crate::policy::subject::LookupTrap;
use crate::spec::Mount;

/// The file that is looked up.
const GROUP: &str = "/etc/group";

/// So many links are followed on one path, as many as securejoin follows.
const LINKS: usize = 255;

/// What in the container of `id`, with `mounts` on `root`, can redirect a lookup of gids by name.
pub fn trap(root: &Root, mounts: &[Mount<'_>], id: &str) -> Option<LookupTrap> {
    let mut view = View { root, mounted: Vec::with_capacity(mounts.len()) };
    for mount in mounts {
        let way = match view.walk(Path::new(&*mount.destination)) {
            Ok(way) => way,
            Err(why) => return Some(unreadable(&mount.destination, &why)),
        };
        let at = way.last().map_or_else(|| Path::new("/"), PathBuf::as_path);
        // Most destinations are where they say.
        let at = match Path::new(&*mount.destination) {
            same if same == at && same.as_os_str() == at.as_os_str() => Cow::Borrowed(same),
            _ => Cow::Owned(at.to_path_buf()),
        };
        view.mounted.push(Mounted { at, mount });
    }
    let way = match view.walk(Path::new(GROUP)) {
        Ok(way) => way,
        Err(why) => return Some(unreadable(GROUP, &why)),
    };
    let on_the_way = |m: &&Mounted<'_>| way.iter().any(|place| place.starts_with(&m.at));
    view.mounted.iter().filter(on_the_way).find_map(|Mounted { mount, .. }| {
        match mount.source.as_deref().map(Path::new).and_then(|source| made_by_engine(source, id)) {
            Some(text) => trap_in(&GroupFile::Text(text)),
            None => Some(LookupTrap::Mount(mount.destination.to_string())),
        }
    })
}

/// What in an etc/group can redirect a lookup of gids by name.
pub fn trap_in(file: &GroupFile) -> Option<LookupTrap> {
    match file {
        GroupFile::Absent => None,
        GroupFile::Text(text) => numeric_name(text).map(LookupTrap::NumericName),
        GroupFile::Unusable(why) => Some(LookupTrap::Unreadable(why.clone())),
    }
}

fn unreadable(path: &str, why: &io::Error) -> LookupTrap {
    LookupTrap::Unreadable(format!("{path} can't be followed: {why}"))
}

/// The container's files as they will be: the image, and what is mounted so far.
struct View<'r> {
    root: &'r Root,
    mounted: Vec<Mounted<'r>>,
}

struct Mounted<'r> {
    /// Where it is, after all links.
    at: Cow<'r, Path>,
    mount: &'r Mount<'r>,
}

impl View<'_> {
    /// All places that the path leads over, the last of which is where it ends.
    fn walk(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut way = Vec::new();
        let mut at = PathBuf::from("/");
        let mut rest = parts(path);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part.as_os_str() == ".." {
                at.pop();
                continue;
            }
            let place = at.join(&part);
            way.push(place.clone());
            let Some(target) = self.link(&place)? else {
                at = place;
                continue;
            };
            links += 1;
            if links > LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.append(&mut parts(&target));
        }
        way.push(at);
        Ok(way)
    }

    /// The target of the link at `place`, which no link leads to; none where there is no link.
    fn link(&self, place: &Path) -> io::Result<Option<PathBuf>> {
        // What was mounted last lies on top; the root of a mount is no link.
        let top = self.mounted.iter().rev().find(|m| place.starts_with(&m.at));
        let found = match top.map(|m| (&m.at, m.mount.source.as_deref())) {
            Some((at, _)) if at == place => return Ok(None),
            Some((at, Some(source))) if source.starts_with('/') => {
                let below = place.strip_prefix(at).unwrap_or_else(|_| Path::new(""));
                fs::read_link(Path::new(source).join(below))
            }
            // A file system without a source on the host is new; tmpcopyup may fill it from the image.
            _ => self.root.link(place),
        };
        match found {
            Ok(target) => Ok(Some(target)),
            // EINVAL: it is there and no link.
            Err(why) => match why.kind() {
                ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
                _ => Err(why),
            },
        }
    }
}

/// The components that lead on, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let leads = |part: Component<'_>| match part {
        Component::ParentDir | Component::Normal(_) => Some(PathBuf::from(part.as_os_str())),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().rev().filter_map(leads).collect()
}

/// The file at `source`, if the engine itself made it for this container, as podman does: it is a regular file, ours,
/// that nobody else can write to, in a folder named after the container.
fn made_by_engine(source: &Path, id: &str) -> Option<Vec<u8>> {
    let named = source.components().any(|part| part.as_os_str() == id);
    let file = named.then(|| file::open_regular(source).ok()).flatten()?;
    let ours = file.found.uid == nix::unistd::geteuid().as_raw() && file.found.mode & 0o022 == 0;
    ours.then(|| file.read(super::image::LIMIT).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A root whose links are given, and a volume folder with one link in it.
    fn image(links: &[(&str, &str)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (place, target) in links {
            let place = dir.path().join(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            symlink(target, place).unwrap();
        }
        dir
    }

    fn mount<'t>(destination: &'t str, source: Option<&'t Path>) -> Mount<'t> {
        Mount { destination: destination.into(), source: source.map(|s| s.to_string_lossy()) }
    }

    fn trapped(links: &[(&str, &str)], mounts: &[Mount<'_>]) -> Option<LookupTrap> {
        let image = image(links);
        trap(&Root::open(image.path()).unwrap(), mounts, "x")
    }

    #[test]
    fn mounts_that_the_lookup_does_not_pass_are_no_trap() {
        let mounts = ["/proc", "/dev", "/dev/shm", "/etc/hosts", "/etc/group2", "/data/etc/group"];
        assert_eq!(trapped(&[], &mounts.map(|d| mount(d, None))), None);
        assert_eq!(trapped(&[("m", "/srv")], &[mount("/m", None)]), None);
    }

    #[test]
    fn a_mount_on_the_way_is_a_trap_by_whatever_links_it_got_there() {
        let cases: [(&[(&str, &str)], &str); 10] = [
            (&[], "/etc/group"),
            (&[], "/etc"),
            (&[], "/"),
            (&[], "//etc/./x/../group"),
            (&[("x", "/etc")], "/x"),
            // Neither etc nor etc/group is in the image: the runtime makes them.
            (&[("x", "etc")], "/x/group"),
            (&[("a/b", "../c"), ("c", "/etc/x/..")], "/a/b/group"),
            (&[("etc", "/elsewhere")], "/elsewhere/group"),
            (&[("etc/group", "/data/group")], "/data"),
            (&[("etc/group", "../../../data/group")], "/data/group"),
        ];
        for (links, destination) in cases {
            assert_eq!(
                trapped(links, &[mount(destination, None)]),
                Some(LookupTrap::Mount(destination.to_owned())),
                "{links:?} {destination}"
            );
        }
    }

    #[test]
    fn links_inside_a_volume_lead_on() {
        let volume = image(&[("e", "/etc"), ("deep/g", "../../etc/group")]);
        let first = mount("/data", Some(volume.path()));
        for destination in ["/data/e", "/data/e/group", "/data/deep/g"] {
            assert_eq!(
                trapped(&[], &[first.clone(), mount(destination, None)]),
                Some(LookupTrap::Mount(destination.to_owned()))
            );
        }
        // The volume hides what the image has there.
        assert_eq!(trapped(&[("data/f", "/etc")], &[first, mount("/data/f", None)]), None);
    }

    #[test]
    fn a_loop_of_links_can_t_be_followed() {
        let found = trapped(&[("a", "b"), ("b", "a")], &[mount("/a", None)]);
        assert!(matches!(found, Some(LookupTrap::Unreadable(_))), "{found:?}");
    }
}
