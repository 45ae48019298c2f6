//! Tests of the store beside the laws: crashes, damaged and foreign files, full disks, bounds, the close.
#![allow(clippy::disallowed_methods)] // A host of its own, and child processes told what to do by their environment.

mod bounds;
mod close;
mod crash;
mod damage;
mod full;
mod lanes;
mod recall;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use beluga_core::{Append, BoxFuture, Error, Host, Journal, Mark, Result, StreamKey, SyncLevel, TenantId};
use bytes::Bytes;
use tempfile::TempDir;

use super::{Sqlite, SqliteOptions};

/// The machine of these tests: tokio as it is.
#[derive(Debug)]
struct TestHost;

impl Host for TestHost {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn random(&self) -> u64 {
        4
    }

    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        tokio::spawn(future);
    }

    fn spawn_thread(&self, name: &'static str, run: Box<dyn FnOnce() + Send>) -> Result<()> {
        std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(Error::from)
    }

    fn block(&self, run: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let work = tokio::task::spawn_blocking(run);
        Box::pin(async move { work.await.unwrap() })
    }
}

/// A data directory that vanishes with the test.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("beluga.db")
    }

    fn open(&self, options: SqliteOptions) -> Sqlite {
        self.try_open(options).unwrap()
    }

    fn try_open(&self, options: SqliteOptions) -> Result<Sqlite> {
        open(&self.path(), options)
    }

    /// A connection past the store, as another program has it.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    fn count(&self, sql: &str) -> i64 {
        self.raw().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn open(path: &Path, options: SqliteOptions) -> Result<Sqlite> {
    Sqlite::open(path, options, Arc::new(TestHost))
}

fn stream(id: &str) -> StreamKey {
    StreamKey { tenant: TenantId::default(), kind: "session".into(), id: id.into() }
}

fn append(id: &str, expected: u64, payload: impl Into<Bytes>) -> Append {
    Append {
        stream: stream(id),
        expected,
        fence: 1,
        payload: payload.into(),
        sync: SyncLevel::Commit,
        mark: Mark::Keep,
    }
}

async fn texts(journal: &Arc<dyn Journal>, id: &str) -> Vec<String> {
    let groups = journal.read(stream(id), 1, usize::MAX).await.unwrap();
    groups.iter().map(|group| String::from_utf8(group.payload.to_vec()).unwrap()).collect()
}
