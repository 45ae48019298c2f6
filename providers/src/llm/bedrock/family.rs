//! What Bedrock's models differ in: each maker's own fields pass through `additionalModelRequestFields`.

use beluga_core::{Effort, GenerateOptions, Reasoning, ThinkingSwitch};
use serde_json::{Map, Value, json};

/// The least budget for thinking Claude takes.
const BUDGET_MIN: u32 = 1024;

/// Who made a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    Nova,
    /// OpenAI's open models.
    GptOss,
    /// Models that take `reasoning_config`.
    ReasoningConfig,
    Other,
}

impl Family {
    /// Tells the family by the model's id, with or without the prefix of a region.
    pub(super) fn of(model: &str) -> Self {
        let is = |name: &str| model.contains(name);
        if is("anthropic.claude") {
            Family::Claude
        } else if is("amazon.nova") {
            Family::Nova
        } else if is("openai.gpt-oss") {
            Family::GptOss
        } else if is("qwen.") || is("deepseek.") {
            Family::ReasoningConfig
        } else {
            Family::Other
        }
    }

    /// Returns whether prefixes of system and conversation may be marked; others refuse the request.
    pub(super) fn caches(self) -> bool {
        matches!(self, Family::Claude | Family::Nova)
    }

    /// Returns whether the tools may be marked too.
    pub(super) fn caches_tools(self) -> bool {
        self == Family::Claude
    }

    /// Returns the fields that Converse has no word for.
    pub(super) fn fields(self, options: &GenerateOptions) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        match (self, options.top_k) {
            (Family::Claude, Some(count)) => put("top_k", json!(count)),
            (Family::Nova, Some(count)) => put("inferenceConfig", json!({"topK": count})),
            _ => {}
        }
        let Some(reasoning) = &options.reasoning else { return fields };
        let effort = reasoning.effort.as_ref().filter(|effort| **effort != Effort::None).map(Effort::as_str);
        match self {
            Family::Claude => {
                if let Some(thinking) = claude_thinking(reasoning) {
                    put("thinking", thinking);
                }
                if let (Some(effort), None) = (effort, reasoning.budget_tokens) {
                    put("output_config", json!({"effort": effort}));
                }
            }
            Family::Nova => match effort {
                Some(effort) => put("reasoningConfig", json!({"type": "enabled", "maxReasoningEffort": effort})),
                None if reasoning.switch == Some(ThinkingSwitch::Disabled) => {
                    put("reasoningConfig", json!({"type": "disabled"}));
                }
                None => {}
            },
            Family::GptOss => effort.into_iter().for_each(|effort| put("reasoning_effort", json!(effort))),
            Family::ReasoningConfig => effort.into_iter().for_each(|effort| put("reasoning_config", json!(effort))),
            Family::Other => {}
        }
        fields
    }
}

/// A budget is the way of the older models, an effort that of the newer ones.
fn claude_thinking(reasoning: &Reasoning) -> Option<Value> {
    match (reasoning.budget_tokens, &reasoning.switch, &reasoning.effort) {
        (Some(budget), _, _) if budget > 0 => Some(json!({"type": "enabled", "budget_tokens": budget.max(BUDGET_MIN)})),
        (Some(_), _, _) | (_, Some(ThinkingSwitch::Disabled), _) | (_, _, Some(Effort::None)) => None,
        (None, Some(_), _) | (None, None, Some(_)) => Some(json!({"type": "adaptive"})),
        (None, None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_the_maker_behind_any_region() {
        assert_eq!(Family::of("us.anthropic.claude-sonnet-4-5-20250929-v1:0"), Family::Claude);
        assert_eq!(Family::of("amazon.nova-lite-v1:0"), Family::Nova);
        assert_eq!(Family::of("openai.gpt-oss-120b-1:0"), Family::GptOss);
        assert_eq!(Family::of("meta.llama3-1-8b-instruct-v1:0"), Family::Other);
    }

    #[test]
    fn thinking_is_asked_for_as_each_maker_wants() {
        let asked = |family: Family, effort, budget| {
            let reasoning = Some(Reasoning { effort, budget_tokens: budget, ..Reasoning::default() });
            Value::Object(family.fields(&GenerateOptions { reasoning, top_k: Some(5), ..GenerateOptions::default() }))
        };
        let high = || Some(Effort::High);
        let want = json!({"top_k": 5, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}});
        assert_eq!(asked(Family::Claude, high(), None), want);
        let want = json!({"top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}});
        assert_eq!(asked(Family::Claude, None, Some(9)), want);
        assert_eq!(asked(Family::Claude, Some(Effort::None), None), json!({"top_k": 5}));
        let want = json!({"inferenceConfig": {"topK": 5}, "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}});
        assert_eq!(asked(Family::Nova, high(), None), want);
        assert_eq!(asked(Family::GptOss, high(), None), json!({"reasoning_effort": "high"}));
        assert_eq!(asked(Family::Other, high(), Some(9)), json!({}));
    }
}
