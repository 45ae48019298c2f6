//! The contract of the state store: small named values by tenant and scope.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::id::TenantId;
use crate::{BoxFuture, BoxStream};

/// The largest value, in bytes of JSON.
pub const STATE_VALUE_MAX_BYTES: usize = 1024 * 1024;

/// Small named values. Writes are durable once acknowledged, as the store says.
///
/// Laws: a `get` after an acknowledged `set` returns it; keys of another tenant or scope are other keys; `watch` yields
/// every change after it started, or ends with `overloaded` when the reader is too slow.
pub trait StateStore: fmt::Debug + Send + Sync + 'static {
    /// Returns a value, `None` if there is none.
    ///
    /// # Errors
    /// `unavailable`, `internal`.
    fn get(&self, key: StateKey) -> BoxFuture<'static, Result<Option<Value>>>;

    /// Sets a value.
    ///
    /// # Errors
    /// `invalid_input` (above [`STATE_VALUE_MAX_BYTES`]), `unavailable`, `overloaded`, `internal`.
    fn set(&self, key: StateKey, value: Value) -> BoxFuture<'static, Result<()>>;

    /// Deletes a value; deleting nothing is no error.
    ///
    /// # Errors
    /// `unavailable`, `overloaded`, `internal`.
    fn delete(&self, key: StateKey) -> BoxFuture<'static, Result<()>>;

    /// Returns the changes of one key; `None` means deleted.
    fn watch(&self, key: StateKey) -> BoxStream<'static, Result<Option<Value>>>;
}

/// Names one value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// How far it reaches.
    pub scope: StateScope,
    /// Its name within the scope.
    pub name: String,
}

/// How far a value reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateScope {
    /// The whole tenant.
    Global,
    /// One agent, over all its sessions.
    Agent(String),
    /// One session.
    Session(String),
}

impl fmt::Display for StateScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateScope::Global => f.write_str("global"),
            StateScope::Agent(agent) => write!(f, "agent/{agent}"),
            StateScope::Session(session) => write!(f, "session/{session}"),
        }
    }
}
