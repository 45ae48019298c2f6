//! The system prompt of a turn: persona, instructions and what memory brings, stable parts first.

use std::sync::Arc;

use beluga_core::{
    ChatMessage, MemoryOwner, MemoryQuery, ModelRequest, Part, ResponseFormat, Result, Role, prompt_tokens,
};
use beluga_runtime::telemetry::request_id;
use beluga_runtime::time;

use super::Turn;
use crate::agent::PlannerState;
use crate::context::Fit;

/// The most results a tier may bring into the prompt.
const MEMORY_RESULTS_MAX: usize = 5;

impl Turn {
    /// Makes the system prompt, if there is anything to say; parts that change rarely come first, so that vendors'
    /// prompt caches hit.
    pub(super) async fn load_system(&self) -> Option<Arc<ChatMessage>> {
        let form = self.format.as_ref().map(in_words).unwrap_or_default();
        let memory = self.load_memory().await;
        let parts = [self.spec.preamble.as_str(), form.as_str()];
        let lasting = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n");
        // What memory brings is a part of its own: it is another one in the next turn.
        let parts = match (lasting.is_empty(), memory.is_empty()) {
            (true, true) => return None,
            (false, true) => vec![Part::text(lasting)],
            (true, false) => vec![Part::text(memory)],
            (false, false) => vec![Part::text(lasting), Part::text(format!("\n\n{memory}"))],
        };
        Some(Arc::new(ChatMessage::new(Role::System, parts)))
    }

    /// Leaves of the conversation what fits the agent's window beside system prompt and tools.
    pub(super) async fn fit(&self, state: &mut PlannerState) -> Result<()> {
        let Some(window) = &self.spec.window else { return Ok(()) };
        let beside = ModelRequest {
            messages: state.system.iter().cloned().collect(),
            tools: Arc::clone(&state.tools),
            ..ModelRequest::default()
        };
        let beside = prompt_tokens(window.tokenizer.as_ref(), &beside);
        let share = self.model_context(&state.context);
        let fit = Fit {
            messages: Arc::clone(&state.messages),
            budget_tokens: window.budget_tokens.saturating_sub(beside),
            tokenizer: Arc::clone(&window.tokenizer),
            context: share.clone(),
        };
        state.messages = time::within(&share, window.manager.fit(fit)).await.and_then(|fitted| fitted)?;
        Ok(())
    }

    /// Asks every tier what belongs in the prompt. A tier that fails is left out with a warning: a turn without memory
    /// is better than none.
    async fn load_memory(&self) -> String {
        let mut parts = Vec::new();
        if self.spec.memory.is_empty() {
            return String::new();
        }
        let share = self.memory_context();
        for memory in &self.spec.memory {
            let query = MemoryQuery {
                owner: MemoryOwner { tenant: self.key.tenant.clone(), agent: self.agent.clone() },
                text: self.input.text(),
                limit: MEMORY_RESULTS_MAX,
                session: None,
                context: share.child(),
            };
            match time::within(&share, memory.load(query)).await.and_then(|loaded| loaded) {
                Ok(text) if text.is_empty() => {}
                Ok(text) => parts.push(text),
                Err(error) => {
                    let request_id = request_id(&self.context);
                    tracing::warn!(session = %self.key.id, request_id, %error, "a memory tier did not load");
                }
            }
        }
        parts.join("\n\n")
    }
}

/// Says the form of the answer to models that take no other word for it.
fn in_words(format: &ResponseFormat) -> String {
    match format {
        ResponseFormat::JsonObject => "Give your final answer as one JSON object and nothing else.".to_owned(),
        ResponseFormat::JsonSchema { schema, .. } => {
            format!("Give your final answer as JSON of this schema and nothing else:\n{schema}")
        }
    }
}
