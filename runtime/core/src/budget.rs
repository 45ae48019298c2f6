//! The contract of a budget: an amount is taken before a call and settled after it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// An amount of what a budget limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Spend {
    /// Calls of a model, each try counted.
    pub requests: u64,
    /// Tokens, prompt and answer.
    pub tokens: u64,
    /// Millionths of a US dollar.
    pub cost_micro_usd: u64,
    /// Time in which calls ran, summed over those that ran side by side, in milliseconds.
    pub time_ms: u64,
}

impl Spend {
    /// Nothing at all.
    pub const ZERO: Self = Self { requests: 0, tokens: 0, cost_micro_usd: 0, time_ms: 0 };

    /// Returns the sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// Returns the difference, at least zero of each.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(self, other: Self, op: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            requests: op(self.requests, other.requests),
            tokens: op(self.tokens, other.tokens),
            cost_micro_usd: op(self.cost_micro_usd, other.cost_micro_usd),
            time_ms: op(self.time_ms, other.time_ms),
        }
    }
}

/// The most of each; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpendLimits {
    /// Calls of a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Tokens, prompt and answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Millionths of a US dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_micro_usd: Option<u64>,
    /// Milliseconds in which calls run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
}

impl SpendLimits {
    /// No limit.
    pub const NONE: Self = Self { requests: None, tokens: None, cost_micro_usd: None, time_ms: None };

    /// Returns whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Returns the tighter limit of each.
    #[must_use]
    pub fn tightest(self, other: Self) -> Self {
        let tighter = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self {
            requests: tighter(self.requests, other.requests),
            tokens: tighter(self.tokens, other.tokens),
            cost_micro_usd: tighter(self.cost_micro_usd, other.cost_micro_usd),
            time_ms: tighter(self.time_ms, other.time_ms),
        }
    }
}

/// What a call may still use up, by itself and in everything above it: a run is within its session, that within its
/// tenant, that within the node. It travels in the [`CallContext`](crate::CallContext), so sub-agents share it.
///
/// Laws: `all_or_nothing`: a refused amount is taken nowhere; `never_above`: at every instant what is spent and what is
/// reserved are within each limit, but for what settled calls used beyond their reservations; `settled_once`: every
/// reservation is settled exactly once, also of a call that was dropped.
pub trait Budget: fmt::Debug + Send + Sync + 'static {
    /// Takes an amount from this budget and from every one above it, or from none. Returns what was taken: of the time it
    /// may be less, and the call must end by then.
    ///
    /// # Errors
    /// `budget_exhausted` names the budget, the limit, and what is spent and reserved.
    fn reserve(&self, want: Spend) -> Result<Spend>;

    /// Gives a reservation back and takes what was really used.
    fn settle(&self, reserved: Spend, used: Spend);

    /// Returns the tightest limits of this budget and those above it: what nobody limits need not be estimated.
    fn limits(&self) -> SpendLimits;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_add_and_never_fall_below_zero() {
        let (a, b) = (Spend { tokens: 5, requests: 1, ..Spend::ZERO }, Spend { tokens: 7, ..Spend::ZERO });
        assert_eq!(a.plus(b).less(a), b);
        assert_eq!(a.less(b), Spend { requests: 1, ..Spend::ZERO });
    }

    #[test]
    fn the_tighter_limit_counts() {
        let (a, b) = (
            SpendLimits { tokens: Some(5), ..SpendLimits::NONE },
            SpendLimits { tokens: Some(7), requests: Some(1), ..SpendLimits::NONE },
        );
        assert_eq!(a.tightest(b), SpendLimits { tokens: Some(5), requests: Some(1), ..SpendLimits::NONE });
        assert!(SpendLimits::NONE.is_none() && !a.is_none());
    }
}
