//! The embedded store: journal, recall and state in one SQLite file per data directory.
//!
//! One writer connection lives on its own OS thread and is fed by a bounded queue; it commits what is queued as one
//! transaction (group commit) and then answers all of it. Reads run on a few read-only connections through
//! [`Host::block`](beluga_core::Host::block). One process has the file at a time; a lock file beside it says which.
//!
//! What an acknowledged append survives is its [`SyncLevel`](beluga_core::SyncLevel), as [`SyncMode`] maps it:
//! `Commit` survives `kill -9`, `Disk` survives the loss of power (WAL with `synchronous=FULL`: every commit is followed
//! by one sync of the log, which also makes durable what was committed before it).
//!
//! A full disk refuses writes with `overloaded` and goes on when there is space. A damaged file or a failing disk ends
//! the writer: what is pending is answered, later writes are `unavailable`, [`Sqlite::health`] says why, reads go on.
//!
//! # Paused time
//! An answer comes from an own thread, so a paused clock would jump over it. With [`SqliteOptions::park`] a blocking
//! task is held while an answer is outstanding, which stops the jump. It costs a thread hand-over per write: tests only.

mod answers;
mod checksum;
mod command;
mod failure;
mod file;
mod groups;
mod heads;
mod health;
mod journal;
mod messages;
mod options;
mod queue;
mod readers;
mod recall;
mod schema;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use health::{Health, HealthState};
#[cfg(any(test, feature = "fault-injection"))]
pub use options::{AppendPoint, Fault};
pub use options::{SqliteOptions, SyncMode};
pub use queue::{QUEUE_BYTES_MAX, QUEUE_GROUPS_MAX, RECALL_QUEUE_BYTES_MAX, RECALL_QUEUE_MAX};
pub use readers::{READ_QUEUE_MAX, READERS};
pub use store::Sqlite;
