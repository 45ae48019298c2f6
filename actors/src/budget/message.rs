//! What may be said to the budgets of a node.

use std::sync::Arc;

use beluga_core::{Budget, Spend};
use beluga_runtime::{Message, protocol};

use super::settings::BudgetSettings;

/// Puts other limits and prices in force; what is spent stays spent.
#[derive(Debug, Message)]
#[message(name = "budget.configure", version = 1, reply = ())]
pub(crate) struct Configure(pub(crate) Box<BudgetSettings>);

/// Asks for a larger share of a budget several nodes have until this fits, and reserves it.
#[derive(Debug, Message)]
#[message(name = "budget.refill", version = 1, reply = Reserved)]
pub(crate) struct Refill {
    /// The budget of the call.
    pub(crate) budget: Arc<dyn Budget>,
    /// What it may cost.
    pub(crate) want: Spend,
}

/// A reservation on its way; given back if nobody takes it.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<dyn Budget>,
    amount: Option<Spend>,
}

impl Reserved {
    pub(crate) fn new(budget: Arc<dyn Budget>, amount: Spend) -> Self {
        Self { budget, amount: Some(amount) }
    }

    /// Takes it over: whoever does settles it.
    pub(crate) fn take(mut self) -> Spend {
        self.amount.take().unwrap_or_default()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(amount) = self.amount.take() {
            self.budget.settle(amount, Spend::ZERO);
        }
    }
}

protocol!(
    /// What may be said to the budgets of a node.
    pub(crate) BudgetProtocol: Configure, Refill
);
