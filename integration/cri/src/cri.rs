//! The CRI as the kubelet speaks it: gRPC over containerd's socket. Each call blocks; many threads may share one
//! client.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hyper_util::rt::TokioIo;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{self as api, ImageSpec, ImageStatusRequest, VersionRequest};
use tokio::net::UnixStream;
use tonic::Response;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::watch::LIMIT;

/// A client.
#[derive(Clone)]
pub(crate) struct Cri {
    tokio: Arc<tokio::runtime::Runtime>,
    channel: Channel,
}

impl Cri {
    /// A client of the socket, which is opened at the first call and again after it was closed.
    ///
    /// # Errors
    /// When the threads under it can't be started.
    pub(crate) fn new(socket: PathBuf) -> Result<Self> {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let connect = move |_: Uri| {
            let socket = socket.clone();
            async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
        };
        let _inside = tokio.enter();
        let endpoint = Endpoint::from_static("http://containerd").timeout(LIMIT);
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn(connect));
        drop(_inside);
        Ok(Self { tokio: Arc::new(tokio), channel })
    }

    fn call<T>(&self, call: impl Future<Output = Result<Response<T>, tonic::Status>>) -> Result<T> {
        match self.tokio.block_on(call) {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => bail!("{}", status.message()),
        }
    }

    fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone())
    }

    /// Waits until the CRI serves. There is no event for it between "booted" and the first answer.
    pub(crate) fn await_ready(&self) -> Result<()> {
        self.retry("the CRI serves", || {
            self.call(self.runtime().version(VersionRequest::default())).map(|_| ())
        })
    }

    /// Waits until the CRI knows an image, which it learns a moment after the import.
    pub(crate) fn await_image(&self, name: &str) -> Result<()> {
        self.retry(name, || {
            let image = Some(ImageSpec { image: name.to_owned(), ..Default::default() });
            let request = ImageStatusRequest { image, verbose: false };
            let mut client = ImageServiceClient::new(self.channel.clone());
            self.call(client.image_status(request))?
                .image
                .map(|_| ())
                .context("the CRI doesn't know the image")
        })
    }

    fn retry(&self, what: &str, attempt: impl Fn() -> Result<()>) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match attempt() {
                Ok(()) => return Ok(()),
                Err(why) if Instant::now() > until => return Err(why.context(format!("wait until {what}"))),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub(crate) fn run_pod(&self, config: &api::PodSandboxConfig, handler: &str) -> Result<String> {
        let request =
            api::RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: handler.to_owned() };
        Ok(self.call(self.runtime().run_pod_sandbox(request))?.pod_sandbox_id)
    }

    pub(crate) fn create(
        &self,
        pod: &str,
        config: &api::ContainerConfig,
        sandbox: &api::PodSandboxConfig,
    ) -> Result<String> {
        let request = api::CreateContainerRequest {
            pod_sandbox_id: pod.to_owned(),
            config: Some(config.clone()),
            sandbox_config: Some(sandbox.clone()),
        };
        Ok(self.call(self.runtime().create_container(request))?.container_id)
    }

    pub(crate) fn start(&self, id: &str) -> Result<()> {
        self.call(
            self.runtime().start_container(api::StartContainerRequest { container_id: id.to_owned() }),
        )?;
        Ok(())
    }

    /// Waits until a container has ended, and gives its exit code. Events are not what the CRI of 1.6 has.
    pub(crate) fn await_end(&self, id: &str) -> Result<i32> {
        let code = std::cell::Cell::new(0);
        self.retry("a container ends", || {
            let request = api::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
            let status = self.call(self.runtime().container_status(request))?.status;
            let status = status.context("the CRI knows no status")?;
            code.set(status.exit_code);
            anyhow::ensure!(
                status.state() == api::ContainerState::ContainerExited,
                "it is {:?}",
                status.state()
            );
            Ok(())
        })?;
        Ok(code.get())
    }

    pub(crate) fn stop(&self, id: &str) -> Result<()> {
        let request = api::StopContainerRequest { container_id: id.to_owned(), timeout: 10 };
        self.call(self.runtime().stop_container(request))?;
        Ok(())
    }

    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        let request = api::RemoveContainerRequest { container_id: id.to_owned() };
        self.call(self.runtime().remove_container(request))?;
        Ok(())
    }

    /// Removes a container that may just be ending: until the CRI has learnt of that it removes nothing.
    pub(crate) fn remove_ending(&self, id: &str) -> Result<()> {
        self.retry(&format!("container {id} is removed"), || self.remove(id))
    }

    pub(crate) fn remove_pod(&self, pod: &str) -> Result<()> {
        let stop = api::StopPodSandboxRequest { pod_sandbox_id: pod.to_owned() };
        self.call(self.runtime().stop_pod_sandbox(stop))?;
        let remove = api::RemovePodSandboxRequest { pod_sandbox_id: pod.to_owned() };
        self.call(self.runtime().remove_pod_sandbox(remove))?;
        Ok(())
    }

    /// Removes every pod there is.
    pub(crate) fn remove_all(&self) -> Result<()> {
        let pods = self.call(self.runtime().list_pod_sandbox(api::ListPodSandboxRequest::default()))?;
        pods.items.iter().try_for_each(|pod| self.remove_pod(&pod.id))
    }

    /// The exit code and stdout; stderr is added where there is some.
    pub(crate) fn exec_sync(&self, id: &str, words: &[&str]) -> Result<(i32, String)> {
        let request = api::ExecSyncRequest { container_id: id.to_owned(), cmd: owned(words), timeout: 30 };
        let answer = self.call(self.runtime().exec_sync(request))?;
        let text = [answer.stdout, answer.stderr].concat();
        Ok((answer.exit_code, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Where to stream an exec to.
    pub(crate) fn exec(&self, id: &str, words: &[&str]) -> Result<String> {
        let request = api::ExecRequest {
            container_id: id.to_owned(),
            cmd: owned(words),
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        Ok(self.call(self.runtime().exec(request))?.url)
    }

    /// Where to stream the container's own input and output to.
    pub(crate) fn attach(&self, id: &str) -> Result<String> {
        let request = api::AttachRequest {
            container_id: id.to_owned(),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
        };
        Ok(self.call(self.runtime().attach(request))?.url)
    }

    /// Where to stream the bytes of a port to.
    pub(crate) fn port_forward(&self, pod: &str, port: i32) -> Result<String> {
        let request = api::PortForwardRequest { pod_sandbox_id: pod.to_owned(), port: vec![port] };
        Ok(self.call(self.runtime().port_forward(request))?.url)
    }

    pub(crate) fn update(&self, id: &str, resources: api::LinuxContainerResources) -> Result<()> {
        let request = api::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(resources),
            ..Default::default()
        };
        self.call(self.runtime().update_container_resources(request))?;
        Ok(())
    }

    /// The container's memory working set in bytes.
    pub(crate) fn memory_in_use(&self, id: &str) -> Result<u64> {
        let request = api::ContainerStatsRequest { container_id: id.to_owned() };
        let stats = self.call(self.runtime().container_stats(request))?.stats;
        let memory = stats.and_then(|stats| stats.memory).and_then(|memory| memory.working_set_bytes);
        memory.map(|value| value.value).context("ContainerStats says nothing of memory")
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
