//! What a provider is configured with, and the factories that make models, embedders and rerankers of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use crate::embedder::Embedder;
use crate::error::Result;
use crate::host::Host;
use crate::model::ChatModel;
use crate::registry::Registry;
use crate::reranker::Reranker;

/// The settings every provider has. A key never shows in `Debug`.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// The name of the factory: `openai`, `anthropic`, `openai-compatible`, `offline`.
    pub kind: String,
    /// The vendor's model id; the factory's default where absent.
    pub model: Option<String>,
    /// The credential.
    pub api_key: Option<SecretString>,
    /// The address, without a trailing slash; the vendor's where absent.
    pub base_url: Option<String>,
    /// The most time until the first byte of an answer.
    pub timeout: Duration,
    /// What only this kind understands.
    pub options: BTreeMap<String, Value>,
    /// What is set of the variables the factory asks for with [`ModelFactory::environment`], by name.
    pub environment: BTreeMap<&'static str, SecretString>,
}

impl ProviderConfig {
    /// Makes the settings of a kind: no key, the vendor's address and model, 30 s.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            model: None,
            api_key: None,
            base_url: None,
            timeout: Duration::from_secs(30),
            options: BTreeMap::new(),
            environment: BTreeMap::new(),
        }
    }
}

/// Makes models of one kind.
pub trait ModelFactory: Send + Sync + 'static {
    /// Makes the model. Does no I/O.
    ///
    /// # Errors
    /// `config` names the wrong or missing setting; `auth_error` names the variable of a missing key.
    fn build(&self, config: &ProviderConfig, host: Arc<dyn Host>) -> Result<Arc<dyn ChatModel>>;

    /// Returns the environment variables the vendor names for the key and for the address.
    fn variables(&self) -> ProviderVariables;

    /// Returns further environment variables the kind wants to see, such as those of a key in several halves.
    fn environment(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// Makes embedders of one kind.
pub trait EmbedderFactory: Send + Sync + 'static {
    /// Makes the embedder. Does no I/O.
    ///
    /// # Errors
    /// `config` names the wrong or missing setting; `auth_error` names the variable of a missing key.
    fn build(&self, config: &ProviderConfig, host: Arc<dyn Host>) -> Result<Arc<dyn Embedder>>;

    /// Returns the environment variables the vendor names for the key and for the address.
    fn variables(&self) -> ProviderVariables;

    /// Returns further environment variables the kind wants to see.
    fn environment(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// Makes rerankers of one kind.
pub trait RerankerFactory: Send + Sync + 'static {
    /// Makes the reranker. Does no I/O.
    ///
    /// # Errors
    /// `config` names the wrong or missing setting; `auth_error` names the variable of a missing key.
    fn build(&self, config: &ProviderConfig, host: Arc<dyn Host>) -> Result<Arc<dyn Reranker>>;

    /// Returns the environment variables the vendor names for the key and for the address.
    fn variables(&self) -> ProviderVariables;
}

/// The environment variables a vendor's own tools read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProviderVariables {
    /// The key, such as `OPENAI_API_KEY`; the first one set counts.
    pub api_key: &'static [&'static str],
    /// The address, such as `OPENAI_BASE_URL`.
    pub base_url: &'static [&'static str],
    /// Whether it works without a key.
    pub key_optional: bool,
}

/// The model factories by kind.
pub type ModelRegistry = Registry<Arc<dyn ModelFactory>>;

/// The embedder factories by kind.
pub type EmbedderRegistry = Registry<Arc<dyn EmbedderFactory>>;

/// The reranker factories by kind.
pub type RerankerRegistry = Registry<Arc<dyn RerankerFactory>>;
