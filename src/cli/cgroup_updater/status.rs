//! `status`: what the kernel holds of a container or a pod, beside what was set last by us, what systemd believes and what
//! the runtime's state says, with usage and pressure. Where one of them differs from the kernel, somebody will overwrite
//! or has overwritten something: that is marked.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use super::exit::Halt;
use super::options::Status;
use super::show::{SCHEMA, line};
use super::signs;
use super::sticky;
use super::target::{self, Member};
use crate::cli::colour::{Colour, Palette};
use crate::node::cgroup::{self, Identity, Place, Tree, is_same};
use crate::node::overrides::Overrides;
use crate::node::systemd::{self, Systemd};
use crate::node::transaction::{self, End, stated};
use crate::quote::{escaped, quoted};
use crate::resize::convert::systemd::settled;
use crate::resize::convert::weight::WeightFormula;
use crate::resize::field::{Field, Writer};
use crate::resize::knob::Knob;
use crate::resize::knobs::Knobs;
use crate::resize::plan::Action;
use crate::resize::snapshot::RuntimeAbilities;

/// One cgroup, looked at.
#[derive(Default)]
struct Row {
    title: String,
    place: Place,
    knobs: Knobs,
    /// What cgroup-updater has set last, since boot.
    set: Knobs,
    /// What systemd believes, where a unit owns the cgroup.
    believed: Option<Knobs>,
    /// What the runtime's state says, as a LinuxResources document.
    stated: Option<Json>,
    /// What the kernel's values would be in such a document.
    held: Json,
    signs: Vec<(&'static str, String)>,
    /// What is kept against the engine.
    kept: Option<Overrides>,
}

/// `status`.
pub(super) fn status(asked: &Status) -> Result<(), Halt> {
    let tree = Tree::open()?;
    let found = target::find(&tree, &asked.target)?;
    let mut view = View { tree: &tree, systemd: None };
    let mut rows = Vec::new();
    if let Some((place, uid)) = &found.pod {
        rows.push(view.row(format!("pod {}", escaped(uid.as_bytes())), place, None)?);
    }
    let chosen = |one: &&Member| found.chosen.as_ref().is_none_or(|name| *name == one.name);
    for member in found.containers.iter().filter(chosen) {
        let title = format!("container {}", quoted(member.name.as_bytes()));
        rows.push(view.row(title.clone(), &member.place, Some(member))?);
        if let Some(nested) = &member.nested {
            rows.push(view.row(format!("inside {title}"), nested, None)?);
        }
    }
    let text = if asked.json { to_json(&rows) } else { to_text(&rows, Palette::of_stdout()) };
    super::super::print(&text);
    Ok(())
}

/// What is looked at, and by what.
struct View<'a> {
    tree: &'a Tree,
    systemd: Option<Systemd>,
}

impl View<'_> {
    fn row(&mut self, title: String, place: &Place, member: Option<&Member>) -> Result<Row, Halt> {
        let group = self.tree.group(place)?;
        let knobs = cgroup::cgroup(&group, &[])?;
        let abilities = RuntimeAbilities { burst: true, unified: false, hugepages: true };
        let held = Writer { formula: WeightFormula::Linear, abilities, shares: None }.document(&knobs);
        let stated = member.and_then(|member| member.key.as_ref()).and_then(|key| stated(&key.root, &key.id));
        Ok(Row {
            title,
            place: place.clone(),
            set: last_set(&place.to_string(), &group.identity())?,
            believed: self.believed(place)?,
            signs: signs::files(&group)?,
            kept: member.and_then(|one| sticky::file(Some(one), None, &one.name)).map(|(_, file)| file),
            knobs,
            stated,
            held,
        })
    }

    /// What systemd believes of the unit that owns this cgroup.
    fn believed(&mut self, place: &Place) -> Result<Option<Knobs>, Halt> {
        let name = place.name();
        if !(name.ends_with(".slice") || name.ends_with(".scope")) || !systemd::runs() {
            return Ok(None);
        }
        if self.systemd.is_none() {
            self.systemd = Some(Systemd::connect()?);
        }
        match &mut self.systemd {
            Some(systemd) => Ok(systemd.unit(self.tree.version(), name)?),
            None => Ok(None),
        }
    }
}

/// What transactions have set in a cgroup and not taken back.
fn last_set(key: &str, identity: &Identity) -> Result<Knobs, Halt> {
    let mut set = Knobs::default();
    for story in transaction::all()?.into_iter().flatten().filter(|story| story.end == Some(End::Committed)) {
        if story.head.cgroups.get(key).is_none_or(|cgroup| !is_same(&cgroup.identity, identity)) {
            continue;
        }
        for step in story.head.plan.iter().filter(|step| step.cgroup.0 == key) {
            let Action::Set { knob, new, .. } = &step.action else { continue };
            if story.head.undoes.is_some() {
                set.remove(knob);
            } else {
                set.insert(knob.clone(), new.clone());
            }
        }
    }
    Ok(set)
}

