//! A memory tier that says what the test says, notes what it is given, and fails on purpose.

use std::sync::Arc;

use beluga_core::{BoxFuture, Exchange, Memory, MemoryOwner, MemoryQuery, Recollection, Result};
use parking_lot::Mutex;

use super::faults::{Faults, StoreCall};

/// A memory tier that brings a fixed text into every prompt and keeps what it is to save. Clones are the same tier.
///
/// ```
/// use beluga_actors::testkit::{Faults, FixedMemory};
/// use beluga_core::{AgentName, CallContext, Memory, MemoryOwner, MemoryQuery, TenantId};
///
/// # futures_util::FutureExt::now_or_never(async {
/// let memory = FixedMemory::new("Her name is Ada.");
/// let owner = MemoryOwner { tenant: TenantId::default(), agent: AgentName::parse("assistant").unwrap() };
/// let (text, context) = ("Who am I?".into(), CallContext::new());
/// let query = MemoryQuery { owner, text, limit: 5, session: None, context };
/// assert_eq!(memory.load(query).await.unwrap(), "Her name is Ada.");
/// assert!(memory.saved().is_empty());
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct FixedMemory {
    text: Arc<str>,
    found: Arc<Mutex<Vec<Recollection>>>,
    saved: Arc<Mutex<Vec<Exchange>>>,
    faults: Faults,
}

impl FixedMemory {
    /// Makes a tier that brings this text into every prompt; the empty text brings nothing.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Sets what every search finds, best first.
    #[must_use]
    pub fn with_found(self, found: Vec<Recollection>) -> Self {
        *self.found.lock() = found;
        self
    }

    /// Lets the tier fail as a plan says.
    #[must_use]
    pub fn with_faults(mut self, faults: &Faults) -> Self {
        self.faults = faults.clone();
        self
    }

    /// Returns what was saved, oldest first.
    #[must_use]
    pub fn saved(&self) -> Vec<Exchange> {
        self.saved.lock().clone()
    }
}

impl Memory for FixedMemory {
    fn save(&self, exchange: Exchange) -> BoxFuture<'static, Result<()>> {
        let saved = Arc::clone(&self.saved);
        let save = async move {
            saved.lock().push(exchange);
            Ok(())
        };
        self.faults.boxed(StoreCall::Save, Box::pin(save))
    }

    fn load(&self, _query: MemoryQuery) -> BoxFuture<'static, Result<String>> {
        let text = self.text.to_string();
        self.faults.boxed(StoreCall::Load, Box::pin(async move { Ok(text) }))
    }

    fn search(&self, query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        let found = self.found.lock().iter().take(query.limit).cloned().collect();
        self.faults.boxed(StoreCall::Search, Box::pin(async move { Ok(found) }))
    }

    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        let saved = Arc::clone(&self.saved);
        let clear = async move {
            saved.lock().retain(|exchange| exchange.owner != owner);
            Ok(())
        };
        self.faults.boxed(StoreCall::Clear, Box::pin(clear))
    }
}
