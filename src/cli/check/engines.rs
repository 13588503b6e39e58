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
                rows.push(Row::fail(
                    CHECK,
                    why.to_string(),
                    format!("mend it, or run check as root: {name} is not looked at further"),
                ));
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cli::check::State;

    /// A host with our program and one file.
    fn host(file: &str, text: &str) -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [(file, text), ("usr/local/sbin/runc-strict", "#!/bin/false\n")] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let host = Host::new(folder.path()).unwrap();
        (folder, host)
    }

    fn look(engine: Engine, file: &str, text: &str) -> Vec<Row> {
        let (_folder, host) = host(file, text);
        rows(&host, &Config { engine, ..Config::default() })
    }

    fn one(engine: Engine, file: &str, text: &str) -> (State, String) {
        let rows = look(engine, file, text);
        assert_eq!(rows.len(), 1, "{rows:?}");
        (rows[0].state, rows[0].found.clone())
    }

    const CONTAINERD: &str = "etc/containerd/config.toml";

    fn containerd(keys: &str, options: &str) -> String {
        let table = "plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.strict";
        format!("version = 2\n[{table}]\n{keys}\n[{table}.options]\n{options}\n")
    }

    const OURS: &str = "BinaryName = \"/usr/local/sbin/runc-strict\"";

    #[test]
    fn a_handler_that_passes_our_annotations_is_well() {
        let all = "pod_annotations = [\"a/b\", \"runc-strict/*\"]";
        let (state, found) = one(Engine::Containerd, CONTAINERD, &containerd(all, OURS));
        assert_eq!(state, State::Ok);
        assert_eq!(found, "containerd: \"strict\" in \"/etc/containerd/config.toml\"; cgroups by cgroupfs");
    }

    #[test]
    fn a_handler_that_keeps_an_annotation_back_fails() {
        for (patterns, told) in [
            ("", "passes no pod annotation"),
            ("pod_annotations = [\"*\"]", "passes only \"*\", and not all of ours"),
            ("pod_annotations = [\"runc-strict/level\"]", "passes only \"runc-strict/level\""),
        ] {
            let (state, found) = one(Engine::Containerd, CONTAINERD, &containerd(patterns, OURS));
            assert_eq!(state, State::Fail);
            assert!(found.contains(told), "{found}");
        }
    }

    #[test]
    fn a_handler_whose_program_is_gone_fails() {
        let gone = containerd("", "BinaryName = \"/opt/runc-strict\"");
        let (state, found) = one(Engine::Containerd, CONTAINERD, &gone);
        assert_eq!(state, State::Fail);
        assert!(found.contains("calls \"/opt/runc-strict\", which is no program"), "{found}");
    }

    #[test]
    fn an_engine_without_a_handler_fails_only_where_it_is_the_configured_one() {
        assert_eq!(one(Engine::Containerd, CONTAINERD, "version = 2\n").0, State::Fail);
        assert_eq!(one(Engine::None, CONTAINERD, "version = 2\n").0, State::Warn);
        assert_eq!(one(Engine::Podman, "etc/containers/containers.conf", "").0, State::Warn);
    }

    #[test]
    fn a_handler_of_another_engine_than_the_configured_one_deserves_a_look() {
        let text = "[crio.runtime.runtimes.strict]\nruntime_path = \"/usr/local/sbin/runc-strict\"\n";
        let file = "etc/crio/crio.conf.d/90-runc-strict.conf";
        assert_eq!(one(Engine::CriO, file, text).0, State::Ok);
        let rows = look(Engine::Containerd, file, text);
        let states: Vec<State> = rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [State::Warn, State::Warn], "{rows:?}");
    }

    #[test]
    fn a_configuration_that_doesn_t_parse_fails() {
        let (state, found) = one(Engine::None, CONTAINERD, "version = \n");
        assert_eq!(state, State::Fail);
        assert!(found.contains("config.toml\": line 1: "), "{found}");
    }
}
