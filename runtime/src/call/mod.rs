//! One ask as both its ends see it: the way back, on whose behalf it is made, and whether the caller is still there.
//!
//! It is one allocation. The context of the call, with its token of cancellation, is made only for a receiver that looks
//! at it or that awaits: most handlers answer at once and do neither.
#![allow(unsafe_code)] // The cell of the answer has one writer and one reader: the two ends below.

mod cell;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use beluga_core::{CallContext, CancelToken, Error, HOPS_MAX, Result};

use crate::ground::Clock;
use crate::sync::{AtomicBool, AtomicU8, Mutex, Ordering};

use cell::AnswerCell;

/// Stands for no deadline.
pub(crate) const NEVER_NS: u64 = u64::MAX;

/// One ask whose reply is an `R`.
pub(crate) struct Call<R> {
    line: Line,
    answer: AnswerCell<Answered<R>>,
}

/// How a caller's wait ended.
pub(crate) enum Answered<R> {
    With(Result<R>),
    /// The receiver dropped the way back: it may have run.
    Lost,
}

/// What a receiver may know of a caller.
pub(crate) struct Line {
    /// The call on whose behalf it asks.
    parent: Option<CallContext>,
    /// When the caller stops waiting, by the system's clock.
    deadline_ns: u64,
    /// How often the question was passed on.
    passed: AtomicU8,
    /// Set when the caller stopped waiting before it had an answer.
    left: AtomicBool,
    /// Set once there is a token.
    has_token: AtomicBool,
    /// The token of the call, once somebody needed it.
    token: Mutex<Option<CancelToken>>,
}

/// A caller whose reply has any type.
pub(crate) trait Caller: Send + Sync {
    fn line(&self) -> &Line;
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

    /// Returns the token that is cancelled when the caller leaves, or the call on whose behalf it asks is cancelled.
    pub(crate) fn token(&self) -> CancelToken {
        let mut place = self.token.lock();
        if let Some(token) = &*place {
            return token.clone();
        }
        let token = self.parent.as_ref().map_or_else(CancelToken::new, |parent| parent.cancel_token().child());
        *place = Some(token.clone());
        drop(place);
        // Either the caller that leaves sees this, or this sees that it has left.
        self.has_token.store(true, Ordering::SeqCst);
        if self.left.load(Ordering::SeqCst) {
            token.cancel();
        }
        token
    }

    /// The caller leaves: what is done for the call is cancelled.
    fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
        if self.has_token.load(Ordering::SeqCst) {
            let token = self.token.lock().clone();
            if let Some(token) = token {
                token.cancel();
            }
        }
    }

    /// Returns the call on whose behalf it asks.
    pub(crate) fn parent(&self) -> Option<&CallContext> {
        self.parent.as_ref()
    }
}

impl<R> Call<R> {
    /// Makes both ends of an ask. The caller's is woken by `waker` until it is polled with another one.
    pub(crate) fn pair(parent: Option<CallContext>, deadline_ns: u64, waker: Waker) -> (Waits<R>, Answers<R>) {
        let line = Line {
            parent,
            deadline_ns,
            passed: AtomicU8::new(0),
            left: AtomicBool::new(false),
            has_token: AtomicBool::new(false),
            token: Mutex::new(None),
        };
        let call = Arc::new(Self { line, answer: AnswerCell::new(waker) });
        (Waits { call: Arc::clone(&call), is_over: false }, Answers(Some(call)))
    }
}

impl<R: Send> Caller for Call<R> {
    fn line(&self) -> &Line {
        &self.line
    }
}

/// The caller's end. Dropped before the answer was fetched, it cancels what is done for the call.
pub(crate) struct Waits<R> {
    call: Arc<Call<R>>,
    is_over: bool,
}

impl<R> Waits<R> {
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.call.line.deadline_ns
    }

    /// Fetches the answer, or remembers whom to wake. Pending for ever once it was fetched.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Answered<R>> {
        if self.is_over {
            return Poll::Pending;
        }
        // SAFETY: this is the one end of the caller, and the answer was not fetched.
        let polled = unsafe { self.call.answer.poll(cx) };
        polled.map(|answered| {
            self.is_over = true;
            answered.unwrap_or(Answered::Lost)
        })
    }
}

impl<R> Drop for Waits<R> {
    fn drop(&mut self) {
        if !self.is_over {
            self.call.line.leave();
            // SAFETY: this is the one end of the caller, the answer was not fetched, and nothing comes after a drop.
            unsafe { self.call.answer.leave() };
        }
    }
}

