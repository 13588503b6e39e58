//! What it costs to ask containerd which groups a pod declares: create with and without the call. In containerd's place
//! stands a thread of this program that answers over a unix socket as containerd does, with a message of the same shape
//! and length.

#[path = "../../../src/node/containerd/fake.rs"]
mod fake;

use std::path::Path;
use std::sync::mpsc::channel;

use anyhow::{Context, Result};
use http::HeaderValue;
use serde_json::json;
use tokio::net::UnixListener;

use crate::documents;
use crate::report::{Report, Table};
use crate::room::Room;
use crate::spawn::{Lane, row, words};
use crate::way::command;

/// Measures both.
pub(crate) fn measure(room: &Room, turns: usize, report: &mut Report) -> Result<()> {
    report.heading("Asking containerd");
    let text = documents::config(20_000);
    let answer = answer("x", &text);
    let length = answer.len();
    serve(room.path("containerd.sock").as_ref(), answer)?;
    let create = words(["create", "--bundle", &room.bundle()]);
    let asking = room.node_with(&room.nothing, "engine = \"containerd\"\n")?;
    let lanes = [
        (&room.nothing, room.environment.clone()),
        (&room.product, room.environment.clone()),
        (&room.product, asking.clone()),
    ]
    .map(|(program, environment)| Lane { words: command(room, program, &create), environment });
    let before = || room.fresh(&text);
    let times = row(turns, &lanes, before)?;
    before()?;
    let peak = room.peak_kib_with(&command(room, &room.product, &create), &asking)?;
    report.text(&format!(
        "create of 20 KB, {turns} turns; microseconds, median [quartiles]. A thread of the bench answers as containerd does \
         (HTTP/2 over a unix socket, {length} bytes: the pod's metadata, and the document that containerd stores). containerd \
         itself takes longer to look it up."
    ));
    let mut table = Table::new(&["create, 20 KB", "takes", "adds to the runtime"]);
    table.row("runtime alone", [times.spread(0).to_string(), String::new()]);
    table.row("runc-strict, engine = \"none\"", [times.spread(1).to_string(), times.added(1, 0).to_string()]);
    let asked = [times.spread(2).to_string(), times.added(2, 0).to_string()];
    table.row("runc-strict, engine = \"containerd\"", asked);
    report.table(&table);
    report.text(&format!("The call costs {}; with it the peak is {peak:.0} KiB.", times.added(2, 1)));
    Ok(())
}

fn right(path: &str, namespace: Option<&HeaderValue>, message: &[u8]) -> bool {
    // the namespace is what the runtime's --root ends in
    path == "/containerd.services.containers.v1.Containers/Get"
        && namespace == Some(&HeaderValue::from_static("root"))
        && message == fake::framed(&field(1, b"x"))
}

/// Answers whoever comes, until this program ends.
fn serve(socket: &Path, answer: Vec<u8>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("serve")?;
    let (path, (ready, listens)) = (socket.to_owned(), channel());
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let listener = UnixListener::bind(path);
            let failed = listener.as_ref().err().map(ToString::to_string);
            let _ = ready.send(failed);
            let Ok(listener) = listener else { return };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(fake::speak(stream, right, answer.clone(), "0"));
            }
        });
    });
    match listens.recv().context("serve")? {
        None => Ok(()),
        Some(why) => anyhow::bail!("can't listen at {}: {why}", socket.display()),
    }
}

/// GetContainerResponse of containerd's api/services/containers/v1/containers.proto, with the extension that the CRI of
/// containerd 1.6 stores.
fn answer(id: &str, document: &str) -> Vec<u8> {
    let metadata = json!({"Version": "v1", "Metadata": {
        "ID": id, "Name": "nginx_web-1_user-1_5ca1ab1e-0000-4000-8000-000000000001_0", "SandboxID": "0".repeat(64),
        "Config": {
            "metadata": {"name": "nginx"}, "image": {"image": format!("sha256:{}", "1".repeat(64))},
            "envs": (0..20).map(|n| json!({"key": format!("SERVICE_{n}"), "value": "tcp://10.0.0.1:80"})).collect::<Vec<_>>(),
            "mounts": (0..5).map(|n| json!({"container_path": format!("/data/{n}"), "host_path": format!("/srv/{n}")})).collect::<Vec<_>>(),
            "labels": {"io.kubernetes.pod.name": "web-1", "io.kubernetes.pod.namespace": "user-1"},
            "annotations": {"io.kubernetes.container.restartCount": "0"}, "log_path": "nginx/0.log",
            "linux": {"resources": {"cpu_period": 100_000, "cpu_shares": 204}, "security_context": {
                "run_as_user": {"value": 1000}, "run_as_group": {"value": 1000}, "supplemental_groups": [5000, 60000]}},
        },
        "ImageRef": format!("sha256:{}", "1".repeat(64)), "LogPath": "/var/log/pods/web/nginx/0.log", "StopSignal": "SIGTERM",
    }});
    let any = |url: &str, value: &str| [field(1, url.as_bytes()), field(2, value.as_bytes())].concat();
    let stored = any("github.com/containerd/cri/pkg/store/container/Metadata", &metadata.to_string());
    let extension = [field(1, b"io.cri-containerd.container.metadata"), field(2, &stored)].concat();
    let spec = any("types.containerd.io/opencontainers/runtime-spec/1/Spec", document);
    let container = [field(1, id.as_bytes()), field(5, &spec), field(10, &extension)].concat();
    fake::framed(&field(1, &container))
}

/// A field of bytes in protobuf's encoding: tag and wire type 2, the length as a varint, the bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = vec![number << 3 | 2];
    let mut rest = bytes.len();
    while rest >= 0x80 {
        encoded.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    encoded.push(u8::try_from(rest & 0x7f).unwrap_or_default());
    encoded.extend_from_slice(bytes);
    encoded
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_field_has_its_tag_and_its_length_before_it() {
        assert_eq!(super::field(1, b"x"), [0x0a, 1, b'x']);
        let long = super::field(10, &[7; 300]);
        assert_eq!((long.len(), &long[..3]), (303, &[0x52, 0xac, 0x02][..]));
    }
}
