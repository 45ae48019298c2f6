//! What a call needs of a model, and what a model can do.

use beluga_core::{ChatMessage, ModelRequest, Part, Tokenizer, prompt_tokens};
use serde::{Deserialize, Serialize};

/// What a model lacks that cannot take so long a call.
pub(super) const CONTEXT_TOKENS: &str = "context_tokens";

/// What a model can do. What is not known is taken as given: a vendor that cannot says so, and the next is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Abilities {
    /// Whether it calls tools.
    pub tools: Option<bool>,
    /// Whether it sees pictures.
    pub vision: Option<bool>,
    /// Whether it answers in JSON of a schema.
    pub json: Option<bool>,
    /// The most tokens of prompt and answer together.
    pub context_tokens: Option<u64>,
}

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Tools are offered.
    pub tools: bool,
    /// There are pictures in the conversation.
    pub vision: bool,
    /// The answer has a form.
    pub json: bool,
    /// The tokens of the prompt, counted or estimated.
    pub prompt_tokens: u64,
    /// The tokens the answer may have.
    pub output_tokens: u64,
}

impl Need {
    /// Returns what a request needs; `output_tokens` stands for an answer without a bound.
    #[must_use]
    pub fn of(request: &ModelRequest, tokenizer: &dyn Tokenizer, output_tokens: u64) -> Self {
        Self {
            tools: !request.tools.is_empty(),
            vision: request.messages.iter().any(|message| shows_a_picture(message)),
            json: request.options.format.is_some(),
            prompt_tokens: prompt_tokens(tokenizer, request),
            output_tokens: request.options.max_tokens.map_or(output_tokens, u64::from),
        }
    }
}

fn shows_a_picture(message: &ChatMessage) -> bool {
    let is_picture = |part: &Part| matches!(part, Part::Image(_) | Part::Video(_));
    message.parts.iter().any(is_picture) || message.results().any(|result| result.parts.iter().any(is_picture))
}

impl Abilities {
    /// Returns what a model is known to lack for a call, `None` if it may answer it.
    #[must_use]
    pub fn lacks(&self, need: &Need) -> Option<&'static str> {
        let asked =
            [(need.tools, self.tools, "tools"), (need.vision, self.vision, "vision"), (need.json, self.json, "json")];
        let lacking = asked.into_iter().find(|(needed, able, _)| *needed && *able == Some(false));
        let length = need.prompt_tokens.saturating_add(need.output_tokens);
        let too_long = self.context_tokens.is_some_and(|most| length > most);
        lacking.map(|(.., what)| what).or_else(|| too_long.then_some(CONTEXT_TOKENS))
    }

    /// Returns how many things a model can do that a call does not need.
    pub(super) fn beyond(&self, need: &Need) -> usize {
        let asked = [(need.tools, self.tools), (need.vision, self.vision), (need.json, self.json)];
        asked.into_iter().filter(|(needed, able)| !needed && *able != Some(false)).count()
    }
}
