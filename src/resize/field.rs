//! The fields of an OCI LinuxResources document, as `update --resources` takes it: which of them a knob is, and how one
//! is read from and put into a document. Both the planner's calls of the real runtime and the sticky overrides speak in
//! these fields.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::amount::{Bytes, Limit};
use super::convert::cpu::CpuShares;
use super::convert::hugepage::HugepageSize;
use super::convert::io::BlkioWeight;
use super::convert::memory;
use super::convert::weight::WeightFormula;
use super::knob::{Knob, UnifiedKey};
use super::knobs::Knobs;
use super::snapshot::RuntimeAbilities;
use super::value::Value;

/// How a document says "no limit".
const NONE: i64 = -1;

/// One field of a LinuxResources document. In JSON it is the text that [`Display`](fmt::Display) prints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Field {
    /// `memory.limit`: bytes, -1 for none.
    MemoryLimit,
    /// `memory.swap`: memory and swap together, -1 for none.
    MemorySwap,
    /// `memory.reservation`: version 1's soft limit, version 2's `memory.low`.
    MemoryReservation,
    /// `cpu.shares`, on version 2 too.
    CpuShares,
    /// `cpu.quota`: microseconds, -1 for none.
    CpuQuota,
    /// `cpu.period`: microseconds.
    CpuPeriod,
    /// `cpu.burst`: microseconds.
    CpuBurst,
    /// `cpu.cpus`: a list.
    CpuCpus,
    /// `cpu.mems`: a list.
    CpuMems,
    /// `pids.limit`: -1 for none.
    PidsLimit,
    /// `blockIO.weight`: 10..=1000.
    BlockIoWeight,
    /// `hugepageLimits`, the element with this `pageSize`.
    Hugepages(HugepageSize),
    /// `unified`, the entry with this key.
    Unified(UnifiedKey),
}

/// The formula and the abilities that decide how a knob is written into a document.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    /// How the runtime will make a weight of shares.
    pub formula: WeightFormula,
    /// What the runtime's update understands.
    pub abilities: RuntimeAbilities,
    /// The shares that were asked for, where a weight alone would only say which range they are in.
    pub shares: Option<CpuShares>,
}

impl Writer {
    /// The fields that give a cgroup with these knobs this one of them; `None` if no document can say it, because the
    /// runtime doesn't understand the field, or takes the value for "leave it".
    pub fn fields(&self, knob: &Knob, knobs: &Knobs) -> Option<Vec<(Field, Json)>> {
        let limit = |limit: Limit<Bytes>| json!(limit.at().map_or(NONE, |bytes| bytes.get().cast_signed()));
        Some(match (knob, knobs.get(knob)?) {
            (Knob::MemoryMax | Knob::SwapMax | Knob::MemoryLimit | Knob::MemswLimit, _) => {
                // a limit of 0 means "leave it"
                let memory = knobs.memory_limit().filter(|memory| *memory != Limit::At(Bytes::ZERO))?;
                let sum = match (memory, knobs.bytes(&Knob::SwapMax)) {
                    // runtimes take the sum for the swap alone where memory has no limit
                    (Limit::Max, Some(swap)) => Some(swap).filter(|swap| *swap != Limit::At(Bytes::ZERO)),
                    (memory, Some(swap)) => memory::memsw(memory, swap),
                    (_, None) => knobs.bytes(&Knob::MemswLimit),
                };
                let swap = sum.map(|sum| (Field::MemorySwap, limit(sum)));
                // without a word about swap a runtime would move it along with the limit
                if swap.is_none() && (knobs.has(&Knob::SwapMax) || knobs.has(&Knob::MemswLimit)) {
                    return None;
                }
                [(Field::MemoryLimit, limit(memory))].into_iter().chain(swap).collect()
            }
            (Knob::MemoryLow | Knob::SoftLimit, Value::Bytes(bytes)) if *bytes != Limit::At(Bytes::ZERO) => {
                vec![(Field::MemoryReservation, limit(*bytes))]
            }
            (Knob::CpuShares | Knob::CpuWeight, value) => {
                let derived = knobs.shares(self.formula)?;
                let exact = self.shares.filter(|shares| match value {
                    Value::Weight(weight) => {
                        super::convert::weight::CpuWeight::from_shares(*shares, self.formula) == *weight
                    }
                    _ => *shares == derived,
                });
                vec![(Field::CpuShares, json!(exact.unwrap_or(derived).get()))]
            }
            (Knob::CpuMax | Knob::CfsQuota | Knob::CfsPeriod, _) => {
                let cpu = knobs.bandwidth()?;
                let quota = json!(cpu.quota.at().map_or(NONE, |quota| quota.get().cast_signed()));
                vec![(Field::CpuQuota, quota), (Field::CpuPeriod, json!(cpu.period.get()))]
            }
            (Knob::CpuMaxBurst | Knob::CfsBurst, Value::Burst(burst)) if self.abilities.burst => {
                vec![(Field::CpuBurst, json!(burst.get()))]
            }
            (Knob::CpusetCpus, Value::Set(set)) if !set.is_empty() => {
                vec![(Field::CpuCpus, json!(set.to_string()))]
            }
            (Knob::CpusetMems, Value::Set(set)) if !set.is_empty() => {
                vec![(Field::CpuMems, json!(set.to_string()))]
            }
            (Knob::PidsMax, Value::Count(count)) => {
                let count = match count {
                    Limit::At(count) => i64::try_from(*count).ok()?,
                    Limit::Max => NONE,
                };
                vec![(Field::PidsLimit, json!(count))]
            }
            (Knob::BlkioWeight | Knob::BlkioBfqWeight | Knob::IoBfqWeight, Value::BlkioWeight(weight)) => {
                Some(*weight).filter(|weight| *weight >= BlkioWeight::LEAST_OF_DOCUMENTS)?;
                vec![(Field::BlockIoWeight, json!(weight.get()))]
            }
            // the document's scale is coarser, and a runtime that sees BFQ's file writes only that one
            (Knob::IoWeight, Value::IoWeight(weight)) if !knobs.has(&Knob::IoBfqWeight) => {
                let scaled = Some(weight.to_blkio()).filter(|scaled| scaled.to_io() == *weight)?;
                vec![(Field::BlockIoWeight, json!(scaled.get()))]
            }
            (Knob::HugetlbMax(size) | Knob::HugetlbLimit(size), Value::Bytes(bytes))
                if self.abilities.hugepages =>
            {
                vec![(Field::Hugepages(*size), limit(*bytes))]
            }
            (Knob::MemoryMin | Knob::MemoryHigh | Knob::Unified(_), value) if self.abilities.unified => {
                let key = UnifiedKey::new(&knob.file()).ok()?;
                vec![(Field::Unified(key), json!(value.to_string()))]
            }
            _ => return None,
        })
    }
}

