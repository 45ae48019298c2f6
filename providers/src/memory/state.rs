//! The state store in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, BoxStream, Error, Result, STATE_VALUE_MAX_BYTES, StateKey, StateStore};
use parking_lot::Mutex;
use serde_json::Value;

use super::watch::Watchers;

/// How many bytes of JSON a [`MemoryState`] holds; beyond it a `set` is `overloaded`.
pub const MEMORY_STATE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A [`StateStore`] in memory. Nothing survives the process; clones share one store.
#[derive(Clone, Default)]
pub struct MemoryState {
    values: Arc<Mutex<Values>>,
    watchers: Watchers,
}

impl MemoryState {
    /// Makes an empty store of at most [`MEMORY_STATE_MAX_BYTES`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for MemoryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.lock();
        f.debug_struct("MemoryState")
            .field("keys", &values.map.len())
            .field("bytes", &values.bytes)
            .field("watchers", &self.watchers)
            .finish()
    }
}

impl StateStore for MemoryState {
    fn get(&self, key: StateKey) -> BoxFuture<'static, Result<Option<Value>>> {
        let values = Arc::clone(&self.values);
        Box::pin(async move { Ok(values.lock().map.get(&key).map(|entry| entry.value.clone())) })
    }

    fn set(&self, key: StateKey, value: Value) -> BoxFuture<'static, Result<()>> {
        let store = self.clone();
        Box::pin(async move {
            let bytes = encode_value(&key, &value)?.len() + key.name.len();
            let mut values = store.values.lock();
            let before = values.map.get(&key).map_or(0, |entry| entry.bytes);
            let total = values.bytes - before + bytes;
            if total > MEMORY_STATE_MAX_BYTES {
                return Err(Error::overloaded("the state store in memory is full")
                    .with_op("state.set")
                    .with("max_bytes", MEMORY_STATE_MAX_BYTES));
            }
            values.bytes = total;
            // Told under the lock, so that watchers see changes in the order of the writes.
            store.watchers.changed(&key, Some(&value));
            values.map.insert(key, Entry { value, bytes });
            Ok(())
        })
    }

    fn delete(&self, key: StateKey) -> BoxFuture<'static, Result<()>> {
        let store = self.clone();
        Box::pin(async move {
            let mut values = store.values.lock();
            if let Some(entry) = values.map.remove(&key) {
                values.bytes -= entry.bytes;
                store.watchers.changed(&key, None);
            }
            Ok(())
        })
    }

    fn watch(&self, key: StateKey) -> BoxStream<'static, Result<Option<Value>>> {
        self.watchers.watch(key)
    }
}

#[derive(Default)]
struct Values {
    map: HashMap<StateKey, Entry>,
    bytes: usize,
}

struct Entry {
    value: Value,
    bytes: usize,
}

/// Returns the JSON text of a value.
///
/// # Errors
/// `invalid_input` above [`STATE_VALUE_MAX_BYTES`].
pub(crate) fn encode_value(key: &StateKey, value: &Value) -> Result<String> {
    let text = value.to_string();
    if text.len() <= STATE_VALUE_MAX_BYTES {
        return Ok(text);
    }
    Err(Error::invalid_input("value is larger than a state value may be")
        .with_op("state.set")
        .with("scope", &key.scope)
        .with("bytes", text.len())
        .with("max_bytes", STATE_VALUE_MAX_BYTES))
}

#[cfg(test)]
mod tests {
    use beluga_core::{Code, StateScope, TenantId};

    use super::*;

    #[tokio::test]
    async fn a_full_store_refuses_until_something_is_deleted() {
        let state = MemoryState::new();
        let key = |n: usize| StateKey { tenant: TenantId::default(), scope: StateScope::Global, name: n.to_string() };
        let value = Value::from("x".repeat(STATE_VALUE_MAX_BYTES - 2));
        let mut kept = 0;
        let error = loop {
            match state.set(key(kept), value.clone()).await {
                Ok(()) => kept += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((error.code(), kept), (Code::Overloaded, 63));
        state.delete(key(0)).await.unwrap();
        state.set(key(kept), value).await.unwrap();
    }
}
