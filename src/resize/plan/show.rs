//! The plan as people read it, before and after.

use std::fmt;

use crate::resize::convert::systemd::PropertyValue;
use crate::resize::quoted::Quoted;
use crate::resize::snapshot::ReclaimWay;
use crate::resize::value::Value;

use super::step::{Action, Reclaim, Route, Step};
use super::{Notice, Plan};

impl fmt::Display for Plan {
    /// One paragraph for each step: what, by whom, and why there.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            writeln!(out, "Nothing to do: everything is as asked.")?;
        }
        for (at, step) in (1..).zip(&self.steps) {
            writeln!(out, "{at:>2}. {step}")?;
        }
        for notice in &self.notices {
            writeln!(out, "note: {notice}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.level)?;
        match &self.action {
            Action::Set { knob, old, new, route } => {
                if old == new {
                    writeln!(out, "{knob} stays {}", amount(new))?;
                } else {
                    writeln!(out, "{knob} {} → {}", amount(old), amount(new))?;
                }
                match route {
                    Route::File => writeln!(out, "    by the file {}: {}", knob.file(), knob.write(new))?,
                    Route::Systemd { unit, properties } => {
                        let words: Vec<_> = properties
                            .iter()
                            .map(|change| format!("{}={}", change.name, property(&change.new)))
                            .collect();
                        writeln!(out, "    by systemd, {}: {}", Quoted(unit), words.join(" "))?;
                    }
                    Route::Runtime(fields) => {
                        let words: Vec<_> =
                            fields.iter().map(|change| format!("{}={}", change.field, change.new)).collect();
                        writeln!(out, "    by the runtime's update: {}", words.join(" "))?;
                    }
                }
            }
            Action::Reclaim(reclaim) => reclaim.fmt(out)?,
        }
        write!(out, "    {}", self.reason)
    }
}

impl fmt::Display for Reclaim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.usage {
            Some(usage) => writeln!(out, "reclaim memory, {usage} → {}", self.target)?,
            None => writeln!(out, "reclaim memory down to {}", self.target)?,
        }
        match self.way {
            ReclaimWay::Probe => write!(out, "    by memory.reclaim")?,
            ReclaimWay::High => write!(out, "    by memory.high, put back afterwards")?,
            ReclaimWay::ByTheWrite => write!(out, "    by the kernel, as the limit is written")?,
        }
        self.stuck.map_or(Ok(()), |stuck| write!(out, "; {stuck} can't be reclaimed"))?;
        writeln!(out)
    }
}

/// A value as a quantity, with the kernel's number behind it where they differ.
fn amount(value: &Value) -> String {
    let kernel = value.to_string();
    let kernel = if kernel.is_empty() { "all of the parent's".to_owned() } else { kernel };
    match value.quantity() {
        Some(quantity) if quantity != kernel => format!("{quantity} ({kernel})"),
        _ => kernel,
    }
}

fn property(value: &PropertyValue) -> String {
    match value {
        PropertyValue::Number(u64::MAX) => "infinity".to_owned(),
        PropertyValue::Number(number) => number.to_string(),
        PropertyValue::Bits(bytes) => {
            bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExclusiveCpus { container } => write!(
                out,
                "container {} has CPUs of its own; a CPU limit throttles it on them",
                Quoted(container)
            ),
            Self::PodBelow { container, knob, value } => write!(
                out,
                "container {}: its pod allows only {knob} {}, and keeps it: the pod's limit isn't its containers' sum",
                Quoted(container),
                amount(value)
            ),
            Self::RuntimeUnaware { container, file } => write!(
                out,
                "container {}: the runtime's update can't set {file}; its own state keeps the old value",
                Quoted(container)
            ),
            Self::Forced { level } => {
                write!(out, "{level}: forced below what can't be reclaimed; processes may be killed")
            }
        }
    }
}
