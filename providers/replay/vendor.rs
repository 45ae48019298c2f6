//! Which vendor an exchange belongs to, and what sort of call it is.

use std::path::Path;

use beluga_providers::embed::{EMBED_PROFILES, EmbedDialect, EmbedProfile};
use beluga_providers::llm::{CallIds, Dialect, OPENAI_COMPATIBLE, PROFILES, Profile, ReasoningBack};

use beluga_providers::rerank::{self, RERANK_PROFILES, RerankProfile};

use super::exchange::Exchange;

/// The sort of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// A language model is asked, in this dialect of this vendor.
    Model(Box<Profile>),
    /// Texts are embedded.
    Embedding(Box<EmbedProfile>),
    /// Documents are ranked.
    Rerank(Box<RerankProfile>),
    /// Anything else, such as a list of models: not replayed.
    Other,
}

/// The ends of hosts, and the vendors they belong to.
const HOSTS: [(&str, &str); 26] = [
    ("api.openai.com", "openai"),
    ("openai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "google"),
    ("aiplatform.googleapis.com", "vertex"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "xai"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.together.xyz", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("openrouter.ai", "openrouter"),
    ("api.perplexity.ai", "perplexity"),
    ("huggingface.co", "huggingface"),
    ("api.cerebras.ai", "cerebras"),
    ("api.sambanova.ai", "sambanova"),
    ("aliyuncs.com", "qwen"),
    ("amazonaws.com", "bedrock"),
    ("bedrock-mantle.us-east-1.api.aws", "openai-compatible"),
    ("api.voyageai.com", "voyage"),
    ("api.jina.ai", "jina"),
    ("ollama.com", "ollama"),
    ("localhost:11434", "ollama"),
];

/// Vendors without models of language.
const VENDORS: [&str; 2] = ["voyage", "jina"];

/// Folders of recordings whose name is not the vendor's.
const FOLDERS: [(&str, &str); 6] = [
    ("gemini", "google"),
    ("llamacpp", "llama-cpp"),
    ("aws", "bedrock"),
    ("moonshot", "openai-compatible"),
    ("dashscope", "qwen"),
    ("azure-openai", "azure"),
];

/// The ends of paths that tell a dialect.
fn dialect_named(path: &str) -> Option<&'static str> {
    let ends = |end: &str| path.ends_with(end);
    Some(match path {
        _ if ends("/chat/completions") => "openai-chat",
        _ if ends("/responses") => "openai-responses",
        _ if ends("/messages") => "anthropic",
        _ if path.contains("anthropic.claude") && (ends("/invoke") || ends("/invoke-with-response-stream")) => {
            "anthropic"
        }
        _ if ends(":generateContent") || ends(":streamGenerateContent") => "gemini",
        _ if ends("/interactions") => "gemini-interactions",
        _ if ends("/v2/chat") => "cohere",
        _ if ends("/converse") || ends("/converse-stream") => "bedrock-converse",
        _ if ends("/api/chat") => "ollama",
        _ => return None,
    })
}

/// The ends of paths that tell a dialect of embeddings.
fn embedding_named(path: &str) -> Option<EmbedDialect> {
    let ends = |end: &str| path.ends_with(end);
    Some(match path {
        _ if ends("/embeddings") => EmbedDialect::OpenAi,
        _ if ends("/api/embed") => EmbedDialect::Ollama,
        _ if ends("/embed") => EmbedDialect::Cohere,
        _ if ends(":batchEmbedContents") => EmbedDialect::Google,
        _ => return None,
    })
}

/// Tells what an exchange is. `file` is where it was found, below the folder that is replayed.
pub(crate) fn call(exchange: &Exchange, file: &Path) -> Result<Call, String> {
    let path = exchange.path.as_str();
    if let Some(dialect) = embedding_named(path) {
        return Ok(Call::Embedding(Box::new(embed_profile(vendor(exchange, file), dialect)?)));
    }
    if path.ends_with("/rerank") {
        return Ok(Call::Rerank(Box::new(rerank_profile(vendor(exchange, file)))));
    }
    if !exchange.method.eq_ignore_ascii_case("post") {
        return Ok(Call::Other);
    }
    let vendor = vendor(exchange, file);
    if path.is_empty() {
        let own = PROFILES.iter().find(|profile| Some(profile.name) == vendor);
        return own
            .map(|profile| Call::Model(Box::new(neutral(profile))))
            .ok_or_else(|| "the folder is no vendor's".to_owned());
    }
    let Some(dialect) = dialect_named(path) else { return Ok(Call::Other) };
    profile(vendor, dialect).map(|profile| Call::Model(Box::new(profile)))
}

/// Returns the vendor's row if it speaks the dialect, else the first that does.
fn embed_profile(vendor: Option<&'static str>, dialect: EmbedDialect) -> Result<EmbedProfile, String> {
    let rows = || EMBED_PROFILES.iter().filter(|row| row.dialect == dialect);
    let compatible = || rows().find(|row| row.base_url.is_none());
    let own = rows().find(|row| Some(row.name) == vendor).or_else(compatible).or_else(|| rows().next());
    own.map(|row| **row).ok_or_else(|| "no profile speaks the dialect of these embeddings".to_owned())
}

/// Returns the vendor's row, else that of the form most follow.
fn rerank_profile(vendor: Option<&'static str>) -> RerankProfile {
    let own = RERANK_PROFILES.iter().find(|row| Some(row.name) == vendor);
    **own.unwrap_or(&&rerank::LLAMA_CPP)
}

/// Returns the vendor's name: of the host, or else of the innermost folder that has a vendor's name.
fn vendor(exchange: &Exchange, file: &Path) -> Option<&'static str> {
    if let Some(host) = &exchange.host {
        let known = HOSTS.iter().find(|(end, _)| host.ends_with(end));
        return known.map(|(_, name)| *name);
    }
    let folders: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    folders.iter().rev().find_map(|folder| {
        let aliased = FOLDERS.iter().find(|(alias, _)| alias == folder).map(|(_, name)| *name);
        aliased.or_else(|| {
            VENDORS.iter().copied().chain(PROFILES.iter().map(|profile| profile.name)).find(|name| name == folder)
        })
    })
}

/// Returns the vendor's row if it speaks the dialect, else the dialect's own row under the vendor's name.
fn profile(vendor: Option<&'static str>, dialect: &str) -> Result<Profile, String> {
    let speaks = |profile: &&&Profile| speaks(profile.dialect, dialect);
    let rows = || PROFILES.iter().filter(speaks);
    let own = rows().find(|profile| Some(profile.name) == vendor);
    let home = rows().find(|profile| profile.dialect.facts().name == dialect && profile.name != OPENAI_COMPATIBLE.name);
    let Some(row) = own.or_else(|| rows().find(|profile| profile.name == OPENAI_COMPATIBLE.name)).or(home) else {
        return Err(format!("no profile speaks the dialect {dialect}"));
    };
    Ok(neutral(row))
}

/// Returns a row without its refusals: what a vendor would not take is no loss of the dialect's.
fn neutral(row: &Profile) -> Profile {
    Profile {
        unsupported: &[],
        json_schema: true,
        prompt_cache: true,
        takes_video: true,
        reasoning_back: ReasoningBack::Always,
        call_ids: CallIds::Any,
        ..*row
    }
}

/// Mistral's is OpenAI's with a content of its own.
fn speaks(dialect: Dialect, name: &str) -> bool {
    let own = dialect.facts().name;
    own == name || (own == "mistral" && name == "openai-chat")
}
