//! The journal over the file.

use std::sync::Arc;

use beluga_core::{Append, BoxFuture, Group, Journal, Result, StreamKey};

use super::command::Work;
use super::groups;
use super::store::Shared;
use crate::memory::check_size;

/// [`Journal`] of one file.
#[derive(Debug, Clone)]
pub(super) struct SqliteJournal(pub(super) Arc<Shared>);

impl Journal for SqliteJournal {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<u64>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            check_size(&append)?;
            shared.write("journal.append", Work::Append(append)).await
        })
    }

    fn read(&self, stream: StreamKey, from: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Group>>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            shared
                .read("journal.read", move |connection, path| groups::read(connection, path, &stream, from, limit))
                .await
        })
    }

    fn open(&self, kind: &'static str, limit: usize) -> BoxFuture<'static, Result<Vec<StreamKey>>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            shared.read("journal.open", move |connection, _| groups::open(connection, kind, limit)).await
        })
    }
}
