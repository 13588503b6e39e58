//! The call: `containerd.services.containers.v1.Containers/Get` over a unix socket, within a deadline.
//!
//! The asynchronous runtime lives for this one call, on this one thread, and is gone before we become the real
//! runtime.

use std::error::Error;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Endpoint, Uri};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::message::{Container, GetContainerRequest, GetContainerResponse};
use crate::quote::{escaped, quoted};

/// The largest answer that is read. containerd sends no larger one: defaults.DefaultMaxSendMsgSize, 16 MiB.
pub(super) const LIMIT: usize = 16 << 20;

const METHOD: &str = "/containerd.services.containers.v1.Containers/Get";

/// Gets the container `id` of `namespace` from the containerd that listens at `socket`.
///
/// # Errors
/// The rest of a sentence that begins with containerd's name.
pub(super) fn get(socket: &Path, deadline: Duration, namespace: &str, id: &str) -> Result<Container, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|why| format!("the call can't be prepared: {why}"))?;
    // The timer needs the runtime around it when it is made, not only when it is awaited.
    runtime.block_on(async { within(deadline, call(socket.to_path_buf(), namespace, id)).await })
}

async fn within<T>(deadline: Duration, call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
        let ms = deadline.as_millis();
        Err(format!("it gave no answer in {ms} ms; see whether it is overloaded, or raise timeout-ms"))
    })
}

async fn call(socket: PathBuf, namespace: &str, id: &str) -> Result<Container, String> {
    let namespace_of_call = AsciiMetadataValue::try_from(namespace).ok().filter(|_| !namespace.is_empty());
    let namespace_of_call = namespace_of_call.ok_or_else(|| {
        format!("{} is no containerd namespace; --root has to end in one", quoted(namespace.as_bytes()))
    })?;
    let mut request = Request::new(GetContainerRequest { id: id.to_owned() });
    request.metadata_mut().insert("containerd-namespace", namespace_of_call);

    let connect = move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    };
    // An address is asked for, and goes nowhere but into the header ":authority".
    let endpoint = Endpoint::from_static("http://containerd");
    let channel = endpoint.connect_with_connector(tower::service_fn(connect)).await.map_err(|why| {
        format!("it can't be reached: {}; start it, or set address in [containerd]", root_cause(&why))
    })?;
    let mut client = Grpc::new(channel).max_decoding_message_size(LIMIT);
    client.ready().await.map_err(|why| format!("it hung up: {}", root_cause(&why)))?;
    let codec = ProstCodec::<GetContainerRequest, GetContainerResponse>::default();
    let answer = client.unary(request, PathAndQuery::from_static(METHOD), codec).await;
    let answer = answer.map_err(|status| refusal(&status, namespace, id))?;
    container_of(answer.into_inner(), id)
}

/// The container in an answer, which has to be the one that was asked for.
pub(super) fn container_of(answer: GetContainerResponse, id: &str) -> Result<Container, String> {
    match answer.container {
        Some(container) if container.id == id => Ok(container),
        _ => Err(format!("its answer isn't about container {}", quoted(id.as_bytes()))),
    }
}

/// What [`get`] says of a container that containerd doesn't know.
pub(super) fn unknown(namespace: &str, id: &str) -> String {
    let (id, namespace) = (quoted(id.as_bytes()), quoted(namespace.as_bytes()));
    format!(
        "it knows no container {id} in its namespace {namespace}; engine = \"containerd\" is for containers that this containerd starts"
    )
}

/// What a status other than OK means to the reader.
fn refusal(status: &Status, namespace: &str, id: &str) -> String {
    if status.code() == Code::NotFound {
        return unknown(namespace, id);
    }
    let why = match status.source() {
        Some(source) => root_cause(source),
        None => status.message().to_owned(),
    };
    unusable(&why)
}

/// What [`get`] says of an answer that is none.
pub(super) fn unusable(why: &str) -> String {
    format!("its answer can't be used: {}", escaped(why.as_bytes()))
}

/// The innermost reason, in the system's own words where there are some.
fn root_cause(why: &(dyn Error + 'static)) -> String {
    let mut innermost = why;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    text.split_once(" (os error").map(|(sentence, _)| sentence.to_lowercase()).unwrap_or(text)
}
