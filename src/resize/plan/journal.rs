//! Steps as JSON, for a journal and for `--json`. Knobs and fields are written by name, values in the kernel's words, so
//! that a journal can be read by people, and by another version of us.
//!
//! ```json
//! {"level":"container","container":"app","cgroup":"...","reason":"grow-last","knob":"memory.max","old":"134217728",
//!  "new":"268435456","runtime":{"memory.limit":{"old":134217728,"new":268435456}}}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::resize::amount::Bytes;
use crate::resize::convert::systemd::PropertyValue;
use crate::resize::knob::Knob;
use crate::resize::quoted::Quoted;
use crate::resize::snapshot::{CgroupKey, ReclaimWay};

use super::step::{Action, FieldChange, Level, PropertyChange, Reason, Reclaim, Route, Step};

/// A step in the words of the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Record {
    level: LevelName,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    cgroup: String,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    knob: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    /// The runtime's fields, if it is the runtime that changes the knob.
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<BTreeMap<String, Change<Json>>>,
    /// The unit, if it is systemd.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<BTreeMap<String, Change<Property>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reclaim: Option<ReclaimRecord>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LevelName {
    Pod,
    Container,
    Nested,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change<T> {
    old: T,
    new: T,
}

/// A property of a unit: a number, or the bytes of a set.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Property {
    Number(u64),
    Bits(Vec<u8>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReclaimRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<u64>,
    target: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<u64>,
    way: ReclaimWay,
}

impl From<Step> for Record {
    fn from(step: Step) -> Self {
        let (level, container) = match step.level {
            Level::Pod => (LevelName::Pod, None),
            Level::Container(name) => (LevelName::Container, Some(name)),
            Level::Nested(name) => (LevelName::Nested, Some(name)),
        };
        let mut record = Self {
            level,
            container,
            cgroup: step.cgroup.0,
            reason: step.reason,
            knob: None,
            old: None,
            new: None,
            runtime: None,
            unit: None,
            properties: None,
            reclaim: None,
        };
        match step.action {
            Action::Reclaim(Reclaim { usage, target, stuck, way }) => {
                let (usage, stuck) = (usage.map(Bytes::get), stuck.map(Bytes::get));
                record.reclaim = Some(ReclaimRecord { usage, target: target.get(), stuck, way });
            }
            Action::Set { knob, old, new, route } => {
                record.knob = Some(knob.to_string());
                (record.old, record.new) = (Some(old.to_string()), Some(new.to_string()));
                match route {
                    Route::File => {}
                    Route::Runtime(fields) => {
                        let fields = fields.into_iter();
                        let named = fields.map(|field| {
                            (field.field.to_string(), Change { old: field.old, new: field.new })
                        });
                        record.runtime = Some(named.collect());
                    }
                    Route::Systemd { unit, properties } => {
                        let named = properties.into_iter().map(|change| {
                            (change.name, Change { old: change.old.into(), new: change.new.into() })
                        });
                        record.properties = Some(named.collect());
                        record.unit = Some(unit);
                    }
                }
            }
        }
        record
    }
}

impl TryFrom<Record> for Step {
    type Error = String;

    fn try_from(record: Record) -> Result<Self, String> {
        let name = record.container.ok_or("a step has no container");
        let level = match record.level {
            LevelName::Pod => Level::Pod,
            LevelName::Container => Level::Container(name?),
            LevelName::Nested => Level::Nested(name?),
        };
        let action = match (record.reclaim, record.knob, record.old, record.new) {
            (Some(reclaim), None, None, None) => {
                let bytes = |number| Bytes::new(number).ok_or("a number of bytes is beyond 2^63-1");
                Action::Reclaim(Reclaim {
                    usage: reclaim.usage.map(bytes).transpose()?,
                    target: bytes(reclaim.target)?,
                    stuck: reclaim.stuck.map(bytes).transpose()?,
                    way: reclaim.way,
                })
            }
            (None, Some(knob), Some(old), Some(new)) => {
                let knob: Knob = knob.parse().map_err(|error| format!("{error}"))?;
                let read = |text: String| knob.read(&text).map_err(|error| error.to_string());
                let (old, new) = (read(old)?, read(new)?);
                let route = route(record.runtime, record.unit, record.properties)?;
                Action::Set { knob, old, new, route }
            }
            _ => return Err("a step is neither a change of a knob nor a reclaim".to_owned()),
        };
        Ok(Self { level, cgroup: CgroupKey(record.cgroup), action, reason: record.reason })
    }
}

fn route(
    fields: Option<BTreeMap<String, Change<Json>>>,
    unit: Option<String>,
    properties: Option<BTreeMap<String, Change<Property>>>,
) -> Result<Route, String> {
    match (fields, unit, properties) {
        (None, None, None) => Ok(Route::File),
        (Some(fields), None, None) => {
            let read = |(name, change): (String, Change<Json>)| {
                let field = name
                    .parse()
                    .map_err(|()| format!("{} is no field of a runtime's document", Quoted(&name)))?;
                Ok(FieldChange { field, old: change.old, new: change.new })
            };
            let mut changes = fields.into_iter().map(read).collect::<Result<Vec<_>, String>>()?;
            changes.sort_by(|one, other| one.field.cmp(&other.field));
            Ok(Route::Runtime(changes))
        }
        (None, Some(unit), Some(properties)) => {
            let read = |(name, change): (String, Change<Property>)| PropertyChange {
                name,
                old: change.old.into(),
                new: change.new.into(),
            };
            Ok(Route::Systemd { unit, properties: properties.into_iter().map(read).collect() })
        }
        _ => Err("a step goes two ways at once".to_owned()),
    }
}

impl From<PropertyValue> for Property {
    fn from(value: PropertyValue) -> Self {
        match value {
            PropertyValue::Number(number) => Self::Number(number),
            PropertyValue::Bits(bits) => Self::Bits(bits),
        }
    }
}

impl From<Property> for PropertyValue {
    fn from(value: Property) -> Self {
        match value {
            Property::Number(number) => Self::Number(number),
            Property::Bits(bits) => Self::Bits(bits),
        }
    }
}
