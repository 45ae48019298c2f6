//! The vendors, one row each.

use beluga_core::ProviderVariables;

use super::dialect::Dialect;
use super::profile::{AddressForm, Auth, CacheWord, Place, Profile, ReasoningBack, ReasoningParameter};

/// What most vendors of OpenAI's dialect have in common.
const CHAT: Profile = Profile {
    name: "openai-compatible",
    otel_name: "openai-compatible",
    dialect: Dialect::OpenAiChat,
    base_url: None,
    places: &[],
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

/// Gemini of AI Studio (Gemini API reference, read 2026-11). It knows no labels, and no names of files.
pub const GOOGLE: Profile = Profile {
    name: "google",
    otel_name: "gcp.gemini",
    dialect: Dialect::Gemini,
    base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
    auth: Auth::Header("x-goog-api-key"),
    variables: ProviderVariables {
        api_key: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        base_url: &["GOOGLE_GEMINI_BASE_URL"],
        key_optional: false,
    },
    default_model: Some("gemini-2.5-flash"),
    stream_options: false,
    reasoning_parameter: ReasoningParameter::Dialect,
    reasoning_back: ReasoningBack::Always,
    unsupported: &["displayName", "labels"],
    ..CHAT
};

/// Gemini of Vertex AI (REST reference and authentication, read 2026-11). Its signatures are its own: what AI Studio
/// signed does not go there, nor back.
pub const VERTEX: Profile = Profile {
    name: "vertex",
    otel_name: "gcp.vertex_ai",
    base_url: Some(
        "https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/google",
    ),
    places: &[
        Place {
            name: "location",
            variables: &["GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_REGION"],
            default: Some("global"),
        },
        Place { name: "project", variables: &["GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"], default: None },
    ],
    auth: Auth::Google,
    variables: ProviderVariables {
        api_key: &["VERTEX_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN"],
        base_url: &["GOOGLE_VERTEX_BASE_URL"],
        key_optional: true,
    },
    unsupported: &[],
    ..GOOGLE
};

/// Gemini of AI Studio through its newer API (Interactions, read 2026-11).
pub const GOOGLE_INTERACTIONS: Profile =
    Profile { name: "google-interactions", dialect: Dialect::Interactions, ..GOOGLE };

/// Amazon Bedrock (Converse; API keys, and signature version 4, read 2026-11). Inference profiles have ids with the prefix
/// of their region.
pub const BEDROCK: Profile = Profile {
    name: "bedrock",
    otel_name: "aws.bedrock",
    dialect: Dialect::Bedrock,
    base_url: Some("https://bedrock-runtime.{region}.amazonaws.com"),
    places: &[Place { name: "region", variables: &["AWS_REGION", "AWS_DEFAULT_REGION"], default: None }],
    auth: Auth::Aws("bedrock"),
    variables: ProviderVariables {
        api_key: &["AWS_BEARER_TOKEN_BEDROCK"],
        base_url: &["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"],
        key_optional: true,
    },
    stream_options: false,
    prompt_cache: true,
    reasoning_parameter: ReasoningParameter::Dialect,
    reasoning_back: ReasoningBack::Always,
    ..CHAT
};

/// Every profile, by name.
pub const PROFILES: [&Profile; 10] = [
    &ANTHROPIC,
    &BEDROCK,
    &DEEPSEEK,
    &GOOGLE,
    &GOOGLE_INTERACTIONS,
    &GROQ,
    &OLLAMA,
    &OPENAI,
    &OPENAI_COMPATIBLE,
    &VERTEX,
];
