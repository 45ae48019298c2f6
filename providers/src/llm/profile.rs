//! What is known of a vendor, as data.

use std::borrow::Cow;
use std::sync::Arc;

use beluga_core::{Error, ModelRequest, ProviderVariables, Result, SchemaSupport, StrictSchema};
use url::Url;

use super::dialect::{Call, Dialect, WireRequest, escaped_segment};

/// A vendor: where it is, how it is called, and how it differs from its dialect's norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The kind in the configuration, and the family that thinking belongs to.
    pub name: &'static str,
    /// The value of `gen_ai.provider.name`.
    pub otel_name: &'static str,
    /// The wire format.
    pub dialect: Dialect,
    /// The address without a trailing slash; `None` if the configuration must name it. Names of [`Place`]s stand in braces.
    pub base_url: Option<&'static str>,
    /// What the address, or a signature, must know besides.
    pub places: &'static [Place],
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
    /// What a schema must be like for the vendor to enforce it, where that is known.
    pub strict_schema: Option<StrictRules>,
    /// Whether the vendor is told which prefixes of a prompt to cache.
    pub prompt_cache: bool,
    /// The dialect's word for the end of a prefix to cache, where it has two.
    pub cache_word: CacheWord,
    /// Whether moving pictures can be shown to it.
    pub takes_video: bool,
    /// Whether its models take tools, where the configuration does not say.
    pub takes_tools: bool,
    /// How thinking is asked for.
    pub reasoning_parameter: ReasoningParameter,
    /// The field of a message that thinking stands in, where it is a text.
    pub reasoning_field: &'static str,
    /// Which thinking goes back to the vendor that made it.
    pub reasoning_back: ReasoningBack,
    /// Whether thinking goes back as a part of the content, where its field is not told.
    pub thinking_parts: bool,
    /// The word for a choice of tools that must take one.
    pub required_word: &'static str,
    /// The field of the seed of sampling.
    pub seed_field: &'static str,
    /// What ids of calls must look like.
    pub call_ids: CallIds,
    /// Parameters the vendor refuses; left out of every request.
    pub unsupported: &'static [&'static str],
}

/// What a vendor demands of a schema it enforces, besides that every object is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrictRules {
    /// Whether every property must be required.
    pub all_required: bool,
    /// The keywords it refuses.
    pub refused: &'static [&'static str],
}

/// A word of an address that the configuration decides, such as a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its name: an option of the provider, and in braces within the address.
    pub name: &'static str,
    /// The environment variables the vendor's own tools read it from; the first one set counts.
    pub variables: &'static [&'static str],
    /// What it is where nobody says; `None` if somebody must.
    pub default: Option<&'static str>,
}

/// How a configured address is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressForm {
    /// It is taken as it is.
    Whole,
    /// As Ollama's variables write it: the scheme and the port may be missing, and the `/v1` of its other API may be there.
    Ollama,
    /// As Azure's deployments: the model stands in the path and the version of the API, the place `api_version`, in the
    /// query, unless the address is already that of the newer API, which ends in `/v1`.
    AzureDeployments,
}

/// How the key travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The key alone in this header.
    Header(&'static str),
    /// The key as this parameter of the query.
    Query(&'static str),
    /// The key as a bearer token, or a signature of AWS's over each request for the service of this name.
    Aws(&'static str),
    /// The key as a bearer token, or tokens fetched with Google's application default credentials.
    Google,
}

/// How the end of a prefix to cache is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheWord {
    /// `cache_control`, as Anthropic has it.
    CacheControl,
    /// `prompt_cache_breakpoint`, and `prompt_cache_options` for the whole request, as OpenAI has it.
    Breakpoint,
}

/// How thinking is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningParameter {
    /// `reasoning_effort`.
    Effort,
    /// `thinking: {type: "enabled"}` and `reasoning_effort`.
    ThinkingAndEffort,
    /// `reasoning: {effort, max_tokens, enabled}` and `include_reasoning`.
    Object,
    /// `enable_thinking` and `thinking_budget`; a word for the effort is not known.
    EnableThinking,
    /// The dialect has its own way.
    Dialect,
}

/// What ids of calls must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallIds {
    /// Whatever the vendor, or another one, gave.
    Any,
    /// Nine letters and digits: others are replaced, each always by the same.
    NineAlphanumeric,
}

/// Which thinking goes back to the vendor that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReasoningBack {
    /// None.
    Never,
    /// That of messages that call tools.
    ToolTurns,
    /// All, as the dialect writes it.
    Always,
}

