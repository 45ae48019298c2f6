//! Both ends of a call: the caller waits for an answer, the receiver leaves it.
//!
//! Reason for unsafe: the cell of the answer has one writer and one reader, which are the two ends, and the handles are
//! counted by hand ([`hold`](super::hold)).
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZero;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;

use beluga_core::{CallContext, Result};

use super::cell::AnswerCell;
use super::hold::{Hold, Holders, Sleeper, Ways, let_go};
use super::line::Line;
use crate::shelf;
use crate::waits::{Sweeper, Ticket, WaitTable, Waiting};

/// One ask whose reply is an `R`.
#[repr(C)] // The line first: a handle that knows no type points to it, and to the whole.
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

impl<R> Call<R> {
    const WAYS: Ways = Ways { free: Self::free, rouse: Self::rouse };

    /// Makes both ends of an ask. The caller's is woken by `waker` until it is polled with another one.
    #[inline]
    pub(crate) fn pair(parent: Option<CallContext>, deadline_ns: u64, waker: Waker) -> (Waits<R>, Answers<R>) {
        // The place first: what is written there at once need not be copied.
        let place = shelf::take::<Self>();
        let call =
            Self { line: Line::new(Holders::new(2, &Self::WAYS), parent, deadline_ns), answer: AnswerCell::new(waker) };
        let call = NonNull::from(Box::leak(Box::write(place, call)));
        (Waits { call, ticket: None, is_over: false }, Answers(Some(call)))
    }

    /// # Safety
    /// The line is that of a call with such a reply, whose last handle the caller has.
    unsafe fn free(line: NonNull<Line>) {
        // SAFETY: it was made as a box, and nobody else has a handle.
        shelf::put_away(unsafe { Box::from_raw(line.cast::<Self>().as_ptr()) });
    }

    /// # Safety
    /// The line is that of a call with such a reply. Its reader stands in the table of waits and does not leave meanwhile;
    /// nobody else rouses it or renews its waker.
    unsafe fn rouse(line: NonNull<Line>) -> Option<Waker> {
        // SAFETY: promised by the caller.
        unsafe { line.cast::<Self>().as_ref().answer.rouse() }
    }
}

/// The caller's end, one handle of the call. Dropped before the answer was fetched, it cancels what is done for the call.
///
/// While it stands in the table of waits it must not be dropped: [`leave`](Self::leave) first.
pub(crate) struct Waits<R> {
    call: NonNull<Call<R>>,
    ticket: Option<Ticket>,
    is_over: bool,
}

// SAFETY: it is a handle of a `Call<R>`, which is `Send` and `Sync` if `R` is `Send`.
unsafe impl<R: Send> Send for Waits<R> {}
// SAFETY: as above.
unsafe impl<R: Send> Sync for Waits<R> {}

impl<R> Waits<R> {
    fn call(&self) -> &Call<R> {
        // SAFETY: this handle keeps it alive.
        unsafe { self.call.as_ref() }
    }

    pub(crate) fn deadline_ns(&self) -> u64 {
        self.call().line.deadline_ns
    }

    /// Fetches the answer if it is there. Never again once it was fetched.
    #[inline]
    pub(crate) fn fetch(&mut self) -> Option<Answered<R>> {
        if self.is_over {
            return None;
        }
        // SAFETY: this is the one end of the caller, and the answer was not fetched.
        let answered = unsafe { self.call().answer.fetch() }?;
        self.is_over = true;
        Some(answered.unwrap_or(Answered::Lost))
    }

    /// Returns whether it stands in the table of waits.
    pub(crate) fn is_entered(&self) -> bool {
        self.ticket.is_some()
    }

    /// Changes whom to wake, and who is asked. Returns false if the answer is there.
    pub(crate) fn renew(&mut self, table: &WaitTable, waker: &Waker, to: u64) -> bool {
        if self.is_over {
            return true;
        }
        // SAFETY: this is the one end of the caller, and the answer was not fetched. Nobody rouses it: it does not stand in the
        // table, or has its sleeper here.
        let renew = || unsafe { self.call().answer.renew(waker) };
        match self.ticket {
            Some(ticket) => table.update(ticket, to, |_sleeper| renew()),
            None => renew(),
        }
    }

    /// Leaves the table of waits.
    #[inline]
    pub(crate) fn leave(&mut self, table: &WaitTable) {
        if let Some(ticket) = self.ticket
            && table.leave(ticket).is_some_and(|sleeper| sleeper.is_of(self.call.cast()))
        {
            self.ticket = None;
        }
    }
}

impl<R: Send + 'static> Waits<R> {
    /// Enters the table of waits.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[inline]
    pub(crate) fn enter(&mut self, table: &Arc<WaitTable>, waiting: Waiting) {
        if let Some(sweeper) = self.note(table, waiting) {
            sweeper.start();
        }
    }

    /// Enters the table of waits; gives the sweeper that must run if none does.
    #[inline]
    pub(crate) fn note(&mut self, table: &Arc<WaitTable>, waiting: Waiting) -> Option<Sweeper> {
        debug_assert!(self.ticket.is_none(), "it is entered once");
        // SAFETY: this handle keeps the call alive, and is not let go of before the sleeper has come back.
        let sleeper = unsafe { Sleeper::new(self.call.cast()) };
        let deadline_ns = waiting.deadline_ns;
        self.ticket = Some(table.seat(waiting, sleeper));
        table.heed(deadline_ns)
    }
}

