//! What there is without a configuration: one agent, and a provider the environment chooses.

use beluga_providers::llm::{OPENAI, OPENAI_COMPATIBLE};

use super::agent::AgentSettings;
use super::environment::Environment;
use super::provider::ProviderSettings;
use super::tool;

/// The name of the agent there is without a configuration.
pub const DEFAULT_AGENT: &str = "assistant";

/// The name of the provider the environment chooses, and of the one agents take by themselves.
pub const DEFAULT_PROVIDER: &str = "default";

/// The variables that choose a provider, in this order; the first one set decides.
const CHOICES: [(&str, &str); 6] = [
    ("ANTHROPIC_API_KEY", "anthropic"),
    ("OPENAI_API_KEY", "openai"),
    ("OPENAI_BASE_URL", "openai-compatible"),
    ("GROQ_API_KEY", "groq"),
    ("DEEPSEEK_API_KEY", "deepseek"),
    ("GEMINI_API_KEY", "google"),
];

/// Returns the provider the environment chooses: `ANTHROPIC_API_KEY`, `OPENAI_API_KEY`, `OPENAI_BASE_URL` (a
/// compatible server, no key needed; `OPENAI_MODEL` names its model), `GROQ_API_KEY`, `DEEPSEEK_API_KEY`,
/// `GEMINI_API_KEY`, in this order; else the offline model.
#[must_use]
pub fn provider_from_environment(environment: &Environment) -> ProviderSettings {
    let chosen = CHOICES.iter().find(|(variable, _)| environment.get(variable).is_some());
    let mut settings = ProviderSettings::new(chosen.map_or("offline", |(_, kind)| kind));
    if settings.kind == OPENAI_COMPATIBLE.name {
        // Many such servers have one model and take any name for it.
        let model = environment.get("OPENAI_MODEL").or(OPENAI.default_model);
        settings.model = model.map(str::to_owned);
        settings.base_url = environment.get("OPENAI_BASE_URL").map(str::to_owned);
    }
    settings
}

/// Returns the agent there is without a configuration.
pub(super) fn assistant() -> AgentSettings {
    AgentSettings {
        description: "Answers questions, calculates, knows the calendar and remembers.".to_owned(),
        instructions: "You are a helpful assistant. Use your tools for arithmetic, dates and web requests instead of \
                       guessing, and say plainly what you cannot do."
            .to_owned(),
        tools: tool::NAMES.iter().map(|name| (*name).to_owned()).collect(),
        ..AgentSettings::default()
    }
}
