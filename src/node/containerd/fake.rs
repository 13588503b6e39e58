//! A containerd in one function: HTTP/2 on one connection, which answers what it is asked for with given bytes. The tests
//! beside this file use it, and so does the bench, which includes it: it names nothing of the crate.

use h2::server::handshake;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::UnixStream;

/// Whether a request is the right one: its path, its containerd namespace, and its message with the frame around it.
pub(crate) type Right = fn(&str, Option<&HeaderValue>, &[u8]) -> bool;

/// Answers each request, if it is the right one, with `body` and `status`, else with "invalid argument".
pub(crate) async fn speak(
    stream: UnixStream,
    right: Right,
    body: Vec<u8>,
    status: &'static str,
) -> Result<(), h2::Error> {
    let mut connection = handshake(stream).await?;
    while let Some(next) = connection.accept().await {
        let (request, mut respond) = next?;
        let body = body.clone();
        tokio::spawn(async move {
            let (head, mut sent) = request.into_parts();
            let mut message = Vec::new();
            while let Some(Ok(data)) = sent.data().await {
                message.extend_from_slice(&data);
            }
            let right = right(head.uri.path(), head.headers.get("containerd-namespace"), &message);
            let status = if right { status } else { "3" };
            let mut response = Response::new(());
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            let Ok(mut stream) = respond.send_response(response, false) else { return };
            // A caller that has seen enough hangs up in the middle.
            let _ = stream.send_data(body.into(), false);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(status));
            let _ = stream.send_trailers(trailers);
        });
    }
    Ok(())
}

/// A message as gRPC sends it: not compressed, with its length before it, of which four bytes are enough.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}
