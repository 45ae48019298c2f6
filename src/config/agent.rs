//! `[agents.X]`: who speaks, with which model, tools, memory and colleagues.

use beluga_core::HandoffMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget::{self, SpendSettings};
use super::check::Check;
use super::context::ContextSettings;
use super::settings::{Config, check_name};
use super::{DEFAULT_PROVIDER, hint};

/// An agent under its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// The name of a provider or a router, the X of providers.X or routers.X; may be left out where there is only one, or one named "default".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Names of providers or routers that are asked, in order, when the model is unavailable.
    #[schemars(length(max = 8))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// What the agent is for; shown to people and to the agents that may hand over to it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The system prompt.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// Who the agent is, put before the instructions.
    pub persona: PersonaSettings,
    /// Names of tools it may call.
    #[schemars(length(max = 128))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// Agents it may hand over to: names, or {agent = "name", mode = "transfer" or "return"}.
    #[schemars(length(max = 32))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub handoffs: Vec<HandoffSettings>,
    /// The tiers of memory it has: "core", "recall"; those of memory.tiers where absent, none for an empty list.
    #[schemars(length(max = 2))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Vec<MemoryTier>>,
    /// The most rounds of model and tools in one turn; 16 where absent.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_iterations: Option<u32>,
    /// What a turn that begins with it may spend, in place of budgets.run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<SpendSettings>,
    /// How a long conversation is fitted to the model; the whole of it is sent where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextSettings>,
}

/// A tier of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryTier {
    /// Facts that are always in the prompt.
    Core,
    /// What was said before, found by words.
    Recall,
}

/// Who an agent is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PersonaSettings {
    /// What it is, such as "support engineer".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// What it is to achieve.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub goal: String,
    /// Where it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backstory: String,
    /// How it behaves.
    #[schemars(length(max = 32))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traits: Vec<String>,
}

/// An agent that may take over: its name, or its name and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HandoffSettings {
    /// The name; the other agent keeps the session.
    Name(String),
    /// The name and the mode.
    Full(HandoffTarget),
}

/// An agent that may take over, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoffTarget {
    /// The name of the agent.
    pub agent: String,
    /// "transfer": the other agent keeps the session. "return": it answers and this one goes on.
    #[serde(default)]
    #[schemars(with = "ModeName")]
    pub mode: HandoffMode,
}

/// The schema of [`HandoffMode`], which knows no schemars.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum ModeName {
    Return,
    Transfer,
}

impl HandoffSettings {
    /// Returns the name of the agent.
    #[must_use]
    pub fn agent(&self) -> &str {
        match self {
            HandoffSettings::Name(agent) => agent,
            HandoffSettings::Full(target) => &target.agent,
        }
    }

    /// Returns how it takes over.
    #[must_use]
    pub fn mode(&self) -> HandoffMode {
        match self {
            HandoffSettings::Name(_) => HandoffMode::default(),
            HandoffSettings::Full(target) => target.mode,
        }
    }
}

impl AgentSettings {
    pub(super) fn check(&self, name: &str, config: &Config, check: &mut Check<'_>) {
        let at = |field| ["agents", name, field];
        check_name(check, &["agents", name], name);
        match &self.model {
            Some(model) => {
                if let Some((message, hint)) = wrong_provider(model, config) {
                    check.problem(&at("model"), message, hint);
                }
            }
            None if config.default_provider().is_none() => {
                let names: Vec<&str> = config.providers.keys().map(String::as_str).collect();
                let hint = format!("known: {}; one named \"{DEFAULT_PROVIDER}\" is taken by itself", names.join(", "));
                check.problem(&at("model"), "is required: there are several providers", Some(hint));
            }
            None => {}
        }
        for (index, provider) in self.fallback.iter().enumerate() {
            if let Some((message, hint)) = wrong_provider(provider, config) {
                check.at(&at("fallback"), index, message, hint);
            } else if self.model.as_ref() == Some(provider) || self.fallback.iter().take(index).any(|p| p == provider) {
                check.at(&at("fallback"), index, format!("names \"{provider}\" twice"), None);
            }
        }
        if let Some(spend) = &self.budget {
            budget::check_agent(name, spend, check);
        }
        if let Some(context) = &self.context {
            context.check(name, config, check);
        }
        self.check_tools(name, check);
        self.check_handoffs(name, config, check);
    }

    fn check_tools(&self, name: &str, check: &mut Check<'_>) {
        let known = super::tool::NAMES;
        for (index, tool) in self.tools.iter().enumerate() {
            if !known.contains(&tool.as_str()) {
                let message = format!("no tool \"{}\"", tool.escape_debug());
                check.at(&["agents", name, "tools"], index, message, hint::unknown(tool, &known));
            } else if self.tools.iter().take(index).any(|earlier| earlier == tool) {
                check.at(&["agents", name, "tools"], index, format!("names \"{tool}\" twice"), None);
            }
        }
    }

    fn check_handoffs(&self, name: &str, config: &Config, check: &mut Check<'_>) {
        let others: Vec<&str> = config.agents.keys().map(String::as_str).filter(|other| *other != name).collect();
        for (index, handoff) in self.handoffs.iter().enumerate() {
            let agent = handoff.agent();
            let keys = ["agents", name, "handoffs"];
            if agent == name {
                check.at(&keys, index, "an agent cannot hand over to itself", None);
            } else if !others.contains(&agent) {
                let message = format!("no agent \"{}\"", agent.escape_debug());
                check.at(&keys, index, message, hint::unknown(agent, &others));
            } else if self.handoffs.iter().take(index).any(|earlier| earlier.agent() == agent) {
                check.at(&keys, index, format!("names \"{agent}\" twice"), None);
            }
        }
    }
}

/// Says what is wrong with the name of a provider; a vendor's model id is told so.
pub(super) fn wrong_provider(name: &str, config: &Config) -> Option<(String, Option<String>)> {
    let known: Vec<&str> = config.model_names();
    if known.contains(&name) {
        return None;
    }
    let shown = name.escape_debug();
    let owner = config.providers.iter().find(|(_, provider)| provider.model.as_deref() == Some(name));
    let hint = match owner {
        Some((owner, _)) => Some(format!(
            "\"{shown}\" is the vendor's model id of provider \"{owner}\"; name the provider: model = \"{owner}\""
        )),
        None if looks_like_a_model(name) => Some(format!(
            "\"{shown}\" looks like a vendor's model id; put it under [providers.X] model and name that provider here; \
             known providers: {}",
            known.join(", ")
        )),
        None => hint::unknown(name, &known),
    };
    Some((format!("no provider \"{shown}\""), hint))
}

/// The beginnings of vendors' model ids.
const MODEL_PREFIXES: [&str; 18] = [
    "gpt-",
    "gpt4",
    "o1",
    "o3",
    "o4",
    "chatgpt",
    "claude",
    "gemini",
    "gemma",
    "llama",
    "mistral",
    "mixtral",
    "magistral",
    "deepseek",
    "qwen",
    "grok",
    "command-",
    "phi",
];

fn looks_like_a_model(name: &str) -> bool {
    let lower = name.to_lowercase();
    name.contains(['/', ':', '.']) || MODEL_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
}
