//! The listener: accepts connections up to a bound, serves HTTP/1 and HTTP/2 on them, and closes in order.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use beluga_core::{BoxFuture, CancelToken, Error, Result};
use beluga_runtime::{task, time};
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

use super::access::Peer;
use super::stall::Stalling;

/// The most bytes of a request's head, and of what waits to be written on a connection.
pub const HEAD_MAX_BYTES: usize = 64 * 1024;

/// The most time a client may take to send a request's head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How an HTTP/2 connection begins (RFC 9113 §3.4, read 2026-11).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The most streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;

/// The most bytes the system keeps for a reader that is slow.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long the listener rests when the system has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The settings of a listener.
#[derive(Debug, Clone, Copy)]
pub struct ServerSettings {
    /// The most connections at the same time; further ones wait in the system's backlog.
    pub max_connections: usize,
    /// How long a reader may refuse bytes before it is disconnected.
    pub write_timeout: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self { max_connections: 10_000, write_timeout: Duration::from_secs(30) }
    }
}

/// A bound listener that does not accept yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: ServerSettings,
    slots: Arc<Semaphore>,
}

impl Server {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// `config` names the address and why it cannot be used.
    pub fn bind(address: SocketAddr, settings: ServerSettings) -> Result<Self> {
        let refuse = |error: io::Error| {
            Error::config(format!("cannot listen on {address}: {error}")).with_op("http.bind").with_source(error)
        };
        let listener = listen(address).map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        let slots = settings.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Self { listener, address, settings, slots: Arc::new(Semaphore::new(slots)) })
    }

    /// Returns the address with its real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then accepts no more, waits until the open connections have answered what they were asked, at
    /// most `grace`, and disconnects the rest.
    pub async fn serve(&self, router: Router, stop: CancelToken, grace: Duration) {
        let graceful = GracefulShutdown::new();
        let dead = CancelToken::new();
        let builders = Arc::new(Builders::new());
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.accept() => accepted,
            };
            let Some((stream, peer, slot)) = accepted else { break };
            let connection = Connection {
                builders: Arc::clone(&builders),
                stream,
                peer,
                router: router.clone(),
                write_timeout: self.settings.write_timeout,
                slot,
            };
            let serving = connection.serve(graceful.watcher(), stop.clone(), dead.clone());
            drop(task::spawn("http.connection", serving));
        }
        if time::timeout(grace, graceful.shutdown()).await.is_err() {
            dead.cancel();
        }
    }

    /// Waits for a free slot, then for a connection. `None` if no slot will come free any more.
    async fn accept(&self) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, slot)),
                Err(error) => {
                    let of_one_client = matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::ConnectionRefused
                    );
                    if !of_one_client {
                        tracing::warn!(%error, "no connection can be accepted");
                        time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
}

/// Binds with a bounded send buffer, which accepted connections inherit: the system would keep megabytes for each reader
/// that takes nothing.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted node takes its port back at once; on Windows the option would let two processes share it.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What serves a connection: one that is HTTP/1 for certain, or any.
struct Builders {
    http1: http1::Builder,
    any: auto::Builder<TokioExecutor>,
}

impl Builders {
    fn new() -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX_BYTES);
        let mut any = auto::Builder::new(TokioExecutor::new());
        any.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_MAX_BYTES)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_MAX_BYTES).unwrap_or(u32::MAX))
            .max_send_buf_size(HEAD_MAX_BYTES)
            .keep_alive_interval(HEAD_TIMEOUT)
            .keep_alive_timeout(HEAD_TIMEOUT);
        Self { http1, any }
    }
}

struct Connection {
    builders: Arc<Builders>,
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    write_timeout: Duration,
    slot: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, watcher: Watcher, stop: CancelToken, dead: CancelToken) {
        let _counted = Counted::new();
        let begun = tokio::select! {
            begun = time::timeout(HEAD_TIMEOUT, begins_as_http1(&self.stream)) => begun,
            () = stop.cancelled() => return,
        };
        let is_http1 = match begun {
            Ok(Ok(is_http1)) => is_http1,
            Ok(Err(error)) => return tracing::debug!(%error, "a connection broke"),
            Err(error) => return tracing::debug!(%error, "a connection was silent"),
        };
        // An event is written when it is there, not when a packet is full.
        if let Err(error) = self.stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection keeps its delay");
        }
        tokio::select! {
            () = self.drive(is_http1, watcher) => {}
            () = dead.cancelled() => {}
        }
    }

    /// Boxed, because the two protocols differ much in what they keep.
    fn drive(self, is_http1: bool, watcher: Watcher) -> BoxFuture<'static, ()> {
        let Self { builders, stream, peer, router, write_timeout, slot } = self;
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            // Boxed: hyper keeps room for it in the connection, also while the answer streams.
            Box::pin(router.clone().oneshot(request.map(Body::new)))
        });
        let io = TokioIo::new(Stalling::new(stream, write_timeout));
        if is_http1 {
            let connection = watcher.watch(builders.http1.serve_connection(io, service));
            Box::pin(connection.map(|outcome| settle(outcome, slot)))
        } else {
            let connection = watcher.watch(builders.any.serve_connection(io, service).into_owned());
            Box::pin(connection.map(|outcome| settle(outcome, slot)))
        }
    }
}

/// Ends a connection, and only then lets the next one have its place.
fn settle<E: fmt::Display>(outcome: std::result::Result<(), E>, slot: OwnedSemaphorePermit) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke");
    }
    drop(slot);
}

/// Waits for the first bytes of a connection, leaves them there, and returns whether they rule HTTP/2 out.
///
/// To find out while it reads, hyper would keep twice the buffer for as long as the connection lives.
async fn begins_as_http1(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    let count = stream.peek(&mut first).await?;
    Ok(!PREFACE.starts_with(first.get(..count).unwrap_or_default()))
}

/// Counts an open connection in the metrics until it drops.
struct Counted(metrics::Gauge);

impl Counted {
    fn new() -> Self {
        let gauge = metrics::gauge!("beluga_http_connections");
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
