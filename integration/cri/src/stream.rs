//! The CRI's streams over a websocket, as `kubectl exec`, `attach` and `port-forward` use them: subprotocol
//! v4.channel.k8s.io, where the first byte of each message is the channel (Kubernetes
//! staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go).

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderValue, Uri};
use tungstenite::{Message, WebSocket};

use crate::watch::LIMIT;

const PROTOCOL: &str = "v4.channel.k8s.io";
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// An open stream.
pub(crate) struct Stream(WebSocket<TcpStream>);

impl Stream {
    /// Opens the stream that the CRI named.
    ///
    /// # Errors
    /// When it can't be reached or the server doesn't speak the protocol.
    pub(crate) fn open(url: &str) -> Result<Stream> {
        let url = url.replacen("http://", "ws://", 1);
        let uri: Uri = url.parse().with_context(|| format!("{url} is no address"))?;
        let address = uri.authority().with_context(|| format!("{url} names no server"))?.as_str();
        let tcp = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        tcp.set_read_timeout(Some(LIMIT)).context("set a time limit")?;
        let mut request = url.into_client_request().context("make the request")?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(PROTOCOL));
        match tungstenite::client(request, tcp) {
            Ok((socket, _)) => Ok(Stream(socket)),
            Err(why) => bail!("open the stream: {why}"),
        }
    }

    /// Sends bytes on channel `number`.
    pub(crate) fn send(&mut self, number: u8, bytes: &[u8]) -> Result<()> {
        let message = [&[number], bytes].concat();
        self.0.send(Message::Binary(message.into())).context("send on the stream")
    }

    /// Sends bytes to the process.
    pub(crate) fn stdin(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(STDIN, bytes)
    }

    /// The next message: its channel and bytes; none after the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        loop {
            match self.0.read() {
                Ok(Message::Binary(bytes)) => match bytes.split_first() {
                    Some((channel, rest)) => return Ok(Some((*channel, rest.to_vec()))),
                    None => continue,
                },
                Ok(Message::Close(_)) => return Ok(None),
                Ok(_) => continue,
                Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::Protocol(_)) => {
                    return Ok(None);
                }
                Err(why) => bail!("read the stream: {why}"),
            }
        }
    }

    /// Reads until `wanted` is in what came on any of `channels`.
    pub(crate) fn until(&mut self, channels: &[u8], wanted: &str) -> Result<String> {
        let (mut text, until) = (String::new(), Instant::now() + LIMIT + Duration::from_secs(1));
        while Instant::now() < until {
            let Some((channel, bytes)) = self.next()? else { break };
            if channels.contains(&channel) {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            if text.contains(wanted) {
                return Ok(text);
            }
        }
        bail!("\"{wanted}\" did not come; \"{text}\" did")
    }

    /// Sends a line to the process until `wanted` is in what it says. An attach hands on what is sent before it listens to
    /// the process (containerd pkg/cri/io/container_io.go: `Attach`), so that an answer to the first line can be lost.
    pub(crate) fn ask(&mut self, line: &str, wanted: &str) -> Result<String> {
        let (mut text, until) = (String::new(), Instant::now() + LIMIT);
        self.0.get_ref().set_read_timeout(Some(Duration::from_secs(1))).context("set a time limit")?;
        while Instant::now() < until {
            self.stdin(line.as_bytes())?;
            loop {
                match self.0.read() {
                    Ok(Message::Binary(bytes)) => {
                        if let Some((&STDOUT, said)) = bytes.split_first() {
                            text.push_str(&String::from_utf8_lossy(said));
                        }
                    }
                    Err(tungstenite::Error::Io(why)) if why.kind() == ErrorKind::WouldBlock => break,
                    Ok(_) => {}
                    Err(why) => bail!("read the stream: {why}"),
                }
                if text.contains(wanted) {
                    return Ok(wanted.to_owned());
                }
            }
        }
        bail!("\"{wanted}\" did not come; \"{text}\" did")
    }
}

/// The whole output of a streaming exec, which has to succeed.
///
/// # Errors
/// When the stream breaks, or the process or the runtime failed.
pub(crate) fn exec(url: &str) -> Result<String> {
    let mut stream = Stream::open(url)?;
    let mut output = Vec::new();
    let mut status = String::new();
    while let Some((channel, bytes)) = stream.next()? {
        match channel {
            STDOUT | STDERR => output.extend(bytes),
            STATUS => {
                status = String::from_utf8_lossy(&bytes).into_owned();
                break;
            }
            _ => {}
        }
    }
    let output = String::from_utf8_lossy(&output).into_owned();
    if !status.contains("\"Success\"") {
        bail!("streaming exec ended with {status:?} and said \"{output}\"");
    }
    Ok(output)
}
