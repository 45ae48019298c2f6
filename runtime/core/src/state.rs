//! The contract of the state store: small named values by tenant and scope, and the typed handle tools get.

use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
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

/// What names of values written through [`State`] begin with in the store, so that they never meet the runtime's own.
pub const STATE_NAME_PREFIX: &str = "tool/";

/// The longest name of a value written through [`State`], in bytes; a longer one is `invalid_input`.
pub const STATE_NAME_MAX_BYTES: usize = 256;

/// The values of one tenant and one scope, typed by serde. Tools get theirs from
/// [`ToolContext`](crate::ToolContext); an application makes one with [`State::new`] to see the same values.
///
/// A write is durable once acknowledged, whatever becomes of the turn: it belongs to no transaction with the tool's
/// result. What that means when a crash interrupts a call follows from the tool's [`Effect`](crate::Effect):
///
/// - a call that finished never runs again, and its writes stay;
/// - an interrupted `pure` or `idempotent` call runs again and finds what its first run wrote. So set values that do not
///   depend on what was there, or keep the call's idempotency key beside the value and look at it first;
/// - an interrupted `once` call does not run again: some of its writes may be there.
///
/// Two calls that read, change and write one value at the same time may lose a change; there is no compare-and-set.
#[derive(Debug, Clone)]
pub struct State {
    store: Option<Arc<dyn StateStore>>,
    tenant: TenantId,
    scope: StateScope,
}

impl State {
    /// Makes the handle of a tenant's values in a scope.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>, tenant: TenantId, scope: StateScope) -> Self {
        Self { store: Some(store), tenant, scope }
    }

    /// Returns how far the values reach.
    #[must_use]
    pub fn scope(&self) -> &StateScope {
        &self.scope
    }

    /// Returns a value, `None` if there is none.
    ///
    /// # Errors
    /// `decode` if it is no `T`; `unsupported` without a store; what the store answers.
    pub fn get<T: DeserializeOwned + Send>(&self, name: &str) -> BoxFuture<'static, Result<Option<T>>> {
        let found = self.place(name).map(|(store, key)| store.get(key));
        Box::pin(async move { found?.await?.map(decode).transpose() })
    }

    /// Sets a value. It is there for the next `get` once this is acknowledged.
    ///
    /// # Errors
    /// `invalid_input` if it is no JSON or above [`STATE_VALUE_MAX_BYTES`]; `unsupported` without a store; what the store
    /// answers.
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> BoxFuture<'static, Result<()>> {
        let json = serde_json::to_value(value)
            .map_err(|error| Error::invalid_input("the value is no JSON").with_op("state.set").with_source(error));
        let set = self.place(name).and_then(|(store, key)| Ok(store.set(key, json?)));
        Box::pin(async move { set?.await })
    }

    /// Deletes a value; deleting nothing is no error.
    ///
    /// # Errors
    /// `unsupported` without a store; what the store answers.
    pub fn delete(&self, name: &str) -> BoxFuture<'static, Result<()>> {
        let deleted = self.place(name).map(|(store, key)| store.delete(key));
        Box::pin(async move { deleted?.await })
    }

    /// Returns the changes of a value from now on, whoever makes them; `None` means deleted. Ends after an error.
    ///
    /// Errors in the stream: `decode` if a value is no `T`, `overloaded` if the reader is too slow, `unsupported` without
    /// a store.
    #[must_use]
    pub fn watch<T: DeserializeOwned + Send + 'static>(&self, name: &str) -> BoxStream<'static, Result<Option<T>>> {
        match self.place(name) {
            Ok((store, key)) => {
                store.watch(key).map(|change| change.and_then(|value| value.map(decode).transpose())).boxed()
            }
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    /// Returns the store and the key of a name in it.
    fn place(&self, name: &str) -> Result<(&Arc<dyn StateStore>, StateKey)> {
        let Some(store) = &self.store else {
            return Err(Error::unsupported("there is no state store here").with_op("state"));
        };
        if name.len() > STATE_NAME_MAX_BYTES {
            return Err(Error::invalid_input("the name of a value is too long")
                .with_op("state")
                .with("max_bytes", STATE_NAME_MAX_BYTES));
        }
        let name = format!("{STATE_NAME_PREFIX}{name}");
        Ok((store, StateKey { tenant: self.tenant.clone(), scope: self.scope.clone(), name }))
    }
}

fn decode<T: DeserializeOwned>(value: Value) -> Result<T> {
    // Not the value itself: it may be a secret.
    serde_json::from_value(value).map_err(|_| Error::decode("the value is of another type").with_op("state.get"))
}

/// The state store as one call may use it: one tenant, three scopes. [`Default`] has no store: every use of it is
/// `unsupported`.
#[derive(Debug, Clone, Default)]
pub struct StateAccess {
    store: Option<Arc<dyn StateStore>>,
    tenant: TenantId,
}

impl StateAccess {
    /// Gives access to the values of one tenant and no other.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>, tenant: TenantId) -> Self {
        Self { store: Some(store), tenant }
    }

    /// Returns the values of a scope.
    #[must_use]
    pub fn scoped(&self, scope: StateScope) -> State {
        State { store: self.store.clone(), tenant: self.tenant.clone(), scope }
    }
}
