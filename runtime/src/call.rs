//! One ask as both its ends see it: the way back, on whose behalf it is made, and whether the caller is still there.
//!
//! It is one allocation. The context of the call, with its token of cancellation, is made only for a receiver that looks
//! at it or that awaits: most handlers answer at once and do neither.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use beluga_core::{CallContext, CancelToken, Error, HOPS_MAX, Result};

use crate::ground::Clock;
use crate::sync::Mutex;

/// Stands for no deadline.
pub(crate) const NEVER_NS: u64 = u64::MAX;

/// One ask whose reply is an `R`.
pub(crate) struct Call<R> {
    line: Line,
    state: Mutex<State<R>>,
}

/// What a receiver may know of a caller.
pub(crate) struct Line {
    /// The call on whose behalf it asks.
    parent: Option<CallContext>,
    /// When the caller stops waiting, by the system's clock.
    deadline_ns: u64,
    /// Set when the caller stopped waiting before it had an answer.
    left: AtomicBool,
}

struct State<R> {
    answer: Answer<R>,
    /// The token of the call, once somebody needed it.
    token: Option<CancelToken>,
}

enum Answer<R> {
    Awaited(Option<Waker>),
    Given(Result<R>),
    /// The way back was dropped unanswered.
    Lost,
    /// It was taken, or nobody waits for it.
    Over,
}

/// How a caller's wait ended.
pub(crate) enum Answered<R> {
    With(Result<R>),
    /// The receiver dropped the way back: it may have run.
    Lost,
}

/// A caller whose reply has any type.
pub(crate) trait Caller: Send + Sync {
    fn line(&self) -> &Line;
    /// Returns the token that is cancelled when the caller leaves, or the call on whose behalf it asks is cancelled.
    fn token(&self) -> CancelToken;
}

impl Line {
    /// Checks that somebody still waits.
    fn check(&self, now_ns: impl FnOnce() -> u64) -> Result<()> {
        if self.left.load(Ordering::Acquire) || self.parent.as_ref().is_some_and(CallContext::is_cancelled) {
            return Err(Error::cancelled("the call was cancelled"));
        }
        if self.deadline_ns != NEVER_NS && self.deadline_ns <= now_ns() {
            return Err(Error::timeout("the deadline passed"));
        }
        Ok(())
    }

    /// Returns the call on whose behalf it asks.
    pub(crate) fn parent(&self) -> Option<&CallContext> {
        self.parent.as_ref()
    }
}

impl<R> Call<R> {
    pub(crate) fn new(parent: Option<CallContext>, deadline_ns: u64) -> Arc<Self> {
        Arc::new(Self {
            line: Line { parent, deadline_ns, left: AtomicBool::new(false) },
            state: Mutex::new(State { answer: Answer::Awaited(None), token: None }),
        })
    }

    pub(crate) fn deadline_ns(&self) -> u64 {
        self.line.deadline_ns
    }

    /// Answers. A caller that left is no error.
    pub(crate) fn answer(&self, outcome: Result<R>) {
        self.put(Answer::Given(outcome));
    }

    /// Says that no answer will come.
    pub(crate) fn lose(&self) {
        self.put(Answer::Lost);
    }

    fn put(&self, answer: Answer<R>) {
        let mut state = self.state.lock();
        let Answer::Awaited(waker) = &mut state.answer else { return };
        let waker = waker.take();
        state.answer = answer;
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the answer, or remembers whom to wake.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Answered<R>> {
        let mut state = self.state.lock();
        if let Answer::Awaited(waker) = &mut state.answer {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        match std::mem::replace(&mut state.answer, Answer::Over) {
            Answer::Given(outcome) => Poll::Ready(Answered::With(outcome)),
            _ => Poll::Ready(Answered::Lost),
        }
    }

    /// Says that the caller no longer waits: what is done for the call is cancelled.
    pub(crate) fn leave(&self) {
        self.line.left.store(true, Ordering::Release);
        let (answer, token) = {
            let mut state = self.state.lock();
            (std::mem::replace(&mut state.answer, Answer::Over), state.token.take())
        };
        // What users gave is dropped without a lock.
        drop(answer);
        if let Some(token) = token {
            token.cancel();
        }
    }

    /// Returns whether nobody waits for the answer any more.
    pub(crate) fn is_left(&self) -> bool {
        self.line.left.load(Ordering::Acquire)
    }
}

impl<R: Send> Caller for Call<R> {
    fn line(&self) -> &Line {
        &self.line
    }

    fn token(&self) -> CancelToken {
        let mut state = self.state.lock();
        if let Some(token) = &state.token {
            return token.clone();
        }
        let token = self.line.parent.as_ref().map_or_else(CancelToken::new, |parent| parent.cancel_token().child());
        state.token = Some(token.clone());
        drop(state);
        if self.is_left() {
            token.cancel();
        }
        token
    }
}

/// What an envelope knows of the call behind it.
#[derive(Clone, Default)]
pub(crate) enum Carried {
    /// A plain tell: nothing.
    #[default]
    Nothing,
    /// A tell on behalf of a call; what is done for it is a child of that.
    For(CallContext),
    /// The context of the message itself.
    Own(CallContext),
    /// An ask.
    Asked(Arc<dyn Caller>),
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Carried::Nothing => "Nothing",
            Carried::For(_) => "For",
            Carried::Own(_) => "Own",
            Carried::Asked(_) => "Asked",
        })
    }
}

