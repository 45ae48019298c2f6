//! The message store over the file.

use std::sync::Arc;

use beluga_core::{BoxFuture, MemoryOwner, MemoryQuery, MessageStore, Recollection, Result, SessionId};

use super::command::Work;
use super::recall;
use super::store::Shared;

/// [`MessageStore`] of one file.
#[derive(Debug, Clone)]
pub(super) struct SqliteMessages(pub(super) Arc<Shared>);

impl MessageStore for SqliteMessages {
    fn append(&self, owner: MemoryOwner, entries: Vec<Recollection>) -> BoxFuture<'static, Result<()>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.write("messages.append", Work::Remember { owner, entries }).await.map(drop) })
    }

    fn search(&self, query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            shared.read("messages.search", move |connection, _| recall::search(connection, &query)).await
        })
    }

    fn all(
        &self,
        owner: MemoryOwner,
        session: SessionId,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            shared.read("messages.all", move |connection, _| recall::all(connection, &owner, &session, limit)).await
        })
    }

    /// Answers when the last message is deleted; none of them is found from the moment it starts.
    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.write("messages.clear", Work::Forget { owner }).await.map(drop) })
    }
}
