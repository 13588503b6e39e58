//! Rows on the engines: which handler of each calls us, whether our annotations get through, and whether containerd
//! answers.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

use super::Row;
use crate::cli::install::selection::our_program;
use crate::error::show;
use crate::node::config::Config;
use crate::node::containerd;
use crate::node::engine_config::containerd::passes;
use crate::node::engine_config::host::Host;
use crate::node::engine_config::{Handler, found, is_there};
use crate::policy::rules::Engine;
use crate::quote::quoted;

const CHECK: &str = "handler";

/// A row for each handler of each engine that is on the host.
pub(super) fn rows(host: &Host, config: &Config) -> Vec<Row> {
    let ours = our_program(host).unwrap_or_else(|_| PathBuf::from("/usr/local/sbin/runc-strict"));
    let mut rows = Vec::new();
    for engine in [Engine::Containerd, Engine::CriO, Engine::Podman] {
        let expected = config.engine == engine;
        let name = engine.name();
        if !is_there(engine, host) {
            if expected {
                let advice = "install it, or set engine to the one that is here";
                rows.push(Row::warn(CHECK, format!("engine = \"{name}\", and there is none here"), advice));
            }
            continue;
        }
        let handlers = match found(engine, host, &ours) {
            Ok(found) => found.handlers,
            Err(why) => {
                rows.push(Row::fail(CHECK, why.to_string(), format!("mend it; {name} can't read it either")));
                continue;
            }
        };
        if handlers.is_empty() {
            let found = format!("{name} has no handler that calls us");
            let advice = format!("runc-strict install --engine {name}");
            // podman may name us by path at every call.
            rows.push(match expected && engine != Engine::Podman {
                true => Row::fail(CHECK, found, advice),
                false => Row::warn(CHECK, found, advice),
            });
        }
        rows.extend(handlers.iter().map(|handler| row(host, config, engine, handler)));
    }
    rows
}

fn row(host: &Host, config: &Config, engine: Engine, handler: &Handler) -> Row {
    let default = if handler.default { ", the default" } else { "" };
    let name = format!("{}: {}{default}", engine.name(), quoted(handler.name.as_bytes()));
    let program = host.metadata(&handler.binary).filter(|p| p.is_file() && p.mode() & 0o111 != 0);
    if program.is_none() {
        let found = format!("{name} calls {}, which is no program", show(&handler.binary));
        return Row::fail(CHECK, found, "copy runc-strict there, or run install again");
    }
    if let Some(patterns) = handler.annotations.as_ref().filter(|patterns| !passes(patterns)) {
        let found = match patterns.as_slice() {
            [] => format!("{name} passes no pod annotation"),
            _ => {
                let patterns: Vec<String> = patterns.iter().map(|p| quoted(p.as_bytes())).collect();
                format!("{name} passes only {}, and not all of ours", patterns.join(", "))
            }
        };
        let advice = format!("add \"runc-strict/*\" to its pod_annotations in {}", show(&handler.file));
        return Row::fail(CHECK, found, advice);
    }
    if config.engine != engine {
        let found = format!("{name}, and our configuration says engine = \"{}\"", config.engine.name());
        return Row::warn(CHECK, found, format!("set engine = \"{}\"", engine.name()));
    }
    let driver = match handler.systemd_cgroup {
        Some(true) => "; cgroups by systemd",
        Some(false) => "; cgroups by cgroupfs",
        None => "",
    };
    Row::ok(CHECK, format!("{name} in {}{driver}", show(&handler.file)))
}

/// Whether containerd answers, where we ask it.
pub(super) fn socket(config: &Config) -> Option<Row> {
    const CHECK: &str = "socket";
    if config.engine != Engine::Containerd {
        return None;
    }
    let since = Instant::now();
    Some(match containerd::answers(&config.containerd) {
        Ok(()) => {
            let took = since.elapsed().as_millis();
            Row::ok(CHECK, format!("containerd at {} answers in {took} ms", show(&config.containerd.address)))
        }
        Err(why) => Row::fail(CHECK, why.to_string(), "until then every create and run is refused"),
    })
}
