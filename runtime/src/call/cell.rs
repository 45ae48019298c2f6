//! The place where one answer is left and fetched: one writer, one reader, at most one answer.
//!
//! Reason for unsafe: a lock round the answer would cost each ask six atomic operations more. The state says who may touch
//! what:
//!
//! - `AWAITED`: the answer's place is the writer's. The waker's is nobody's: it belongs to whoever changes the state.
//! - `TOUCHED`: the waker's place is the reader's; a writer that finds this leaves it alone.
//! - `ANSWERED`: the answer's place is the reader's.
//! - `OVER`: the reader has left or has fetched the answer and never comes back; the answer's place is the writer's.
#![allow(unsafe_code)]

use std::task::{Context, Poll, Waker};

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
            // The reader looks at the state again before it waits.
            _ => {}
        }
    }

    /// Fetches the answer, or makes sure that this waker is woken by it.
    ///
    /// # Safety
    /// The caller is the one reader, and has neither fetched the answer nor left.
    pub(crate) unsafe fn poll(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        if self.state.compare_exchange(AWAITED, TOUCHED, Ordering::Acquire, Ordering::Acquire).is_ok() {
            // SAFETY: in `TOUCHED` the waker's place is the reader's.
            self.waker.with_mut(|place| unsafe {
                match &mut *place {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
            });
            if self.state.compare_exchange(TOUCHED, AWAITED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Poll::Pending;
            }
        }
        // The writer is done with the state: it is `ANSWERED`, and no other change follows.
        self.state.store(OVER, Ordering::Relaxed);
        // SAFETY: after `ANSWERED` the place is the reader's.
        Poll::Ready(self.answer.with_mut(|place| unsafe { (*place).take() }))
    }

    /// Says that the reader does not come back. An answer that lies there, or still comes, is dropped.
    ///
    /// # Safety
    /// As [`poll`](Self::poll).
    pub(crate) unsafe fn leave(&self) {
        if self.state.swap(OVER, Ordering::AcqRel) == ANSWERED {
            // SAFETY: after `ANSWERED` the place is the reader's, and the writer is done.
            let unread = self.answer.with_mut(|place| unsafe { (*place).take() });
            drop(unread);
        }
    }
}
