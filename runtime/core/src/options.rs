//! How an answer is to be made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::notes::{CacheMark, Extra};

/// How an answer is to be made. Absent means the vendor's default.
///
/// What several vendors share has a field here; a dialect leaves out what its vendor has no word for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerateOptions {
    /// Overrides the provider's model id.
    pub model: Option<String>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// The most tokens the answer may have.
    pub max_tokens: Option<u32>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// The form of the answer.
    pub format: Option<ResponseFormat>,
    /// Whether tools may, must or must not be called.
    pub tool_choice: ToolChoice,
    /// How much the model thinks.
    pub reasoning: Option<Reasoning>,
    /// The application's labels; sent where the vendor takes them.
    pub metadata: BTreeMap<String, String>,
    /// How many of the likeliest tokens are sampled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// The least probability, as a part of the likeliest token's, that a token may have, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// What is added to the likelihood of tokens, by their number, −100 to 100.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub logit_bias: BTreeMap<String, f64>,
    /// The seed of sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Penalty for repeating tokens by how often they came, −2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Penalty for repeating tokens at all, −2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// How many answers are made; the first is the answer, the others are its alternatives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<u32>,
    /// Whether log probabilities are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// For how many tokens of each place log probabilities are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// Whether one answer may call several tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Who asks, in a form that names nobody: the vendor's handle against abuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The class of service, in the vendor's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// How long the answer is to be, in the vendor's word: `low`, `medium`, `high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<String>,
    /// Whether the vendor keeps the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// What the answer is made of, such as `text`, `audio`, `image`; empty means text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modalities: Vec<String>,
    /// A key under which the vendor finds what it cached of earlier prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_key: Option<String>,
    /// Whether the vendor is to cache what it can of the whole prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheMark>,
    /// Whether a streamed answer tells what it cost; absent means that it does, where it has to be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_usage: Option<bool>,
    /// Vendor fields passed through verbatim. They win over ours of the same name.
    pub extra: Extra,
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// The JSON Schema.
        schema: Value,
        /// Whether the vendor is to enforce it.
        strict: bool,
        /// What the answer is for, for the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
}

/// Whether tools may, must or must not be called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool.
    None,
    /// At least one tool.
    Required,
    /// This tool.
    Tool(String),
    /// Only some of the tools offered.
    Among {
        /// Their names.
        tools: Vec<String>,
        /// Whether at least one of them must be called.
        required: bool,
    },
}

/// How much the model thinks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reasoning {
    /// The effort, where the vendor takes one.
    pub effort: Option<Effort>,
    /// The most tokens for thinking, where the vendor takes a number.
    pub budget_tokens: Option<u32>,
    /// Whether it thinks at all, where the vendor has a switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<ThinkingSwitch>,
    /// Whether the thinking is shown, where the vendor can hide it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<bool>,
    /// How the thinking is summarised, in the vendor's word: `auto`, `concise`, `detailed`, `summarized`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// Whether a model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkingSwitch {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It decides by itself.
    Adaptive,
}

/// Reasoning effort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// None at all.
    None,
    /// Hardly any.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// Very much.
    #[serde(rename = "xhigh")]
    ExtraHigh,
    /// As much as there is.
    Max,
    /// A word this version does not know, as the vendor writes it.
    Other(String),
}

impl Effort {
    /// Returns the word vendors write.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::ExtraHigh => "xhigh",
            Effort::Max => "max",
            Effort::Other(word) => word,
        }
    }

    /// Reads the word vendors write; never fails, for a word that is not known is kept.
    ///
    /// ```
    /// use beluga_core::Effort;
    ///
    /// assert_eq!(Effort::from_word("xhigh"), Effort::ExtraHigh);
    /// assert_eq!(Effort::from_word("dreamy").as_str(), "dreamy");
    /// ```
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word {
            "none" => Effort::None,
            "minimal" => Effort::Minimal,
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            "high" => Effort::High,
            "xhigh" => Effort::ExtraHigh,
            "max" => Effort::Max,
            other => Effort::Other(other.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_not_written() {
        let json = serde_json::to_value(GenerateOptions::default()).unwrap();
        assert!(json.get("top_k").is_none() && json.get("modalities").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<GenerateOptions>(json).unwrap(), GenerateOptions::default());
    }

    #[test]
    fn efforts_have_one_word() {
        for word in ["none", "minimal", "low", "medium", "high", "xhigh", "max"] {
            let effort = Effort::from_word(word);
            assert!(!matches!(effort, Effort::Other(_)), "{word}");
            assert_eq!(serde_json::to_value(&effort).unwrap(), effort.as_str());
        }
    }
}
