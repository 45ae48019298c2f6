//! A host on tokio, and small servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use beluga_core::{
    BoxFuture, CallContext, ChatMessage, ChatModel, Host, ModelRegistry, ModelRequest, ProviderConfig, Registry,
    Result, SecretString,
};
use beluga_providers::http::{HttpClient, Network};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Time and tasks of tokio, and random numbers that count up. Its clock may run faster than the world's.
#[derive(Debug)]
pub(crate) struct TestHost {
    drawn: AtomicU64,
    start: Instant,
    speed: u32,
}

impl TestHost {
    #[allow(clippy::disallowed_methods, reason = "this is the host of these tests")]
    fn new(speed: u32) -> Self {
        Self { drawn: AtomicU64::new(0), start: tokio::time::Instant::now().into_std(), speed }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the host of these tests")]
impl Host for TestHost {
    fn now(&self) -> Instant {
        self.start + (tokio::time::Instant::now().into_std() - self.start) * self.speed
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration / self.speed))
    }

    fn random(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }

    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        drop(tokio::spawn(future));
    }

    fn spawn_thread(&self, name: &'static str, run: Box<dyn FnOnce() + Send>) -> Result<()> {
        std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(())
    }

    fn block(&self, run: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(tokio::task::spawn_blocking(run).await) })
    }
}

pub(crate) fn host() -> Arc<dyn Host> {
    Arc::new(TestHost::new(1))
}

/// A host whose minutes last a tenth of a second.
pub(crate) fn hasty_host() -> Arc<dyn Host> {
    Arc::new(TestHost::new(600))
}

/// Makes a model of a kind that talks to `base_url` and to nothing but this machine.
pub(crate) fn model(kind: &str, base_url: &str) -> Arc<dyn ChatModel> {
    model_with(kind, base_url, |_| ())
}

pub(crate) fn model_with(kind: &str, base_url: &str, change: impl FnOnce(&mut ProviderConfig)) -> Arc<dyn ChatModel> {
    model_on(host(), kind, base_url, change)
}

pub(crate) fn model_on(
    host: Arc<dyn Host>,
    kind: &str,
    base_url: &str,
    change: impl FnOnce(&mut ProviderConfig),
) -> Arc<dyn ChatModel> {
    let mut registry: ModelRegistry = Registry::new("provider kind");
    beluga_providers::llm::register_with(&mut registry, &HttpClient::new(Network::LoopbackOnly).unwrap()).unwrap();
    let mut config = ProviderConfig::new(kind);
    config.base_url = Some(base_url.to_owned());
    config.model = Some("test-model".to_owned());
    config.api_key = Some(SecretString::from("key-of-the-test".to_owned()));
    change(&mut config);
    registry.get(kind).unwrap().build(&config, host).unwrap()
}

pub(crate) fn hello() -> Arc<ModelRequest> {
    Arc::new(ModelRequest { messages: vec![Arc::new(ChatMessage::user("Hello"))], ..ModelRequest::default() })
}

/// A context whose deadline lies far enough away to never matter, and near enough to end a test that hangs.
pub(crate) fn context() -> CallContext {
    CallContext::new().with_timeout(TestHost::new(1).now(), Duration::from_secs(20))
}

/// Accepts connections, reads a little, writes `reply` raw, and closes; returns its `host:port`.
#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
pub(crate) async fn raw(reply: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 16 * 1024];
            assert_ne!(socket.read(&mut buffer).await.unwrap(), 0);
            socket.write_all(reply.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    });
    address
}
