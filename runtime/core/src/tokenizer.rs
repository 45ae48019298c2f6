//! The contract of a tokenizer: how many tokens a text has, before a vendor tells.

use std::fmt;
use std::sync::Arc;

use crate::content::{ChatMessage, Part};
use crate::model::ModelRequest;

/// What a picture, a sound or a document counts as. Vendors count by size and detail; this is a picture of 1,024 pixels
/// a side, rounded up. Estimated even where the text is counted.
pub const MEDIA_TOKENS: u64 = 1_500;

/// What a message costs beside its text: role and separators, as chat templates have them.
pub const MESSAGE_TOKENS: u64 = 4;

/// Counts the tokens of texts as one family of models does, or estimates them and says so.
///
/// Laws: `empty_is_nothing`: an empty text has no tokens; `counts_repeat`: equal texts have equal counts;
/// `joining_adds_little`: two texts joined have at most one token more than both. Counting does no I/O and takes at most a few
/// nanoseconds per byte.
///
/// ```
/// use beluga_core::{TokenEstimate, Tokenizer};
///
/// let tokenizer: &dyn Tokenizer = &TokenEstimate;
/// assert_eq!((tokenizer.name(), tokenizer.is_exact()), ("estimate", false));
/// assert_eq!(tokenizer.count("The quick brown fox."), 5);
/// ```
pub trait Tokenizer: fmt::Debug + Send + Sync + 'static {
    /// Returns what counts: the name of an encoding, or `estimate`.
    fn name(&self) -> &str;

    /// Returns whether the counts are the model's own. What is not exact errs rather above than below.
    fn is_exact(&self) -> bool;

    /// Returns how many tokens a text has.
    fn count(&self, text: &str) -> u64;

    /// Returns how many tokens a conversation has: its texts, and what each message costs beside them.
    fn count_messages(&self, messages: &[Arc<ChatMessage>]) -> u64 {
        messages.iter().fold(0, |sum: u64, message| {
            let parts = message.parts.iter().map(|part| count_part(part, |text| self.count(text)));
            sum.saturating_add(MESSAGE_TOKENS).saturating_add(parts.fold(0, u64::saturating_add))
        })
    }
}

/// Returns how many tokens the prompt of a request has: its conversation and its tools.
///
/// ```
/// use beluga_core::{ChatMessage, ModelRequest, TokenEstimate, prompt_tokens};
///
/// let request = ModelRequest { messages: vec![ChatMessage::user("Hello").into()], ..ModelRequest::default() };
/// assert_eq!(prompt_tokens(&TokenEstimate, &request), 5, "one word, and the message round it");
/// ```
#[must_use]
pub fn prompt_tokens(tokenizer: &dyn Tokenizer, request: &ModelRequest) -> u64 {
    let tools = request.tools.iter().fold(0, |sum: u64, tool| {
        let words = tokenizer.count(&tool.name).saturating_add(tokenizer.count(&tool.description));
        sum.saturating_add(MESSAGE_TOKENS)
            .saturating_add(words)
            .saturating_add(tokenizer.count(&tool.input_schema.to_string()))
    });
    tokenizer.count_messages(&request.messages).saturating_add(tools)
}

fn count_part(part: &Part, count: impl Fn(&str) -> u64) -> u64 {
    match part {
        Part::Text { text, .. } | Part::Refusal { text, .. } => count(text),
        Part::Thinking(thinking) => count(&thinking.text),
        Part::ToolCall(call) => count(&call.name).saturating_add(count(&call.arguments)).saturating_add(MESSAGE_TOKENS),
        Part::ToolResult(result) => count(&result.text()).saturating_add(MESSAGE_TOKENS),
        // What a vendor's own tools said goes back as the JSON it was.
        Part::Foreign(foreign) => count(&foreign.value.to_string()),
        // Pictures, sounds, documents, and what a later version adds.
        _ => MEDIA_TOKENS,
    }
}

