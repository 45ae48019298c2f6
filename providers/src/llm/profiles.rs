//! The vendors, one row each.

use beluga_core::ProviderVariables;

use super::dialect::Dialect;
use super::profile::{
    API_VERSION, AddressForm, Auth, CacheWord, CallIds, Place, Profile, ReasoningBack, ReasoningParameter, StrictRules,
};

/// OpenAI, structured outputs, supported schemas (platform.openai.com/docs/guides/structured-outputs, as of 2026-11), and
/// what its fine-tuned models refuse besides.
const OPENAI_REFUSES: &[&str] = &[
    "default",
    "minLength",
    "maxLength",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "patternProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
];

/// Anthropic, structured outputs, limitations (platform.claude.com/docs, as of 2026-11).
const ANTHROPIC_REFUSES: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "minItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "patternProperties",
    "unevaluatedProperties",
    "contains",
];

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
    strict_schema: None,
    prompt_cache: false,
    cache_word: CacheWord::CacheControl,
    takes_video: false,
    takes_tools: true,
    reasoning_parameter: ReasoningParameter::Effort,
    reasoning_field: "reasoning_content",
    reasoning_back: ReasoningBack::Never,
    thinking_parts: false,
    required_word: "required",
    seed_field: "seed",
    call_ids: CallIds::Any,
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
    strict_schema: Some(StrictRules { all_required: true, refused: OPENAI_REFUSES }),
    ..CHAT
};

