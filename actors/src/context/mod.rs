//! What of a conversation the model is shown when not all of it fits.
//!
//! A [`ContextManager`] fits a conversation to a budget of tokens: [`Truncate`] and [`Sliding`] leave out what is oldest,
//! [`Summarise`] has a model say it shorter, [`Semantic`] keeps what belongs to the question, [`Adaptive`] chooses by how
//! full the budget is. An agent has one by [`AgentBuilder::context`](crate::agent::AgentBuilder::context); the journal
//! keeps the whole conversation in any case. Messages are shared: what is kept is pointers.
//!
//! Limits: [`SUMMARIES_MAX`] summaries a manager, [`CANDIDATES_MAX`] exchanges that are compared.

mod adaptive;
mod group;
mod semantic;
mod summarise;
#[cfg(test)]
mod tests;
mod truncate;

use std::fmt;
use std::sync::Arc;

use beluga_core::{
    BoxFuture, CallContext, ChatMessage, MEDIA_TOKENS, MESSAGE_TOKENS, Part, Result, TokenEstimate, Tokenizer,
};

pub use adaptive::Adaptive;
pub use semantic::{CANDIDATES_MAX, Semantic, Similarity, WordOverlap};
pub use summarise::{SUMMARIES_MAX, SUMMARY_TOKENS_MAX, Summarise};
pub use truncate::{Sliding, Truncate};

/// A conversation without its system prompt, oldest first.
pub type Messages = Arc<Vec<Arc<ChatMessage>>>;

/// Fits a conversation to a budget.
///
/// Laws: `what_fits_is_the_same`: a conversation within the budget is returned as the same pointer; `the_budget_holds`:
/// what is returned has at most `budget_tokens`; `calls_keep_their_results`: a tool call and its result, and the thinking
/// that led to the call, are kept or left out together; `the_newest_stays`: the last question and the newest round stay;
/// `order_stays`: what is kept is in its order.
pub trait ContextManager: fmt::Debug + Send + Sync + 'static {
    /// Returns the name, as configurations know it.
    fn name(&self) -> &'static str;

    /// Fits a conversation. Dropping the future has no effect but that its work is lost.
    ///
    /// # Errors
    /// `context_length` if the newest alone is above the budget; what a model or a similarity it asks answers.
    fn fit(&self, request: Fit) -> BoxFuture<'_, Result<Messages>>;
}

/// What is to be fitted.
#[derive(Debug, Clone)]
pub struct Fit {
    /// The conversation.
    pub messages: Messages,
    /// The most tokens of what is returned.
    pub budget_tokens: u64,
    /// What counts them.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// The call, for what must be asked.
    pub context: CallContext,
}

impl Fit {
    /// Returns the tokens of the whole conversation.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokenizer.count_messages(&self.messages)
    }

    /// Returns whether all fits; what is far below the budget is not counted.
    #[must_use]
    pub fn fits(&self) -> bool {
        at_most(&self.messages) <= self.budget_tokens || self.tokens() <= self.budget_tokens
    }
}

/// An agent's context manager with its budget.
#[derive(Debug, Clone)]
pub struct ContextWindow {
    /// What fits the conversation.
    pub manager: Arc<dyn ContextManager>,
    /// The most tokens of a prompt: system prompt, tools and conversation. The answer comes on top of it.
    pub budget_tokens: u64,
    /// What counts the tokens; the estimate unless told.
    pub tokenizer: Arc<dyn Tokenizer>,
}

impl ContextWindow {
    /// Makes a window whose tokens are estimated.
    #[must_use]
    pub fn new(manager: impl ContextManager, budget_tokens: u64) -> Self {
        Self { manager: Arc::new(manager), budget_tokens, tokenizer: Arc::new(TokenEstimate) }
    }

    /// Counts with this tokenizer instead.
    #[must_use]
    pub fn with_tokenizer(mut self, tokenizer: Arc<dyn Tokenizer>) -> Self {
        self.tokenizer = tokenizer;
        self
    }
}

/// Returns a bound of the tokens that needs no counting: no tokenizer makes more tokens than there are bytes.
fn at_most(messages: &[Arc<ChatMessage>]) -> u64 {
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts.fold(MESSAGE_TOKENS.saturating_mul(messages.len() as u64), |sum, part| {
        let tokens = match part {
            Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::File(_) => MEDIA_TOKENS,
            Part::ToolCall(call) => MESSAGE_TOKENS.saturating_add((call.name.len() + call.arguments.len()) as u64),
            part => MESSAGE_TOKENS.saturating_add(part.size_bytes() as u64),
        };
        sum.saturating_add(tokens)
    })
}
