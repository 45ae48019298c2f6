//! What is known of a vendor, as data.

use beluga_core::{Error, ModelRequest, ProviderVariables, Result};
use url::Url;

use super::{anthropic, openai_chat};

/// A vendor: where it is, how it is called, and how it differs from its dialect's norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The kind in the configuration, and the family that thinking belongs to.
    pub name: &'static str,
    /// The value of `gen_ai.provider.name`.
    pub otel_name: &'static str,
    /// The wire format.
    pub dialect: Dialect,
    /// The address without a trailing slash; `None` if the configuration must name it.
    pub base_url: Option<&'static str>,
    /// How a configured address is completed.
    pub address_form: AddressForm,
    /// How the key travels.
    pub auth: Auth,
    /// The environment variables the vendor's own tools read, and whether a key is needed.
    pub variables: ProviderVariables,
    /// The model used where the configuration names none; `None` if it must.
    pub default_model: Option<&'static str>,
    /// The field that limits the answer's tokens.
    pub max_tokens_field: &'static str,
    /// Whether a streamed answer reports usage only when `stream_options` asks for it.
    pub stream_options: bool,
    /// Whether an answer's JSON Schema can be given.
    pub json_schema: bool,
    /// Whether the vendor is told which prefixes of a prompt to cache.
    pub prompt_cache: bool,
    /// How thinking is asked for.
    pub reasoning_parameter: ReasoningParameter,
    /// Which thinking goes back to the vendor that made it.
    pub reasoning_back: ReasoningBack,
    /// Parameters the vendor refuses; left out of every request.
    pub unsupported: &'static [&'static str],
}

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's chat completions, spoken by most vendors.
    OpenAiChat,
    /// Anthropic's Messages.
    Anthropic,
}

/// How a configured address is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressForm {
    /// It is taken as it is.
    Whole,
    /// As Ollama's variables write it: the scheme, the port and `/v1` may be missing.
    Ollama,
}

/// How the key travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The key alone in this header.
    Header(&'static str),
}

/// How thinking is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningParameter {
    /// `reasoning_effort`.
    Effort,
    /// `thinking: {type: "enabled"}` and `reasoning_effort`.
    ThinkingAndEffort,
    /// The dialect has its own way.
    Dialect,
}

/// Which thinking goes back to the vendor that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningBack {
    /// None.
    Never,
    /// `reasoning_content` of messages that call tools.
    ToolTurns,
    /// All, as the dialect writes it.
    Always,
}

/// Ollama's port.
const OLLAMA_PORT: u16 = 11_434;

impl Profile {
    /// Returns the address requests go to.
    ///
    /// # Errors
    /// `config` if there is no address, or it is none.
    pub fn endpoint(&self, configured: Option<&str>) -> Result<Url> {
        let Some(base) = configured.or(self.base_url) else {
            return Err(Error::config(format!("a provider of kind \"{}\" needs base_url", self.name)));
        };
        let base = match self.address_form {
            AddressForm::Whole => base.trim().to_owned(),
            AddressForm::Ollama => ollama_address(base.trim()),
        };
        let mut url = Url::parse(&base).map_err(|error| self.bad_address(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(self.bad_address("it starts with neither http:// nor https://"));
        }
        let have = url.path().trim_end_matches('/');
        let path = self.dialect.path();
        // Some write Anthropic's address with the version and some without.
        let path = if have.ends_with("/v1") { path.strip_prefix("/v1").unwrap_or(path) } else { path };
        let path = format!("{have}{path}");
        url.set_path(&path);
        url.set_fragment(None);
        Ok(url)
    }

    fn bad_address(&self, why: &str) -> Error {
        Error::config(format!("base_url of the provider of kind \"{}\" is no address: {why}", self.name))
    }

    /// Encodes a request as the body of the vendor's HTTP request.
    ///
    /// `max_tokens` is what the dialect sends where the request sets no limit and the vendor demands one.
    ///
    /// # Errors
    /// `unsupported` names what the vendor cannot take, such as a video.
    pub fn encode(
        &self,
        model: &str,
        request: &ModelRequest,
        stream: bool,
        max_tokens: Option<u32>,
    ) -> Result<Vec<u8>> {
        match self.dialect {
            Dialect::OpenAiChat => openai_chat::encode(self, model, request, stream, max_tokens),
            Dialect::Anthropic => anthropic::encode(self, model, request, stream, max_tokens),
        }
    }
}

impl Dialect {
    /// Returns the path below the vendor's address.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Dialect::OpenAiChat => "/chat/completions",
            Dialect::Anthropic => "/v1/messages",
        }
    }

    /// Returns the headers every request has besides the key.
    #[must_use]
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Dialect::OpenAiChat => &[],
            Dialect::Anthropic => &[("anthropic-version", anthropic::VERSION)],
        }
    }
}

/// Completes `host`, `host:port`, `:port` and an address without a path, as Ollama's own client does.
fn ollama_address(text: &str) -> String {
    let text = text.trim_end_matches('/');
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, "/v1".to_owned()),
    };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let known_port = text.contains("://");
    let authority = match authority.strip_prefix("0.0.0.0") {
        Some(port) => format!("127.0.0.1{port}"),
        None if authority.is_empty() || authority.starts_with(':') => format!("127.0.0.1{authority}"),
        None => authority.to_owned(),
    };
    let port = if has_port || known_port { String::new() } else { format!(":{OLLAMA_PORT}") };
    format!("{scheme}://{authority}{port}{path}")
}

#[cfg(test)]
mod tests {
    use super::super::profiles::{ANTHROPIC, OLLAMA, OPENAI, OPENAI_COMPATIBLE};
    use super::*;

    #[test]
    fn addresses_are_completed_with_the_dialects_path() {
        let url = |profile: &Profile, base: Option<&str>| profile.endpoint(base).unwrap().to_string();
        assert_eq!(url(&OPENAI, None), "https://api.openai.com/v1/chat/completions");
        assert_eq!(url(&OPENAI, Some("http://127.0.0.1:9/v1/")), "http://127.0.0.1:9/v1/chat/completions");
        assert_eq!(url(&ANTHROPIC, None), "https://api.anthropic.com/v1/messages");
        assert_eq!(url(&ANTHROPIC, Some("http://h/v1")), "http://h/v1/messages");
        assert_eq!(url(&OPENAI_COMPATIBLE, Some("http://h/x?a=b")), "http://h/x/chat/completions?a=b");
    }

    #[test]
    fn ollamas_variables_may_leave_things_out() {
        let end = "/v1/chat/completions";
        for (given, want) in [
            ("127.0.0.1:11434", "http://127.0.0.1:11434"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            (":8000", "http://127.0.0.1:8000"),
            ("gpu", "http://gpu:11434"),
            ("https://ollama.example.com/", "https://ollama.example.com"),
            ("http://localhost:11434/v1", "http://localhost:11434"),
        ] {
            assert_eq!(OLLAMA.endpoint(Some(given)).unwrap().to_string(), format!("{want}{end}"), "{given}");
        }
    }

    #[test]
    fn a_wrong_address_is_told_without_repeating_it() {
        let error = OPENAI.endpoint(Some("user:secret@host")).unwrap_err();
        assert_eq!(error.code(), beluga_core::Code::Config);
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(OPENAI_COMPATIBLE.endpoint(None).unwrap_err().to_string().contains("base_url"));
    }
}