/// The place of the version of an API.
pub(super) const API_VERSION: &str = "api_version";

/// The parameter of the query it stands in.
pub(super) const API_VERSION_PARAMETER: &str = "api-version";

impl ReasoningBack {
    /// Returns whether thinking of a message goes back; `calls` says whether the message calls tools.
    pub(super) fn goes_back(self, calls: bool) -> bool {
        match self {
            ReasoningBack::Never => false,
            ReasoningBack::ToolTurns => calls,
            ReasoningBack::Always => true,
        }
    }
}

/// How long ids of calls are where they have a length.
const CALL_ID_LENGTH: usize = 9;

impl CallIds {
    /// Returns an id as the vendor takes it. The same id is always replaced by the same.
    pub(super) fn written(self, id: &str) -> Cow<'_, str> {
        let fits = id.len() == CALL_ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if self == CallIds::Any || fits {
            return Cow::Borrowed(id);
        }
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
        let digits = digest.as_ref().iter().take(CALL_ID_LENGTH);
        let digit = |byte: &u8| DIGITS.get(usize::from(*byte) % DIGITS.len()).map_or('0', |digit| char::from(*digit));
        digits.map(digit).collect::<String>().into()
    }
}

/// Ollama's port.
const OLLAMA_PORT: u16 = 11_434;

