//! One budget: what may be spent, what is, and what is reserved.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beluga_core::{Budget, Code, Error, Result, Spend, SpendLimits};
use beluga_runtime::time;
use parking_lot::Mutex;

use super::report::{BudgetStatus, Level};

/// A budget within the one above it.
///
/// Every account is locked before the one above it, so an amount is taken in all of them or in none, and two calls that
/// share accounts never wait for each other in a circle.
pub(crate) struct Account {
    level: Level,
    name: Arc<str>,
    above: Option<Arc<dyn Budget>>,
    state: Mutex<State>,
}

struct State {
    limits: SpendLimits,
    /// The length of a window; `None` counts from the beginning.
    every: Option<Duration>,
    /// When the window began.
    began: Instant,
    spent: Spend,
    reserved: Spend,
    /// What settled calls used beyond their reservations.
    over: Spend,
}

impl Account {
    pub(crate) fn new(
        level: Level,
        name: impl Into<Arc<str>>,
        limits: SpendLimits,
        every: Option<Duration>,
        above: Option<Arc<dyn Budget>>,
    ) -> Self {
        let began = time::now();
        let state = State { limits, every, began, spent: Spend::ZERO, reserved: Spend::ZERO, over: Spend::ZERO };
        Self { level, name: name.into(), above, state: Mutex::new(state) }
    }

    /// Counts what was spent before this account was made, as the journal shows it. Those above know it already.
    pub(crate) fn spent_before(self, spent: Spend) -> Self {
        self.state.lock().spent = spent;
        self
    }

    /// Replaces the limits; what is spent stays spent.
    pub(crate) fn limit(&self, limits: SpendLimits, every: Option<Duration>) {
        let mut state = self.state.lock();
        (state.limits, state.every) = (limits, every);
    }

    /// Raises each limit there is.
    pub(crate) fn raise(&self, by: Spend) {
        let mut state = self.state.lock();
        for (limit, by) in of_limits(&mut state.limits).into_iter().zip(amounts(by)) {
            *limit = limit.map(|limit| limit.saturating_add(by));
        }
    }

    /// Takes what is neither spent nor reserved out of the limits and returns it.
    pub(crate) fn take_unused(&self) -> Spend {
        let mut state = self.state.lock();
        let taken = amounts(state.spent.plus(state.reserved));
        let mut unused = [0; 4];
        for ((limit, taken), unused) in of_limits(&mut state.limits).into_iter().zip(taken).zip(&mut unused) {
            if let Some(limit) = limit {
                *unused = limit.saturating_sub(taken);
                *limit -= *unused;
            }
        }
        let [requests, tokens, cost_micro_usd, time_ms] = unused;
        Spend { requests, tokens, cost_micro_usd, time_ms }
    }

    pub(crate) fn is_limited(&self) -> bool {
        !self.state.lock().limits.is_none()
    }

