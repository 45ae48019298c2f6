//! The time budget of a turn whose caller set a deadline: what the model, the tools and the memory may take of it.

use std::borrow::Cow;

use beluga_core::{CallContext, Error, Result};
use beluga_runtime::time;

use super::Turn;

/// How a turn whose caller set a deadline shares out the time that remains, so that no part leaves nothing to the others.
///
/// Each question to the model, each round of tools and the loading of memory gets its share of what remains when it
/// begins. What a part leaves over is there for those after it. A turn without a deadline of its caller shares nothing
/// out; its only limit is [`Settings::turn_timeout`](crate::session::Settings::turn_timeout).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeShares {
    /// The share of a question to the model, and of an agent that answers a handoff, 0 to 1. Default: 0.6.
    pub model: f64,
    /// The share of a round of tools of what the model's share leaves, 0 to 1; memory has the rest. Default: 0.3.
    pub tools: f64,
}

impl Default for TimeShares {
    fn default() -> Self {
        Self { model: 0.6, tools: 0.3 }
    }
}

impl TimeShares {
    fn of_tools(self) -> f64 {
        (1.0 - self.model) * self.tools
    }

    fn of_memory(self) -> f64 {
        (1.0 - self.model) * (1.0 - self.tools)
    }
}

impl Turn {
    /// Returns the context of a question to the model that is asked within one of the turn's.
    pub(super) fn model_context(&self, within: &CallContext) -> CallContext {
        self.shares.map_or_else(|| within.child(), |shares| within.allot(time::now(), shares.model))
    }

    /// Returns the context the tools of one round share.
    pub(super) fn tools_context(&self) -> Cow<'_, CallContext> {
        self.share(TimeShares::of_tools)
    }

    /// Returns the context all tiers of memory share.
    pub(super) fn memory_context(&self) -> Cow<'_, CallContext> {
        self.share(TimeShares::of_memory)
    }

    fn share(&self, of: impl Fn(TimeShares) -> f64) -> Cow<'_, CallContext> {
        match self.shares {
            Some(shares) => Cow::Owned(self.context.allot(time::now(), of(shares))),
            None => Cow::Borrowed(&self.context),
        }
    }

    /// Says of an error of the model that it came of its share, not of the turn's own end.
    pub(super) fn told_of_share<T>(&self, outcome: Result<T>, share: &CallContext) -> Result<T> {
        if outcome.is_ok() || self.shares.is_none() {
            return outcome;
        }
        let now = time::now();
        if share.check(now).is_ok() || self.context.check(now).is_err() {
            return outcome;
        }
        outcome.map_err(|error| {
            Error::timeout("the model used up its share of the turn's time").with_source(error).with("part", "model")
        })
    }
}
