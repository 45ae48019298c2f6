//! Middleware, written once for every kind of call: a request goes in, a stream of items comes out.
//!
//! A layer is a function from a [`SharedService`] to a [`SharedService`]; what is configured off is not stacked and
//! costs nothing. An application's own layers ([`Layer`]) go round the whole stack. State that must survive a restart ([`Breaker`](crate::Breaker), [`RateLimiter`], [`Concurrency`],
//! [`Admission`]) is made by the supervisor and given to the layer. The order is written once, in [`ProviderStack`] and
//! [`RouterStack`].
//!
//! Rules of all layers:
//! - the stream is lazy: nothing is asked before it is first polled;
//! - an error is the last item;
//! - dropping the stream drops the inner one at once, with every permit held for it;
//! - a call is repeated or moved only before its first *content* item ([`Content::is_content`]). Items before that are
//!   passed on as they come, so a reader may see the opening items of more than one try; only a hedge holds them back.
//!
//! Cost: one allocation per layer and call; per item a virtual call.

mod admission;
mod breaker;
mod concurrency;
mod deadline;
mod fallback;
mod gate;
mod hedge;
mod layer;
mod log;
mod rate_limit;
mod retry;
mod stack;
#[cfg(test)]
mod testing;
mod timeout;
mod trace;

use std::sync::Arc;

use beluga_core::{BoxStream, CallContext, Error, Result};
use futures_util::{StreamExt, stream};

pub use admission::{Admission, admission};
pub use beluga_core::Content;
pub use breaker::breaker;
pub use concurrency::{Concurrency, concurrency};
pub use deadline::deadline;
pub use fallback::{Named, fallback};
pub use gate::Weigh;
pub use hedge::hedge;
pub use layer::{Layer, layered};
pub use log::log;
pub use rate_limit::{RateLimitConfig, RateLimiter, TENANTS_MAX, TenantLimits, rate_limit, tenant_rate_limit};
pub use retry::{RetryConfig, retry};
pub use stack::{ProviderStack, RouterStack};
pub use timeout::{TimeoutConfig, timeout};
pub use trace::{Observe, trace};

/// Something that answers requests with a stream. A call with one answer is a stream of one item ([`one`], [`first`]).
///
/// See [`service_fn`] for an example.
pub trait Service<Req>: Send + Sync + 'static {
    /// One item of the answer.
    type Item: Content + Send + 'static;

    /// Returns the answer. Lazy: nothing is sent before the stream is first polled; dropping it cancels the call.
    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Self::Item>>;
}

/// A service as layers hold it.
///
/// See [`service_fn`] for an example.
pub type SharedService<Req, Item> = Arc<dyn Service<Req, Item = Item>>;

impl<Req, S: Service<Req> + ?Sized> Service<Req> for Arc<S> {
    type Item = S::Item;

    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Self::Item>> {
        (**self).call(request, context)
    }
}

/// Makes a service of a function.
///
/// ```
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let greeter: SharedService<&'static str, Word> = service_fn(|name, context: CallContext| {
///     one(async move { if context.is_cancelled() { Err(Error::cancelled("left")) } else { Ok(Word(name)) } })
/// });
/// assert_eq!(first(greeter.call("ann", CallContext::new())).await?.0, "ann");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn service_fn<Req, Item, F>(call: F) -> SharedService<Req, Item>
where
    Item: Content + Send + 'static,
    F: Fn(Req, CallContext) -> BoxStream<'static, Result<Item>> + Send + Sync + 'static,
    Req: 'static,
{
    Arc::new(Function(call))
}

struct Function<F>(F);

impl<Req, Item, F> Service<Req> for Function<F>
where
    Item: Content + Send + 'static,
    F: Fn(Req, CallContext) -> BoxStream<'static, Result<Item>> + Send + Sync + 'static,
{
    type Item = Item;

    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Item>> {
        (self.0)(request, context)
    }
}

/// Makes the stream of a call that has one answer.
///
/// See [`service_fn`] for an example.
pub fn one<T: Send + 'static>(
    answer: impl Future<Output = Result<T>> + Send + 'static,
) -> BoxStream<'static, Result<T>> {
    Box::pin(stream::once(answer).fuse())
}

/// Waits for the one answer of a call.
///
/// See [`service_fn`] for an example.
///
/// # Errors
/// The stream's error; `provider_unavailable` if it ended without an item.
pub async fn first<T>(mut answer: BoxStream<'static, Result<T>>) -> Result<T> {
    let ended = || Error::provider_unavailable("the call ended without an answer");
    answer.next().await.unwrap_or_else(|| Err(ended()))
}
