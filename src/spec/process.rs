//! The `process` object of config.json, which is also the whole of exec's document: read, and written again.

use super::object::{Object, Value};
use super::splice::Splice;
use crate::policy::Edits;
use crate::policy::capability::{CapabilitySets, SET_NAMES};
use crate::policy::subject::Process;
use crate::quote::quoted;

const USER: usize = 0;
const NO_NEW_PRIVILEGES: usize = 1;
const CAPABILITIES: usize = 2;

/// The members in that order.
pub(super) const KNOWN: [&str; 3] = ["user", "noNewPrivileges", "capabilities"];

const UID: usize = 0;
const GID: usize = 1;
const GROUPS: usize = 2;

/// The `process` object, with the places of what we may write.
#[derive(Debug)]
pub struct ProcessObject<'t> {
    /// What it says.
    pub process: Process,
    /// Its text.
    pub text: &'t str,
    object: Object<'t, 3>,
    user: Object<'t, 3>,
    capabilities: Option<Object<'t, 5>>,
}

impl<'t> ProcessObject<'t> {
    /// Reads `value` as a process object that messages call `path` (`process` in config.json).
    ///
    /// # Errors
    /// A sentence that names what is missing or can't be read.
    pub fn read(value: Value<'t>, path: &str) -> Result<ProcessObject<'t>, String> {
        ProcessObject::of(value, path, Object::read(value, path, KNOWN)?)
    }

    /// The same, where the members of `value` were found already.
    ///
    /// # Errors
    /// As [`ProcessObject::read`].
    pub(super) fn of(
        value: Value<'t>,
        path: &str,
        object: Object<'t, 3>,
    ) -> Result<ProcessObject<'t>, String> {
        let user_path = [path, ".user"].concat();
        let user = object.get(USER).ok_or_else(|| format!("{user_path} is missing"))?;
        let user = Object::read(user, &user_path, ["uid", "gid", "additionalGids"])?;
        let id = |n: usize, name: &str| {
            let value = user.get(n).ok_or_else(|| format!("{user_path}.{name} is missing"))?;
            number(value).ok_or_else(|| {
                format!("{user_path}.{name} is {}, not an id of 32 bits", quoted(value.text.as_bytes()))
            })
        };
        let (uid, gid) = (id(UID, "uid")?, id(GID, "gid")?);
        let groups = match user.get(GROUPS) {
            None => Vec::new(),
            Some(value) => serde_json::from_str(value.text)
                .map_err(|_| format!("{user_path}.additionalGids is not a list of ids of 32 bits"))?,
        };
        let no_new_privileges = match object.get(NO_NEW_PRIVILEGES).map(|v| v.text) {
            None | Some("false") => false,
            Some("true") => true,
            Some(text) => {
                let text = quoted(text.as_bytes());
                return Err(format!("{path}.noNewPrivileges is {text}, not true or false"));
            }
        };
        let capabilities_path = [path, ".capabilities"].concat();
        let capabilities =
            object.get(CAPABILITIES).map(|v| Object::read(v, &capabilities_path, SET_NAMES)).transpose()?;
        let sets = match &capabilities {
            None => CapabilitySets::default(),
            Some(object) => read_sets(object, &capabilities_path)?,
        };
        let process = Process { uid, gid, groups, no_new_privileges, capabilities: sets };
        Ok(ProcessObject { process, text: value.text, object, user, capabilities })
    }

    /// Writes `edits` into the document that the object was read from.
    pub fn apply(&self, edits: &Edits, splice: &mut Splice<'_>) {
        if let Some(groups) = &edits.groups {
            splice.set(&self.user, GROUPS, "additionalGids", groups.to_string());
        }
        if let Some(value) = edits.no_new_privileges {
            splice.set(&self.object, NO_NEW_PRIVILEGES, "noNewPrivileges", value.to_string());
        }
        let Some(object) = &self.capabilities else { return };
        for (n, set) in edits.capabilities.iter().enumerate() {
            if let (Some(names), Some(key)) = (set, SET_NAMES.get(n)) {
                let names: Vec<String> = names.iter().map(|n| json_string(n)).collect();
                splice.set(object, n, key, format!("[{}]", names.join(",")));
            }
        }
    }
}

fn read_sets(object: &Object<'_, 5>, path: &str) -> Result<CapabilitySets, String> {
    let mut sets = CapabilitySets::default();
    for (n, (set, key)) in sets.0.iter_mut().zip(SET_NAMES).enumerate() {
        if let Some(value) = object.get(n) {
            let names = serde_json::from_str(value.text);
            *set = Some(names.map_err(|_| format!("{path}.{key} is not a list of names"))?);
        }
    }
    Ok(sets)
}

/// An id: plain digits. Go refuses `1.0` and `1e3` here, and crun reads them in its own way.
pub(super) fn number(value: Value<'_>) -> Option<u32> {
    value.text.bytes().all(|b| b.is_ascii_digit()).then(|| value.text.parse().ok()).flatten()
}

pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
