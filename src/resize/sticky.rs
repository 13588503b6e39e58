//! Sticky overrides: what a person has set stays, though the engine sends its whole stored set with every update.
//!
//! An override ends where the engine explicitly changes something: where it sends another value than it itself sent
//! last. What it merely repeats doesn't count. Values that only mean something together (a memory limit with its swap, a
//! quota with its period and burst) are kept or given up together.
//!
//! Merging fails open. Without a record of what the engine sent last nobody can tell a change from a repetition, and a
//! mixture that no runtime would take would break the engine's own update: in both cases its document goes through as it
//! is, and the override waits.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::amount::{Bytes, Limit};
use super::convert::cpuset::Cpuset;
use super::field::Field;
use super::value::Value;

/// What becomes of an engine's document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merge {
    /// What to change in the document, in the order of fields.
    pub edits: Vec<Edit>,
    /// Overrides that have ended.
    pub ended: Vec<Ended>,
    /// Overrides that are left out this time, and wait.
    pub waiting: Vec<Field>,
}

/// One change of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The field.
    pub field: Field,
    /// Its place as a JSON pointer (RFC 6901); `-` appends to a list. Objects on the way may be missing.
    pub pointer: String,
    /// What to put there: the field's value, or a whole element where one is appended.
    pub value: Json,
}

/// An override that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The field.
    pub field: Field,
    /// What it held.
    pub held: Json,
    /// What the engine sends instead; `None` if the field ends along with another one.
    pub engine: Option<Json>,
}

/// Merges the overrides of one container into what its engine sends now. `last` is what the engine has sent before, all
/// documents together ([`remember`]).
pub fn merge(sent: &Json, last: Option<&Json>, overrides: &BTreeMap<Field, Json>) -> Merge {
    let mut merge = Merge::default();
    let mut groups: BTreeMap<Group, BTreeMap<&Field, &Json>> = BTreeMap::new();
    for (field, held) in overrides {
        groups.entry(Group::of(field)).or_default().insert(field, held);
    }
    for group in groups.into_values() {
        let waiting = || group.keys().map(|field| (*field).clone());
        let Some(last) = last.filter(|last| last.is_object() && sent.is_object()) else {
            merge.waiting.extend(waiting());
            continue;
        };
        let changed =
            |field: &Field| field.get(sent).filter(|now| !is_same(field, Some(now), field.get(last)));
        if group.keys().any(|field| changed(field).is_some()) {
            merge.ended.extend(group.iter().map(|(field, held)| Ended {
                field: (*field).clone(),
                held: (*held).clone(),
                engine: changed(field).cloned(),
            }));
            continue;
        }
        let mut merged = sent.clone();
        let put = group.iter().all(|(field, held)| field.put(&mut merged, (*held).clone()));
        if !put || !is_coherent(&merged) {
            merge.waiting.extend(waiting());
            continue;
        }
        let news = group.iter().filter(|(field, held)| !is_same(field, Some(held), field.get(sent)));
        merge.edits.extend(news.map(|(field, held)| Edit::new(field, held, sent)));
    }
    merge.edits.sort_by(|one, other| one.field.cmp(&other.field));
    merge
}

impl Merge {
    /// Makes the changes. False if the document has something else where a field's object should be; what is returned
    /// then mustn't be used.
    #[must_use]
    pub fn apply(&self, document: &mut Json) -> bool {
        self.edits.iter().all(|edit| {
            let element = edit.pointer.ends_with("/-");
            let value = if element { edit.value.get("limit").cloned() } else { Some(edit.value.clone()) };
            value.is_some_and(|value| edit.field.put(document, value))
        })
    }
}

impl Edit {
    fn new(field: &Field, value: &Json, document: &Json) -> Self {
        let (pointer, element) = field.pointer(document);
        let value = if element { field.element(value.clone()) } else { value.clone() };
        Self { field: field.clone(), pointer, value }
    }
}

