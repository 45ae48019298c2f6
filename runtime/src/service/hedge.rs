//! Asks a second service when the first takes long; who answers first is heard, the other is dropped.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::{BoxStream, CallContext, Error, Result};
use futures_core::Stream;
use futures_util::StreamExt;

use super::fallback::may_answer_elsewhere;
use super::{Content, Named, Service, SharedService};
use crate::telemetry::{log_ids, request_id};
use crate::time::{self, Sleep};

/// The most opening items that are held back of one service; one more decides for it.
const HELD_MAX: usize = 16;

/// Asks `secondary` too if `primary` has given no content after a time, and at once if it failed in a way another
/// service may not. The first content item, or a good end, decides; the other stream is dropped before that is given
/// out, which cancels what it asked for. A call costs at most one extra.
///
/// Items before the first content are held back, so the reader sees those of the winner only. After the first content
/// nothing is switched. When both failed, the error is the last one and carries the key `fell_back_from`.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_runtime::service::{Named, hedge};
/// # use beluga_runtime::time;
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let hanging = service_fn(|(), _| one(std::future::pending::<Result<Word>>()));
/// let healthy = service_fn(|(), _| one(async { Ok(Word("hello")) }));
/// let service = hedge(Named::new("first", hanging), Named::new("second", healthy), Duration::from_secs(2));
/// let started = time::now();
/// assert_eq!(first(service.call((), CallContext::new())).await?.0, "hello");
/// assert_eq!(time::now() - started, Duration::from_secs(2));
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn hedge<Req, Item>(
    primary: Named<Req, Item>,
    secondary: Named<Req, Item>,
    after: Duration,
) -> SharedService<Req, Item>
where
    Req: Clone + Send + Sync + Unpin + 'static,
    Item: Content + Send + Unpin + 'static,
{
    Arc::new(Hedge { pair: Arc::new(Pair { primary, secondary, after }) })
}

struct Hedge<Req, Item> {
    pair: Arc<Pair<Req, Item>>,
}

struct Pair<Req, Item> {
    primary: Named<Req, Item>,
    secondary: Named<Req, Item>,
    after: Duration,
}

impl<Req, Item> Service<Req> for Hedge<Req, Item>
where
    Req: Clone + Send + Sync + Unpin + 'static,
    Item: Content + Send + Unpin + 'static,
{
    type Item = Item;

    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Item>> {
        Box::pin(HedgeStream { pair: Arc::clone(&self.pair), request, context, state: State::Start })
    }
}

struct HedgeStream<Req, Item> {
    pair: Arc<Pair<Req, Item>>,
    request: Req,
    context: CallContext,
    state: State<Item>,
}

enum State<Item> {
    Start,
    Racing(Race<Item>),
    Won(Branch<Item>),
    Done,
}

/// One asked service, and what it said before its first content.
struct Branch<Item> {
    stream: BoxStream<'static, Result<Item>>,
    held: VecDeque<Item>,
}

struct Race<Item> {
    primary: Option<Branch<Item>>,
    secondary: Option<Branch<Item>>,
    /// Until the second service is asked.
    delay: Option<Pin<Box<Sleep>>>,
}

/// What polling a branch came to.
enum Heard {
    Nothing,
    /// It has begun to answer, or ended well.
    Won,
    Failed(Error),
}

impl<Item> Branch<Item> {
    fn new(stream: BoxStream<'static, Result<Item>>) -> Self {
        Self { stream, held: VecDeque::new() }
    }
}

impl<Item: Content + Send + 'static> Branch<Item> {
    fn listen(&mut self, cx: &mut Context<'_>) -> Heard {
        loop {
            match self.stream.poll_next_unpin(cx) {
                Poll::Pending => return Heard::Nothing,
                Poll::Ready(Some(Err(error))) => return Heard::Failed(error),
                Poll::Ready(None) => {
                    // A stream that is over must not be polled again.
                    self.stream = futures_util::stream::empty().boxed();
                    return Heard::Won;
                }
                Poll::Ready(Some(Ok(item))) => {
                    let decides = item.is_content() || self.held.len() >= HELD_MAX;
                    self.held.push_back(item);
                    if decides {
                        return Heard::Won;
                    }
                }
            }
        }
    }
}

