//! One call: sent, answered whole, ended by its caller's deadline or cancellation.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use beluga_core::{CallContext, Code, Error, ExposeSecret, Host, Result, SecretString};
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::http::{HttpClient, HttpRequest, HttpResponse, retry_after};
use crate::llm::fault::VendorError;

/// The most bytes an answer that comes whole may have; more ends the call with `provider_unavailable`.
pub const VENDOR_ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// The most bytes of an error's body that are read.
const ERROR_MAX_BYTES: usize = 64 * 1024;

/// Everything calls of one credential share.
pub(crate) struct Connection {
    /// The value of `gen_ai.provider.name`, for errors.
    pub(crate) provider: &'static str,
    /// With the key, marked as sensitive.
    pub(crate) headers: HeaderMap,
    /// The key, so that an error never repeats it.
    pub(crate) key: Option<SecretString>,
    pub(crate) client: HttpClient,
    pub(crate) host: Arc<dyn Host>,
    /// The most time of one call, its whole answer included.
    pub(crate) timeout: Duration,
}

/// One body and where it goes.
pub(crate) struct Posted {
    /// What is done, for errors: `embedder.embed`.
    pub(crate) op: &'static str,
    pub(crate) url: Url,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Sends a body and returns that of the answer. Cancel safe: dropping the future closes the request.
    ///
    /// # Errors
    /// `cancelled`, `timeout`; what the vendor refused it with; `provider_unavailable` if nothing, half an answer or too
    /// much came.
    pub(crate) async fn post(&self, posted: Posted, cx: &CallContext) -> Result<Vec<u8>> {
        let op = posted.op;
        self.ended(posted, cx).await.map_err(|error| error.with_op(op).with("provider", self.provider))
    }

    async fn ended(&self, posted: Posted, cx: &CallContext) -> Result<Vec<u8>> {
        let now = self.host.now();
        cx.check(now)?;
        let remaining = cx.remaining(now).filter(|remaining| *remaining < self.timeout);
        let limit = std::pin::pin!(self.host.sleep(remaining.unwrap_or(self.timeout)));
        let end = select(cx.cancel_token().cancelled(), limit);
        match select(std::pin::pin!(self.exchange(posted)), end).await {
            Either::Left((answer, _)) => answer,
            Either::Right((Either::Left(_), _)) => Err(Error::cancelled("the call was cancelled")),
            Either::Right((Either::Right(_), _)) if remaining.is_some() => Err(Error::timeout("the deadline passed")),
            Either::Right((Either::Right(_), _)) => {
                Err(Error::timeout(format!("the vendor gave no answer within {:?}", self.timeout)))
            }
        }
    }

    async fn exchange(&self, posted: Posted) -> Result<Vec<u8>> {
        let request = HttpRequest {
            method: Method::POST,
            url: posted.url,
            headers: self.headers.clone(),
            body: Bytes::from(posted.body),
        };
        let response = self.client.send(request).await.map_err(|error| match error.code() {
            // Nothing arrived there: any repetition, here or elsewhere, is safe.
            Code::NotSent => Error::provider_unavailable("no connection to the vendor").with_source(error),
            _ => error,
        })?;
        if !response.status.is_success() {
            return Err(self.refused(response).await);
        }
        match response.collect(VENDOR_ANSWER_MAX_BYTES).await? {
            (body, false) => Ok(body),
            (_, true) => {
                Err(Error::provider_unavailable(format!("the answer has more than {VENDOR_ANSWER_MAX_BYTES} bytes")))
            }
        }
    }

    async fn refused(&self, response: HttpResponse) -> Error {
        let (status, headers) = (response.status, response.headers.clone());
        // A refusal whose reason breaks off is one all the same.
        let body = response.collect(ERROR_MAX_BYTES).await.map(|(body, _)| body).unwrap_or_default();
        let secret = self.key.as_ref().map(|key| key.expose_secret().trim());
        refusal(status, &headers, self.host.wall(), &body, secret)
    }
}

/// Makes the error of an answer whose status is no success. `wall` is the calendar time, for a `Retry-After` that is a
/// date; `secret` never shows, even if the vendor repeats it.
#[must_use]
pub fn refusal(status: StatusCode, headers: &HeaderMap, wall: SystemTime, body: &[u8], secret: Option<&str>) -> Error {
    VendorError::parse(body).into_error(status.as_u16(), retry_after(headers, wall), secret)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("provider", &self.provider).finish_non_exhaustive()
    }
}
