//! The bundle's config.json: who the process is, which annotations speak to us, and where the image lies.

use std::borrow::Cow;

use super::object::{Object, Unread, Value};
use super::process::{self, ProcessObject, number};
use super::resources;
use super::splice::Splice;
use crate::policy::subject::IdRange;
use crate::resize::sticky::Edit;
use serde_json::value::RawValue;

const PROCESS: usize = 0;
const ROOT: usize = 1;
const MOUNTS: usize = 2;
const ANNOTATIONS: usize = 3;
const LINUX: usize = 4;

const GID_MAPPINGS: usize = 0;
const RESOURCES: usize = 1;

/// A config.json, read as far as we need it.
#[derive(Debug)]
pub struct ConfigDocument<'t> {
    /// `process`.
    pub process: ProcessObject<'t>,
    root: Option<Object<'t, 1>>,
    linux: Option<Object<'t, 2>>,
    object: Object<'t, 5>,
}

impl<'t> ConfigDocument<'t> {
    /// Reads `text`.
    ///
    /// # Errors
    /// A sentence that names what is missing or can't be read.
    pub fn read(text: &'t str) -> Result<ConfigDocument<'t>, String> {
        let known = ["process", "root", "mounts", "annotations", "linux"];
        let (mut process, mut root, mut linux) = (None, None, None);
        let object = Object::read_with(Value::whole(text), "the document", known, &mut |n, rest| match n {
            PROCESS => keep(Object::first(rest, "process", process::KNOWN), &mut process),
            ROOT => keep(Object::first(rest, "root", ["path"]), &mut root),
            LINUX => keep(Object::first(rest, "linux", ["gidMappings", "resources"]), &mut linux),
            _ => Ok(None),
        })?;
        let value = object.get(PROCESS).ok_or("process is missing")?;
        let process = match process {
            Some(members) => ProcessObject::of(value, "process", members)?,
            None => ProcessObject::read(value, "process")?,
        };
        Ok(ConfigDocument { process, root, linux, object })
    }

    /// `root.path`: the image's files, absolute or below the bundle.
    ///
    /// # Errors
    /// A sentence, where it can't be read.
    pub fn root_path(&self) -> Result<Option<String>, String> {
        let Some(value) = self.object.get(ROOT) else { return Ok(None) };
        let root = self.root.as_ref().ok_or_else(|| no_object(value, "root"))?;
        root.get(0).map(|value| string(value, "root.path")).transpose()
    }

    /// The texts of the annotations called `keys`.
    ///
    /// # Errors
    /// A sentence, where one stands twice or is no string.
    pub fn annotations<const N: usize>(&self, keys: [&str; N]) -> Result<[Option<String>; N], String> {
        let Some(annotations) = self.object.get(ANNOTATIONS) else { return Ok([const { None }; N]) };
        let object = Object::read_map(annotations, "annotations", keys)?;
        let mut texts = [const { None }; N];
        for (n, (text, key)) in texts.iter_mut().zip(keys).enumerate() {
            *text = object.get(n).map(|value| string(value, &format!("annotation \"{key}\""))).transpose()?;
        }
        Ok(texts)
    }

    /// `linux.gidMappings`, as ranges inside the user namespace.
    ///
    /// # Errors
    /// A sentence, where they can't be read.
    pub fn gid_mappings(&self) -> Result<Vec<IdRange>, String> {
        let Some(list) = self.linux()?.and_then(|linux| linux.get(GID_MAPPINGS)) else {
            return Ok(Vec::new());
        };
        let range = |item: &RawValue| {
            let path = "linux.gidMappings[]";
            let object = Object::read(Value::whole(item.get()), path, ["containerID", "size"])?;
            let field = |n: usize| object.get(n).map_or(Some(0), number);
            match (field(0), field(1)) {
                (Some(first), Some(size)) => Ok(IdRange { first, size }),
                _ => Err(format!("{path} has an id that is no number of 32 bits")),
            }
        };
        items(list, "linux.gidMappings")?.into_iter().map(range).collect()
    }

    /// The text of `linux.resources`.
    ///
    /// # Errors
    /// A sentence, where it can't be read.
    pub fn resources(&self) -> Result<Option<&'t str>, String> {
        Ok(self.linux()?.and_then(|linux| linux.get(RESOURCES)).map(|resources| resources.text))
    }

    /// Writes `edits` into `linux.resources`, which is made where it is missing.
    ///
    /// # Errors
    /// A sentence, where something else stands in its place.
    pub fn write_resources(&self, edits: &[Edit], splice: &mut Splice<'_>) -> Result<(), String> {
        let Some(linux) = self.linux()? else {
            splice.set(&self.object, LINUX, "linux", resources::member("resources", edits));
            return Ok(());
        };
        match linux.get(RESOURCES) {
            Some(there) => resources::write(there, "linux.resources", edits, false, splice),
            None => {
                splice.set(linux, RESOURCES, "resources", resources::text(edits));
                Ok(())
            }
        }
    }

    fn linux(&self) -> Result<Option<&Object<'t, 2>>, String> {
        let Some(value) = self.object.get(LINUX) else { return Ok(None) };
        self.linux.as_ref().map(Some).ok_or_else(|| no_object(value, "linux"))
    }

    /// The destination and, where there is one, the source of each mount, in order.
    ///
    /// # Errors
    /// A sentence, where they can't be read.
    pub fn mounts(&self) -> Result<Vec<Mount<'t>>, String> {
        let Some(list) = self.object.get(MOUNTS) else { return Ok(Vec::new()) };
        let mount = |item: &'t RawValue| {
            let object = Object::read(Value::whole(item.get()), "mounts[]", ["destination", "source"])?;
            let destination = object.get(0).ok_or("mounts[].destination is missing")?;
            Ok(Mount {
                destination: borrowed(destination, "mounts[].destination")?,
                source: object.get(1).map(|v| borrowed(v, "mounts[].source")).transpose()?,
            })
        };
        items(list, "mounts")?.into_iter().map(mount).collect()
    }
}

/// A mount of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount<'t> {
    /// Where it goes, inside the container.
    pub destination: Cow<'t, str>,
    /// What is mounted there.
    pub source: Option<Cow<'t, str>>,
}

/// Keeps an object that was read on the way, and gives its length.
fn keep<'t, const N: usize>(
    read: Result<Option<(Object<'t, N>, usize)>, Unread>,
    kept: &mut Option<Object<'t, N>>,
) -> Result<Option<usize>, Unread> {
    let Some((object, length)) = read? else { return Ok(None) };
    *kept = Some(object);
    Ok(Some(length))
}

/// What is said of a value in the place of an object.
fn no_object(value: Value<'_>, path: &str) -> String {
    Object::read(value, path, []).err().unwrap_or_default()
}

fn items<'t>(list: Value<'t>, path: &str) -> Result<Vec<&'t RawValue>, String> {
    serde_json::from_str(list.text).map_err(|_| format!("{path} is not a list"))
}

/// A string as it stands in the text, where it stands there without escapes.
fn borrowed<'t>(value: Value<'t>, path: &str) -> Result<Cow<'t, str>, String> {
    let inner = value.text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match inner.filter(|text| !text.contains('\\')) {
        Some(text) => Ok(Cow::Borrowed(text)),
        None => string(value, path).map(Cow::Owned),
    }
}

fn string(value: Value<'_>, path: &str) -> Result<String, String> {
    serde_json::from_str(value.text).map_err(|_| format!("{path} is not a string"))
}
