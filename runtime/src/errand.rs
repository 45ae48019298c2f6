//! On whose behalf the handler in hand works: what its message carried, and the context made of it for whoever looks.
//!
//! Reason for unsafe: the drain changes the errand between two messages, the handler reads it through a shared
//! [`Cx`](crate::Cx) while it runs, and counting references to what a message carried would cost each ask two atomic
//! operations more. Kept to this file: one write, one read.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::sync::OnceLock;

use beluga_core::CallContext;

use crate::call::Carried;
use crate::clock::Clock;

/// The errand of one incarnation.
#[derive(Default)]
pub(crate) struct Errand(UnsafeCell<Inner>);

#[derive(Default)]
struct Inner {
    carried: Carried,
    /// The context of the message in hand, once somebody looked.
    made: OnceLock<CallContext>,
}

// SAFETY: it is changed only through `begin` and `end`, whose callers promise that nobody reads at that time; what is
// read at other times is `Sync`.
unsafe impl Sync for Errand {}

impl Errand {
    /// Takes up what the next message carried.
    ///
    /// # Safety
    /// The caller is the one drain of the incarnation, and no handler of it exists: nobody else can reach the errand.
    #[inline]
    pub(crate) unsafe fn begin(&self, carried: Carried) {
        // SAFETY: promised by the caller.
        let inner = unsafe { &mut *self.0.get() };
        inner.carried = carried;
    }

    /// Forgets the errand and gives back what the message carried.
    ///
    /// # Safety
    /// As [`begin`](Self::begin).
    #[inline]
    pub(crate) unsafe fn end(&self) -> Carried {
        // SAFETY: promised by the caller.
        let inner = unsafe { &mut *self.0.get() };
        if matches!(inner.carried, Carried::Nothing) {
            return Carried::Nothing;
        }
        if inner.made.get().is_some() {
            inner.made = OnceLock::new();
        }
        std::mem::take(&mut inner.carried)
    }

    /// Returns what the message in hand carried.
    pub(crate) fn carried(&self) -> &Carried {
        // SAFETY: the borrow ends before the next `begin` or `end`: their caller promises that no reader exists.
        unsafe { &(*self.0.get()).carried }
    }

    /// Returns the context of the message in hand; `None` for a plain tell. `made` is called when it is made.
    pub(crate) fn context(&self, clock: &Clock, made: impl FnOnce(&CallContext)) -> Option<&CallContext> {
        // SAFETY: as in `carried`.
        let inner = unsafe { &*self.0.get() };
        match &inner.carried {
            Carried::Nothing => None,
            Carried::Own(context) => Some(context),
            carried => Some(inner.made.get_or_init(|| {
                let context = carried.context(clock).unwrap_or_default();
                made(&context);
                context
            })),
        }
    }

    /// Cancels what is done on the errand. The call of a told message itself is not the handler's to cancel.
    pub(crate) fn cancel(&self) {
        // SAFETY: as in `carried`.
        let inner = unsafe { &*self.0.get() };
        match &inner.carried {
            Carried::Nothing => {}
            Carried::Own(context) => context.cancel_token().cancel(),
            Carried::Asked(caller) => caller.line().token().cancel(),
            Carried::For(_) => {
                if let Some(context) = inner.made.get() {
                    context.cancel_token().cancel();
                }
            }
        }
    }
}