/// The receiver's end. Dropped unanswered, the caller learns that no answer will come.
pub(crate) struct Answers<R>(Option<Arc<Call<R>>>);

impl<R> Answers<R> {
    /// Makes the end of a message that was told.
    pub(crate) fn to_nobody() -> Self {
        Self(None)
    }

    pub(crate) fn are_to_nobody(&self) -> bool {
        self.0.is_none()
    }

    /// Answers. A caller that left is no error.
    pub(crate) fn put(mut self, outcome: Result<R>) {
        self.settle(Answered::With(outcome));
    }

    /// Returns whether nobody waits for the answer any more.
    pub(crate) fn is_left(&self) -> bool {
        self.0.as_ref().is_none_or(|call| call.line.left.load(Ordering::Acquire))
    }

    /// Counts that the question is passed on, and returns how often it was.
    pub(crate) fn pass_on(&self) -> u8 {
        // One end of the receiver, one writer: nothing is lost between load and store.
        let Some(call) = &self.0 else { return 0 };
        let passed = call.line.passed.load(Ordering::Relaxed).saturating_add(1);
        call.line.passed.store(passed, Ordering::Relaxed);
        passed
    }

    fn settle(&mut self, answered: Answered<R>) {
        if let Some(call) = self.0.take() {
            // SAFETY: this is the one end of the receiver, and it is emptied by its only answer.
            unsafe { call.answer.put(answered) };
        }
    }
}

impl<R: Send + 'static> Answers<R> {
    /// Returns what a receiver may know of the caller.
    pub(crate) fn caller(&self) -> Option<Arc<dyn Caller>> {
        self.0.clone().map(|call| call as Arc<dyn Caller>)
    }
}

impl<R> Drop for Answers<R> {
    fn drop(&mut self) {
        self.settle(Answered::Lost);
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
    #[inline]
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
            Carried::Asked(caller) => Some(caller.line().token()),
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
                Some(CallContext::of_call(line.parent(), caller.line().token(), deadline))
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

    fn pair(parent: Option<CallContext>) -> (Waits<u64>, Answers<u64>) {
        Call::pair(parent, NEVER_NS, Waker::noop().clone())
    }

    fn poll<R>(waits: &mut Waits<R>) -> Poll<Answered<R>> {
        waits.poll(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_answer_is_fetched_once_and_a_lost_one_is_told_apart() {
        let (mut waits, answers) = pair(None);
        assert!(poll(&mut waits).is_pending());
        answers.put(Ok(7));
        assert!(matches!(poll(&mut waits), Poll::Ready(Answered::With(Ok(7)))));
        assert!(poll(&mut waits).is_pending(), "it was fetched");
        let (mut waits, answers) = pair(None);
        drop(answers);
        assert!(matches!(poll(&mut waits), Poll::Ready(Answered::Lost)));
    }

    #[test]
    fn a_token_is_cancelled_when_the_caller_leaves_before_or_after_it_was_made() {
        for early in [true, false] {
            let (waits, answers) = pair(None);
            let caller = answers.caller().unwrap();
            let before = early.then(|| caller.line().token());
            assert!(!answers.is_left());
            drop(waits);
            let token = before.unwrap_or_else(|| caller.line().token());
            assert!(token.is_cancelled() && answers.is_left());
        }
    }

    #[test]
    fn a_caller_that_has_its_answer_cancels_nothing() {
        let (mut waits, answers) = pair(None);
        let token = answers.caller().unwrap().line().token();
        answers.put(Ok(1));
        assert!(poll(&mut waits).is_ready());
        drop(waits);
        assert!(!token.is_cancelled());
    }

    #[test]
    fn a_call_on_behalf_of_another_is_cancelled_with_it() {
        let parent = CallContext::new();
        let (_waits, answers) = pair(Some(parent.clone()));
        let token = answers.caller().unwrap().line().token();
        assert!(!token.is_cancelled());
        parent.cancel_token().cancel();
        assert!(token.is_cancelled());
        assert!(!answers.is_left(), "its caller still waits for the error");
    }

    #[test]
    fn an_answer_nobody_fetches_is_dropped_whoever_is_first() {
        for late in [true, false] {
            let alive = Arc::new(());
            let (waits, answers) = Call::pair(None, NEVER_NS, Waker::noop().clone());
            let (outcome, mut ends) = (Ok(Arc::clone(&alive)), (Some(waits), Some(answers)));
            if late {
                ends.0 = None;
            }
            let answers = ends.1.take().unwrap();
            let keeps = answers.caller();
            answers.put(outcome);
            drop(ends);
            assert_eq!(Arc::strong_count(&alive), 1);
            drop(keeps);
        }
    }
}