/// An estimate that needs no vocabulary and says that it is one.
///
/// It goes by classes of characters: a word is a token for each begun eight letters, a number one for each three digits,
/// punctuation one for each sign, two letters with marks or of another alphabet one, and a sign of a script without
/// spaces one. On prose and JSON it lies above what the vendors' tokenizers count, on rare words below.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenEstimate;

/// The letters of one token, by the class of a character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letters,
    Digits,
    Spaces,
    Marked,
    Sign,
}

impl Class {
    fn of(character: char) -> Self {
        match character {
            'a'..='z' | 'A'..='Z' => Class::Letters,
            '0'..='9' => Class::Digits,
            character if character.is_ascii_whitespace() => Class::Spaces,
            character if !character.is_ascii() && character.len_utf8() == 2 => Class::Marked,
            _ => Class::Sign,
        }
    }

    /// Returns the tokens of a run of so many characters.
    fn tokens(self, run: u64) -> u64 {
        match self {
            Class::Letters => run.div_ceil(8),
            Class::Digits => run.div_ceil(3),
            // A single space belongs to the word behind it.
            Class::Spaces => run.saturating_sub(1).div_ceil(4),
            Class::Marked => run.div_ceil(2),
            Class::Sign => run,
        }
    }
}

impl Tokenizer for TokenEstimate {
    fn name(&self) -> &'static str {
        "estimate"
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn count(&self, text: &str) -> u64 {
        let (mut tokens, mut run, mut class) = (0_u64, 0_u64, Class::Spaces);
        for character in text.chars() {
            let next = Class::of(character);
            if next != class {
                tokens = tokens.saturating_add(class.tokens(run));
                (run, class) = (0, next);
            }
            run += 1;
        }
        tokens.saturating_add(class.tokens(run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{ToolCall, ToolOutcome, ToolResult};
    use crate::tool::ToolDefinition;

    #[test]
    fn the_estimate_goes_by_classes_of_characters() {
        for (text, tokens) in [
            ("", 0),
            ("a", 1),
            ("internationalisation", 3),
            ("1234567", 3),
            ("{\"a\": 1}", 7),
            ("straße", 3),
            ("日本語", 3),
            ("line\n\n        indented", 4 + 1),
        ] {
            assert_eq!(TokenEstimate.count(text), tokens, "{text:?}");
        }
    }

    #[test]
    fn joined_texts_have_at_most_one_token_more() {
        let texts = ["", "word", " two words", "12", "34 ", "é", "ß!", "日", "\n\n", "{}", "Longerword"];
        for a in texts {
            for b in texts {
                let (joined, sum) =
                    (TokenEstimate.count(&format!("{a}{b}")), TokenEstimate.count(a) + TokenEstimate.count(b));
                // One space at an edge is free alone and may make a run of two with its neighbour.
                assert!(joined <= sum + 1, "{a:?} {b:?}: {joined} > {sum}");
            }
        }
    }

    #[test]
    fn a_prompt_counts_messages_calls_results_and_tools() {
        let call = ToolCall { id: "c".into(), name: "weather".into(), arguments: "{}".into(), notes: None };
        let mut assistant = ChatMessage::assistant("Wait");
        assistant.parts.push(Part::ToolCall(call));
        let result = ToolResult {
            call_id: "c".into(),
            name: "weather".into(),
            outcome: ToolOutcome::Ok,
            parts: vec![Part::text("rain")],
            notes: None,
        };
        let mut request = ModelRequest {
            messages: vec![Arc::new(assistant), Arc::new(ChatMessage::tool_results(vec![result]))],
            ..ModelRequest::default()
        };
        let alone = prompt_tokens(&TokenEstimate, &request);
        assert_eq!(alone, (4 + 1 + 1 + 2 + 4) + (4 + 1 + 4));
        let definition = ToolDefinition {
            name: "weather".into(),
            description: "Tells the weather.".into(),
            input_schema: serde_json::json!({}),
            effect: crate::tool::Effect::Pure,
            timeout: None,
            notes: None,
        };
        request.tools = [definition].into();
        assert_eq!(prompt_tokens(&TokenEstimate, &request), alone + 4 + 1 + 4 + 2);
    }
}
