//! Models from configuration.

use std::sync::Arc;

use beluga_core::{
    ChatModel, Code, Error, ExposeSecret, Host, ModelFactory, ModelRegistry, ProviderConfig, ProviderVariables, Result,
};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::authorize;
use super::model::{HttpModel, Settings};
use super::profile::{API_VERSION, API_VERSION_PARAMETER, Auth, Profile};
use super::profiles::PROFILES;
use crate::http::{HttpClient, Network};

/// Adds a factory per profile, all sharing one client that may use the network.
///
/// # Errors
/// `conflict` if a name is taken; `internal` if TLS cannot be set up.
pub fn register(registry: &mut ModelRegistry) -> Result<()> {
    register_with(registry, &HttpClient::new(Network::Allowed)?)
}

/// Adds a factory per profile, all sharing this client: its network policy holds for every model they make.
///
/// # Errors
/// `conflict` if a name is taken.
pub fn register_with(registry: &mut ModelRegistry, client: &HttpClient) -> Result<()> {
    for profile in PROFILES {
        registry.add(profile.name, Arc::new(HttpModelFactory { profile, client: client.clone() }))?;
    }
    Ok(())
}

struct HttpModelFactory {
    profile: &'static Profile,
    client: HttpClient,
}

impl ModelFactory for HttpModelFactory {
    fn build(&self, config: &ProviderConfig, host: Arc<dyn Host>) -> Result<Arc<dyn ChatModel>> {
        let mut profile = *self.profile;
        let Some(model) = config.model.clone().or_else(|| profile.default_model.map(str::to_owned)) else {
            return Err(Error::config(format!("a provider of kind \"{}\" needs model", profile.name)));
        };
        let options = Options::read(&profile, config)?;
        profile.stream_options &= options.stream_options;
        profile.prompt_cache &= options.prompt_cache;
        let mut headers = options.headers;
        add_headers(&profile, config, &mut headers)?;
        let place = |name: &str| place(&profile, config, name);
        let base = match config.base_url.as_deref().or(profile.base_url) {
            Some(address) => Some(fill(&profile, address, place)?),
            None => None,
        };
        let mut base = profile.base(base.as_deref())?;
        if profile.needs_api_version(&base) {
            base.query_pairs_mut().append_pair(API_VERSION_PARAMETER, &place(API_VERSION)?);
        }
        let settings = Settings {
            base,
            query_key: match profile.auth {
                Auth::Query(name) => Some(name),
                Auth::Bearer | Auth::Header(_) | Auth::Aws(_) | Auth::Google => None,
            },
            authorizer: authorize::authorizer(&profile, config, place, &self.client, &host)?,
            schema: profile.schema_support(),
            profile,
            model,
            headers,
            key: config.api_key.clone(),
            client: self.client.clone(),
            host,
            timeout: config.timeout,
            streams: options.stream,
            supports_tools: options.supports_tools,
            max_tokens: options.max_tokens,
        };
        Ok(Arc::new(HttpModel(Arc::new(settings))))
    }

    fn variables(&self) -> ProviderVariables {
        self.profile.variables
    }

    fn environment(&self) -> Vec<&'static str> {
        let places = self.profile.places.iter().flat_map(|place| place.variables);
        places.chain(authorize::variables(self.profile.auth)).copied().collect()
    }
}

/// Returns what the configuration, the environment or the profile says of a place.
fn place(profile: &Profile, config: &ProviderConfig, name: &str) -> Result<String> {
    let Some(place) = profile.places.iter().find(|place| place.name == name) else {
        return Err(Error::config(format!("a provider of kind \"{}\" has no place \"{name}\"", profile.name)));
    };
    let option = config.options.get(name).and_then(Value::as_str).map(str::to_owned);
    let variable = || place.variables.iter().find_map(|name| config.environment.get(name));
    let found = option
        .or_else(|| variable().map(|value| value.expose_secret().trim().to_owned()))
        .or_else(|| place.default.map(str::to_owned));
    let Some(found) = found.filter(|found| !found.is_empty()) else {
        let variable = place.variables.first().copied().unwrap_or_default();
        let what = format!("a provider of kind \"{}\" needs the option {name}, or {variable}", profile.name);
        return Err(Error::config(what));
    };
    // It becomes a part of a host's name, or a segment of a path.
    if !found.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'_')) {
        return Err(Error::config(format!("the provider's {name} has forbidden characters")));
    }
    Ok(found)
}