impl Profile {
    /// Returns the vendor's address, from which [`endpoint`](Self::endpoint) makes that of a call.
    ///
    /// # Errors
    /// `config` if there is no address, or it is none.
    pub fn base(&self, configured: Option<&str>) -> Result<Url> {
        let Some(base) = configured.or(self.base_url) else {
            return Err(Error::config(format!("a provider of kind \"{}\" needs base_url", self.name)));
        };
        let base = match self.address_form {
            AddressForm::Whole | AddressForm::AzureDeployments => base.trim().to_owned(),
            AddressForm::Ollama => ollama_address(base.trim()),
        };
        let mut url = Url::parse(&base).map_err(|error| self.bad_address(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(self.bad_address("it starts with neither http:// nor https://"));
        }
        url.set_fragment(None);
        Ok(url)
    }

    /// Returns whether the model's name stands in the path of an address, as Azure's deployments do.
    fn has_deployments(&self, base: &Url) -> bool {
        self.address_form == AddressForm::AzureDeployments && !base.path().trim_end_matches('/').ends_with("/v1")
    }

    /// Returns whether an address must be given the version of its API.
    pub(super) fn needs_api_version(&self, base: &Url) -> bool {
        self.has_deployments(base) && !base.query_pairs().any(|(name, _)| name == API_VERSION_PARAMETER)
    }

    /// Returns the address a call of a model goes to. A query of the vendor's address stays.
    #[must_use]
    pub fn endpoint(&self, base: &Url, model: &str, stream: bool) -> Url {
        let target = self.dialect.grammar().target(model, stream);
        let have = base.path().trim_end_matches('/');
        let path = target.path.as_ref();
        // Some write an address with the version and some without.
        let first_end = path.get(1..).and_then(|rest| rest.find('/')).map_or(path.len(), |at| at + 1);
        let (first, rest) = path.split_at(first_end);
        let mut path = if have.ends_with(first) { format!("{have}{rest}") } else { format!("{have}{path}") };
        let query = target.query.map(str::to_owned);
        if self.has_deployments(base) {
            path = format!("{have}/openai/deployments/{}{}", escaped_segment(model), target.path);
        }
        let mut url = base.clone();
        url.set_path(&path);
        let query = [base.query().map(str::to_owned), query].into_iter().flatten().collect::<Vec<_>>().join("&");
        url.set_query((!query.is_empty()).then_some(query.as_str()));
        url
    }

    /// Returns how the vendor takes the schema of an answer: enforced where its rules are known.
    pub(super) fn schema_support(&self) -> SchemaSupport {
        if !self.json_schema {
            return SchemaSupport::None;
        }
        self.strict_schema.map_or(SchemaSupport::Taken, |rules| {
            let refused = rules.refused.iter().map(|keyword| (*keyword).to_owned()).collect();
            SchemaSupport::Enforced(Arc::new(StrictSchema { all_required: rules.all_required, refused }))
        })
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
        self.dialect.grammar().encode(&Call { profile: self, model, request, stream, max_tokens })
    }

    /// Decodes a request that was encoded for this vendor; `path` is the path of its URL.
    ///
    /// ```
    /// use beluga_providers::llm::OPENAI;
    ///
    /// let body = br#"{"model":"gpt-4.1","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    /// let wire = OPENAI.decode_request("/v1/chat/completions", body).unwrap();
    /// assert!(wire.stream && wire.request.messages[0].text() == "Hi");
    /// ```
    ///
    /// # Errors
    /// `invalid_input` if it is no request of the dialect; `unsupported` where the dialect only asks and never serves.
    pub fn decode_request(&self, path: &str, body: &[u8]) -> Result<WireRequest> {
        self.dialect.grammar().decode_request(self, path, body)
    }
}

/// Completes `host`, `host:port`, `:port` and an address without a path, as Ollama's own client does.
pub(crate) fn ollama_address(text: &str) -> String {
    let text = text.trim_end_matches('/');
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, String::new()),
    };
    let path = path.strip_suffix("/v1").unwrap_or(&path);
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
    use super::super::profiles::{ANTHROPIC, AZURE, DEEPSEEK, OLLAMA, OPENAI, OPENAI_COMPATIBLE, OPENAI_RESPONSES};
    use super::*;

    #[test]
    fn addresses_are_completed_with_the_dialects_path() {
        let url = |profile: &Profile, base: Option<&str>| {
            profile.endpoint(&profile.base(base).unwrap(), "m", true).to_string()
        };
        assert_eq!(url(&OPENAI, None), "https://api.openai.com/v1/chat/completions");
        assert_eq!(url(&OPENAI, Some("http://127.0.0.1:9/v1/")), "http://127.0.0.1:9/v1/chat/completions");
        assert_eq!(url(&ANTHROPIC, None), "https://api.anthropic.com/v1/messages");
        assert_eq!(url(&ANTHROPIC, Some("http://h/v1")), "http://h/v1/messages");
        assert_eq!(url(&OPENAI_COMPATIBLE, Some("http://h/x?a=b")), "http://h/x/chat/completions?a=b");
    }

    #[test]
    fn a_schema_is_enforced_where_the_rules_are_known() {
        let all_required = |profile: &Profile| match profile.schema_support() {
            SchemaSupport::Enforced(rules) => Some(rules.all_required),
            _ => None,
        };
        assert_eq!(
            [&OPENAI, &OPENAI_RESPONSES, &AZURE, &ANTHROPIC].map(all_required),
            [Some(true), Some(true), Some(true), Some(false)]
        );
        assert_eq!(OPENAI_COMPATIBLE.schema_support(), SchemaSupport::Taken);
        assert_eq!(DEEPSEEK.schema_support(), SchemaSupport::None);
    }

    #[test]
    fn an_azure_deployment_stands_in_the_path() {
        let base = |base: &str| AZURE.base(Some(base)).unwrap();
        let url = |address: &str| AZURE.endpoint(&base(address), "my gpt", true).to_string();
        let path = "/openai/deployments/my%20gpt/chat/completions";
        assert_eq!(url("https://r.openai.azure.com"), format!("https://r.openai.azure.com{path}"));
        assert_eq!(url("https://r/?api-version=x"), format!("https://r{path}?api-version=x"));
        assert_eq!(url("https://r/openai/v1/"), "https://r/openai/v1/chat/completions");
        let needs = |address: &str| AZURE.needs_api_version(&base(address));
        assert!(needs("https://r") && !needs("https://r/?api-version=x") && !needs("https://r/openai/v1"));
    }

    #[test]
    fn ollamas_variables_may_leave_things_out() {
        let end = "/api/chat";
        for (given, want) in [
            ("127.0.0.1:11434", "http://127.0.0.1:11434"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            (":8000", "http://127.0.0.1:8000"),
            ("gpu", "http://gpu:11434"),
            ("https://ollama.example.com/", "https://ollama.example.com"),
            ("http://localhost:11434/v1", "http://localhost:11434"),
            ("https://h/behind/v1/", "https://h/behind"),
        ] {
            let url = OLLAMA.endpoint(&OLLAMA.base(Some(given)).unwrap(), "m", false);
            assert_eq!(url.to_string(), format!("{want}{end}"), "{given}");
        }
    }

    #[test]
    fn a_wrong_address_is_told_without_repeating_it() {
        let error = OPENAI.base(Some("user:secret@host")).unwrap_err();
        assert_eq!(error.code(), beluga_core::Code::Config);
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(OPENAI_COMPATIBLE.base(None).unwrap_err().to_string().contains("base_url"));
    }
}
