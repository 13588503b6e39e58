//! Which overrides a transaction sets or ends: written into its journal with what was before, so that whatever undoes the
//! limits takes the overrides back with them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::Result;
use crate::node::overrides::{self, Overrides, Owner};
use crate::policy::subject::Pod;
use crate::resize::field::Field;

/// The overrides of one container, before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// The container's name.
    pub container: String,
    /// Its cgroup.
    pub cgroup: String,
    /// Whose file they are in.
    pub owner: Owner,
    /// The pod's names and the container's.
    pub pod: Pod,
    /// The fields whose overrides change.
    pub fields: BTreeMap<Field, Turn>,
}

/// One override, before and after; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Before.
    pub before: Option<Json>,
    /// After.
    pub after: Option<Json>,
}

impl Hold {
    /// Writes the overrides.
    ///
    /// # Errors
    /// That the file can't be written.
    pub fn make(&self) -> Result<()> {
        self.write(|_, _| true)
    }

    /// Puts back what was before, where nothing else has changed it since.
    ///
    /// # Errors
    /// That the file can't be written.
    pub fn undo(&self) -> Result<()> {
        self.reversed().write(|file, turn| file == turn.before.as_ref())
    }

    /// The way back.
    pub fn reversed(&self) -> Hold {
        let turn = |turn: &Turn| Turn { before: turn.after.clone(), after: turn.before.clone() };
        let fields = self.fields.iter().map(|(field, one)| (field.clone(), turn(one))).collect();
        Hold { fields, ..self.clone() }
    }

    /// Without the fields whose override isn't any more what it was before.
    pub fn current(mut self) -> Hold {
        let file = overrides::at(&self.owner).ok().flatten();
        let now = |field: &Field| file.as_ref().and_then(|file| file.held.get(field)).map(|held| &held.value);
        self.fields.retain(|field, turn| now(field) == turn.before.as_ref());
        self
    }

    fn write(&self, wanted: impl Fn(Option<&Json>, &Turn) -> bool) -> Result<()> {
        let _held = overrides::lock();
        // what is damaged holds nothing any more
        let found = overrides::at(&self.owner).ok().flatten();
        let mut file = found.unwrap_or_else(|| Overrides::new(self.pod.clone(), Vec::new()));
        let before = file.clone();
        for (field, turn) in &self.fields {
            if wanted(file.held.get(field).map(|held| &held.value), turn) {
                file.put(field, turn.after.as_ref());
            }
        }
        if file == before { Ok(()) } else { overrides::save(&self.owner, &file) }
    }
}
