//! What an envelope knows of the call behind it.

use std::fmt;

use beluga_core::{CallContext, CancelToken, Error, HOPS_MAX, Result};

use super::hold::Hold;
use super::line::NEVER_NS;
use super::purse;
use crate::clock::Clock;

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
    Asked(Hold),
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
    /// Carries a call on whose behalf a message is told.
    #[inline]
    pub(crate) fn on_behalf_of(context: &CallContext) -> Self {
        Carried::For(purse::take(context))
    }

    /// Says that nobody needs it any more on this thread, which may need the like again.
    #[inline]
    pub(crate) fn put_away(self) {
        if let Carried::For(context) = self {
            purse::put(context);
        }
    }

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
