//! The call against a fake containerd on a unix socket, which answers right, wrong, late, too much or not at all.

use std::collections::HashMap;
use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::{HeaderValue, Response};
use prost::Message;
use tempfile::TempDir;

use super::fake::{framed, speak};
use super::message::{Any, Container, GetContainerRequest, GetContainerResponse};
use super::*;
use crate::policy::gid::{Gid, GidSet};

const CONTAINER: &str = "io.cri-containerd.container.metadata";
const SANDBOX: &str = "io.cri-containerd.sandbox.metadata";

/// How long a refusal may take at most; the deadline of the tests is 300 ms, the default one 2 s.
const PATIENCE: Duration = Duration::from_secs(3);

struct Fake {
    folder: TempDir,
}

impl Fake {
    /// A socket whose first caller is handed to `serve`, in a thread of its own. The thread ends with its caller.
    fn new(serve: impl FnOnce(UnixStream) + Send + 'static) -> Fake {
        let fake = Fake { folder: tempfile::tempdir().unwrap() };
        let listener = UnixListener::bind(fake.socket()).unwrap();
        std::thread::spawn(move || serve(listener.accept().unwrap().0));
        fake
    }

    /// A server that speaks HTTP/2 and sends `body`, and then `status` in the trailers.
    fn speaking(body: Vec<u8>, status: &'static str) -> Fake {
        Fake::new(move |stream| {
            let _ = in_tokio(stream, |stream| speak(stream, right, body, status));
        })
    }

    /// A server that answers with `container`.
    fn with(container: Container) -> Fake {
        let answer = GetContainerResponse { container: Some(container) };
        Fake::speaking(framed(&answer.encode_to_vec()), "0")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }

    fn ask(&self) -> Result<Word> {
        let config = Containerd { address: self.socket(), timeout_ms: 300 };
        let since = Instant::now();
        let answer = ask(&config, Path::new("/run/containerd/runc/k8s.io"), "c1");
        assert!(since.elapsed() < PATIENCE, "it took {:?}", since.elapsed());
        answer
    }

    fn refusal(&self) -> String {
        let why = self.ask().unwrap_err().to_string();
        assert!(why.contains(&*self.socket().to_string_lossy()), "the socket isn't named: {why}");
        assert!(!why.contains('\n') && !why.contains("os error"), "not for people: {why}");
        why
    }
}

fn in_tokio<F: Future>(stream: UnixStream, then: impl FnOnce(tokio::net::UnixStream) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    stream.set_nonblocking(true).unwrap();
    runtime.block_on(async { then(tokio::net::UnixStream::from_std(stream).unwrap()).await })
}

fn right(path: &str, namespace: Option<&HeaderValue>, message: &[u8]) -> bool {
    let asks_for = |id: &str| framed(&GetContainerRequest { id: id.to_owned() }.encode_to_vec());
    path == "/containerd.services.containers.v1.Containers/Get"
        && namespace == Some(&HeaderValue::from_static("k8s.io"))
        && ["c1", NOBODY].map(asks_for).iter().any(|one| one == message)
}

fn container(extensions: &[(&str, &str)]) -> Container {
    let any = |json: &str| Any { value: json.as_bytes().to_vec() };
    let extensions: HashMap<_, _> =
        extensions.iter().map(|(name, json)| ((*name).to_owned(), any(json))).collect();
    Container { id: "c1".to_owned(), extensions }
}

/// The metadata of a container whose security context is `context`, among what else containerd 1.6 stores there.
fn stored(context: &str) -> String {
    format!(
        r#"{{"Version":"v1","Metadata":{{"ID":"c1","Name":"n","SandboxID":"s","Config":{{"metadata":{{"name":"c"}},
        "annotations":{{"Config":"{{}}"}},"linux":{{"resources":{{}},"security_context":{context}}}}},"ImageRef":"sha256:0"}}}}"#
    )
}

fn known(groups: &[u32], primary: bool) -> Declared {
    let groups: GidSet = groups.iter().filter_map(|g| Gid::new(*g)).collect();
    Declared::Known { groups, primary }
}

fn word_on(context: &str) -> Result<Word> {
    Fake::with(container(&[(CONTAINER, &stored(context))])).ask()
}

#[test]
fn the_declared_groups_of_a_container_are_those_of_its_security_context() {
    let word = word_on(
        r#"{"run_as_user":{"value":1000},"run_as_group":{"value":1000},"supplemental_groups":[7000,5000,5000]}"#,
    );
    assert_eq!(word.unwrap(), Word { declared: known(&[5000, 7000], true), sandbox: false });
}

