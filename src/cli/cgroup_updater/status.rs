//! `status`: what the kernel holds of a container or a pod beside what the runtime's state says, with usage and pressure.
//! Where the two differ, the runtime's next update would change it.

use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use super::exit::Halt;
use super::options::Status;
use super::show::{SCHEMA, line};
use super::target::{self, Member};
use crate::cli::colour::{Colour, Palette};
use crate::node::cgroup::{self, Group, Place, Tree};
use crate::node::transaction::stated;
use crate::resize::convert::weight::WeightFormula;
use crate::resize::field::{Field, Writer};
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::snapshot::RuntimeAbilities;

/// The files that tell of use and trouble, shown as they are.
const SIGNS_V2: [&str; 7] = [
    "memory.current",
    "memory.swap.current",
    "memory.events",
    "cpu.stat",
    "memory.pressure",
    "cpu.pressure",
    "pids.current",
];
const SIGNS_V1: [&str; 5] =
    ["memory.usage_in_bytes", "memory.failcnt", "memory.oom_control", "cpu.stat", "pids.current"];

/// One cgroup, looked at.
struct Row {
    title: String,
    place: Place,
    knobs: Knobs,
    /// What the runtime's state says, as a LinuxResources document.
    stated: Option<Json>,
    /// What the kernel's values would be in such a document.
    held: Json,
    signs: Vec<(&'static str, String)>,
}

/// `status`.
pub(super) fn status(asked: &Status) -> Result<(), Halt> {
    let tree = Tree::open()?;
    let found = target::find(&tree, &asked.target)?;
    let mut rows = Vec::new();
    if let Some((place, uid)) = &found.pod {
        rows.push(row(&tree, format!("pod {}", crate::quote::escaped(uid.as_bytes())), place, None)?);
    }
    let chosen = |one: &&Member| found.chosen.as_ref().is_none_or(|name| *name == one.name);
    for member in found.containers.iter().filter(chosen) {
        let title = format!("container {}", crate::quote::quoted(member.name.as_bytes()));
        rows.push(row(&tree, title.clone(), &member.place, Some(member))?);
        if let Some(nested) = &member.nested {
            rows.push(row(&tree, format!("inside {title}"), nested, None)?);
        }
    }
    let text = if asked.json { to_json(&rows) } else { to_text(&rows, Palette::of_stdout()) };
    super::super::print(&text);
    Ok(())
}

fn row(tree: &Tree, title: String, place: &Place, member: Option<&Member>) -> Result<Row, Halt> {
    let group = tree.group(place)?;
    let knobs = cgroup::cgroup(&group, &[])?;
    let abilities = RuntimeAbilities { burst: true, unified: false, hugepages: true };
    let held = Writer { formula: WeightFormula::Linear, abilities, shares: None }.document(&knobs);
    let stated = member.and_then(|member| member.key.as_ref()).and_then(|key| stated(&key.root, &key.id));
    Ok(Row { title, place: place.clone(), signs: signs(&group)?, knobs, stated, held })
}

fn signs(group: &Group) -> Result<Vec<(&'static str, String)>, Halt> {
    let files: &[&'static str] = match group.version() {
        CgroupVersion::V1 => &SIGNS_V1,
        CgroupVersion::V2 => &SIGNS_V2,
    };
    let mut signs = Vec::new();
    for file in files {
        if let Some(text) = group.read(file)? {
            signs.push((*file, text.trim().to_owned()));
        }
    }
    Ok(signs)
}

impl Row {
    /// What the runtime believes of a knob, where it isn't what the kernel holds.
    fn drift(&self, knob: &Knob) -> Option<String> {
        let field = field(knob)?;
        let (stated, held) = (field.get(self.stated.as_ref()?)?, field.get(&self.held)?);
        (stated != held).then(|| stated.to_string().trim_matches('"').to_owned())
    }
}

/// The runtime's field for a knob, where they hold the same number. Shares and weights don't on version 2.
fn field(knob: &Knob) -> Option<Field> {
    Some(match knob {
        Knob::MemoryMax | Knob::MemoryLimit => Field::MemoryLimit,
        Knob::MemswLimit => Field::MemorySwap,
        Knob::CpuShares => Field::CpuShares,
        Knob::CfsQuota => Field::CpuQuota,
        Knob::CpuMax => Field::CpuQuota,
        Knob::CfsPeriod => Field::CpuPeriod,
        Knob::CpusetCpus => Field::CpuCpus,
        Knob::CpusetMems => Field::CpuMems,
        Knob::PidsMax => Field::PidsLimit,
        _ => return None,
    })
}

fn to_text(rows: &[Row], palette: Palette) -> String {
    let mut out = String::new();
    for row in rows {
        // Writing to a String can't fail.
        let place = row.place.path();
        let _ = writeln!(
            out,
            "{}",
            palette
                .paint(Colour::Bold, &format!("{}  {}", row.title, crate::quote::escaped(place.as_bytes())))
        );
        for (knob, value) in row.knobs.iter() {
            let kernel = value.to_string();
            let quantity = value.quantity().filter(|quantity| *quantity != kernel);
            let quantity = quantity.map(|quantity| format!("  {quantity}")).unwrap_or_default();
            let _ = write!(out, "  {:<28} {kernel}{quantity}", knob.to_string());
            if let Some(drift) = row.drift(knob) {
                let text = format!("  the runtime's state says {drift}");
                out.push_str(&palette.paint(Colour::Yellow, &text));
            }
            out.push('\n');
        }
        for (file, text) in &row.signs {
            let words = text.lines().collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "  {file:<28} {words}");
        }
    }
    out
}

fn to_json(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let knobs: Map<String, Json> =
            row.knobs.iter().map(|(knob, value)| (knob.to_string(), json!(value.to_string()))).collect();
        let drift: Map<String, Json> = row
            .knobs
            .iter()
            .filter_map(|(knob, _)| Some((knob.to_string(), json!(row.drift(knob)?))))
            .collect();
        let signs: Map<String, Json> =
            row.signs.iter().map(|(file, text)| ((*file).to_owned(), json!(text))).collect();
        json!({
            "what": row.title, "cgroup": row.place.to_string(), "kernel": knobs, "runtime": row.stated,
            "drift": drift, "usage": signs,
        })
    };
    line(&json!({ "v": SCHEMA, "cgroups": rows.iter().map(row).collect::<Vec<_>>() }))
}
