//! Tells the strategy what a route did.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use beluga_core::{BoxStream, CallContext, Content, Error, ModelChunk, ModelRequest, Result, Usage};
use beluga_runtime::service::Service;
use beluga_runtime::time;
use futures_core::Stream;
use futures_util::StreamExt;

use super::route::Routing;
use super::strategy::{Outcome, RouteReport};

/// One route as a service.
pub(super) struct Watched {
    pub(super) routing: Arc<Routing>,
    pub(super) place: usize,
}

impl Service<Arc<ModelRequest>> for Watched {
    type Item = ModelChunk;

    fn call(&self, request: Arc<ModelRequest>, context: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        let Some(route) = self.routing.routes().get(self.place) else {
            return futures_util::stream::iter([Err(Error::internal("the route is gone"))]).boxed();
        };
        let chunks = route.model.stream(request, context);
        let notes = Notes {
            routing: Arc::clone(&self.routing),
            place: self.place,
            asked: None,
            first_content: None,
            usage: None,
            told: false,
        };
        Box::pin(WatchedStream { chunks, notes })
    }
}

/// The fields drop in this order: the call ends before it is told of.
struct WatchedStream {
    chunks: BoxStream<'static, Result<ModelChunk>>,
    notes: Notes,
}

struct Notes {
    routing: Arc<Routing>,
    place: usize,
    /// When it was first polled; nothing is told of a call that never was.
    asked: Option<Instant>,
    first_content: Option<Duration>,
    usage: Option<Usage>,
    told: bool,
}

impl Notes {
    fn tell(&mut self, outcome: Outcome<'_>) {
        let Some(asked) = self.asked.filter(|_| !self.told) else { return };
        self.told = true;
        let routes = self.routing.routes();
        let price = routes.get(self.place).and_then(|route| route.price);
        self.routing.strategy().learn(&RouteReport {
            place: self.place,
            routes,
            outcome,
            first_content: self.first_content,
            took: time::now().saturating_duration_since(asked),
            cost_micro_usd: self.usage.zip(price).map(|(usage, price)| price.cost_micro_usd(&usage)),
        });
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.tell(Outcome::Left);
    }
}

impl Stream for WatchedStream {
    type Item = Result<ModelChunk>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let asked = *this.notes.asked.get_or_insert_with(time::now);
        let item = ready!(this.chunks.poll_next_unpin(cx));
        match &item {
            Some(Ok(chunk)) => {
                if chunk.is_content() && this.notes.first_content.is_none() {
                    this.notes.first_content = Some(time::now().saturating_duration_since(asked));
                }
                if let ModelChunk::Usage(usage) = chunk {
                    this.notes.usage = Some(*usage);
                }
                if matches!(chunk, ModelChunk::Finished { .. }) {
                    // Its last item: a reader may leave without asking for more.
                    this.notes.tell(Outcome::Answered);
                }
            }
            Some(Err(error)) => this.notes.tell(Outcome::Failed(error)),
            None => {
                let error = Error::provider_unavailable("the answer ended before it was finished");
                this.notes.tell(Outcome::Failed(&error));
            }
        }
        Poll::Ready(item)
    }
}