impl Writer {
    /// The document of a cgroup with these knobs: the complete set that an `update` begins with where nothing better is
    /// known, such as what the engine sent last.
    pub fn document(&self, knobs: &Knobs) -> Json {
        let mut document = json!({});
        for (field, value) in knobs.iter().filter_map(|(knob, _)| self.fields(knob, knobs)).flatten() {
            field.put(&mut document, value);
        }
        document
    }
}

impl Field {
    /// The fields that stand once in a document.
    const PLAIN: [Self; 11] = [
        Self::MemoryLimit,
        Self::MemorySwap,
        Self::MemoryReservation,
        Self::CpuShares,
        Self::CpuQuota,
        Self::CpuPeriod,
        Self::CpuBurst,
        Self::CpuCpus,
        Self::CpuMems,
        Self::PidsLimit,
        Self::BlockIoWeight,
    ];

    /// The object and the key of a plain field; `None` for those that stand in a list or a map.
    fn place(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::MemoryLimit => ("memory", "limit"),
            Self::MemorySwap => ("memory", "swap"),
            Self::MemoryReservation => ("memory", "reservation"),
            Self::CpuShares => ("cpu", "shares"),
            Self::CpuQuota => ("cpu", "quota"),
            Self::CpuPeriod => ("cpu", "period"),
            Self::CpuBurst => ("cpu", "burst"),
            Self::CpuCpus => ("cpu", "cpus"),
            Self::CpuMems => ("cpu", "mems"),
            Self::PidsLimit => ("pids", "limit"),
            Self::BlockIoWeight => ("blockIO", "weight"),
            Self::Hugepages(_) | Self::Unified(_) => return None,
        })
    }

    /// The field's value in a document. What a runtime takes for "leave it" (null, 0, the empty list) counts as missing;
    /// only a burst of 0 says something.
    pub fn get<'a>(&self, document: &'a Json) -> Option<&'a Json> {
        let value = match self {
            Self::Hugepages(size) => {
                let limits = document.get("hugepageLimits")?.as_array()?;
                limits.iter().find(|limit| is_page(limit, *size))?.get("limit")
            }
            Self::Unified(key) => document.get("unified")?.get(key.as_str()),
            plain => plain.place().and_then(|(object, key)| document.get(object)?.get(key)),
        }?;
        let silent = value.is_null() || value.as_str() == Some("");
        let zero = value.as_i64() == Some(0) && !matches!(self, Self::CpuBurst | Self::Hugepages(_));
        (!silent && !zero).then_some(value)
    }

    /// Puts a value into a document, whose other fields stay as they are. A document that isn't an object, or has
    /// something else where this field's object should be, is left alone: the answer is then false.
    pub fn put(&self, document: &mut Json, value: Json) -> bool {
        let Some(root) = document.as_object_mut() else { return false };
        match self {
            Self::Hugepages(size) => {
                let limits = root.entry("hugepageLimits").or_insert_with(|| json!([]));
                let Some(limits) = limits.as_array_mut() else { return false };
                match limits.iter_mut().find(|limit| is_page(limit, *size)).and_then(Json::as_object_mut) {
                    Some(limit) => drop(limit.insert("limit".to_owned(), value)),
                    None => limits.push(self.element(value)),
                }
            }
            Self::Unified(key) => return put(root, "unified", key.as_str(), value),
            plain => return plain.place().is_some_and(|(object, key)| put(root, object, key, value)),
        }
        true
    }
}