#[test]
fn group_0_is_declared_by_an_empty_object() {
    assert_eq!(word_on(r#"{"run_as_group":{}}"#).unwrap().declared, known(&[], true));
    assert_eq!(word_on(r#"{"run_as_group":null}"#).unwrap().declared, known(&[], false));
    assert_eq!(word_on("{}").unwrap().declared, known(&[], false));
    assert_eq!(word_on("null").unwrap().declared, known(&[], false));
}

#[test]
fn a_sandbox_declares_no_groups_whatever_its_pod_declares() {
    let text = stored(r#"{"run_as_group":{"value":7},"supplemental_groups":[5000]}"#);
    let word = Fake::with(container(&[(SANDBOX, &text)])).ask().unwrap();
    assert_eq!(word, Word { declared: known(&[], true), sandbox: true });
}

#[test]
fn a_container_that_is_none_of_the_cri_s_has_no_declaration() {
    let word = Fake::with(container(&[("com.example.other", "garbage")])).ask().unwrap();
    assert_eq!(word, Word { declared: Declared::Unknown, sandbox: false });
}

#[test]
fn a_container_that_claims_to_be_a_sandbox_too_is_refused() {
    let text = stored("{}");
    let why = Fake::with(container(&[(SANDBOX, &text), (CONTAINER, &text)])).refusal();
    assert!(why.contains("is a sandbox and is none"), "{why}");
}

#[test]
fn gids_that_are_none_are_refused_by_number() {
    for (context, gid) in [
        (r#"{"supplemental_groups":[5000,-1]}"#, "-1"),
        (r#"{"supplemental_groups":[2147483648]}"#, "2147483648"),
        (r#"{"supplemental_groups":[4294967296]}"#, "4294967296"),
        (r#"{"run_as_group":{"value":-5}}"#, "-5"),
    ] {
        let why = word_on(context).unwrap_err().to_string();
        assert!(why.contains(&format!("declares {gid}, which is no gid")), "{why}");
    }
}

#[test]
fn metadata_that_is_not_what_is_known_is_refused() {
    for json in [
        "",
        "garbage",
        "{}",
        r#"{"Version":"v1"}"#,
        r#"{"Version":"v1","Metadata":{}}"#,
        r#"{"Version":"v2","Metadata":{"Config":{}}}"#,
        r#"{"Version":"v1","Metadata":{"Config":{}},"Version":"v1"}"#,
        &stored(r#"{"supplemental_groups":["5000"]}"#),
        &stored(r#"{"supplemental_groups":[5000.5]}"#),
        &stored(r#"{"supplemental_groups":[99999999999999999999]}"#),
        &format!("{} 1", stored("{}")),
    ] {
        let why = Fake::with(container(&[(CONTAINER, json)])).refusal();
        assert!(why.contains(CONTAINER), "{json}: {why}");
    }
}

#[test]
fn an_answer_about_another_container_is_refused() {
    let other = Container { id: "c2".to_owned(), ..container(&[]) };
    assert!(Fake::with(other).refusal().contains("isn't about container \"c1\""));
    assert!(Fake::speaking(framed(&[]), "0").refusal().contains("isn't about container \"c1\""));
}

#[test]
fn a_container_that_it_does_not_know_is_refused_by_name() {
    let why = Fake::speaking(Vec::new(), "5").refusal();
    assert!(why.contains("knows no container \"c1\" in its namespace \"k8s.io\""), "{why}");
}

#[test]
fn a_missing_socket_a_file_and_a_socket_without_a_listener_are_refused() {
    let fake = Fake { folder: tempfile::tempdir().unwrap() };
    assert!(fake.refusal().contains("can't be reached: no such file or directory"));
    drop(UnixListener::bind(fake.socket()).unwrap());
    assert!(fake.refusal().contains("can't be reached: connection refused"));
    std::fs::remove_file(fake.socket()).unwrap();
    std::fs::write(fake.socket(), "").unwrap();
    assert!(fake.refusal().contains("can't be reached: connection refused"));
}

#[test]
fn a_server_that_says_nothing_is_left_at_the_deadline() {
    let why = Fake::new(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    })
    .refusal();
    assert!(why.contains("no answer in 300 ms"), "{why}");
}

#[test]
fn a_server_that_drips_its_answer_is_left_at_the_deadline() {
    // The head of a frame of 100 bytes, of which none comes.
    let why = Fake::new(|stream| {
        let _ = in_tokio(stream, |stream| async {
            let mut connection = h2::server::handshake(stream).await?;
            let mut held = Vec::new();
            while let Some(next) = connection.accept().await {
                let (_, mut respond) = next?;
                let response =
                    Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut stream = respond.send_response(response, false)?;
                stream.send_data(vec![0, 0, 0, 0, 100].into(), false)?;
                held.push(stream);
            }
            Ok::<_, h2::Error>(())
        });
    })
    .refusal();
    assert!(why.contains("no answer in 300 ms"), "{why}");
}

#[test]
fn garbage_in_place_of_http_2_is_refused() {
    for garbage in [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[0; 4096], &[0xff; 4096], b""] {
        let fake = Fake::new(move |mut stream| {
            let _ = stream.write_all(garbage);
        });
        fake.refusal();
    }
}

#[test]
fn a_connection_that_closes_after_the_question_is_refused() {
    let fake = Fake::new(|stream| {
        let _ = in_tokio(stream, |stream| async {
            let mut connection = h2::server::handshake(stream).await?;
            let _request = connection.accept().await;
            Ok::<_, h2::Error>(())
        });
    });
    fake.refusal();
}

#[test]
fn an_answer_that_is_no_such_message_is_refused() {
    // Field 1 as a number in place of a message; a length beyond the end; an unfinished varint; an unknown wire type.
    for message in [&[0x08, 0x01][..], &[0x0a, 0x7f], &[0x0a, 0xff], &[0x0f]] {
        let why = Fake::speaking(framed(message), "0").refusal();
        assert!(why.contains("its answer can't be used"), "{why}");
    }
}

#[test]
fn an_answer_that_claims_or_has_more_than_the_limit_is_refused() {
    let claim = vec![0, 0xff, 0xff, 0xff, 0xff];
    let why = Fake::speaking(claim, "0").refusal();
    assert!(why.contains("its answer can't be used"), "{why}");
    let why = Fake::speaking(framed(&vec![0; call::LIMIT + 1]), "0").refusal();
    assert!(why.contains("its answer can't be used"), "{why}");
}

#[test]
fn a_large_document_beside_the_metadata_is_skipped() {
    // Field 9 is the container's document, which we have on disk.
    let mut answer = container(&[(CONTAINER, &stored(r#"{"supplemental_groups":[5000]}"#))]).encode_to_vec();
    let document = vec![b' '; 8 << 20];
    answer.push(9 << 3 | 2);
    prost::encoding::encode_varint(document.len() as u64, &mut answer);
    answer.extend_from_slice(&document);
    let mut whole = vec![0x0a];
    prost::encoding::encode_varint(answer.len() as u64, &mut whole);
    whole.extend_from_slice(&answer);
    let fake = Fake::speaking(framed(&whole), "0");
    let config = Containerd { address: fake.socket(), timeout_ms: 10_000 };
    let word = ask(&config, Path::new("/run/containerd/runc/k8s.io"), "c1").unwrap();
    assert_eq!(word.declared, known(&[5000], false));
}

#[test]
fn a_root_that_names_no_namespace_is_refused_before_anything_is_asked() {
    let fake = Fake { folder: tempfile::tempdir().unwrap() };
    let config = Containerd { address: fake.socket(), timeout_ms: 300 };
    for root in ["/", "/run/a\u{1}b"] {
        let why = ask(&config, Path::new(root), "c1").unwrap_err().to_string();
        assert!(why.contains("is no containerd namespace"), "{why}");
    }
}

#[test]
fn another_engine_is_not_asked() {
    let mut subject = Subject { sandbox: false, ..Subject::default() };
    for engine in [Engine::None, Engine::CriO, Engine::Podman] {
        let address = PathBuf::from("/nonexistent");
        let config =
            Config { engine, containerd: Containerd { address, timeout_ms: 1 }, ..Config::default() };
        complete(&mut subject, &config, Path::new("/run/runc"), "c1").unwrap();
        assert_eq!(subject.declared, Declared::Unknown);
    }
}

#[test]
fn a_containerd_that_knows_no_such_container_answers() {
    let answers = |fake: &Fake| answers(&Containerd { address: fake.socket(), timeout_ms: 300 });
    answers(&Fake::speaking(Vec::new(), "5")).unwrap();
    for status in ["7", "14"] {
        let why = answers(&Fake::speaking(Vec::new(), status)).unwrap_err().to_string();
        assert!(why.contains("its answer can't be used"), "{why}");
    }
    let why = answers(&Fake::new(drop)).unwrap_err().to_string();
    assert!(why.starts_with("containerd at \""), "{why}");
}
