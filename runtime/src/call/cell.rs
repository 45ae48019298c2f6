//! The place where one answer is left and fetched: one writer, one reader, at most one answer.
//!
//! Reason for unsafe: a lock round the answer would cost each ask six atomic operations more. The state says who may touch
//! what:
//!
//! - `AWAITED`: the answer's place is the writer's. The waker's is nobody's: it belongs to whoever changes the state.
//! - `TOUCHED`: the waker's place is the reader's, or the sweeper's, who come one at a time; a writer that finds this leaves
//!   it alone.
//! - `ANSWERED`: the answer's place is the reader's.
//! - `OVER`: the reader has left or has fetched the answer and never comes back; the answer's place is the writer's.
#![allow(unsafe_code)]

use std::task::Waker;

use crate::sync::{AtomicU8, Ordering, UnsafeCell};

const AWAITED: u8 = 0;
const TOUCHED: u8 = 1;
const ANSWERED: u8 = 2;
const OVER: u8 = 3;

pub(crate) struct AnswerCell<T> {
    state: AtomicU8,
    waker: UnsafeCell<Option<Waker>>,
    answer: UnsafeCell<Option<T>>,
}

// SAFETY: the state gives each place to one side at a time, see above; what passes from one thread to another is a `T`.
unsafe impl<T: Send> Send for AnswerCell<T> {}
// SAFETY: as above; no side ever has a shared view of the other's `T`.
unsafe impl<T: Send> Sync for AnswerCell<T> {}

impl<T> AnswerCell<T> {
    /// Makes a place whose reader is woken by `waker`.
    pub(crate) fn new(waker: Waker) -> Self {
        Self { state: AtomicU8::new(AWAITED), waker: UnsafeCell::new(Some(waker)), answer: UnsafeCell::new(None) }
    }

    /// Leaves the answer and wakes the reader.
    ///
    /// # Safety
    /// The caller is the one writer, and has left no answer before.
    pub(crate) unsafe fn put(&self, answer: T) {
        // SAFETY: before its only answer the place is the writer's, whatever the state.
        self.answer.with_mut(|place| unsafe { *place = Some(answer) });
        match self.state.swap(ANSWERED, Ordering::AcqRel) {
            AWAITED => {
                // SAFETY: this changed `AWAITED`, so the waker's place is the writer's from here on.
                let waker = self.waker.with_mut(|place| unsafe { (*place).take() });
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            OVER => {
                // SAFETY: after `OVER` the place is the writer's.
                let unread = self.answer.with_mut(|place| unsafe { (*place).take() });
                drop(unread);
            }
            // Whoever touches the waker's place looks at the state again, and knows.
            _ => {}
        }
    }

    /// Fetches the answer if it is there. Looks and changes nothing otherwise.
    ///
    /// # Safety
    /// The caller is the one reader, and has neither fetched the answer nor left.
    #[inline]
    pub(crate) unsafe fn fetch(&self) -> Option<Option<T>> {
        if self.state.load(Ordering::Acquire) != ANSWERED {
            return None;
        }
        // The writer is done with the state: no other change follows.
        self.state.store(OVER, Ordering::Relaxed);
        // SAFETY: after `ANSWERED` the place is the reader's.
        Some(self.answer.with_mut(|place| unsafe { (*place).take() }))
    }

    /// Makes sure that this waker is woken by the answer, and no other. Returns false if the answer is there.
    ///
    /// # Safety
    /// As [`fetch`](Self::fetch), and nobody calls [`rouse`](Self::rouse) at that time.
    pub(crate) unsafe fn renew(&self, waker: &Waker) -> bool {
        // SAFETY: in `TOUCHED` the waker's place is the reader's.
        let touch = |place: *mut Option<Waker>| match unsafe { &mut *place } {
            Some(current) => current.clone_from(waker),
            none => *none = Some(waker.clone()),
        };
        self.touched(touch).is_some_and(|((), is_awaited)| is_awaited)
    }

    /// Returns whom to wake for another reason than the answer. `None`: the answer is there, and wakes by itself.
    ///
    /// # Safety
    /// Somebody keeps the reader from leaving, and from calling [`renew`](Self::renew), and everybody else from this.
    pub(crate) unsafe fn rouse(&self) -> Option<Waker> {
        // SAFETY: in `TOUCHED` the waker's place is the reader's, in whose name this is called.
        self.touched(|place| unsafe { (*place).clone() })?.0
    }

    /// Touches the waker on the reader's side, and says whether the answer is still awaited. `None`: it was not.
    fn touched<U>(&self, touch: impl FnOnce(*mut Option<Waker>) -> U) -> Option<(U, bool)> {
        self.state.compare_exchange(AWAITED, TOUCHED, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let touched = self.waker.with_mut(touch);
        let is_awaited = self.state.compare_exchange(TOUCHED, AWAITED, Ordering::Release, Ordering::Relaxed).is_ok();
        Some((touched, is_awaited))
    }

    /// Says that the reader does not come back. An answer that lies there, or still comes, is dropped.
    ///
    /// # Safety
    /// As [`fetch`](Self::fetch).
    pub(crate) unsafe fn leave(&self) {
        if self.state.swap(OVER, Ordering::AcqRel) == ANSWERED {
            // SAFETY: after `ANSWERED` the place is the reader's, and the writer is done.
            let unread = self.answer.with_mut(|place| unsafe { (*place).take() });
            drop(unread);
        }
    }
}
