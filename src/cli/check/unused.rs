//! Rows of `check --unused`: what on this node stops working when our program goes away. An engine whose handler calls
//! us can't start such a pod any more; and the shim of a container that was started by us calls us to kill and to
//! delete it, also when the handler is long gone from the configuration.

use std::path::{Path, PathBuf};

use super::Row;
use crate::cli::install::selection::our_program;
use crate::error::show;
use crate::node::engine_config::host::Host;
use crate::node::engine_config::{found, is_there};
use crate::node::{folder, record};
use crate::policy::rules::Engine;
use crate::quote::quoted;

/// How many containers are named.
const NAMED: usize = 3;

pub(super) fn look() -> Vec<Row> {
    let mut rows = match Host::new(Path::new("/")) {
        Ok(host) => handlers(&host),
        Err(why) => vec![Row::fail("handler", why.to_string(), "see why the root folder can't be read")],
    };
    rows.push(containers());
    rows
}

/// A row for each handler that calls us; one row where there is none.
fn handlers(host: &Host) -> Vec<Row> {
    const CHECK: &str = "handler";
    let ours = our_program(host).unwrap_or_else(|_| PathBuf::from("/usr/local/sbin/runc-strict"));
    let mut rows = Vec::new();
    for engine in [Engine::Containerd, Engine::CriO, Engine::Podman] {
        if !is_there(engine, host) {
            continue;
        }
        let name = engine.name();
        match found(engine, host, &ours) {
            Ok(found) => rows.extend(found.handlers.iter().map(|handler| {
                let advice = match handler.name.as_str() {
                    "strict" => format!("runc-strict uninstall --engine {name}"),
                    other => format!("runc-strict uninstall --engine {name} --handler {other}"),
                };
                let shown = quoted(handler.name.as_bytes());
                Row::fail(CHECK, format!("{name}: {shown} in {} calls us", show(&handler.file)), advice)
            })),
            Err(why) => {
                let advice = format!("mend it; whether {name} calls us can't be told");
                rows.push(Row::fail(CHECK, why.to_string(), advice));
            }
        }
    }
    if rows.is_empty() {
        rows.push(Row::ok(CHECK, "no engine has a handler that calls us"));
    }
    rows
}

/// The containers that have a record and are still there, for their runtime if for nobody else.
fn containers() -> Row {
    const CHECK: &str = "containers";
    if let Err(why) = folder::path() {
        // No /proc: a chroot in which nothing runs.
        return Row::warn(CHECK, why.to_string(), "see to it yourself that no container was started by us");
    }
    let keys = match record::all() {
        Ok(keys) => keys,
        Err(why) => return Row::fail(CHECK, why.to_string(), "see why; who was started by us can't be told"),
    };
    let there: Vec<String> = keys
        .iter()
        .filter(|key| key.root.join(&key.id).symlink_metadata().is_ok())
        .map(|key| quoted(key.id.as_bytes()))
        .collect();
    if there.is_empty() {
        return Row::ok(CHECK, "none that was started by us is left");
    }
    let more = if there.len() > NAMED { ", …" } else { "" };
    let named = there.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    Row::fail(
        CHECK,
        format!("{} that we started are left: {named}{more}; without us nobody can stop them", there.len()),
        "drain the node, or delete them by their engine",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::check::State;

    fn host(file: &str, text: &str) -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        let host = Host::new(folder.path()).unwrap();
        (folder, host)
    }

    fn calling(handler: &str, program: &str) -> String {
        let table = format!("plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{handler}");
        format!("version = 2\n[{table}]\n[{table}.options]\nBinaryName = \"{program}\"\n")
    }

    #[test]
    fn a_handler_that_calls_us_is_named_with_the_command_that_takes_it_away() {
        for (handler, options) in [("strict", ""), ("tenant", " --handler tenant")] {
            let (_folder, host) = host("etc/containerd/config.toml", &calling(handler, "/opt/runc-strict"));
            let rows = handlers(&host);
            assert_eq!(rows.len(), 1, "{rows:?}");
            assert_eq!(rows[0].state, State::Fail);
            let advice = format!("runc-strict uninstall --engine containerd{options}");
            assert_eq!(rows[0].advice.as_deref(), Some(advice.as_str()));
        }
    }

    #[test]
    fn an_engine_that_does_not_call_us_does_not_need_us() {
        let (_folder, host) = host("etc/containerd/config.toml", &calling("crun", "/usr/bin/crun"));
        let rows = handlers(&host);
        assert_eq!((rows.len(), rows[0].state), (1, State::Ok), "{rows:?}");
    }

    #[test]
    fn a_configuration_that_can_t_be_read_is_no_word_that_we_are_not_needed() {
        let (_folder, host) = host("etc/containerd/config.toml", "version = 2\n[plugins\n");
        assert_eq!(handlers(&host)[0].state, State::Fail);
    }
}