/// Fills an address with the places it names.
fn fill(profile: &Profile, address: &str, place: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut filled = address.to_owned();
    for known in profile.places {
        let name = format!("{{{}}}", known.name);
        if filled.contains(&name) {
            filled = filled.replace(&name, &place(known.name)?);
        }
    }
    // The one location of Vertex AI that is no part of the host's name.
    Ok(filled.replace("://global-", "://"))
}

/// The options every kind here understands.
struct Options {
    /// `headers`: sent with every request.
    headers: HeaderMap,
    /// `stream`: whether answers are asked for as a stream.
    stream: bool,
    /// `stream_options`: whether usage may be asked for; some compatible servers refuse the field.
    stream_options: bool,
    /// `prompt_cache`: whether the vendor may be told what to cache, where its dialect has a word for it.
    prompt_cache: bool,
    /// `supports_tools`: whether the model takes tools.
    supports_tools: bool,
    /// `max_tokens`: the limit of requests that set none.
    max_tokens: Option<u32>,
}

impl Options {
    fn read(profile: &Profile, config: &ProviderConfig) -> Result<Self> {
        let mut options = Self {
            headers: HeaderMap::new(),
            stream: true,
            stream_options: true,
            prompt_cache: true,
            supports_tools: profile.takes_tools,
            max_tokens: None,
        };
        for (name, value) in &config.options {
            match name.as_str() {
                "headers" => options.headers = headers(value)?,
                "stream" => options.stream = boolean(name, value)?,
                "stream_options" => options.stream_options = boolean(name, value)?,
                "prompt_cache" => options.prompt_cache = boolean(name, value)?,
                "supports_tools" => options.supports_tools = boolean(name, value)?,
                "max_tokens" => options.max_tokens = Some(count(name, value)?),
                name if profile.places.iter().any(|place| place.name == name) => text(name, value)?,
                _ => {
                    let mut known =
                        "headers, max_tokens, prompt_cache, stream, stream_options, supports_tools".to_owned();
                    profile.places.iter().for_each(|place| known.extend([", ", place.name]));
                    let kind = &config.kind;
                    return Err(Error::config(format!(
                        "a provider of kind \"{kind}\" has no option \"{name}\"; known: {known}"
                    )));
                }
            }
        }
        Ok(options)
    }
}

fn boolean(name: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| Error::config(format!("the provider option {name} is neither true nor false")))
}

/// Checks an option that is read elsewhere.
fn text(name: &str, value: &Value) -> Result<()> {
    let is_text = value.as_str().is_some_and(|text| !text.is_empty());
    if is_text { Ok(()) } else { Err(Error::config(format!("the provider option {name} is no text"))) }
}

fn count(name: &str, value: &Value) -> Result<u32> {
    let count = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
    count.ok_or_else(|| Error::config(format!("the provider option {name} is no positive number")))
}

fn headers(value: &Value) -> Result<HeaderMap> {
    let Value::Object(fields) = value else {
        return Err(Error::config("the provider option headers is no table of texts"));
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let key = HeaderName::from_bytes(name.as_bytes());
        let text = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
        let (Ok(key), Some(mut text)) = (key, text) else {
            return Err(Error::config(format!("the provider header \"{}\" is malformed", name.escape_debug())));
        };
        // Gateways take their keys in headers of their own.
        text.set_sensitive(true);
        headers.insert(key, text);
    }
    Ok(headers)
}

/// Adds the dialect's headers and the key. What the configuration names itself stays.
fn add_headers(profile: &Profile, config: &ProviderConfig, headers: &mut HeaderMap) -> Result<()> {
    let mut add = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    add(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    add(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
    // A compressed stream waits in the compressor's window.
    add(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for &(name, value) in profile.dialect.facts().headers {
        add(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let Some(key) = &config.api_key else {
        if profile.variables.key_optional {
            return Ok(());
        }
        let variable = profile.variables.api_key.first().copied().unwrap_or("api_key");
        return Err(Error::new(
            Code::AuthError,
            format!("the provider \"{}\" has no key: set {variable}", profile.name),
        )
        .with("variable", variable));
    };
    let key = key.expose_secret().trim();
    let (name, text) = match profile.auth {
        Auth::Bearer | Auth::Aws(_) | Auth::Google => (AUTHORIZATION, format!("Bearer {key}")),
        Auth::Header(name) => (HeaderName::from_static(name), key.to_owned()),
        // It is added to the address of every call.
        Auth::Query(_) => return Ok(()),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Error::config(format!("the key of the provider \"{}\" has forbidden characters", profile.name)))?;
    value.set_sensitive(true);
    add(name, value);
    Ok(())
}
