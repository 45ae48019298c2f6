//! Where a node's budget comes from when it is a share of a larger one.

use std::fmt;

use beluga_core::{BoxFuture, Result, Spend};

/// Gives a node shares of a budget that several nodes spend: the cluster's. The node's own limits then begin where its
/// settings say and grow by what it is granted; what nobody granted is never spent.
///
/// The sum of all shares given out, minus those given back, must stay within the larger budget: then so does what the
/// nodes spend, whatever they do at the same time and whichever of them dies.
pub trait BudgetSource: fmt::Debug + Send + Sync + 'static {
    /// Gives at most an amount; zero of what is used up.
    ///
    /// # Errors
    /// `unavailable`, `timeout`: the call that needed it is refused as if nothing were left.
    fn grant(&self, want: Spend) -> BoxFuture<'static, Result<Spend>>;

    /// Takes back what the node will not spend, when it stops.
    ///
    /// # Errors
    /// What the source answers; it is logged.
    fn give_back(&self, unused: Spend) -> BoxFuture<'static, Result<()>>;
}
