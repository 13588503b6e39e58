//! `runc-strict version`: ours, and the real runtime's. `--version` is the real runtime's own.

use serde_json::json;

use super::print;
use crate::node::{runtime, version};

pub(super) fn run(json: bool) -> u8 {
    let ours = env!("CARGO_PKG_VERSION");
    let found = runtime::for_pass_through();
    let (path, name) = match &found {
        Ok(path) => (path.display().to_string(), version::of(path).name()),
        Err(why) => (String::new(), why.to_string()),
    };
    match (json, found.is_ok()) {
        (true, true) => {
            let document = json!({"v": 1, "version": ours, "runtime": {"path": path, "version": name}});
            print(&format!("{document}\n"));
        }
        (true, false) => print(&format!("{}\n", json!({"v": 1, "version": ours, "runtime": null}))),
        (false, true) => print(&format!("runc-strict {ours}\nruntime: {name} ({path})\n")),
        (false, false) => print(&format!("runc-strict {ours}\nruntime: none: {name}\n")),
    }
    0
}
