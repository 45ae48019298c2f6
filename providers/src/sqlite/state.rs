//! The state store over the file.

use std::sync::Arc;

use beluga_core::{BoxFuture, BoxStream, Error, Result, StateKey, StateStore};
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

use super::command::Work;
use super::failure::Failure;
use super::store::Shared;
use crate::memory::encode_value;

/// [`StateStore`] of one file.
#[derive(Debug, Clone)]
pub(super) struct SqliteState(pub(super) Arc<Shared>);

impl StateStore for SqliteState {
    fn get(&self, key: StateKey) -> BoxFuture<'static, Result<Option<Value>>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.read("state.get", move |connection, _| get(connection, &key)).await })
    }

    fn set(&self, key: StateKey, value: Value) -> BoxFuture<'static, Result<()>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let json = encode_value(&key, &value)?;
            shared.write("state.set", Work::Set { key, value, json }).await.map(drop)
        })
    }

    fn delete(&self, key: StateKey) -> BoxFuture<'static, Result<()>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.write("state.delete", Work::Delete { key }).await.map(drop) })
    }

    fn watch(&self, key: StateKey) -> BoxStream<'static, Result<Option<Value>>> {
        self.0.watchers.watch(key)
    }
}

/// Sets a value within the open transaction.
pub(super) fn set(connection: &Connection, key: &StateKey, json: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO state (tenant, scope, name, value) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET value = excluded.value",
        )?
        .execute((key.tenant.as_str(), key.scope.to_string(), &key.name, json))
        .map(drop)
}

/// Deletes a value within the open transaction; returns whether there was one.
pub(super) fn delete(connection: &Connection, key: &StateKey) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("DELETE FROM state WHERE tenant = ?1 AND scope = ?2 AND name = ?3")?
        .execute((key.tenant.as_str(), key.scope.to_string(), &key.name))
        .map(|count| count > 0)
}

fn get(connection: &Connection, key: &StateKey) -> Result<Option<Value>, Failure> {
    let json: Option<String> = connection
        .prepare_cached("SELECT value FROM state WHERE tenant = ?1 AND scope = ?2 AND name = ?3")?
        .query_row((key.tenant.as_str(), key.scope.to_string(), &key.name), |row| row.get(0))
        .optional()?;
    let Some(json) = json else { return Ok(None) };
    serde_json::from_str(&json).map(Some).map_err(|error| {
        let scope = key.scope.to_string();
        Error::internal("a stored value is damaged: set it again").with("scope", scope).with_source(error).into()
    })
}
