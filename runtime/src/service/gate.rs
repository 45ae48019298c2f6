//! What admission, breaker, concurrency and rate limit have in common: get a pass, call, settle the pass.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use beluga_core::{BoxFuture, BoxStream, CallContext, Error, Result};
use futures_core::Stream;
use futures_util::StreamExt;

use super::{Content, Service, SharedService};

/// Hands out passes. It is asked when the stream is first polled.
pub(super) trait Gate: Send + Sync + 'static {
    type Pass: Pass;

    fn enter(self: &Arc<Self>, context: &CallContext) -> Entry<Self::Pass>;

    /// Enters with a call whose weight can be told before it is made; only a gate that needs it asks.
    fn enter_weighed(self: &Arc<Self>, context: &CallContext, _weight: &dyn Fn() -> u64) -> Entry<Self::Pass> {
        self.enter(context)
    }
}

/// Tells before a call what it will weigh at least, in the unit of the limit per minute (tokens): its prompt.
pub type Weigh<Req> = Arc<dyn Fn(&Req) -> u64 + Send + Sync>;

pub(super) enum Entry<P> {
    Now(Result<P>),
    /// The one case that costs a second allocation: the call really waits.
    Later(BoxFuture<'static, Result<P>>),
}

/// The right to make one call. Dropped unsettled when the reader drops the stream.
pub(super) trait Pass: Send + Unpin + 'static {
    fn item(&mut self, _item: &impl Content) {}

    /// The stream ended, with an error or well.
    fn ended(self, _error: Option<&Error>, _context: &CallContext)
    where
        Self: Sized,
    {
    }
}

/// Puts a gate before a service.
pub(super) fn gated<Req, Item, G>(inner: SharedService<Req, Item>, gate: Arc<G>) -> SharedService<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
    G: Gate,
{
    weighed(inner, gate, None)
}

/// Puts a gate before a service whose calls can be weighed.
pub(super) fn weighed<Req, Item, G>(
    inner: SharedService<Req, Item>,
    gate: Arc<G>,
    weigh: Option<Weigh<Req>>,
) -> SharedService<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
    G: Gate,
{
    Arc::new(Gated { inner, gate, weigh })
}

struct Gated<Req, Item, G> {
    inner: SharedService<Req, Item>,
    gate: Arc<G>,
    weigh: Option<Weigh<Req>>,
}

impl<Req, Item, G> Service<Req> for Gated<Req, Item, G>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
    G: Gate,
{
    type Item = Item;

    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Item>> {
        Box::pin(GatedStream {
            inner: Arc::clone(&self.inner),
            gate: Arc::clone(&self.gate),
            weigh: self.weigh.clone(),
            context,
            state: State::Start(request),
        })
    }
}

struct GatedStream<Req, Item, G: Gate> {
    inner: SharedService<Req, Item>,
    gate: Arc<G>,
    weigh: Option<Weigh<Req>>,
    context: CallContext,
    state: State<Req, Item, G::Pass>,
}

enum State<Req, Item, P> {
    Start(Req),
    Waiting(Req, BoxFuture<'static, Result<P>>),
    Running(BoxStream<'static, Result<Item>>, P),
    Done,
}

impl<Req, Item, G> Stream for GatedStream<Req, Item, G>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
    G: Gate,
{
    type Item = Result<Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Item>>> {
        let this = self.get_mut();
        loop {
            // Taken out while it is worked on: whatever leaves the loop without putting it back has dropped the rest.
            match std::mem::replace(&mut this.state, State::Done) {
                State::Start(request) => match this.enter(&request) {
                    Entry::Now(Ok(pass)) => this.start(request, pass),
                    Entry::Now(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Entry::Later(wait) => this.state = State::Waiting(request, wait),
                },
                State::Waiting(request, mut wait) => match wait.as_mut().poll(cx) {
                    Poll::Ready(Ok(pass)) => this.start(request, pass),
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Poll::Pending => {
                        this.state = State::Waiting(request, wait);
                        return Poll::Pending;
                    }
                },
                State::Running(mut stream, mut pass) => {
                    let item = match stream.poll_next_unpin(cx) {
                        Poll::Ready(item) => item,
                        Poll::Pending => {
                            this.state = State::Running(stream, pass);
                            return Poll::Pending;
                        }
                    };
                    match &item {
                        Some(Ok(item)) => {
                            pass.item(item);
                            this.state = State::Running(stream, pass);
                        }
                        ended => {
                            // What was asked ends before its place is free for the next.
                            drop(stream);
                            pass.ended(ended.as_ref().and_then(|last| last.as_ref().err()), &this.context);
                        }
                    }
                    return Poll::Ready(item);
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }
}

impl<Req, Item, G> GatedStream<Req, Item, G>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
    G: Gate,
{
    fn enter(&self, request: &Req) -> Entry<G::Pass> {
        match &self.weigh {
            Some(weigh) => self.gate.enter_weighed(&self.context, &|| weigh(request)),
            None => self.gate.enter(&self.context),
        }
    }

    fn start(&mut self, request: Req, pass: G::Pass) {
        let stream = self.inner.call(request, self.context.clone());
        self.state = State::Running(stream, pass);
    }
}
