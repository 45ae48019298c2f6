//! The offline model from configuration.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{ChatModel, Error, Host, ModelFactory, ModelRegistry, ProviderConfig, ProviderVariables, Result};
use serde_json::Value;

use super::model::{MODEL, OfflineModel};

/// The kind under which configurations name it.
const KIND: &str = "offline";

/// The longest delay between chunks that may be set, in milliseconds.
const CHUNK_DELAY_MAX_MS: u64 = 10_000;

/// Adds the factory `offline`. Its one option is `chunk_delay_ms` (0 to 10,000, default 0).
///
/// # Errors
/// `conflict` if the name is taken.
pub fn register(registry: &mut ModelRegistry) -> Result<()> {
    registry.add(KIND, Arc::new(OfflineFactory) as Arc<dyn ModelFactory>)
}

struct OfflineFactory;

impl ModelFactory for OfflineFactory {
    fn build(&self, config: &ProviderConfig, host: Arc<dyn Host>) -> Result<Arc<dyn ChatModel>> {
        let mut delay_ms = 0;
        for (name, value) in &config.options {
            match name.as_str() {
                "chunk_delay_ms" => delay_ms = chunk_delay_ms(value)?,
                _ => return Err(Error::config(format!("a provider of kind \"{KIND}\" has no option {name}"))),
            }
        }
        let model = config.model.clone().unwrap_or_else(|| MODEL.to_owned());
        Ok(Arc::new(OfflineModel::new(host).with_model(model).with_chunk_delay(Duration::from_millis(delay_ms))))
    }

    fn variables(&self) -> ProviderVariables {
        ProviderVariables { key_optional: true, ..ProviderVariables::default() }
    }
}

fn chunk_delay_ms(value: &Value) -> Result<u64> {
    let delay = value.as_u64().filter(|delay| *delay <= CHUNK_DELAY_MAX_MS);
    delay.ok_or_else(|| Error::config(format!("chunk_delay_ms is a whole number from 0 to {CHUNK_DELAY_MAX_MS}")))
}
