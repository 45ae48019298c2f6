//! Where an application may observe or alter memory.

use std::sync::Arc;

use beluga_core::{BoxFuture, Error, Exchange, Memory, MemoryOwner, MemoryQuery, Recollection, Result};

/// Observes or alters a tier. Every method does nothing by default. Runs in the caller's task; must not block.
pub trait MemoryHooks: std::fmt::Debug + Send + Sync + 'static {
    /// Sees an exchange before it is saved, and may change or refuse it.
    ///
    /// # Errors
    /// Nothing is saved.
    fn before_save(&self, exchange: &mut Exchange) -> Result<()> {
        let _ = exchange;
        Ok(())
    }
    /// Sees that an exchange was saved.
    fn after_save(&self, exchange: &Exchange) {
        let _ = exchange;
    }
    /// Sees a query before the prompt text is loaded, and may change or refuse it.
    ///
    /// # Errors
    /// Nothing is loaded.
    fn before_load(&self, query: &mut MemoryQuery) -> Result<()> {
        let _ = query;
        Ok(())
    }
    /// Sees the prompt text, and may change it.
    fn after_load(&self, query: &MemoryQuery, text: &mut String) {
        let _ = (query, text);
    }
    /// Sees a query before the search, and may change or refuse it.
    ///
    /// # Errors
    /// Nothing is searched.
    fn before_search(&self, query: &mut MemoryQuery) -> Result<()> {
        let _ = query;
        Ok(())
    }
    /// Sees what was found, and may change it.
    fn after_search(&self, query: &MemoryQuery, found: &mut Vec<Recollection>) {
        let _ = (query, found);
    }
    /// Sees whose memory is about to be forgotten, and may refuse.
    ///
    /// # Errors
    /// Nothing is forgotten.
    fn before_clear(&self, owner: &MemoryOwner) -> Result<()> {
        let _ = owner;
        Ok(())
    }
    /// Sees whose memory was forgotten.
    fn after_clear(&self, owner: &MemoryOwner) {
        let _ = owner;
    }
    /// Sees an error, and may replace it.
    fn on_error(&self, error: Error) -> Error {
        error
    }
}

/// A tier with hooks round it.
#[derive(Debug, Clone)]
pub struct HookedMemory {
    inner: Arc<dyn Memory>,
    hooks: Arc<dyn MemoryHooks>,
}

impl HookedMemory {
    /// Puts hooks round a tier.
    #[must_use]
    pub fn new(inner: impl Memory, hooks: impl MemoryHooks) -> Self {
        Self { inner: Arc::new(inner), hooks: Arc::new(hooks) }
    }
}

impl Memory for HookedMemory {
    fn save(&self, mut exchange: Exchange) -> BoxFuture<'static, Result<()>> {
        let (inner, hooks) = (Arc::clone(&self.inner), Arc::clone(&self.hooks));
        Box::pin(async move {
            hooks.before_save(&mut exchange).map_err(|error| hooks.on_error(error))?;
            inner.save(exchange.clone()).await.map_err(|error| hooks.on_error(error))?;
            hooks.after_save(&exchange);
            Ok(())
        })
    }

    fn load(&self, mut query: MemoryQuery) -> BoxFuture<'static, Result<String>> {
        let (inner, hooks) = (Arc::clone(&self.inner), Arc::clone(&self.hooks));
        Box::pin(async move {
            hooks.before_load(&mut query).map_err(|error| hooks.on_error(error))?;
            let mut text = inner.load(query.clone()).await.map_err(|error| hooks.on_error(error))?;
            hooks.after_load(&query, &mut text);
            Ok(text)
        })
    }

    fn search(&self, mut query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        let (inner, hooks) = (Arc::clone(&self.inner), Arc::clone(&self.hooks));
        Box::pin(async move {
            hooks.before_search(&mut query).map_err(|error| hooks.on_error(error))?;
            let mut found = inner.search(query.clone()).await.map_err(|error| hooks.on_error(error))?;
            hooks.after_search(&query, &mut found);
            Ok(found)
        })
    }

    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        let (inner, hooks) = (Arc::clone(&self.inner), Arc::clone(&self.hooks));
        Box::pin(async move {
            hooks.before_clear(&owner).map_err(|error| hooks.on_error(error))?;
            inner.clear(owner.clone()).await.map_err(|error| hooks.on_error(error))?;
            hooks.after_clear(&owner);
            Ok(())
        })
    }
}