/// What somebody else has for a knob.
struct Cell {
    text: String,
    /// Whether the kernel holds something else.
    drift: bool,
}

impl Row {
    fn set(&self, knob: &Knob) -> Option<Cell> {
        let set = self.set.get(knob)?;
        Some(Cell { text: set.to_string(), drift: self.knobs.get(knob) != Some(set) })
    }

    fn believed(&self, knob: &Knob) -> Option<Cell> {
        let believed = self.believed.as_ref()?.get(knob)?;
        let drift = settled(knob, &self.knobs).is_some_and(|settled| settled != *believed);
        Some(Cell { text: believed.to_string(), drift })
    }

    fn stated(&self, knob: &Knob) -> Option<Cell> {
        let field = field(knob)?;
        let (stated, held) = (field.get(self.stated.as_ref()?)?, field.get(&self.held));
        Some(Cell { text: stated.to_string().trim_matches('"').to_owned(), drift: held != Some(stated) })
    }
}

/// Who else has a value for a knob, and how to ask.
type Column = (&'static str, fn(&Row, &Knob) -> Option<Cell>);

const COLUMNS: [Column; 3] = [("set", Row::set), ("systemd", Row::believed), ("runtime", Row::stated)];

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
    let mut drifts = false;
    for row in rows {
        // Writing to a String can't fail.
        let title = format!("{}  {}", row.title, escaped(row.place.path().as_bytes()));
        let _ = writeln!(out, "{}", palette.paint(Colour::Bold, &title));
        drifts |= table(&mut out, row, palette);
        for line in row.kept.iter().flat_map(sticky::lines) {
            let _ = writeln!(out, "  {}", palette.paint(Colour::Bold, &format!("kept: {line}")));
        }
        for (file, text) in &row.signs {
            let words = text.lines().collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "  {file:<28} {words}");
        }
    }
    if drifts {
        out.push_str("* isn't what the kernel holds: what is set was overwritten, what systemd or the runtime has comes back\n");
    }
    out
}

