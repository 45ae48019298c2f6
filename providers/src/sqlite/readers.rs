//! A few read-only connections, used off the async threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use beluga_core::{Error, Host, Result};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::failure::{Failure, explain};
use super::file::open_reader;
use super::queue::closed;

/// How many reads run at a time.
pub const READERS: usize = 4;
/// How many reads may wait or run; one more is `overloaded`.
pub const READ_QUEUE_MAX: usize = 1_024;

/// The pool. Connections are opened on first use.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    host: Arc<dyn Host>,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
    pending: Arc<AtomicUsize>,
}

impl Readers {
    pub(super) fn new(path: &Path, host: Arc<dyn Host>) -> Self {
        Self {
            path: path.to_owned(),
            host,
            permits: Arc::new(Semaphore::new(READERS)),
            idle: Arc::default(),
            pending: Arc::default(),
        }
    }

    /// Runs a read and waits for it. Cancel safe: a read that has started runs to its end and gives its connection back.
    ///
    /// # Errors
    /// What the read fails with; `overloaded` above [`READ_QUEUE_MAX`]; `unavailable` when closed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        op: &'static str,
        read: impl FnOnce(&Connection, &Path) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let _pending = Pending::enter(&self.pending, op)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed().with_op(op))?;
        let (idle, path) = (Arc::clone(&self.idle), self.path.clone());
        let slot = Arc::new(Mutex::new(None));
        let filled = Arc::clone(&slot);
        let work = move || {
            let known = idle.lock().pop();
            let opened = known.map_or_else(|| open_reader(&path), Ok);
            let result = match opened {
                Ok(connection) => {
                    let result = read(&connection, &path).map_err(|failure| failure.explain(op, &path));
                    idle.lock().push(connection);
                    result
                }
                Err(error) => Err(explain(error, op, &path)),
            };
            *filled.lock() = Some(result);
            drop(permit);
        };
        self.host.block(Box::new(work)).await;
        let result = slot.lock().take();
        result.unwrap_or_else(|| Err(Error::internal("a read of the store did not end").with_op(op)))
    }

    /// Waits for the reads that run, refuses those that wait, and closes the connections.
    pub(super) async fn close(&self) {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        if let Ok(permits) = self.permits.acquire_many(all).await {
            self.permits.close();
            drop(permits);
        }
        self.idle.lock().clear();
    }
}

/// One read that waits or runs.
struct Pending(Arc<AtomicUsize>);

impl Pending {
    fn enter(count: &Arc<AtomicUsize>, op: &'static str) -> Result<Self> {
        let entered = Self(Arc::clone(count));
        if count.fetch_add(1, Ordering::Relaxed) < READ_QUEUE_MAX {
            return Ok(entered);
        }
        Err(Error::overloaded("too many reads of the store wait").with_op(op).with("max", READ_QUEUE_MAX))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
