//! Where a cgroup is: one path, or on version 1 one for each controller, because a runtime that is given a relative
//! path puts the container below wherever it is itself in each hierarchy. And what the names on such a path say: the pod
//! (kubelet's `pod<uid>`, systemd's `...-pod<uid with underscores>.slice`) and the container.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// The path of a cgroup by controller; version 2 has one, under the empty word. Paths are absolute in the hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(BTreeMap<String, String>);

impl Place {
    /// Sets the path for one controller.
    pub fn insert(&mut self, controller: &str, path: &str) {
        self.0.insert(controller.to_owned(), path.to_owned());
    }

    /// True if it has no path.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Controllers and paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(controller, path)| (controller.as_str(), path.as_str()))
    }

    /// The path that tells most about it: version 2's own, else that of the memory controller.
    pub fn path(&self) -> &str {
        let main = self.0.get("").or_else(|| self.0.get("memory")).or_else(|| self.0.values().next());
        main.map_or("", String::as_str)
    }

    /// The same cgroup in one hierarchy alone, the one that tells most about it: enough for its name, its number and what is
    /// below it.
    #[must_use]
    pub fn main(&self) -> Place {
        let one = ["", "memory"].into_iter().find_map(|name| self.0.get_key_value(name));
        let one = one.or_else(|| self.0.first_key_value());
        Place(one.map(|(name, path)| (name.clone(), path.clone())).into_iter().collect())
    }

    /// The same cgroup in those of version 1's hierarchies whose controllers are among these; as it is where that would leave
    /// none.
    #[must_use]
    pub fn only(&self, controllers: &BTreeSet<String>) -> Place {
        let wanted = self.0.iter().filter(|(name, _)| controllers.contains(*name));
        let some = Place(wanted.map(|(name, path)| (name.clone(), path.clone())).collect());
        if some.is_empty() { self.clone() } else { some }
    }

    /// The cgroup above, in each hierarchy; `None` for the root.
    pub fn parent(&self) -> Option<Place> {
        let above = |path: &str| match path.rsplit_once('/')?.0 {
            "" if path.len() > 1 => Some("/".to_owned()),
            "" => None,
            above => Some(above.to_owned()),
        };
        let paths = self.iter().filter_map(|(controller, path)| Some((controller.to_owned(), above(path)?)));
        let place = Place(paths.collect());
        (!place.is_empty()).then_some(place)
    }

    /// The cgroup of this name below it.
    #[must_use]
    pub fn child(&self, name: &str) -> Place {
        let below = |path: &str| format!("{}/{name}", path.trim_end_matches('/'));
        Place(self.iter().map(|(controller, path)| (controller.to_owned(), below(path))).collect())
    }

    /// True if it is `other` or below it, wherever both have a path.
    pub fn is_within(&self, other: &Place) -> bool {
        let inside = |path: &str, above: &str| {
            let rest = path.strip_prefix(above.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut common = self.iter().filter_map(|(name, path)| Some((path, other.0.get(name)?))).peekable();
        common.peek().is_some() && common.all(|(path, above)| inside(path, above))
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        self.path().rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Place {
    /// The path, if it is one; else a line for each path with its controllers. A cgroup's name can't hold a line break.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_path: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (controller, path) in self.iter() {
            by_path.entry(path).or_default().push(controller);
        }
        let lines = by_path.iter().map(|(path, names)| format!("{}={path}", names.join(",")));
        let lines: Vec<String> = lines.collect();
        out.write_str(&lines.join("\n"))
    }
}

impl FromStr for Place {
    type Err = ();

    /// Reads what [`Display`](fmt::Display) prints.
    fn from_str(text: &str) -> Result<Place, ()> {
        let mut place = Place::default();
        for line in text.lines() {
            let (names, path) = line.split_once('=').filter(|(_, path)| path.starts_with('/')).ok_or(())?;
            names.split(',').for_each(|name| place.insert(name, path));
        }
        if place.is_empty() { Err(()) } else { Ok(place) }
    }
}

/// The uid of the pod whose cgroup has this name; `None` for a name that isn't a pod's.
pub fn pod_of(name: &str) -> Option<String> {
    let (uid, systemd) = match name.strip_suffix(".slice") {
        Some(unit) => (unit.rsplit_once("-pod")?.1, true),
        None => (name.strip_prefix("pod")?, false),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    // a static pod has the hash of its configuration for a uid: 32 digits
    let long = uid.len() >= 8 && uid.bytes().all(plain);
    long.then(|| if systemd { uid.replace('_', "-") } else { uid.to_owned() })
}

/// The id of the container whose cgroup has this name: without what engines put before and systemd puts behind it.
pub fn container_id(name: &str) -> &str {
    match name.strip_suffix(".scope") {
        Some(scope) => scope.rsplit('-').next().unwrap_or(scope),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(paths: &[(&str, &str)]) -> Place {
        let mut place = Place::default();
        paths.iter().for_each(|(controller, path)| place.insert(controller, path));
        place
    }

    #[test]
    fn a_place_is_read_as_it_is_printed() {
        let one = place(&[("cpu", "/a/b"), ("memory", "/a/b"), ("pids", "/x=y/a/b")]);
        assert_eq!(one.to_string(), "cpu,memory=/a/b\npids=/x=y/a/b");
        assert_eq!(one.to_string().parse(), Ok(one));
        let two = place(&[("", "/a")]);
        assert_eq!(two.to_string(), "=/a");
        assert_eq!(two.to_string().parse(), Ok(two));
        assert!("a/b".parse::<Place>().is_err() && "".parse::<Place>().is_err());
    }

    #[test]
    fn a_place_is_within_its_parent_and_not_within_a_longer_name() {
        let deep = place(&[("cpu", "/a/bc/d"), ("memory", "/m/a/bc/d")]);
        let parent = deep.parent().unwrap();
        assert_eq!(parent.child("d"), deep);
        assert!(deep.is_within(&parent) && deep.is_within(&deep));
        assert!(!deep.is_within(&place(&[("cpu", "/a/b"), ("memory", "/m/a/b")])));
        assert!(!deep.is_within(&place(&[("pids", "/a")])));
        assert_eq!(place(&[("", "/a")]).parent(), Some(place(&[("", "/")])));
        assert_eq!(place(&[("", "/")]).parent(), None);
    }

    #[test]
    fn pods_and_containers_are_told_by_their_names() {
        let uid = "7b1f3a2e-0c5d-4e6f-8a9b-0c1d2e3f4a5b";
        assert_eq!(pod_of(&format!("pod{uid}")).as_deref(), Some(uid));
        let unit = format!("kubepods-burstable-pod{}.slice", uid.replace('-', "_"));
        assert_eq!(pod_of(&unit).as_deref(), Some(uid));
        assert_eq!(
            pod_of("kubepods-pod0123456789abcdef0123456789abcdef.slice").as_deref().map(str::len),
            Some(32)
        );
        for other in [
            "kubepods",
            "pods",
            "podman",
            "kubepods.slice",
            "kubepods-besteffort.slice",
            "user.slice",
            "pod../x",
        ] {
            assert_eq!(pod_of(other), None, "{other}");
        }
        assert_eq!(container_id("cri-containerd-abc.scope"), "abc");
        assert_eq!(container_id("abc-def"), "abc-def");
    }
}
