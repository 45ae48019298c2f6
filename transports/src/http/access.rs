//! Who may ask, and for whom: host, token, tenant. What passes carries a [`CallContext`] in its extensions.
//!
//! Who may operate the node is asked on top of that, by [`operator`].

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use beluga_core::{CallContext, Code, Error, RequestId, Result, TenantId, TraceContext};

use super::body::check_media_type;
use super::face::Face;
use super::problem::{Answer, header};

/// The header that names the tenant.
const TENANT: &str = "x-beluga-tenant";

/// What a proxy adds when it passes on what others ask.
const FORWARDED: [&str; 2] = ["forwarded", "x-forwarded-for"];

/// The caller's address, put into the extensions of each request by the listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The trace the caller is part of, if it said so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming(pub(super) Option<TraceContext>);

/// Lets a request through or answers why not.
pub(super) async fn check(State(face): State<Face>, mut request: Request, next: Next) -> Response {
    match admit(&face, &request) {
        Ok(context) => {
            let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
            let incoming = Incoming(trace.and_then(TraceContext::parse));
            request.extensions_mut().insert(incoming);
            request.extensions_mut().insert(context);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

fn admit(face: &Face, request: &Request) -> Answer<CallContext> {
    let headers = request.headers();
    let mut context = CallContext::new();
    if let Some(id) = request.extensions().get::<RequestId>() {
        context = context.with_request_id(id.clone());
    }
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return Ok(context);
    }
    match face.token() {
        Some(token) => {
            check_token(headers, token)?;
            context = context.with_principal("token");
        }
        None if face.0.settings.check_host => check_host(face, headers, request.uri())?,
        None => {}
    }
    if let Some(tenant) = header(headers, TENANT)? {
        let local = request.extensions().get::<Peer>().is_some_and(|peer| is_loopback(peer.0.ip()));
        if !local && !face.0.settings.trust_tenant_header {
            let error = "X-Beluga-Tenant is not believed from here; see [http] trust_tenant_header";
            return Err(Error::new(Code::PermissionDenied, error).into());
        }
        context = context.with_tenant(TenantId::parse(tenant)?);
    }
    // Only a tenant that passed has a tier: it buys limits.
    let tier = face.0.settings.tiers.get(context.tenant()).cloned();
    Ok(match tier {
        Some(tier) => context.with_tier(tier),
        None => context,
    })
}

/// Lets an operator through, or answers why not: who may change what runs, and see what is no tenant's.
pub(super) async fn operator(State(face): State<Face>, request: Request, next: Next) -> Response {
    match operates(&face, &request) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// The node's token makes an operator. Without one it takes this machine, by a name that no web page can take, and
/// nobody in between who speaks for others. Whoever acts for a tenant is none.
pub(super) fn operates(face: &Face, request: &Request) -> Answer<()> {
    let headers = request.headers();
    let refused = |why: &'static str| Err(Error::new(Code::PermissionDenied, why).into());
    if headers.contains_key(TENANT) {
        return refused("a caller that acts for a tenant does not operate the node");
    }
    if face.token().is_none() {
        let local = request.extensions().get::<Peer>().is_some_and(|peer| is_loopback(peer.0.ip()));
        if !local || FORWARDED.iter().any(|name| headers.contains_key(*name)) {
            return refused("without a token the node is operated from its own machine only; see [http] token_env");
        }
        check_host(face, headers, request.uri())?;
    }
    if request.method() == Method::POST {
        check_media_type(headers)?;
    }
    Ok(())
}

fn check_token(headers: &HeaderMap, token: &str) -> Answer<()> {
    let given = header(headers, AUTHORIZATION.as_str())?;
    let given =
        given.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match given {
        Some((_, given)) if same_secret(given.trim().as_bytes(), token.as_bytes()) => Ok(()),
        Some(_) => Err(Error::new(Code::AuthError, "the token is wrong").into()),
        None => Err(Error::new(Code::AuthError, "a bearer token is needed").into()),
    }
}

/// Compares in a time that depends on the given secret's length only.
fn same_secret(given: &[u8], secret: &[u8]) -> bool {
    let mut difference = given.len() ^ secret.len();
    for (place, byte) in given.iter().enumerate() {
        let other = secret.get(place % secret.len().max(1)).copied().unwrap_or_default();
        difference |= usize::from(black_box(byte ^ other));
    }
    black_box(difference) == 0
}

/// Refuses names that are not this machine's: a web page whose name suddenly points to loopback stays outside.
fn check_host(face: &Face, headers: &HeaderMap, uri: &Uri) -> Answer<()> {
    let host = header(headers, HOST.as_str())?.or_else(|| uri.authority().map(|authority| authority.as_str()));
    // HTTP/1.0 knows no host, and no browser speaks it.
    let Some(host) = host else { return Ok(()) };
    let name = host_name(host)?;
    let allowed = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(is_loopback)
        || face.0.settings.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
    if allowed {
        return Ok(());
    }
    let shown: String = name.chars().take(100).flat_map(char::escape_default).collect();
    let error = Error::new(Code::PermissionDenied, "this node does not answer to that name; see [http] allowed_hosts");
    Err(error.with("host", shown).into())
}

/// Returns the host without its port; an IPv6 address without its brackets.
fn host_name(host: &str) -> Result<&str> {
    let wrong = || Error::invalid_input("the host header is malformed");
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map(|(address, _)| address).ok_or_else(wrong);
    }
    host.split(':').next().filter(|name| !name.is_empty()).ok_or_else(wrong)
}

/// Returns whether an address is this machine's own, also where IPv4 arrives over IPv6.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_equals_only_itself() {
        assert!(same_secret(b"secret", b"secret"));
        for other in ["", "s", "secres", "secretsecret", "secretsecretsecret"] {
            assert!(!same_secret(other.as_bytes(), b"secret"), "{other}");
        }
        assert!(!same_secret(b"x", b""));
    }

    #[test]
    fn a_host_is_named_without_its_port() {
        assert_eq!(host_name("localhost:8080").unwrap(), "localhost");
        assert_eq!(host_name("[::1]:8080").unwrap(), "::1");
        assert!(host_name(":80").is_err() && host_name("[::1").is_err());
        assert!(is_loopback("::ffff:127.0.0.1".parse().unwrap()));
    }
}
