//! Stores that fail on purpose: each wraps a real one, so that what does not fail keeps every law of its contract.

use std::sync::Arc;

use beluga_core::{
    Append, BoxFuture, BoxStream, Group, Journal, MemoryOwner, MemoryQuery, MessageStore, Recollection, Result,
    SessionId, StateKey, StateStore, StreamKey,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::faults::{Faults, StoreCall};

/// What a damaged group holds: no JSON, and no UTF-8.
const DAMAGED: &[u8] = b"\xff{damaged";

/// A journal that fails as a plan says.
#[derive(Debug, Clone)]
pub struct FaultyJournal {
    inner: Arc<dyn Journal>,
    faults: Faults,
}

impl FaultyJournal {
    /// Wraps a journal.
    #[must_use]
    pub fn new(inner: Arc<dyn Journal>, faults: &Faults) -> Self {
        Self { inner, faults: faults.clone() }
    }
}

impl Journal for FaultyJournal {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<u64>> {
        let (inner, faults) = (Arc::clone(&self.inner), self.faults.clone());
        // Not asked before its turn: an append that fails must not have been sent.
        Box::pin(async move { faults.meet(StoreCall::Append, async { inner.append(append).await }).await })
    }

    fn read(&self, stream: StreamKey, from: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Group>>> {
        let (read, faults) = (self.inner.read(stream, from, limit), self.faults.clone());
        let damage = |mut groups: Vec<Group>| {
            groups.iter_mut().for_each(|group| group.payload = Bytes::from_static(DAMAGED));
            Ok(groups)
        };
        Box::pin(async move { faults.meet_or(StoreCall::Read, read, damage).await })
    }

    fn open(&self, kind: &'static str, limit: usize) -> BoxFuture<'static, Result<Vec<StreamKey>>> {
        self.faults.boxed(StoreCall::Open, self.inner.open(kind, limit))
    }
}

/// A state store that fails as a plan says.
#[derive(Debug, Clone)]
pub struct FaultyState {
    inner: Arc<dyn StateStore>,
    faults: Faults,
}

impl FaultyState {
    /// Wraps a state store.
    #[must_use]
    pub fn new(inner: Arc<dyn StateStore>, faults: &Faults) -> Self {
        Self { inner, faults: faults.clone() }
    }
}

impl StateStore for FaultyState {
    fn get(&self, key: StateKey) -> BoxFuture<'static, Result<Option<Value>>> {
        self.faults.boxed(StoreCall::Get, self.inner.get(key))
    }

    fn set(&self, key: StateKey, value: Value) -> BoxFuture<'static, Result<()>> {
        self.faults.boxed(StoreCall::Set, self.inner.set(key, value))
    }

    fn delete(&self, key: StateKey) -> BoxFuture<'static, Result<()>> {
        self.faults.boxed(StoreCall::Delete, self.inner.delete(key))
    }

    /// A fault of a watch is its first item.
    fn watch(&self, key: StateKey) -> BoxStream<'static, Result<Option<Value>>> {
        let (changes, faults) = (self.inner.watch(key), self.faults.clone());
        let open = async move {
            match faults.meet(StoreCall::Watch, async { Ok(()) }).await {
                Ok(()) => changes,
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(open).flatten().boxed()
    }
}

/// A message store that fails as a plan says.
#[derive(Debug, Clone)]
pub struct FaultyMessages {
    inner: Arc<dyn MessageStore>,
    faults: Faults,
}

impl FaultyMessages {
    /// Wraps a message store.
    #[must_use]
    pub fn new(inner: Arc<dyn MessageStore>, faults: &Faults) -> Self {
        Self { inner, faults: faults.clone() }
    }
}

impl MessageStore for FaultyMessages {
    fn append(&self, owner: MemoryOwner, entries: Vec<Recollection>) -> BoxFuture<'static, Result<()>> {
        self.faults.boxed(StoreCall::Append, self.inner.append(owner, entries))
    }

    fn search(&self, query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        self.faults.boxed(StoreCall::Search, self.inner.search(query))
    }

    fn all(
        &self,
        owner: MemoryOwner,
        session: SessionId,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        self.faults.boxed(StoreCall::All, self.inner.all(owner, session, limit))
    }

    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        self.faults.boxed(StoreCall::Clear, self.inner.clear(owner))
    }
}
