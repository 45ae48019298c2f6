//! The vendors, one row each.

use beluga_core::ProviderVariables;

use super::dialect::Dialect;
use super::profile::{AddressForm, Auth, CacheWord, Profile, ReasoningBack, ReasoningParameter};

/// What most vendors of OpenAI's dialect have in common.
const CHAT: Profile = Profile {
    name: "openai-compatible",
    otel_name: "openai-compatible",
    dialect: Dialect::OpenAiChat,
    base_url: None,
    address_form: AddressForm::Whole,
    auth: Auth::Bearer,
    variables: ProviderVariables { api_key: &[], base_url: &[], key_optional: true },
    default_model: None,
    max_tokens_field: "max_tokens",
    stream_options: true,
    json_schema: true,
    prompt_cache: false,
    cache_word: CacheWord::CacheControl,
    takes_video: false,
    reasoning_parameter: ReasoningParameter::Effort,
    reasoning_field: "reasoning_content",
    reasoning_back: ReasoningBack::Never,
    unsupported: &[],
};

/// Any server that speaks OpenAI's chat completions; the configuration names address and model.
pub const OPENAI_COMPATIBLE: Profile = CHAT;

/// OpenAI (API reference, chat completions, read 2026-11).
pub const OPENAI: Profile = Profile {
    name: "openai",
    otel_name: "openai",
    base_url: Some("https://api.openai.com/v1"),
    variables: ProviderVariables { api_key: &["OPENAI_API_KEY"], base_url: &["OPENAI_BASE_URL"], key_optional: false },
    default_model: Some("gpt-4.1-mini"),
    max_tokens_field: "max_completion_tokens",
    cache_word: CacheWord::Breakpoint,
    ..CHAT
};

/// Groq (API reference, read 2026-11).
pub const GROQ: Profile = Profile {
    name: "groq",
    otel_name: "groq",
    base_url: Some("https://api.groq.com/openai/v1"),
    variables: ProviderVariables { api_key: &["GROQ_API_KEY"], base_url: &["GROQ_BASE_URL"], key_optional: false },
    default_model: Some("llama-3.3-70b-versatile"),
    max_tokens_field: "max_completion_tokens",
    reasoning_field: "reasoning",
    unsupported: &["metadata"],
    ..CHAT
};

/// DeepSeek (API documentation, thinking mode, read 2026-11): thinking of a turn that called tools must come back.
pub const DEEPSEEK: Profile = Profile {
    name: "deepseek",
    otel_name: "deepseek",
    base_url: Some("https://api.deepseek.com"),
    variables: ProviderVariables {
        api_key: &["DEEPSEEK_API_KEY"],
        base_url: &["DEEPSEEK_BASE_URL"],
        key_optional: false,
    },
    default_model: Some("deepseek-v4-flash"),
    json_schema: false,
    reasoning_parameter: ReasoningParameter::ThinkingAndEffort,
    reasoning_back: ReasoningBack::ToolTurns,
    unsupported: &["metadata"],
    ..CHAT
};

/// Ollama through its `/v1` (OpenAI compatibility, read 2026-11).
pub const OLLAMA: Profile = Profile {
    name: "ollama",
    otel_name: "ollama",
    base_url: Some("http://127.0.0.1:11434/v1"),
    address_form: AddressForm::Ollama,
    variables: ProviderVariables {
        api_key: &["OLLAMA_API_KEY"],
        base_url: &["OLLAMA_BASE_URL", "OLLAMA_HOST"],
        key_optional: true,
    },
    unsupported: &["metadata"],
    ..CHAT
};

/// Anthropic (Messages API, read 2026-11).
pub const ANTHROPIC: Profile = Profile {
    name: "anthropic",
    otel_name: "anthropic",
    dialect: Dialect::Anthropic,
    base_url: Some("https://api.anthropic.com"),
    auth: Auth::Header("x-api-key"),
    variables: ProviderVariables {
        api_key: &["ANTHROPIC_API_KEY"],
        base_url: &["ANTHROPIC_BASE_URL"],
        key_optional: false,
    },
    default_model: Some("claude-sonnet-4-6"),
    stream_options: false,
    prompt_cache: true,
    reasoning_parameter: ReasoningParameter::Dialect,
    reasoning_back: ReasoningBack::Always,
    ..CHAT
};

/// Every profile, by name.
pub const PROFILES: [&Profile; 6] = [&ANTHROPIC, &DEEPSEEK, &GROQ, &OLLAMA, &OPENAI, &OPENAI_COMPATIBLE];
