//! The store as its user sees it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use beluga_core::{Host, Journal, MessageStore, Result, StateStore};
use rusqlite::Connection;

use super::answers::answer;
use super::command::{Command, Work};
use super::failure::{Failure, explain};
use super::file::open_writer;
use super::groups::Groups;
use super::health::{Counters, Health};
use super::journal::SqliteJournal;
use super::messages::SqliteMessages;
use super::options::SqliteOptions;
use super::queue::Queue;
use super::readers::Readers;
use super::recall;
use super::state::SqliteState;
use super::writer::{Sweep, Writer, panicked};
use crate::memory::Watchers;

/// Journal, messages and state in one SQLite file. Clones, and the contracts it hands out, share one store.
///
/// The store ends when [`close`](Self::close) is called or the last of them drops; both write what is queued, only
/// `close` waits for it.
#[derive(Debug, Clone)]
pub struct Sqlite {
    shared: Arc<Shared>,
}

impl Sqlite {
    /// Opens the file, creates it if there is none, and migrates it to this version.
    ///
    /// Blocks for milliseconds, for up to a second if another process has the file: call it at the start, or within
    /// [`Host::block`].
    ///
    /// # Errors
    /// `config` when the file is in use, of another program, of a newer version, read-only or no database;
    /// `unavailable` when another program has it locked; `overloaded` when the disk is full; `internal` when it is
    /// damaged or the system gives no thread. The message says what to do; the file is left as it was.
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions, host: Arc<dyn Host>) -> Result<Self> {
        let path = path.as_ref();
        let opened = open_writer(path, &options)?;
        let failed = |error| explain(error, "sqlite.open", path);
        let groups = Groups::load(&opened.connection).map_err(failed)?;
        let hidden = recall::hidden(&opened.connection).map_err(failed)?;
        let queue = Arc::new(Queue::default());
        let counters = Arc::new(Counters::default());
        let watchers = Watchers::default();
        let park = options.park;
        let writer = Writer {
            connection: opened.connection,
            path: path.to_owned(),
            options,
            queue: Arc::clone(&queue),
            counters: Arc::clone(&counters),
            watchers: watchers.clone(),
            groups,
            sweeps: hidden.into_iter().map(|owner| Sweep { owner, reply: None }).collect::<VecDeque<_>>(),
            is_synced: None,
            appends: 0,
            lock: opened.lock,
        };
        let readers = Readers::new(path, Arc::clone(&host));
        let shared = Shared { path: path.to_owned(), host, park, queue, counters, watchers, readers };
        shared.start(writer)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the journal.
    #[must_use]
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(SqliteJournal(Arc::clone(&self.shared)))
    }

    /// Returns the message store. Its writes wait for appends and state writes.
    #[must_use]
    pub fn messages(&self) -> Arc<dyn MessageStore> {
        Arc::new(SqliteMessages(Arc::clone(&self.shared)))
    }

    /// Returns the state store. Its writes are synced unless the setting is `off`.
    #[must_use]
    pub fn state(&self) -> Arc<dyn StateStore> {
        Arc::new(SqliteState(Arc::clone(&self.shared)))
    }

    /// Returns the path of the database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Returns how the store is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let (state, pending, pending_bytes) = self.shared.queue.view();
        let counters = &self.shared.counters;
        Health {
            state,
            pending,
            pending_bytes,
            groups: counters.groups.load(Ordering::Relaxed),
            commits: counters.commits.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
        }
    }

    /// Closes the store: refuses new work, waits for what is pending, copies the log into the database file and
    /// releases the lock. A second close waits for the first.
    ///
    /// Not cancellable: dropping the future leaves the store closing.
    ///
    /// # Errors
    /// `unavailable` when the writer had failed before; what was acknowledged is in the file all the same.
    pub async fn close(&self) -> Result<()> {
        let shared = &self.shared;
        shared.queue.close();
        shared.readers.close().await;
        let ended = shared.queue.ended();
        shared.queue.end();
        answer(&shared.host, shared.park, ended).await.map(drop)
    }
}

/// What a store's handles share. Its drop lets the writer write what is queued and end.
#[derive(Debug)]
pub(super) struct Shared {
    path: PathBuf,
    host: Arc<dyn Host>,
    park: bool,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    pub(super) watchers: Watchers,
    readers: Readers,
}

impl Shared {
    fn start(&self, writer: Writer) -> Result<()> {
        let (queue, watchers) = (Arc::clone(&self.queue), self.watchers.clone());
        let run = move || {
            let path = writer.path.clone();
            let result = catch_unwind(AssertUnwindSafe(|| writer.run()))
                .unwrap_or_else(|payload| Err(panicked(payload.as_ref())));
            if let Err(reason) = &result {
                tracing::error!(path = %path.display(), "the writer of the store ended: {reason}");
            }
            watchers.close();
            queue.ended_with(result);
        };
        self.host.spawn_thread("sqlite-writer", Box::new(run))
    }

    /// Sends work to the writer and waits for its answer. Once sent it is carried out, even if the future is dropped.
    pub(super) async fn write(&self, op: &'static str, work: Work) -> Result<u64> {
        let (command, receiver) = Command::new(work);
        let named = |error: beluga_core::Error| if error.op().is_empty() { error.with_op(op) } else { error };
        let _work = Arc::clone(&command.work);
        self.queue.push(command).map_err(named)?;
        answer(&self.host, self.park, receiver).await.map_err(named)
    }

    /// Runs a read off the async threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        op: &'static str,
        read: impl FnOnce(&Connection, &Path) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        self.readers.run(op, read).await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.end();
    }
}