impl Field {
    /// Where the field stands in a document, as a JSON pointer (RFC 6901); true if an element has to be appended there.
    pub fn pointer(&self, document: &Json) -> (String, bool) {
        match self {
            Self::Hugepages(size) => {
                let limits = document.get("hugepageLimits").and_then(Json::as_array);
                match limits.and_then(|limits| limits.iter().position(|limit| is_page(limit, *size))) {
                    Some(at) => (format!("/hugepageLimits/{at}/limit"), false),
                    None => ("/hugepageLimits/-".to_owned(), true),
                }
            }
            // no key holds a slash or a tilde
            Self::Unified(key) => (format!("/unified/{}", key.as_str()), false),
            plain => {
                let (object, key) = plain.place().unwrap_or_default();
                (format!("/{object}/{key}"), false)
            }
        }
    }

    /// The whole element of a list that holds this value; the value itself for all other fields.
    pub fn element(&self, value: Json) -> Json {
        match self {
            Self::Hugepages(size) => json!({ "pageSize": size.to_string(), "limit": value }),
            _ => value,
        }
    }

    /// The fields that a document has, known ones only.
    pub fn all_in(document: &Json) -> Vec<Self> {
        let sizes = document.get("hugepageLimits").and_then(Json::as_array).into_iter().flatten();
        let sizes =
            sizes.filter_map(|limit| limit.get("pageSize")?.as_str()?.parse().ok()).map(Self::Hugepages);
        let keys = document.get("unified").and_then(Json::as_object).into_iter().flatten();
        let keys = keys.filter_map(|(key, _)| UnifiedKey::new(key).ok()).map(Self::Unified);
        Self::PLAIN
            .into_iter()
            .chain(sizes)
            .chain(keys)
            .filter(|field| field.get(document).is_some())
            .collect()
    }
}

fn put(root: &mut Map<String, Json>, object: &str, key: &str, value: Json) -> bool {
    let entry = root.entry(object).or_insert(Json::Null);
    if entry.is_null() {
        *entry = json!({});
    }
    entry.as_object_mut().map(|object| object.insert(key.to_owned(), value)).is_some()
}

fn is_page(limit: &Json, size: HugepageSize) -> bool {
    limit.get("pageSize").and_then(Json::as_str).and_then(|name| name.parse().ok()) == Some(size)
}

impl fmt::Display for Field {
    /// `memory.limit`, `hugepageLimits.2MB`, `unified.memory.high`
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hugepages(size) => write!(out, "hugepageLimits.{size}"),
            Self::Unified(key) => write!(out, "unified.{}", key.as_str()),
            plain => plain.place().map_or(Ok(()), |(object, key)| write!(out, "{object}.{key}")),
        }
    }
}

impl FromStr for Field {
    type Err = ();

    /// Reads what [`Display`](fmt::Display) prints.
    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some(size) = text.strip_prefix("hugepageLimits.") {
            return size.parse().map(Self::Hugepages).map_err(|_| ());
        }
        if let Some(key) = text.strip_prefix("unified.") {
            return UnifiedKey::new(key).map(Self::Unified).map_err(|_| ());
        }
        Self::PLAIN.into_iter().find(|field| field.to_string() == text).ok_or(())
    }
}

impl From<Field> for String {
    fn from(field: Field) -> String {
        field.to_string()
    }
}

impl TryFrom<String> for Field {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|()| format!("\"{}\" is no field of LinuxResources", text.escape_default()))
    }
}