impl Carried {
    /// Checks that the message is still wanted.
    pub(crate) fn check(&self, clock: &Clock, now_ns: impl FnOnce() -> u64) -> Result<()> {
        let context = match self {
            Carried::Nothing => return Ok(()),
            Carried::Asked(caller) => return caller.line().check(now_ns),
            Carried::For(parent) if parent.hops() >= HOPS_MAX => return Err(in_a_circle()),
            Carried::For(context) | Carried::Own(context) => context,
        };
        // Without a deadline `check` does not look at the time, and the clock is not read.
        let now = if context.deadline().is_some() { clock.instant(now_ns()) } else { clock.epoch() };
        context.check(now)
    }

    /// Returns the nearest context there is, for what a dead letter says of the caller.
    pub(crate) fn nearest(&self) -> Option<&CallContext> {
        match self {
            Carried::Nothing => None,
            Carried::For(context) | Carried::Own(context) => Some(context),
            Carried::Asked(caller) => caller.line().parent(),
        }
    }

    /// Returns the token by which a handler learns that its call is no longer wanted.
    pub(crate) fn token(&self) -> Option<CancelToken> {
        match self {
            Carried::Nothing => None,
            Carried::For(context) | Carried::Own(context) => Some(context.cancel_token().clone()),
            Carried::Asked(caller) => Some(caller.token()),
        }
    }

    /// Makes the context of the message in hand. `None` for a plain tell.
    pub(crate) fn context(&self, clock: &Clock) -> Option<CallContext> {
        match self {
            Carried::Nothing => None,
            Carried::Own(context) => Some(context.clone()),
            Carried::For(parent) => Some(CallContext::of_call(Some(parent), parent.cancel_token().child(), None)),
            Carried::Asked(caller) => {
                let line = caller.line();
                let deadline = (line.deadline_ns != NEVER_NS).then(|| clock.instant(line.deadline_ns));
                Some(CallContext::of_call(line.parent(), caller.token(), deadline))
            }
        }
    }
}

/// The error of a call that passed through too many actors.
pub(crate) fn in_a_circle() -> Error {
    Error::overloaded(format!("more than {HOPS_MAX} hops: the call runs in a circle"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<R>(call: &Call<R>) -> Poll<Answered<R>> {
        call.poll(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_answer_is_taken_once_and_a_lost_one_is_told_apart() {
        let call = Call::<u64>::new(None, NEVER_NS);
        assert!(poll(&call).is_pending());
        call.answer(Ok(7));
        call.lose();
        assert!(matches!(poll(&call), Poll::Ready(Answered::With(Ok(7)))));
        let call = Call::<u64>::new(None, NEVER_NS);
        call.lose();
        call.answer(Ok(7));
        assert!(matches!(poll(&call), Poll::Ready(Answered::Lost)));
    }

    #[test]
    fn a_token_is_cancelled_when_the_caller_leaves_before_or_after_it_was_made() {
        for early in [true, false] {
            let call = Call::<u64>::new(None, NEVER_NS);
            let before = early.then(|| call.token());
            call.leave();
            let token = before.unwrap_or_else(|| call.token());
            assert!(token.is_cancelled() && call.is_left());
        }
    }

    #[test]
    fn a_call_on_behalf_of_another_is_cancelled_with_it() {
        let parent = CallContext::new();
        let call = Call::<u64>::new(Some(parent.clone()), NEVER_NS);
        let token = call.token();
        assert!(!token.is_cancelled());
        parent.cancel_token().cancel();
        assert!(token.is_cancelled());
        assert!(!call.is_left(), "its caller still waits for the error");
    }
}
