//! What both ends of a call, and whoever carries it, see of it.

use beluga_core::{CallContext, CancelToken, Error, Result};

use super::hold::Holders;
use crate::sync::{AtomicBool, AtomicU8, Mutex, Ordering};

/// Stands for no deadline.
pub(crate) const NEVER_NS: u64 = u64::MAX;

/// What a receiver may know of a caller.
pub(crate) struct Line {
    pub(super) holders: Holders,
    /// The call on whose behalf it asks.
    parent: Option<CallContext>,
    /// When the caller stops waiting, by the system's clock.
    pub(super) deadline_ns: u64,
    /// How often the question was passed on.
    passed: AtomicU8,
    /// Set when the caller stopped waiting before it had an answer.
    left: AtomicBool,
    /// Set once there is a token.
    has_token: AtomicBool,
    /// The token of the call, once somebody needed it.
    token: Mutex<Option<CancelToken>>,
}

impl Line {
    #[inline]
    pub(super) fn new(holders: Holders, parent: Option<CallContext>, deadline_ns: u64) -> Self {
        Self {
            holders,
            parent,
            deadline_ns,
            passed: AtomicU8::new(0),
            left: AtomicBool::new(false),
            has_token: AtomicBool::new(false),
            token: Mutex::new(None),
        }
    }

    /// Checks that somebody still waits.
    #[inline]
    pub(super) fn check(&self, now_ns: impl FnOnce() -> u64) -> Result<()> {
        if self.is_left() || self.parent.as_ref().is_some_and(CallContext::is_cancelled) {
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
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
        if self.has_token.load(Ordering::SeqCst) {
            let token = self.token.lock().clone();
            if let Some(token) = token {
                token.cancel();
            }
        }
    }

    /// Returns whether the caller stopped waiting before it had an answer.
    pub(super) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Counts that the question is passed on, and returns how often it was. Only for the one end of the receiver: nothing is
    /// lost between load and store.
    pub(super) fn pass_on(&self) -> u8 {
        let passed = self.passed.load(Ordering::Relaxed).saturating_add(1);
        self.passed.store(passed, Ordering::Relaxed);
        passed
    }

    /// Returns the call on whose behalf it asks.
    pub(crate) fn parent(&self) -> Option<&CallContext> {
        self.parent.as_ref()
    }
}
