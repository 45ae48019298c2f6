//! Choosing by how full the budget is.

use std::sync::Arc;

use beluga_core::{BoxFuture, Result};

use super::group::keep_newest;
use super::{ContextManager, Fit, Messages, Truncate};

/// Chooses a manager by how many times its budget a conversation has.
///
/// ```
/// use beluga_actors::context::{Adaptive, Semantic, WordOverlap};
///
/// // Above the budget the oldest is left out; from twice the budget on, what does not belong to the question.
/// let manager = Adaptive::new().from(2.0, Semantic::new(WordOverlap));
/// assert_eq!(manager.chosen(150, 100), "truncate");
/// assert_eq!(manager.chosen(200, 100), "semantic");
/// ```
#[derive(Debug, Clone)]
pub struct Adaptive {
    /// By the fill from which each is chosen, ascending.
    steps: Vec<(f64, Arc<dyn ContextManager>)>,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self::new()
    }
}

impl Adaptive {
    /// Makes one that leaves out the oldest, until there are other steps.
    #[must_use]
    pub fn new() -> Self {
        Self { steps: vec![(0.0, Arc::new(Truncate))] }
    }

    /// Chooses `manager` where the conversation has at least `fill` times its budget.
    #[must_use]
    pub fn from(mut self, fill: f64, manager: impl ContextManager) -> Self {
        self.steps.push((fill, Arc::new(manager)));
        self.steps.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        self
    }

    /// Returns the name of the manager that is chosen.
    #[must_use]
    pub fn chosen(&self, tokens: u64, budget_tokens: u64) -> &'static str {
        self.choose(tokens, budget_tokens).map_or("truncate", |manager| manager.name())
    }

    fn choose(&self, tokens: u64, budget_tokens: u64) -> Option<&Arc<dyn ContextManager>> {
        let fill = tokens as f64 / budget_tokens.max(1) as f64;
        self.steps.iter().rev().find(|(from, _)| *from <= fill).map(|(_, manager)| manager)
    }
}

impl ContextManager for Adaptive {
    fn name(&self) -> &'static str {
        "adaptive"
    }

    fn fit(&self, request: Fit) -> BoxFuture<'_, Result<Messages>> {
        if request.fits() {
            return Box::pin(async move { Ok(request.messages) });
        }
        match self.choose(request.tokens(), request.budget_tokens) {
            Some(manager) => manager.fit(request),
            None => Box::pin(async move { keep_newest(&request) }),
        }
    }
}
