//! Google's access tokens: fetched when one is needed, kept while they are good.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beluga_core::{BoxFuture, Code, Error, ErrorRecord, Host, Result, Retry, SecretString};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::google::{GoogleCredentials, Grant};
use crate::http::{HttpClient, HttpRequest, retry_after};

/// How long before its end a token is renewed: a request that is sent with it must still arrive in time.
pub const TOKEN_MARGIN: Duration = Duration::from_secs(120);

/// How long a token is taken to be good where the vendor does not say.
const LIFETIME_DEFAULT: u64 = 300;

/// The most bytes of a token endpoint's answer.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Gives access tokens of one account. A clone shares the token.
///
/// However many ask at once, one fetch runs; it ends when nobody waits for it any more. A failed one is not remembered.
#[derive(Clone)]
pub struct TokenSource(Arc<Inner>);

struct Inner {
    credentials: GoogleCredentials,
    client: HttpClient,
    host: Arc<dyn Host>,
    state: Mutex<State>,
}

type Fetch = BoxFuture<'static, std::result::Result<SecretString, ErrorRecord>>;

#[derive(Default)]
struct State {
    token: Option<(SecretString, Instant)>,
    fetch: Option<WeakShared<Fetch>>,
}

/// What a token endpoint answers.
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<u64>,
    error: Option<String>,
}

impl TokenSource {
    /// Makes a source that has no token yet.
    #[must_use]
    pub fn new(credentials: GoogleCredentials, client: HttpClient, host: Arc<dyn Host>) -> Self {
        Self(Arc::new(Inner { credentials, client, host, state: Mutex::default() }))
    }

    /// Returns a token that is good for [`TOKEN_MARGIN`] at least, unless it was given from outside. Cancel safe.
    ///
    /// # Errors
    /// `auth_error` if there is no usable credential or the vendor refuses it; `provider_unavailable` if no token came.
    pub fn token(&self) -> BoxFuture<'static, Result<SecretString>> {
        if let GoogleCredentials::Token(token) = &self.0.credentials {
            return std::future::ready(Ok(token.clone())).boxed();
        }
        let mut state = self.0.state.lock();
        if let Some((token, until)) = &state.token
            && *until > self.0.host.now()
        {
            return std::future::ready(Ok(token.clone())).boxed();
        }
        let running = state.fetch.as_ref().and_then(WeakShared::upgrade).filter(|fetch| fetch.peek().is_none());
        let fetch = running.unwrap_or_else(|| {
            let source = self.clone();
            let fetch: Fetch = Box::pin(async move { source.fetch().await.map_err(|error| ErrorRecord::from(&error)) });
            let fetch: Shared<Fetch> = fetch.shared();
            state.fetch = fetch.downgrade();
            fetch
        });
        drop(state);
        fetch.map(|token| token.map_err(Error::from)).boxed()
    }

    async fn fetch(&self) -> Result<SecretString> {
        let Inner { credentials, client, host, state } = &*self.0;
        let GoogleCredentials::File(path) = credentials.clone() else {
            return Err(Error::internal("a given token is not fetched"));
        };
        let (tx, rx) = oneshot::channel();
        let wall = host.wall();
        host.block(Box::new(move || drop(tx.send(Grant::read(&path, wall))))).await;
        let grant = rx.await.map_err(|_| Error::internal("the file of Google's credentials was not read"))??;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let request = HttpRequest { method: Method::POST, url: grant.url, headers, body: Bytes::from(grant.body) };
        let response = client.send(request).await?;
        let (status, wait) = (response.status, retry_after(&response.headers, wall));
        let (body, _) = response.collect(ANSWER_MAX_BYTES).await?;
        let answer: Option<Answer> = serde_json::from_slice(&body).ok();
        match answer {
            Some(Answer { access_token: Some(token), expires_in, .. }) if status.is_success() => {
                let token = SecretString::from(token);
                let lifetime = Duration::from_secs(expires_in.unwrap_or(LIFETIME_DEFAULT)).saturating_sub(TOKEN_MARGIN);
                if let Some(until) = host.now().checked_add(lifetime) {
                    state.lock().token = Some((token.clone(), until));
                }
                Ok(token)
            }
            answer => Err(refusal(status.as_u16(), answer.and_then(|answer| answer.error).as_deref(), wait)),
        }
    }
}

/// Makes the error of a token endpoint's refusal. Its own words are kept back but for the code of RFC 6749.
fn refusal(status: u16, code: Option<&str>, wait: Option<Duration>) -> Error {
    let error = match status {
        429 => Error::new(Code::RateLimit, "Google's token endpoint wants to be left alone"),
        400..=499 => Error::new(Code::AuthError, "Google's token endpoint refused the credentials"),
        _ => Error::provider_unavailable("Google's token endpoint gave no token"),
    };
    let known = |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let error = match code.filter(known) {
        Some(code) => error.with("vendor_code", code),
        None => error,
    };
    match (error.retry(), wait) {
        (Retry::Now | Retry::After(_), Some(wait)) => error.with_retry(Retry::After(wait)),
        _ => error,
    }
    .with("status", status)
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenSource").field(&self.0.credentials).finish()
    }
}