/// OpenAI through its Responses (API reference, responses, as of 2026-11). Nothing is stored at OpenAI unless a request says so.
pub const OPENAI_RESPONSES: Profile = Profile {
    name: "openai-responses",
    dialect: Dialect::Responses,
    stream_options: false,
    reasoning_parameter: ReasoningParameter::Dialect,
    reasoning_back: ReasoningBack::Always,
    ..OPENAI
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

/// Azure OpenAI (data plane inference reference, 2024-10-21, and the v1 API, as of 2026-11). The model is the deployment's name.
pub const AZURE: Profile = Profile {
    name: "azure",
    otel_name: "azure.ai.openai",
    places: &[Place {
        name: API_VERSION,
        variables: &["OPENAI_API_VERSION", "AZURE_OPENAI_API_VERSION"],
        default: Some("2024-10-21"),
    }],
    address_form: AddressForm::AzureDeployments,
    auth: Auth::Header("api-key"),
    variables: ProviderVariables {
        api_key: &["AZURE_OPENAI_API_KEY"],
        base_url: &["AZURE_OPENAI_ENDPOINT"],
        key_optional: false,
    },
    max_tokens_field: "max_completion_tokens",
    strict_schema: Some(StrictRules { all_required: true, refused: OPENAI_REFUSES }),
    ..CHAT
};

/// xAI (API reference, chat completions, as of 2026-11).
pub const XAI: Profile = Profile {
    name: "xai",
    otel_name: "x_ai",
    base_url: Some("https://api.x.ai/v1"),
    variables: ProviderVariables { api_key: &["XAI_API_KEY"], base_url: &["XAI_BASE_URL"], key_optional: false },
    unsupported: &["metadata"],
    ..CHAT
};

/// Together (API reference, as of 2026-11).
pub const TOGETHER: Profile = Profile {
    name: "together",
    otel_name: "together",
    base_url: Some("https://api.together.xyz/v1"),
    variables: ProviderVariables {
        api_key: &["TOGETHER_API_KEY"],
        base_url: &["TOGETHER_BASE_URL"],
        key_optional: false,
    },
    reasoning_field: "reasoning",
    unsupported: &["metadata"],
    ..CHAT
};

/// Fireworks (API reference, as of 2026-11). Ids of models are paths, such as `accounts/fireworks/models/…`.
pub const FIREWORKS: Profile = Profile {
    name: "fireworks",
    otel_name: "fireworks",
    base_url: Some("https://api.fireworks.ai/inference/v1"),
    variables: ProviderVariables {
        api_key: &["FIREWORKS_API_KEY"],
        base_url: &["FIREWORKS_BASE_URL"],
        key_optional: false,
    },
    ..CHAT
};

/// OpenRouter (API reference, reasoning tokens, prompt caching, as of 2026-11). Thinking goes back whole; marks for caches are
/// passed on to the vendors that know them.
pub const OPENROUTER: Profile = Profile {
    name: "openrouter",
    otel_name: "openrouter",
    base_url: Some("https://openrouter.ai/api/v1"),
    variables: ProviderVariables { api_key: &["OPENROUTER_API_KEY"], base_url: &[], key_optional: false },
    prompt_cache: true,
    reasoning_parameter: ReasoningParameter::Object,
    reasoning_field: "reasoning",
    reasoning_back: ReasoningBack::Always,
    ..CHAT
};

/// Perplexity (Sonar API reference, as of 2026-11). Its models search by themselves and take no tools.
pub const PERPLEXITY: Profile = Profile {
    name: "perplexity",
    otel_name: "perplexity",
    base_url: Some("https://api.perplexity.ai"),
    variables: ProviderVariables {
        api_key: &["PERPLEXITY_API_KEY"],
        base_url: &["PERPLEXITY_BASE_URL"],
        key_optional: false,
    },
    default_model: Some("sonar"),
    stream_options: false,
    takes_tools: false,
    unsupported: &["metadata"],
    ..CHAT
};

/// Hugging Face's router to inference providers (chat completion, as of 2026-11). A suffix of the model chooses the provider,
/// such as `:fastest`.
pub const HUGGINGFACE: Profile = Profile {
    name: "huggingface",
    otel_name: "huggingface",
    base_url: Some("https://router.huggingface.co/v1"),
    variables: ProviderVariables { api_key: &["HF_TOKEN"], base_url: &[], key_optional: false },
    unsupported: &["metadata"],
    ..CHAT
};

/// Cerebras (inference API reference, OpenAI compatibility, as of 2026-11).
pub const CEREBRAS: Profile = Profile {
    name: "cerebras",
    otel_name: "cerebras",
    base_url: Some("https://api.cerebras.ai/v1"),
    variables: ProviderVariables {
        api_key: &["CEREBRAS_API_KEY"],
        base_url: &["CEREBRAS_BASE_URL"],
        key_optional: false,
    },
    max_tokens_field: "max_completion_tokens",
    reasoning_field: "reasoning",
    unsupported: &[
        "frequency_penalty",
        "logit_bias",
        "metadata",
        "parallel_tool_calls",
        "presence_penalty",
        "service_tier",
    ],
    ..CHAT
};

/// SambaNova (API reference, as of 2026-11).
pub const SAMBANOVA: Profile = Profile {
    name: "sambanova",
    otel_name: "sambanova",
    base_url: Some("https://api.sambanova.ai/v1"),
    variables: ProviderVariables {
        api_key: &["SAMBANOVA_API_KEY"],
        base_url: &["SAMBANOVA_BASE_URL"],
        key_optional: false,
    },
    unsupported: &["metadata"],
    ..CHAT
};

/// Qwen on Alibaba's Model Studio, through its compatible mode (API reference, deep thinking, as of 2026-11). The address is that
/// of the international region.
pub const QWEN: Profile = Profile {
    name: "qwen",
    otel_name: "qwen",
    base_url: Some("https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
    variables: ProviderVariables {
        api_key: &["DASHSCOPE_API_KEY", "ALIBABA_API_KEY"],
        base_url: &["DASHSCOPE_BASE_URL"],
        key_optional: false,
    },
    reasoning_parameter: ReasoningParameter::EnableThinking,
    unsupported: &["metadata"],
    ..CHAT
};

/// LiteLLM's proxy (proxy server, virtual keys, as of 2026-11). What it refuses depends on the vendor behind it.
pub const LITELLM: Profile = Profile {
    name: "litellm",
    otel_name: "litellm",
    base_url: Some("http://127.0.0.1:4000"),
    variables: ProviderVariables {
        api_key: &["LITELLM_API_KEY", "LITELLM_PROXY_API_KEY"],
        base_url: &["LITELLM_PROXY_API_BASE"],
        key_optional: true,
    },
    ..CHAT
};

/// Bifrost (gateway, OpenAI compatible API, as of 2026-11). Ids of models name their vendor, such as `openai/gpt-4.1`.
pub const BIFROST: Profile = Profile {
    name: "bifrost",
    otel_name: "bifrost",
    base_url: Some("http://127.0.0.1:8080/v1"),
    variables: ProviderVariables { api_key: &["BIFROST_API_KEY"], base_url: &["BIFROST_BASE_URL"], key_optional: true },
    ..CHAT
};

/// llama.cpp's server (server documentation, as of 2026-11). It serves one model, whose name does not matter.
pub const LLAMA_CPP: Profile = Profile {
    name: "llama-cpp",
    otel_name: "llama-cpp",
    base_url: Some("http://127.0.0.1:8080/v1"),
    variables: ProviderVariables { api_key: &["LLAMA_API_KEY"], base_url: &["LLAMA_CPP_BASE_URL"], key_optional: true },
    default_model: Some("default"),
    unsupported: &["metadata"],
    ..CHAT
};

/// Mistral (chat completion API, function calling, reasoning, as of 2026-11). It refuses fields it does not know.
pub const MISTRAL: Profile = Profile {
    name: "mistral",
    otel_name: "mistral_ai",
    dialect: Dialect::Mistral,
    base_url: Some("https://api.mistral.ai/v1"),
    variables: ProviderVariables {
        api_key: &["MISTRAL_API_KEY"],
        base_url: &["MISTRAL_BASE_URL"],
        key_optional: false,
    },
    default_model: Some("mistral-small-latest"),
    stream_options: false,
    reasoning_back: ReasoningBack::Always,
    thinking_parts: true,
    required_word: "any",
    seed_field: "random_seed",
    call_ids: CallIds::NineAlphanumeric,
    unsupported: &[
        "include_reasoning",
        "logit_bias",
        "logprobs",
        "metadata",
        "min_p",
        "modalities",
        "prompt_cache_key",
        "reasoning_format",
        "service_tier",
        "store",
        "top_k",
        "top_logprobs",
        "user",
        "verbosity",
    ],
    ..CHAT
};

/// Cohere (API reference, chat v2, as of 2026-11).
pub const COHERE: Profile = Profile {
    name: "cohere",
    otel_name: "cohere",
    dialect: Dialect::Cohere,
    base_url: Some("https://api.cohere.com"),
    variables: ProviderVariables {
        api_key: &["CO_API_KEY", "COHERE_API_KEY"],
        base_url: &["CO_API_URL"],
        key_optional: false,
    },
    default_model: Some("command-a-03-2025"),
    stream_options: false,
    reasoning_parameter: ReasoningParameter::Dialect,
    reasoning_back: ReasoningBack::Always,
    ..CHAT
};

/// Ollama (API documentation, chat, as of 2026-11).
pub const OLLAMA: Profile = Profile {
    name: "ollama",
    otel_name: "ollama",
    dialect: Dialect::Ollama,
    base_url: Some("http://127.0.0.1:11434"),
    address_form: AddressForm::Ollama,
    variables: ProviderVariables {
        api_key: &["OLLAMA_API_KEY"],
        base_url: &["OLLAMA_BASE_URL", "OLLAMA_HOST"],
        key_optional: true,
    },
    reasoning_parameter: ReasoningParameter::Dialect,
    reasoning_back: ReasoningBack::ToolTurns,
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
    strict_schema: Some(StrictRules { all_required: false, refused: ANTHROPIC_REFUSES }),
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
pub const PROFILES: [&Profile; 26] = [
    &ANTHROPIC,
    &AZURE,
    &BEDROCK,
    &BIFROST,
    &CEREBRAS,
    &COHERE,
    &DEEPSEEK,
    &FIREWORKS,
    &GOOGLE,
    &GOOGLE_INTERACTIONS,
    &GROQ,
    &HUGGINGFACE,
    &LITELLM,
    &LLAMA_CPP,
    &MISTRAL,
    &OLLAMA,
    &OPENAI,
    &OPENAI_COMPATIBLE,
    &OPENAI_RESPONSES,
    &OPENROUTER,
    &PERPLEXITY,
    &QWEN,
    &SAMBANOVA,
    &TOGETHER,
    &VERTEX,
    &XAI,
];