impl<Req, Item> Stream for HedgeStream<Req, Item>
where
    Req: Clone + Send + Sync + Unpin + 'static,
    Item: Content + Send + Unpin + 'static,
{
    type Item = Result<Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Item>>> {
        let this = self.get_mut();
        loop {
            // Taken out while it is worked on: whatever leaves the loop without putting it back has dropped the rest.
            match std::mem::replace(&mut this.state, State::Done) {
                State::Start => this.state = State::Racing(this.begin()),
                State::Racing(mut race) => match this.race(&mut race, cx) {
                    Poll::Pending => {
                        this.state = State::Racing(race);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(winner)) => {
                        drop(race);
                        this.state = State::Won(winner);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                },
                State::Won(mut branch) => {
                    let item = match branch.held.pop_front() {
                        Some(item) => Poll::Ready(Some(Ok(item))),
                        None => branch.stream.poll_next_unpin(cx),
                    };
                    if !matches!(item, Poll::Ready(None | Some(Err(_)))) {
                        this.state = State::Won(branch);
                    }
                    return item;
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }
}

impl<Req, Item> HedgeStream<Req, Item>
where
    Req: Clone + Send + Sync + Unpin + 'static,
    Item: Content + Send + Unpin + 'static,
{
    fn begin(&self) -> Race<Item> {
        let primary = Some(self.ask(&self.pair.primary));
        Race { primary, secondary: None, delay: Some(Box::pin(time::sleep(self.pair.after))) }
    }

    fn ask(&self, named: &Named<Req, Item>) -> Branch<Item> {
        Branch::new(named.service.call(self.request.clone(), self.context.clone()))
    }

    /// Listens to both until one has begun to answer or there is nobody left.
    fn race(&self, race: &mut Race<Item>, cx: &mut Context<'_>) -> Poll<Result<Branch<Item>>> {
        if let Some(primary) = &mut race.primary {
            match primary.listen(cx) {
                Heard::Nothing => {}
                Heard::Won => return Poll::Ready(race.primary.take().ok_or_else(nobody)),
                Heard::Failed(error) => {
                    race.primary = None;
                    let wanted = self.context.check(time::now()).is_ok();
                    if !wanted || !may_answer_elsewhere(&error) {
                        return Poll::Ready(Err(error));
                    }
                    if race.secondary.is_none() && race.delay.is_none() {
                        // The second one has failed before.
                        return Poll::Ready(Err(error));
                    }
                    if race.delay.take().is_some() {
                        self.announce("falling back", Some(&error));
                        race.secondary = Some(self.ask(&self.pair.secondary));
                    }
                }
            }
        }
        if race.delay.as_mut().is_some_and(|delay| delay.as_mut().poll(cx).is_ready()) {
            race.delay = None;
            self.announce("hedging", None);
            race.secondary = Some(self.ask(&self.pair.secondary));
        }
        let Some(secondary) = &mut race.secondary else { return Poll::Pending };
        match secondary.listen(cx) {
            Heard::Nothing => Poll::Pending,
            Heard::Won => Poll::Ready(race.secondary.take().ok_or_else(nobody)),
            Heard::Failed(error) => {
                race.secondary = None;
                // The first one may still answer; its own word decides.
                if race.primary.is_some() {
                    return Poll::Pending;
                }
                Poll::Ready(Err(error.with("fell_back_from", &self.pair.primary.name)))
            }
        }
    }

    fn announce(&self, what: &'static str, error: Option<&Error>) {
        let (trace_id, span_id) = log_ids(&self.context);
        let request_id = request_id(&self.context);
        let code = error.map(|error| error.code().as_str());
        let (from, to) = (&*self.pair.primary.name, &*self.pair.secondary.name);
        tracing::info!(from, to, code, %trace_id, %span_id, request_id, "{what}");
    }
}

/// A branch that has just been heard is there.
fn nobody() -> Error {
    Error::internal("a hedged call lost its answer")
}

#[cfg(test)]
mod tests;