/// The knobs of one cgroup, and who else has a value for them; true if somebody has another one.
fn table(out: &mut String, row: &Row, palette: Palette) -> bool {
    let has = |column: &Column| row.knobs.iter().any(|(knob, _)| column.1(row, knob).is_some());
    let columns: Vec<Column> = COLUMNS.into_iter().filter(has).collect();
    let mut lines = vec![vec![("knob".to_owned(), false), ("kernel".to_owned(), false)]];
    if let Some(head) = lines.first_mut() {
        head.extend(columns.iter().map(|(name, _)| ((*name).to_owned(), false)));
    }
    for (knob, value) in row.knobs.iter() {
        let kernel = match (value.to_string(), value.quantity()) {
            (kernel, Some(quantity)) if quantity != kernel => format!("{kernel} ({quantity})"),
            (kernel, _) => kernel,
        };
        let others = columns.iter().map(|(_, ask)| match ask(row, knob) {
            Some(Cell { text, drift }) => (format!("{text}{}", if drift { " *" } else { "" }), drift),
            None => (String::new(), false),
        });
        lines.push([(knob.to_string(), false), (kernel, false)].into_iter().chain(others).collect());
    }
    let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, (text, _)) in lines.iter().flat_map(|line| line.iter().enumerate()) {
        let width = widths.entry(at).or_default();
        *width = text.chars().count().max(*width);
    }
    for line in &lines {
        let mut text = String::new();
        for (at, (cell, drift)) in line.iter().enumerate() {
            let width = if at == 0 { 28 } else { widths.get(&at).copied().unwrap_or_default() };
            let padded = format!("{cell:<width$}");
            text.push_str(if at == 0 {
                "  "
            } else if at == 1 {
                " "
            } else {
                "  "
            });
            text.push_str(&if *drift { palette.paint(Colour::Yellow, &padded) } else { padded });
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    lines.iter().flatten().any(|(_, drift)| *drift)
}

fn to_json(rows: &[Row]) -> String {
    let texts = |knobs: &Knobs| -> Map<String, Json> {
        knobs.iter().map(|(knob, value)| (knob.to_string(), json!(value.to_string()))).collect()
    };
    let row = |row: &Row| {
        let drift = |(name, ask): &Column| {
            let differs = row.knobs.iter().filter_map(|(knob, _)| {
                let cell = ask(row, knob).filter(|cell| cell.drift)?;
                Some((knob.to_string(), json!(cell.text)))
            });
            ((*name).to_owned(), Json::Object(differs.collect()))
        };
        let signs: Map<String, Json> =
            row.signs.iter().map(|(file, text)| ((*file).to_owned(), json!(text))).collect();
        json!({
            "what": row.title, "cgroup": row.place.to_string(), "kernel": texts(&row.knobs),
            "set": texts(&row.set), "systemd": row.believed.as_ref().map(texts), "runtime": row.stated,
            "drift": COLUMNS.iter().map(drift).collect::<Map<String, Json>>(), "usage": signs,
            "sticky": sticky::json(row.kept.as_ref()),
        })
    };
    line(&json!({ "v": SCHEMA, "cgroups": rows.iter().map(row).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knobs(texts: &[(&str, &str)]) -> Knobs {
        texts.iter().flat_map(|(file, text)| Knob::read_file(file, text).unwrap()).collect()
    }

    /// 400 MiB stay, where the engine says 256.
    fn kept() -> Overrides {
        let document = json!({"format": 1, "pod": {}, "last": [{"memory": {"limit": 268_435_456}}],
            "held": {"memory.limit": {"value": 419_430_400, "since": "2026-11-23T05:00:00.000000Z"}}});
        serde_json::from_value(document).unwrap()
    }

    fn rows() -> Vec<Row> {
        let held = json!({"memory": {"limit": 419_430_400}, "cpu": {"quota": 75_000}, "pids": {"limit": 77}});
        let pod = Row {
            title: "pod 7b1f3a2e".to_owned(),
            place: "=/kubepods.slice/kubepods-pod7b1f3a2e.slice".parse().unwrap(),
            knobs: knobs(&[("memory.max", "465567744"), ("cpu.weight", "20")]),
            ..Row::default()
        };
        let container = Row {
            title: "container \"app\"".to_owned(),
            place: "=/kubepods.slice/kubepods-pod7b1f3a2e.slice/cri-containerd-1.scope".parse().unwrap(),
            knobs: knobs(&[("memory.max", "419430400"), ("cpu.max", "75000 100000"), ("pids.max", "77")]),
            set: knobs(&[("memory.max", "419430400"), ("pids.max", "50")]),
            believed: Some(knobs(&[("memory.max", "268435456"), ("cpu.max", "80000 100000")])),
            stated: Some(json!({"memory": {"limit": 419_430_400}, "cpu": {"quota": 50_000}})),
            held,
            signs: vec![("memory.current", "1000".to_owned()), ("memory.events", "low 0\nmax 2".to_owned())],
            kept: Some(kept()),
        };
        vec![pod, container]
    }

    #[test]
    fn who_has_another_value_than_the_kernel_is_marked() {
        let expected = "\
pod 7b1f3a2e  /kubepods.slice/kubepods-pod7b1f3a2e.slice
  knob                         kernel
  memory.max                   465567744 (444Mi)
  cpu.weight                   20
container \"app\"  /kubepods.slice/kubepods-pod7b1f3a2e.slice/cri-containerd-1.scope
  knob                         kernel               set        systemd         runtime
  memory.max                   419430400 (400Mi)    419430400  268435456 *     419430400
  cpu.max                      75000 100000 (750m)             80000 100000 *  50000 *
  pids.max                     77                   50 *
  kept: memory.limit 400Mi since 2026-11-23T05:00:00.000000Z; the engine says 256Mi
  memory.current               1000
  memory.events                low 0, max 2
* isn't what the kernel holds: what is set was overwritten, what systemd or the runtime has comes back
";
        assert_eq!(to_text(&rows(), Palette::of_nothing()), expected);
    }

    #[test]
    fn drift_is_told_to_programs_by_who_has_it() {
        let document: Json = serde_json::from_str(&to_json(&rows())).unwrap();
        let app = &document["cgroups"][1];
        assert_eq!(app["drift"]["set"], json!({"pids.max": "50"}));
        assert_eq!(app["drift"]["systemd"], json!({"cpu.max": "80000 100000", "memory.max": "268435456"}));
        assert_eq!(app["drift"]["runtime"], json!({"cpu.max": "50000"}));
        assert_eq!(document["cgroups"][0]["systemd"], Json::Null);
        assert_eq!(app["sticky"]["memory.limit"]["value"], 419_430_400);
        assert_eq!(app["sticky"]["memory.limit"]["engine"], 268_435_456);
        assert_eq!(document["cgroups"][0]["sticky"], json!({}));
    }
}
