//! Rerankers from configuration.

use std::sync::Arc;

use beluga_core::{
    Error, Extra, Host, ProviderConfig, ProviderVariables, Reranker, RerankerFactory, RerankerRegistry, Result,
};
use http::HeaderMap;
use serde_json::Value;

use super::profile::RerankProfile;
use super::profiles::RERANK_PROFILES;
use super::reranker::{HttpReranker, Settings};
use crate::http::{HttpClient, Network};
use crate::vendor::{Connection, json_headers, option_headers, parse};

/// Adds a factory per vendor, all sharing one client that may use the network.
///
/// # Errors
/// `conflict` if a name is taken; `internal` if TLS cannot be set up.
pub fn register(registry: &mut RerankerRegistry) -> Result<()> {
    register_with(registry, &HttpClient::new(Network::Allowed)?)
}

/// Adds a factory per vendor, all sharing this client.
///
/// # Errors
/// `conflict` if a name is taken.
pub fn register_with(registry: &mut RerankerRegistry, client: &HttpClient) -> Result<()> {
    for profile in RERANK_PROFILES {
        let factory = HttpFactory { profile, client: client.clone() };
        registry.add(profile.name, Arc::new(factory) as Arc<dyn RerankerFactory>)?;
    }
    Ok(())
}

struct HttpFactory {
    profile: &'static RerankProfile,
    client: HttpClient,
}

impl RerankerFactory for HttpFactory {
    fn build(&self, config: &ProviderConfig, host: Arc<dyn Host>) -> Result<Arc<dyn Reranker>> {
        let profile = self.profile;
        let Some(model) = config.model.clone().or_else(|| profile.default_model.map(str::to_owned)) else {
            return Err(Error::config(format!("a reranker of kind \"{}\" needs model", profile.name)));
        };
        let (mut headers, mut extra) = (HeaderMap::new(), Extra::new());
        for (name, value) in &config.options {
            match (name.as_str(), value) {
                ("headers", value) => headers = option_headers(value)?,
                ("extra", Value::Object(fields)) => extra = fields.clone(),
                ("extra", _) => return Err(Error::config("the reranker option extra is no table")),
                (name, _) => {
                    let kind = profile.name;
                    return Err(Error::config(format!(
                        "a reranker of kind \"{kind}\" has no option \"{name}\"; known: extra, headers"
                    )));
                }
            }
        }
        let connection = Connection {
            provider: profile.otel_name,
            headers: json_headers(profile.name, None, &profile.variables, config, headers)?,
            key: config.api_key.clone(),
            client: self.client.clone(),
            host,
            timeout: config.timeout,
        };
        let base = parse(profile.name, config.base_url.as_deref().unwrap_or(profile.base_url))?;
        Ok(Arc::new(HttpReranker(Arc::new(Settings { profile: *profile, model, base, connection, extra }))))
    }

    fn variables(&self) -> ProviderVariables {
        self.profile.variables
    }
}
