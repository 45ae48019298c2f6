//! Budgets: what turns, sessions, tenants and the node may spend of requests, tokens, money and time, and what they did.
//!
//! Before each try of a model the most it may cost is reserved in every budget it is within, or in none; after it, what
//! it did cost is settled, however it ended. So at every instant spent plus reserved is within each limit, and what
//! passes a limit in the end is at most the sum of what calls used beyond their reservations. A reservation is the
//! counted prompt and `max_tokens` (or [`BudgetSettings::output_tokens`]), priced without any cache; of the time it is
//! what is left, and the call ends by then. A refused call is `budget_exhausted`, and a turn ends with it and what it
//! has said so far.
//!
//! The budget of a run travels in the [`CallContext`](beluga_core::CallContext): agents that are asked spend from it too.
//! Budgets of tenants and of the node count from the start of the node or of their window; that of a session from what
//! its journal shows. A model whose price is unknown has an unknown cost, which the report says; where a cost is limited
//! such a model is refused.
//!
//! The actor is supervised by the root. What is reserved and spent stands in a ledger made by whoever starts it, so it
//! survives restarts, and a reservation costs no message. A node that spends a share of a larger budget has a
//! [`BudgetSource`].
//!
//! Limits: [`TENANTS_MAX`] tenants, [`ROWS_MAX`] rows of usage. Not here: limits per minute, which belong to a
//! credential ([`ModelPolicy`](crate::model::ModelPolicy)); what vendors charge, which is data.

mod account;
mod actor;
mod handle;
mod hold;
mod hooks;
mod ledger;
mod message;
mod meter;
mod report;
mod settings;

pub use handle::Budgets;
pub(crate) use handle::TRY_TIME_DEFAULT;
pub use hooks::BudgetSource;
pub use ledger::{ROWS_MAX, TENANTS_MAX};
pub use report::{BudgetStatus, Level, UsageQuery, UsageReport, UsageRow};
pub use settings::{BudgetSettings, OUTPUT_TOKENS_DEFAULT, WindowLimits};