/// What the engine has sent last, where that isn't known for sure: of several documents that may be it, the likeliest
/// first, field by field the one that it repeats now.
pub fn settled(candidates: &[Json], sent: &Json) -> Option<Json> {
    let mut last = candidates.first()?.clone();
    for candidate in candidates.iter().skip(1) {
        for field in Field::all_in(candidate) {
            let (now, theirs) = (field.get(sent), field.get(candidate));
            let repeated = now.is_some() && is_same(&field, now, theirs);
            if let Some(value) = theirs.filter(|_| repeated || field.get(&last).is_none()) {
                field.put(&mut last, value.clone());
            }
        }
    }
    Some(last)
}

/// The overrides that are given up along with `fields`, these included.
pub fn together<'a>(
    fields: &'a [Field],
    overrides: impl Iterator<Item = &'a Field>,
) -> impl Iterator<Item = &'a Field> {
    let groups: Vec<Group> = fields.iter().map(Group::of).collect();
    overrides.filter(move |field| groups.contains(&Group::of(field)))
}

/// Adds what an engine sends to what it has sent before, so that a later document that repeats it is known to.
pub fn remember(last: &mut Json, sent: &Json) {
    if !last.is_object() {
        *last = serde_json::json!({});
    }
    for field in Field::all_in(sent) {
        if let Some(value) = field.get(sent) {
            field.put(last, value.clone());
        }
    }
}

/// What of the kernel's own values may be an engine's word. That there is no limit isn't one: systemd takes a limit away that
/// it wasn't told of, as crun 1.8 doesn't tell it. Swap without a limit counts where memory has one.
pub fn limits(kernel: &Json) -> Json {
    let none = |field: &Field| field.get(kernel).and_then(Json::as_i64) == Some(-1);
    let mut said = serde_json::json!({});
    for field in Field::all_in(kernel) {
        let by = if field == Field::MemorySwap { &Field::MemoryLimit } else { &field };
        if let Some(value) = field.get(kernel).filter(|_| !none(by)) {
            field.put(&mut said, value.clone());
        }
    }
    said
}

/// A field's value for people: bytes as a quantity, `none` for no limit.
pub fn words(field: &Field, value: &Json) -> String {
    let plain = || value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let bytes = matches!(
        field,
        Field::MemoryLimit | Field::MemorySwap | Field::MemoryReservation | Field::Hugepages(_)
    );
    match (value.as_i64(), bytes || *field == Field::CpuQuota || *field == Field::PidsLimit) {
        (Some(-1), true) => "none".to_owned(),
        (Some(number), _) if bytes => {
            let bytes = u64::try_from(number).ok().and_then(Bytes::new);
            bytes.and_then(|bytes| Value::Bytes(Limit::At(bytes)).quantity()).unwrap_or_else(plain)
        }
        _ => plain(),
    }
}

/// Fields that only mean something together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Memory,
    Bandwidth,
    Alone(Field),
}

impl Group {
    fn of(field: &Field) -> Self {
        match field {
            Field::MemoryLimit | Field::MemorySwap => Self::Memory,
            Field::CpuQuota | Field::CpuPeriod | Field::CpuBurst => Self::Bandwidth,
            other => Self::Alone(other.clone()),
        }
    }
}

/// True if both say the same: numbers by value, lists of CPUs by their members.
fn is_same(field: &Field, one: Option<&Json>, other: Option<&Json>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return one.is_none() && other.is_none() };
    if let (Field::CpuCpus | Field::CpuMems, Some(one), Some(other)) = (field, one.as_str(), other.as_str())
        && let (Ok(one), Ok(other)) = (one.parse::<Cpuset>(), other.parse::<Cpuset>())
    {
        return one == other;
    }
    one == other
        || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one.to_bits() == other.to_bits())
}

/// False for what no runtime would take: memory and swap together below the limit, a burst above the quota.
fn is_coherent(document: &Json) -> bool {
    let number = |field: Field| field.get(document).and_then(Json::as_i64).filter(|number| *number > 0);
    let no_less =
        |one: Option<i64>, other: Option<i64>| one.zip(other).is_none_or(|(one, other)| one >= other);
    no_less(number(Field::MemorySwap), number(Field::MemoryLimit))
        && no_less(number(Field::CpuQuota), number(Field::CpuBurst))
}
