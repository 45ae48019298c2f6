//! Records a call as a span: opened with the caller as its parent, closed when the stream ends, and with
//! an error if it is dropped before.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use beluga_core::{BoxStream, CallContext, Result};
use futures_core::Stream;
use futures_util::StreamExt;

use super::{Content, Service, SharedService};
use crate::random::SystemRandom;
use crate::telemetry::{Hop, HopGuard, Identity};
use crate::time;

/// Says what the span of a call is called and which attributes it has; called for sampled calls only.
///
/// See [`trace`](trace()) for an example.
pub trait Observe<Req, Item>: Send + Sync + 'static {
    /// Opens the span with [`hop!`](crate::hop) and returns the context for the call within.
    fn open(&self, request: &Req, context: CallContext, identity: Identity) -> (CallContext, Hop);

    /// Looks at an item and the time since the start, to record attributes.
    fn item(&self, _hop: &Hop, _item: &Item, _elapsed: Duration) {}
}

/// Records every sampled call, as the child of the span its context names. An unsampled call passes through untouched:
/// not even an allocation.
///
/// Stacked outside the retry it records the call, inside it each try.
///
/// ```
/// # use std::sync::Arc;
/// # use beluga_runtime::service::{Observe, trace};
/// # use beluga_runtime::telemetry::{Hop, HopKind, Identity, Sampler};
/// # use beluga_runtime::{SystemRandom, hop};
/// # use beluga_core::{CallContext, Error};
/// # use beluga_runtime::service::{Content, first, one, service_fn};
/// # #[derive(Debug)]
/// # struct Ids(u128);
/// # impl Content for Ids {}
/// struct Greetings;
/// impl Observe<(), Ids> for Greetings {
///     fn open(&self, _: &(), context: CallContext, identity: Identity) -> (CallContext, Hop) {
///         hop!(context, identity, HopKind::Client, "greet")
///     }
/// }
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let random = SystemRandom::seeded(1);
/// let greeter = service_fn(|(), context: CallContext| one(async move { Ok(Ids(context.trace().trace_id)) }));
/// let service = trace(greeter, Arc::new(Greetings), random.fork());
/// let root = Sampler::new(1.0).start(None, &random); // At the edge of the system.
/// let seen = first(service.call((), root.apply(CallContext::new()))).await?;
/// assert_eq!(seen.0, root.trace.trace_id, "the same trace within");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn trace<Req, Item>(
    inner: SharedService<Req, Item>,
    observer: Arc<dyn Observe<Req, Item>>,
    random: SystemRandom,
) -> SharedService<Req, Item>
where
    Req: Send + 'static,
    Item: Content + Send + 'static,
{
    Arc::new(Trace { inner, observer, random })
}

struct Trace<Req, Item> {
    inner: SharedService<Req, Item>,
    observer: Arc<dyn Observe<Req, Item>>,
    random: SystemRandom,
}

impl<Req, Item> Service<Req> for Trace<Req, Item>
where
    Req: Send + 'static,
    Item: Content + Send + 'static,
{
    type Item = Item;

    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Item>> {
        if !context.trace().is_sampled() {
            return self.inner.call(request, context);
        }
        let identity = Identity::child_of(&context, &self.random);
        let (context, hop) = self.observer.open(&request, context, identity);
        let hop = hop.guard(&context);
        let inner = self.inner.call(request, context);
        Box::pin(TraceStream {
            inner,
            open: Some(Open { hop, observer: Arc::clone(&self.observer), started: time::now() }),
        })
    }
}

struct TraceStream<Req, Item> {
    inner: BoxStream<'static, Result<Item>>,
    open: Option<Open<Req, Item>>,
}

struct Open<Req, Item> {
    hop: HopGuard,
    observer: Arc<dyn Observe<Req, Item>>,
    started: Instant,
}

impl<Req: 'static, Item: 'static> Stream for TraceStream<Req, Item> {
    type Item = Result<Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Item>>> {
        let this = self.get_mut();
        let Some(Open { hop, observer, started }) = &this.open else { return Poll::Ready(None) };
        let item = ready!(hop.within(|| this.inner.poll_next_unpin(cx)));
        match &item {
            Some(Ok(item)) => observer.item(hop, item, time::now().saturating_duration_since(*started)),
            Some(Err(error)) => {
                hop.fail(error);
                this.open = None;
            }
            None => {
                hop.end();
                this.open = None;
            }
        }
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use beluga_core::Error;

    use super::*;
    use crate::hop;
    use crate::service::retry::{RetryConfig, retry};
    use crate::service::testing::{self, Script, fails, items};
    use crate::telemetry::tests::Spans;
    use crate::telemetry::{HopKind, Sampler};

    struct Named(&'static str);

    impl Observe<(), testing::Item> for Named {
        fn open(&self, _: &(), context: CallContext, identity: Identity) -> (CallContext, Hop) {
            hop!(context, identity, HopKind::Client, self.0, last = tracing::field::Empty)
        }

        fn item(&self, hop: &Hop, item: &testing::Item, _: Duration) {
            hop.record("last", item.number);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_try_is_a_child_of_the_call() {
        let (spans, random) = (Spans::default(), SystemRandom::seeded(1));
        let _subscriber = tracing::subscriber::set_default(spans.clone());
        let script = Script::new(vec![fails(Error::timeout("late")), items([3, 4])]);
        let tries = trace(script.service(), Arc::new(Named("try")), random.clone());
        let call = trace(retry(tries, RetryConfig::default(), random.clone()), Arc::new(Named("call")), random.clone());
        let context = Sampler::new(1.0).start(None, &random).apply(CallContext::new());
        assert_eq!(call.call((), context).count().await, 2);
        let spans = spans.all();
        let names: Vec<_> = spans.iter().map(|span| span["otel.name"].as_str()).collect();
        assert_eq!(names, ["call", "try", "try"]);
        assert!(spans[1..].iter().all(|span| span["parent_span_id"] == spans[0]["span_id"]));
        assert_eq!((spans[1]["error.type"].as_str(), spans[2]["last"].as_str()), ("timeout", "4"));
        assert!(!spans[0].contains_key("error.type"), "the call succeeded");
    }

    #[tokio::test]
    async fn a_stream_that_is_dropped_in_the_middle_closes_with_an_error() {
        let (spans, random) = (Spans::default(), SystemRandom::seeded(1));
        let _subscriber = tracing::subscriber::set_default(spans.clone());
        let script = Script::new(vec![items([3, 4]), items([5, 6])]);
        let call = trace(script.service(), Arc::new(Named("call")), random.clone());
        let context = Sampler::new(1.0).start(None, &random).apply(CallContext::new());
        assert!(call.call((), context.clone()).next().await.unwrap().is_ok());
        let mut left = call.call((), context.clone());
        context.cancel_token().cancel();
        drop(left.next().await);
        drop(left);
        let ends: Vec<_> = spans.all().iter().map(|span| span["error.type"].clone()).collect();
        assert_eq!(ends, ["unknown_outcome", "cancelled"]);
        assert!(spans.all().iter().all(|span| span["otel.status_code"] == "ERROR"));
    }

    #[tokio::test]
    async fn an_unsampled_call_is_not_observed() {
        let (spans, random) = (Spans::default(), SystemRandom::seeded(1));
        let _subscriber = tracing::subscriber::set_default(spans.clone());
        let service = trace(Script::new(vec![items([1])]).service(), Arc::new(Named("call")), random);
        assert_eq!(service.call((), CallContext::new()).count().await, 1);
        assert!(spans.all().is_empty());
    }
}
