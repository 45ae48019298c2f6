//! Embedders from configuration.

use std::sync::{Arc, OnceLock};

use beluga_core::{
    Embedder, EmbedderFactory, EmbedderRegistry, Error, Extra, Host, ProviderConfig, ProviderVariables, Result,
};
use http::HeaderMap;
use serde_json::Value;

use super::embedder::{HttpEmbedder, Settings};
use super::local::{LOCAL_DIMENSIONS, LOCAL_DIMENSIONS_MAX, LOCAL_MODEL, LocalEmbedder};
use super::profile::{EmbedProfile, Truncation};
use super::profiles::EMBED_PROFILES;
use crate::http::{HttpClient, Network};
use crate::vendor::{Connection, json_headers, option_headers, parse};

/// The kind of the embedder that needs nothing.
const LOCAL_KIND: &str = "local";

/// Adds the local embedder and a factory per vendor, all sharing one client that may use the network.
///
/// # Errors
/// `conflict` if a name is taken; `internal` if TLS cannot be set up.
pub fn register(registry: &mut EmbedderRegistry) -> Result<()> {
    register_with(registry, &HttpClient::new(Network::Allowed)?)
}

/// Adds the local embedder and a factory per vendor, all sharing this client.
///
/// # Errors
/// `conflict` if a name is taken.
pub fn register_with(registry: &mut EmbedderRegistry, client: &HttpClient) -> Result<()> {
    registry.add(LOCAL_KIND, Arc::new(LocalFactory) as Arc<dyn EmbedderFactory>)?;
    for profile in EMBED_PROFILES {
        registry.add(profile.name, Arc::new(HttpFactory { profile, client: client.clone() }))?;
    }
    Ok(())
}

struct HttpFactory {
    profile: &'static EmbedProfile,
    client: HttpClient,
}

impl EmbedderFactory for HttpFactory {
    fn build(&self, config: &ProviderConfig, host: Arc<dyn Host>) -> Result<Arc<dyn Embedder>> {
        let profile = self.profile;
        let Some(model) = config.model.clone().or_else(|| profile.default_model.map(str::to_owned)) else {
            return Err(Error::config(format!("an embedder of kind \"{}\" needs model", profile.name)));
        };
        let Some(address) = config.base_url.as_deref().or(profile.base_url) else {
            return Err(Error::config(format!("an embedder of kind \"{}\" needs base_url", profile.name)));
        };
        let base = if profile.is_ollamas_address {
            parse(profile.name, &crate::llm::ollama_address(address.trim()))?
        } else {
            parse(profile.name, address)?
        };
        let options = Options::read(profile, config)?;
        let connection = Connection {
            provider: profile.otel_name,
            headers: json_headers(profile.name, profile.key_header, &profile.variables, config, options.headers)?,
            key: config.api_key.clone(),
            client: self.client.clone(),
            host,
            timeout: config.timeout,
        };
        Ok(Arc::new(HttpEmbedder(Arc::new(Settings {
            profile: *profile,
            model,
            base,
            connection,
            dimensions: options.dimensions,
            truncate: options.truncate,
            extra: options.extra,
            learned: OnceLock::new(),
        }))))
    }

    fn variables(&self) -> ProviderVariables {
        self.profile.variables
    }
}

/// The options every vendor's embedder understands.
#[derive(Default)]
struct Options {
    /// `headers`: sent with every request.
    headers: HeaderMap,
    /// `dimensions`: how long a vector is to be, for models that can shorten theirs.
    dimensions: Option<usize>,
    /// `truncate`: whether texts that are too long for the model are cut. Not by default: what is cut is not found.
    truncate: bool,
    /// `extra`: fields of the vendor's own that go with every request.
    extra: Extra,
}

impl Options {
    fn read(profile: &EmbedProfile, config: &ProviderConfig) -> Result<Self> {
        let mut options = Self::default();
        for (name, value) in &config.options {
            match (name.as_str(), value) {
                ("headers", value) => options.headers = option_headers(value)?,
                ("dimensions", value) => {
                    if profile.dimensions_field.is_none() {
                        return Err(Error::config(format!(
                            "an embedder of kind \"{}\" cannot be told dimensions",
                            profile.name
                        )));
                    }
                    options.dimensions = Some(dimensions(value, usize::MAX)?);
                }
                ("truncate", Value::Bool(truncate)) if profile.truncation != Truncation::Untold => {
                    options.truncate = *truncate;
                }
                ("truncate", _) if profile.truncation == Truncation::Untold => {
                    return Err(Error::config(format!(
                        "an embedder of kind \"{}\" cannot be told to truncate",
                        profile.name
                    )));
                }
                ("truncate", _) => return Err(Error::config("the embedder option truncate is neither true nor false")),
                ("extra", Value::Object(extra)) => options.extra = extra.clone(),
                ("extra", _) => return Err(Error::config("the embedder option extra is no table")),
                (name, _) => {
                    let kind = profile.name;
                    return Err(Error::config(format!(
                        "an embedder of kind \"{kind}\" has no option \"{name}\"; known: dimensions, extra, headers, truncate"
                    )));
                }
            }
        }
        Ok(options)
    }
}

fn dimensions(value: &Value, max: usize) -> Result<usize> {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.filter(|number| (1..=max).contains(number)).ok_or_else(|| {
        let bound = if max == usize::MAX { String::new() } else { format!(" up to {max}") };
        Error::config(format!("the embedder option dimensions is no positive number{bound}"))
    })
}

struct LocalFactory;

impl EmbedderFactory for LocalFactory {
    fn build(&self, config: &ProviderConfig, host: Arc<dyn Host>) -> Result<Arc<dyn Embedder>> {
        if let Some(model) = config.model.as_deref().filter(|model| *model != LOCAL_MODEL) {
            return Err(Error::config(format!(
                "an embedder of kind \"{LOCAL_KIND}\" has one model, {LOCAL_MODEL}, not \"{}\"",
                model.escape_debug()
            )));
        }
        let mut length = LOCAL_DIMENSIONS;
        for (name, value) in &config.options {
            match name.as_str() {
                "dimensions" => length = dimensions(value, LOCAL_DIMENSIONS_MAX)?,
                _ => {
                    return Err(Error::config(format!(
                        "an embedder of kind \"{LOCAL_KIND}\" has no option \"{name}\"; known: dimensions"
                    )));
                }
            }
        }
        Ok(Arc::new(LocalEmbedder::new(host).with_dimensions(length)))
    }

    fn variables(&self) -> ProviderVariables {
        ProviderVariables { key_optional: true, ..ProviderVariables::default() }
    }
}