    pub(crate) fn status(&self) -> BudgetStatus {
        let now = time::now();
        let mut state = self.state.lock();
        state.turn(now);
        let left = state.every.map(|every| every.saturating_sub(now.saturating_duration_since(state.began)));
        BudgetStatus {
            level: self.level,
            name: self.name.to_string(),
            limits: state.limits,
            spent: state.spent,
            reserved: state.reserved,
            over: state.over,
            resets_in_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn refuse(&self, state: &State, what: &'static str, want: Spend) -> Error {
        let error = Error::new(Code::BudgetExhausted, format!("the budget of the {} has no room", self.level))
            .with_op("budget.reserve")
            .with("budget", self.level)
            .with("limited", what);
        let named =
            |values: [u64; 4]| values.into_iter().zip(NAMES).find_map(|(value, name)| (name == what).then_some(value));
        let limit = named(bounds(state.limits).map(Option::unwrap_or_default));
        let keys = [("spent", state.spent), ("reserved", state.reserved), ("wanted", want)];
        let keys = keys.map(|(key, spend)| (key, named(amounts(spend))));
        let keys = [("limit", limit)].into_iter().chain(keys);
        keys.fold(error, |error, (key, amount)| error.with(key, amount.unwrap_or_default()))
    }
}

/// What is limited, in the order of [`amounts`].
const NAMES: [&str; 4] = ["requests", "tokens", "cost_micro_usd", "time_ms"];

fn amounts(spend: Spend) -> [u64; 4] {
    [spend.requests, spend.tokens, spend.cost_micro_usd, spend.time_ms]
}

fn bounds(limits: SpendLimits) -> [Option<u64>; 4] {
    [limits.requests, limits.tokens, limits.cost_micro_usd, limits.time_ms]
}

fn of_limits(limits: &mut SpendLimits) -> [&mut Option<u64>; 4] {
    [&mut limits.requests, &mut limits.tokens, &mut limits.cost_micro_usd, &mut limits.time_ms]
}

impl State {
    /// Begins a new window if the old one is over. What is reserved is settled in the new one.
    fn turn(&mut self, now: Instant) {
        let Some(every) = self.every.filter(|every| !every.is_zero()) else { return };
        let passed = now.saturating_duration_since(self.began);
        if passed < every {
            return;
        }
        // Windows follow each other without a gap, however long nobody called.
        let into = passed.as_nanos() % every.as_nanos();
        let into = Duration::from_nanos(u64::try_from(into).unwrap_or(u64::MAX));
        self.began = now.checked_sub(into).unwrap_or(now);
        (self.spent, self.over) = (Spend::ZERO, Spend::ZERO);
    }

    /// Returns how much is left of the time, `None` without a limit.
    fn time_left_ms(&self) -> Option<u64> {
        let taken = self.spent.time_ms.saturating_add(self.reserved.time_ms);
        self.limits.time_ms.map(|limit| limit.saturating_sub(taken))
    }

    /// Returns the part of an amount that is limited.
    fn limited(&self, amount: Spend) -> Spend {
        let SpendLimits { requests, tokens, cost_micro_usd, time_ms } = self.limits;
        Spend {
            requests: requests.map_or(0, |_| amount.requests),
            tokens: tokens.map_or(0, |_| amount.tokens),
            cost_micro_usd: cost_micro_usd.map_or(0, |_| amount.cost_micro_usd),
            time_ms: time_ms.map_or(0, |_| amount.time_ms),
        }
    }

    /// Returns what has no room for an amount.
    fn refusal(&self, want: Spend) -> Option<&'static str> {
        let taken = amounts(self.spent.plus(self.reserved));
        let places = bounds(self.limits).into_iter().zip(taken).zip(amounts(want)).zip(NAMES);
        places.into_iter().find_map(|(((limit, taken), want), name)| {
            limit.is_some_and(|limit| taken.saturating_add(want) > limit).then_some(name)
        })
    }
}

impl Budget for Account {
    fn reserve(&self, want: Spend) -> Result<Spend> {
        let mut state = self.state.lock();
        state.turn(time::now());
        let mut granted = want;
        if let Some(left) = state.time_left_ms() {
            if left == 0 && want.time_ms > 0 {
                return Err(self.refuse(&state, "time_ms", want));
            }
            // A call gets the time that is left and ends by then.
            granted.time_ms = granted.time_ms.min(left);
        }
        if let Some(what) = state.refusal(granted) {
            return Err(self.refuse(&state, what, want));
        }
        if let Some(above) = &self.above {
            granted = above.reserve(granted)?;
        }
        state.reserved = state.reserved.plus(granted);
        Ok(granted)
    }

    fn settle(&self, reserved: Spend, used: Spend) {
        {
            let mut state = self.state.lock();
            state.reserved = state.reserved.less(reserved);
            state.spent = state.spent.plus(used);
            let over = state.limited(used.less(reserved));
            state.over = state.over.plus(over);
        }
        if let Some(above) = &self.above {
            above.settle(reserved, used);
        }
    }

    fn limits(&self) -> SpendLimits {
        let own = self.state.lock().limits;
        self.above.as_ref().map_or(own, |above| own.tightest(above.limits()))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("level", &self.level).field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