impl<R> Drop for Waits<R> {
    fn drop(&mut self) {
        if !self.is_over {
            self.call().line.leave();
            // SAFETY: this is the one end of the caller, the answer was not fetched, and nothing comes after a drop.
            unsafe { self.call().answer.leave() };
        }
        debug_assert!(self.ticket.is_none(), "the table still knows the call");
        // A call the table knows must stay, whatever went wrong.
        if self.ticket.is_none() {
            // SAFETY: this is a handle, and its end.
            unsafe { let_go(self.call.cast()) };
        }
    }
}

/// The receiver's end. Dropped unanswered, the caller learns that no answer will come.
///
/// `None` once it is used up, and for a message that was told. One word, as it is moved into an envelope, out of it and into a
/// handler's future: the lowest bit, [`LENT`], says whether the handle is somebody else's, who outlives this.
pub(crate) struct Answers<R>(Option<NonNull<Call<R>>>);

/// Marks the address of a call whose handle is lent.
const LENT: usize = 1;

// SAFETY: it is a handle of a `Call<R>`, which is `Send` and `Sync` if `R` is `Send`.
unsafe impl<R: Send> Send for Answers<R> {}
// SAFETY: as above.
unsafe impl<R: Send> Sync for Answers<R> {}

impl<R> Answers<R> {
    /// Makes the end of a message that was told.
    pub(crate) fn to_nobody() -> Self {
        Self(None)
    }

    /// Returns where the call is.
    #[inline]
    fn place(&self) -> Option<NonNull<Call<R>>> {
        // Never zero: a call lies at an even address.
        self.0.map(|call| call.map_addr(|address| NonZero::new(address.get() & !LENT).unwrap_or(address)))
    }

    #[inline]
    fn is_lent(&self) -> bool {
        self.0.is_some_and(|call| call.addr().get() & LENT != 0)
    }

    #[inline]
    fn call(&self) -> Option<&Call<R>> {
        // SAFETY: a handle keeps it alive, this one's or that of who has lent it.
        self.place().map(|call| unsafe { call.as_ref() })
    }

    pub(crate) fn are_to_nobody(&self) -> bool {
        self.0.is_none()
    }

    /// Answers. A caller that left is no error.
    #[inline]
    pub(crate) fn put(mut self, outcome: Result<R>) {
        self.settle(Answered::With(outcome));
    }

    /// Returns whether nobody waits for the answer any more.
    pub(crate) fn is_left(&self) -> bool {
        self.call().is_none_or(|call| call.line.is_left())
    }

    /// Counts that the question is passed on, and returns how often it was.
    pub(crate) fn pass_on(&self) -> u8 {
        self.call().map_or(0, |call| call.line.pass_on())
    }

    #[inline]
    fn settle(&mut self, answered: Answered<R>) {
        let (call, is_lent) = (self.place(), self.is_lent());
        self.0 = None;
        if let Some(call) = call {
            // SAFETY: a handle keeps the call alive. This is the one end of the receiver, and it is emptied by its only
            // answer.
            unsafe { call.as_ref().answer.put(answered) };
            if !is_lent {
                // SAFETY: the handle is this one's, which was taken out.
                unsafe { let_go(call.cast()) };
            }
        }
    }

    /// Tells the caller that no answer will come.
    #[cold]
    fn lose(&mut self) {
        self.settle(Answered::Lost);
    }

    /// Gets a handle of its own, if it lives of another's.
    fn keep(&mut self) {
        if self.is_lent()
            && let Some(call) = self.call()
        {
            call.line.holders.one_more();
            self.0 = self.place();
        }
    }
}

impl<R: Send + 'static> Answers<R> {
    /// Gives the handle away and lives of it from now on. Whoever gets it keeps it until this is dropped or
    /// [kept](Self::keep): the envelope whose content it is, the errand of the handler that answers at its end.
    pub(super) fn lend(&mut self) -> Option<Hold> {
        self.keep();
        let call = self.0?;
        self.0 = Some(call.map_addr(|address| address | LENT));
        // SAFETY: the handle is this one's, as it was not lent, and is another's now.
        Some(unsafe { Hold::take_over(call.cast()) })
    }
}

#[cfg(test)]
impl<R: Send + 'static> Answers<R> {
    /// Returns what a receiver may know of the caller.
    pub(crate) fn caller(&self) -> Option<Hold> {
        let call = self.place()?;
        self.call()?.line.holders.one_more();
        // SAFETY: the handle was counted above.
        Some(unsafe { Hold::take_over(call.cast()) })
    }
}

impl<R> Drop for Answers<R> {
    #[inline]
    fn drop(&mut self) {
        if self.0.is_some() {
            self.lose();
        }
    }
}

/// Whether the handler of `A` for `M` answers as its last act, so that the way back needs no handle of its own: whatever
/// the handler keeps ends before the errand does.
#[doc(hidden)]
pub struct Answering<A, M> {
    is_last: bool,
    of: PhantomData<fn() -> (A, M)>,
}

impl<A, M> Answering<A, M> {
    /// It may answer whenever it likes, from wherever it likes.
    pub const LATER: Self = Self { is_last: false, of: PhantomData };
    /// Only for the kernel's own handler, which keeps the way back to itself.
    pub(crate) const AT_LAST: Self = Self { is_last: true, of: PhantomData };

    #[inline]
    pub(super) fn prepare<R>(self, answers: &mut Answers<R>) {
        if !self.is_last {
            answers.keep();
        }
    }
}

impl<A, M> Clone for Answering<A, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, M> Copy for Answering<A, M> {}

impl<A, M> fmt::Debug for Answering<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").field("is_last", &self.is_last).finish()
    }
}
