//! Requests, responses, and where they may go.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::{BoxStream, Code, Error, Result};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The most time to reach a server: name, connection and TLS handshake.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unused connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// How many unused connections are kept per server.
const POOL_IDLE_PER_HOST: usize = 32;

/// Where requests may go. Given at construction: a test that forbids the network forbids it for its own clients only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Anywhere.
    #[default]
    Allowed,
    /// To this machine only: `localhost` and loopback addresses.
    LoopbackOnly,
    /// Nowhere.
    Forbidden,
}

/// An HTTP client with one pool of connections. A clone shares the pool.
///
/// It follows no redirect and keeps no cookie. Proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`, …) are used for
/// everything but this machine itself.
#[derive(Clone)]
pub struct HttpClient {
    network: Network,
    /// Without proxies, for this machine.
    near: reqwest::Client,
    far: reqwest::Client,
}

/// A request. Its `Debug` shows neither headers, nor body, nor credentials in the address.
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The address.
    pub url: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
}

/// The head of a response, and its body as a stream. Dropping it closes the request.
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body. An error is its last item: `provider_unavailable`, the connection broke.
    pub body: BoxStream<'static, Result<Bytes>>,
}

impl HttpClient {
    /// Makes a client. No I/O happens; connections are made by the first requests.
    ///
    /// # Errors
    /// `internal` if TLS cannot be set up.
    pub fn new(network: Network) -> Result<Self> {
        let tls = super::tls::config()?;
        let builder = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .tcp_nodelay(true)
                .user_agent(concat!("beluga/", env!("CARGO_PKG_VERSION")))
        };
        let failed =
            |error: reqwest::Error| Error::internal("the HTTP client cannot be built").with_source(error.without_url());
        let near = builder().no_proxy().build().map_err(failed)?;
        let far = builder().build().map_err(failed)?;
        Ok(Self { network, near, far })
    }

    /// Returns where requests may go.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// Checks an address against the network policy.
    ///
    /// # Errors
    /// `invalid_input` if it is neither http nor https, or names no host; `permission_denied` if the policy forbids it.
    pub fn check(&self, url: &Url) -> Result<()> {
        let Some(host) = url.host() else {
            return Err(Error::invalid_input("the address names no host"));
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::invalid_input(format!("the scheme {:?} is neither http nor https", url.scheme())));
        }
        let refusal = match self.network {
            Network::Allowed => return Ok(()),
            Network::LoopbackOnly if is_near(&host) => return Ok(()),
            Network::LoopbackOnly => "only this machine may be reached",
            Network::Forbidden => "the network is forbidden",
        };
        Err(Error::new(Code::PermissionDenied, refusal).with("host", host))
    }

    /// Sends a request and returns the response's head. Cancel safe: dropping the future closes the request.
    ///
    /// # Errors
    /// As [`check`](Self::check); `not_sent` if no connection came about, so that a repetition is safe;
    /// `provider_unavailable` if the connection broke before the head came.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.check(&request.url)?;
        let host = host_and_port(&request.url);
        let client = if request.url.host().is_some_and(|host| is_near(&host)) { &self.near } else { &self.far };
        let mut builder = client.request(request.method, request.url).headers(request.headers);
        if !request.body.is_empty() {
            builder = builder.body(request.body);
        }
        let response = builder.send().await.map_err(|error| failed(error, &host))?;
        let status = response.status();
        let headers = copied(response.headers());
        let body = Body { inner: Box::pin(response.bytes_stream()), host };
        Ok(HttpResponse { status, headers, body: Box::pin(body) })
    }
}

/// Copies headers: as they come, each of them holds the whole buffer its connection was read into.
fn copied(headers: &HeaderMap) -> HeaderMap {
    let mut copies = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.set_sensitive(value.is_sensitive());
            copies.append(name.clone(), copy);
        }
    }
    copies
}

impl HttpResponse {
    /// Reads the body up to a limit and says whether there was more. Cancel safe.
    ///
    /// # Errors
    /// `provider_unavailable` if the connection broke.
    pub async fn collect(mut self, max_bytes: usize) -> Result<(Vec<u8>, bool)> {
        let mut body = Vec::new();
        while let Some(piece) = self.body.next().await {
            let piece = piece?;
            let room = max_bytes.saturating_sub(body.len());
            if let Some(fitting) = piece.get(..room.min(piece.len())) {
                body.extend_from_slice(fitting);
            }
            if piece.len() > room {
                return Ok((body, true));
            }
        }
        Ok((body, false))
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("network", &self.network).finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("host", &host_and_port(&self.url))
            .field("path", &self.url.path())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The body with its errors translated.
struct Body<S> {
    inner: Pin<Box<S>>,
    host: String,
}

impl<S: Stream<Item = reqwest::Result<Bytes>>> Stream for Body<S> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner
            .as_mut()
            .poll_next(cx)
            .map(|piece| piece.map(|piece| piece.map_err(|error| broken(error, &self.host))))
    }
}

/// Returns `host:port` for errors: never a path, a query or a credential.
fn host_and_port(url: &Url) -> String {
    match (url.host(), url.port_or_known_default()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_string(),
        (None, _) => String::new(),
    }
}

fn is_near(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => mapped.is_loopback(),
            None => IpAddr::V6(*address).is_loopback(),
        },
    }
}

fn failed(error: reqwest::Error, host: &str) -> Error {
    let error = error.without_url();
    if error.is_builder() {
        return Error::invalid_input("the request cannot be built").with("host", host).with_source(error);
    }
    if error.is_connect() {
        let what = if error.is_timeout() { "no connection in time" } else { "no connection" };
        return Error::not_sent(what).with("host", host).with_source(error);
    }
    broken(error, host)
}

fn broken(error: reqwest::Error, host: &str) -> Error {
    Error::provider_unavailable("the connection broke").with("host", host).with_source(error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(network: Network, url: &str) -> Result<()> {
        HttpClient::new(network).unwrap().check(&Url::parse(url).unwrap())
    }

    #[test]
    fn loopback_only_means_this_machine() {
        for url in ["http://127.0.0.1:1/", "http://[::1]/", "http://LOCALHOST:8080/", "http://[::ffff:127.0.0.1]/"] {
            assert!(check(Network::LoopbackOnly, url).is_ok(), "{url}");
        }
        for url in ["http://10.0.0.1/", "https://example.com/", "http://localhost.example.com/", "http://0.0.0.0/"] {
            assert_eq!(check(Network::LoopbackOnly, url).unwrap_err().code(), Code::PermissionDenied, "{url}");
        }
    }

    #[test]
    fn a_forbidden_network_refuses_even_this_machine() {
        let error = check(Network::Forbidden, "http://127.0.0.1/").unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
        assert!(!error.is_retryable());
    }

    #[test]
    fn other_schemes_are_refused() {
        assert_eq!(check(Network::Allowed, "ftp://example.com/").unwrap_err().code(), Code::InvalidInput);
    }

    #[test]
    fn a_request_shows_no_credentials() {
        let request = HttpRequest {
            method: Method::GET,
            url: Url::parse("http://user:pass@example.com/path?key=secret").unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"secret"),
        };
        let shown = format!("{request:?}");
        assert!(!shown.contains("pass") && !shown.contains("secret") && shown.contains("example.com:80"), "{shown}");
    }
}
