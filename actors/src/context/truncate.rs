//! Leaving out what is oldest: by tokens, or by turns.

use std::sync::Arc;

use beluga_core::{BoxFuture, Result, Role};

use super::group::keep_newest;
use super::{ContextManager, Fit, Messages};

/// Leaves out the oldest until the rest fits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Truncate;

impl ContextManager for Truncate {
    fn name(&self) -> &'static str {
        "truncate"
    }

    fn fit(&self, request: Fit) -> BoxFuture<'_, Result<Messages>> {
        Box::pin(async move { if request.fits() { Ok(request.messages) } else { keep_newest(&request) } })
    }
}

/// Keeps at most the newest turns, and of these what fits. A turn begins with a question.
///
/// Unlike with the other managers, a conversation of more turns is cut even if it fits.
#[derive(Debug, Clone, Copy)]
pub struct Sliding {
    turns: usize,
}

impl Sliding {
    /// Keeps at most so many turns; at least 1.
    #[must_use]
    pub fn new(turns: usize) -> Self {
        Self { turns: turns.max(1) }
    }
}

impl ContextManager for Sliding {
    fn name(&self) -> &'static str {
        "sliding"
    }

    fn fit(&self, mut request: Fit) -> BoxFuture<'_, Result<Messages>> {
        Box::pin(async move {
            let questions = request.messages.iter().enumerate().rev().filter(|(_, message)| message.role == Role::User);
            let begin = questions.map(|(index, _)| index).nth(self.turns - 1).unwrap_or(0);
            if begin > 0 {
                request.messages = Arc::new(request.messages.iter().skip(begin).cloned().collect());
            }
            if request.fits() { Ok(request.messages) } else { keep_newest(&request) }
        })
    }
}
