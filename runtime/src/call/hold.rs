//! What keeps a call alive: one count, begun with both its ends.
//!
//! Reason for unsafe: `Arc` cannot begin with two, cannot be let go of without an atomic operation by whoever is the last,
//! is two words wide if its type is forgotten, and its holders cannot lend what they hold. An ask pays one operation for all
//! its handles this way, and five with `Arc`s.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::task::Waker;

use crate::sync::{AtomicU32, Ordering};

use super::line::Line;

/// How many handles a call has, and what it can do although nobody knows its type.
pub(super) struct Holders {
    count: AtomicU32,
    ways: &'static Ways,
}

/// What depends on the type of the reply. Both get the line of a call, which is where the call begins.
pub(super) struct Ways {
    /// Frees the call. Only for whoever has the last handle.
    pub(super) free: unsafe fn(NonNull<Line>),
    /// Returns whom to wake without an answer. See [`Sleeper::rouse`].
    pub(super) rouse: unsafe fn(NonNull<Line>) -> Option<Waker>,
}

impl Holders {
    pub(super) fn new(count: u32, ways: &'static Ways) -> Self {
        Self { count: AtomicU32::new(count), ways }
    }

    /// Counts a further handle. Only for whoever has one.
    pub(super) fn one_more(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one handle less, and returns whether it was the last.
    #[inline]
    fn one_less(&self) -> bool {
        // Nobody else can make a further one of the only one.
        self.count.load(Ordering::Acquire) == 1 || self.count.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// Gives up a handle, and frees the call with the last one.
///
/// # Safety
/// The caller has a handle of the call whose line this is, and uses it no more.
#[inline]
pub(super) unsafe fn let_go(call: NonNull<Line>) {
    // SAFETY: the caller's handle keeps it alive until here.
    let is_last = unsafe { call.as_ref() }.holders.one_less();
    if is_last {
        // SAFETY: nobody else has a handle, so it is alive, and freed once.
        unsafe { (call.as_ref().holders.ways.free)(call) };
    }
}

/// A handle of a call whose reply has any type.
pub(crate) struct Hold(NonNull<Line>);

// SAFETY: it gives a shared view of a line, which is `Sync`, and may drop the call, whose reply is `Send`: see `take_over`.
unsafe impl Send for Hold {}
// SAFETY: as above.
unsafe impl Sync for Hold {}

impl Hold {
    /// Takes over somebody's handle.
    ///
    /// # Safety
    /// The caller has a handle, and gives it away. The reply is `Send`.
    pub(super) unsafe fn take_over(call: NonNull<Line>) -> Self {
        Self(call)
    }

    /// Returns what a receiver may know of the caller.
    #[inline]
    pub(crate) fn line(&self) -> &Line {
        // SAFETY: the handle keeps the call alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        self.line().holders.one_more();
        Self(self.0)
    }
}

impl Drop for Hold {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is a handle, and its end.
        unsafe { let_go(self.0) };
    }
}

/// What the table of waits has of a caller. No handle: the caller takes it back before it leaves.
pub(crate) struct Sleeper(NonNull<Line>);

// SAFETY: it gives a waker, which is `Send` and `Sync`, by way of a call that may be reached from any thread.
unsafe impl Send for Sleeper {}

impl Sleeper {
    /// # Safety
    /// The caller keeps its handle until this was given back to it, and renews its waker only with this in its hands. The
    /// reply is `Send`.
    pub(super) unsafe fn new(call: NonNull<Line>) -> Self {
        Self(call)
    }

    /// Returns whom to wake when the time is over. `None`: the answer is there, and wakes by itself.
    pub(crate) fn rouse(&mut self) -> Option<Waker> {
        // SAFETY: whoever made this keeps the call, and there is one of it, which is borrowed here.
        unsafe { (self.0.as_ref().holders.ways.rouse)(self.0) }
    }

    /// Returns whether it is of that call.
    pub(super) fn is_of(&self, call: NonNull<Line>) -> bool {
        self.0 == call
    }
}
