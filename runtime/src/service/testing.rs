//! A scripted service for the tests of the layers: it counts its calls, and which of its streams are alive.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use beluga_core::{BoxStream, Error, Result};
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use super::{Content, SharedService, service_fn};

/// An item: a number that is content unless it is 0, and may weigh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) number: u32,
    pub(crate) weight: Option<u64>,
}

impl From<u32> for Item {
    fn from(number: u32) -> Self {
        Self { number, weight: None }
    }
}

impl Content for Item {
    fn is_content(&self) -> bool {
        self.number != 0
    }

    fn weight(&self) -> Option<u64> {
        self.weight
    }
}

pub(crate) type Answer = BoxStream<'static, Result<Item>>;

pub(crate) fn items(numbers: impl IntoIterator<Item = u32>) -> Answer {
    stream::iter(numbers.into_iter().map(|number| Ok(number.into())).collect::<Vec<_>>()).boxed()
}

pub(crate) fn weighs(weight: u64) -> Answer {
    stream::iter([Ok(Item { number: 1, weight: Some(weight) })]).boxed()
}

pub(crate) fn fails(error: Error) -> Answer {
    stream::iter([Err(error)]).boxed()
}

pub(crate) fn hang() -> Answer {
    stream::pending().boxed()
}

/// Answers call by call.
#[derive(Clone)]
pub(crate) struct Script(Arc<State>);

struct State {
    next: Mutex<Box<dyn FnMut() -> Option<Answer> + Send>>,
    calls: AtomicUsize,
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl Script {
    pub(crate) fn new(answers: Vec<Answer>) -> Self {
        let mut answers = VecDeque::from(answers);
        Self::with(move || answers.pop_front())
    }

    pub(crate) fn repeat(answer: impl Fn() -> Answer + Send + 'static) -> Self {
        Self::with(move || Some(answer()))
    }

    fn with(next: impl FnMut() -> Option<Answer> + Send + 'static) -> Self {
        Self(Arc::new(State {
            next: Mutex::new(Box::new(next)),
            calls: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn service(&self) -> SharedService<(), Item> {
        let state = Arc::clone(&self.0);
        service_fn(move |(), _context| {
            let next = (state.next.lock())();
            state.calls.fetch_add(1, Ordering::SeqCst);
            let live = state.live.fetch_add(1, Ordering::SeqCst) + 1;
            state.peak.fetch_max(live, Ordering::SeqCst);
            let answer = next.unwrap_or_else(|| fails(Error::internal("the script is over")));
            Box::pin(Live { answer, state: Arc::clone(&state) })
        })
    }

    /// Calls made.
    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// Streams not yet dropped.
    pub(crate) fn live(&self) -> usize {
        self.0.live.load(Ordering::SeqCst)
    }

    /// The most streams alive at once.
    pub(crate) fn peak(&self) -> usize {
        self.0.peak.load(Ordering::SeqCst)
    }
}

struct Live {
    answer: Answer,
    state: Arc<State>,
}

impl Stream for Live {
    type Item = Result<Item>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Item>>> {
        self.answer.poll_next_unpin(cx)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.state.live.fetch_sub(1, Ordering::SeqCst);
    }
}
