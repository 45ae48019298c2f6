//! The writer's thread: takes what is queued, commits it as one transaction, answers all of it.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use beluga_core::{Result, SyncLevel};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::command::{Command, Work};
use super::failure::{Failure, explain, is_fatal};
use super::groups::Groups;
use super::health::Counters;
#[cfg(any(test, feature = "fault-injection"))]
use super::options::AppendPoint;
use super::options::SqliteOptions;
use super::queue::{Next, Queue};
use super::{recall, state};
use crate::memory::Watchers;

type Answer = Result<u64>;

/// Owns the one connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) options: SqliteOptions,
    pub(super) queue: Arc<Queue>,
    pub(super) counters: Arc<Counters>,
    pub(super) watchers: Watchers,
    pub(super) groups: Groups,
    /// Hidden owners whose messages are still to be deleted.
    pub(super) sweeps: VecDeque<Sweep>,
    /// Whether the connection syncs every commit now; `None` before the first.
    pub(super) is_synced: Option<bool>,
    /// Appends that were brought to the commit.
    pub(super) appends: u64,
    /// The lock file; held as long as the connection.
    pub(super) lock: File,
}

/// The deletion of a hidden owner's messages.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) owner: i64,
    /// Whoever waits for the end; nobody after a restart.
    pub(super) reply: Option<oneshot::Sender<Answer>>,
}

impl Writer {
    /// Runs until the store is closed. Everything committed is in the database file then, and the log is gone.
    ///
    /// # Errors
    /// Why the writer cannot go on: a damaged file, a failing disk.
    pub(super) fn run(mut self) -> Result<(), String> {
        let mut batch = Vec::new();
        loop {
            match self.queue.next(&mut batch, self.is_alone(), !self.sweeps.is_empty()) {
                Next::Batch => self.run_batch(&mut batch)?,
                Next::Background => self.sweep()?,
                Next::End => return self.finish(),
            }
        }
    }

    /// With a fault function every append is committed alone, so that its count says exactly what is committed.
    fn is_alone(&self) -> bool {
        #[cfg(any(test, feature = "fault-injection"))]
        return self.options.fault.is_some();
        #[cfg(not(any(test, feature = "fault-injection")))]
        false
    }

    fn run_batch(&mut self, batch: &mut Vec<Command>) -> Result<(), String> {
        let is_patient = batch.first().is_some_and(Command::is_patient);
        let (count, bytes) = (batch.len(), batch.iter().map(|command| command.bytes).sum());
        let result = match self.commit(batch) {
            Ok(answers) => {
                self.answer(batch.drain(..), answers);
                Ok(())
            }
            Err(error) if is_fatal(&error) || batch.len() == 1 => self.refuse(batch, error),
            // One of them is to blame, such as the one that does not fit on the disk: the others must not suffer.
            Err(_) => self.run_one_by_one(batch),
        };
        self.queue.answered(is_patient, count, bytes);
        if !is_patient && count > 1 {
            self.queue.gather();
        }
        result
    }

    fn run_one_by_one(&mut self, batch: &mut Vec<Command>) -> Result<(), String> {
        for command in batch.drain(..) {
            let mut alone = vec![command];
            match self.commit(&alone) {
                Ok(answers) => self.answer(alone.drain(..), answers),
                Err(error) => self.refuse(&mut alone, error)?,
            }
        }
        Ok(())
    }

    /// Answers with SQLite's error; ends the writer if it cannot trust its file any more.
    fn refuse(&self, batch: &mut Vec<Command>, error: rusqlite::Error) -> Result<(), String> {
        let is_fatal = is_fatal(&error);
        let error = explain(error, "sqlite.write", &self.path);
        tracing::error!(path = %self.path.display(), code = %error.code(), is_fatal, "the store could not write: {}", error.message());
        for command in batch.drain(..) {
            // Whoever dropped the receiving end does not want to know.
            let _ = command.reply.send(Err(error.duplicate()));
        }
        if is_fatal { Err(error.message().to_owned()) } else { Ok(()) }
    }

    /// Runs commands in one transaction. On an error nothing of it was written.
    fn commit(&mut self, batch: &[Command]) -> rusqlite::Result<Vec<Answer>> {
        self.set_sync(batch.iter().any(|command| self.options.sync.is_synced(sync_of(command))))?;
        self.begin()?;
        let appended = match self.apply_all(batch) {
            Ok(answers) => answers,
            Err(error) => {
                self.roll_back(batch);
                return Err(error);
            }
        };
        let groups =
            batch.iter().zip(&appended).filter(|(command, answer)| is_append(command) && answer.is_ok()).count();
        #[cfg(any(test, feature = "fault-injection"))]
        self.call_fault(AppendPoint::Before, groups);
        if let Err(error) = self.end() {
            self.roll_back(batch);
            return Err(error);
        }
        #[cfg(any(test, feature = "fault-injection"))]
        self.call_fault(AppendPoint::After, groups);
        self.appends += groups as u64;
        Counters::add(&self.counters.groups, groups);
        self.count_commit();
        Ok(appended)
    }

    fn apply_all(&mut self, batch: &[Command]) -> rusqlite::Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(batch.len());
        for command in batch {
            match self.apply(command) {
                Ok(number) => answers.push(Ok(number)),
                Err(Failure::Refused(error)) => answers.push(Err(error)),
                Err(Failure::Sql(error)) => return Err(error),
            }
        }
        Ok(answers)
    }

    /// Returns the version of an append, the hidden owner's id of a `Forget`, otherwise 0.
    fn apply(&mut self, command: &Command) -> Result<u64, Failure> {
        let connection = &self.connection;
        match &*command.work {
            Work::Append(append) => return self.groups.append(connection, append),
            Work::Set { key, json, .. } => state::set(connection, key, json)?,
            Work::Delete { key } => return Ok(u64::from(state::delete(connection, key)?)),
            Work::Remember { owner, entries } => recall::remember(connection, owner, entries)?,
            Work::Forget { owner } => return Ok(recall::hide(connection, owner)?.unwrap_or(0).cast_unsigned()),
        }
        Ok(0)
    }

    /// Answers committed commands, in their order; watchers hear of a change before its writer does.
    fn answer(&mut self, batch: impl Iterator<Item = Command>, answers: Vec<Answer>) {
        for (Command { work, reply, .. }, answer) in batch.zip(answers) {
            match (&*work, &answer) {
                (Work::Set { key, value, .. }, Ok(_)) => self.watchers.changed(key, Some(value)),
                (Work::Delete { key }, Ok(deleted)) if *deleted > 0 => self.watchers.changed(key, None),
                (Work::Forget { .. }, Ok(owner)) if *owner > 0 => {
                    self.sweeps.push_back(Sweep { owner: owner.cast_signed(), reply: Some(reply) });
                    continue;
                }
                _ => {}
            }
            drop(work);
            // Whoever dropped the receiving end does not want to know.
            let _ = reply.send(answer);
        }
    }

    /// Deletes some messages of the first hidden owner.
    fn sweep(&mut self) -> Result<(), String> {
        let Some(mut sweep) = self.sweeps.pop_front() else { return Ok(()) };
        match self.sweep_some(sweep.owner) {
            Ok(false) => self.sweeps.push_front(sweep),
            Ok(true) => {
                if let Some(reply) = sweep.reply.take() {
                    let _ = reply.send(Ok(0));
                }
            }
            // The owner stays hidden; the next open deletes the rest.
            Err(error) => {
                let is_fatal = is_fatal(&error);
                let error = explain(error, "messages.clear", &self.path);
                let reason = error.message().to_owned();
                if let Some(reply) = sweep.reply.take() {
                    let _ = reply.send(Err(error));
                }
                if is_fatal {
                    return Err(reason);
                }
            }
        }
        Ok(())
    }

    fn sweep_some(&mut self, owner: i64) -> rusqlite::Result<bool> {
        self.set_sync(self.options.sync.is_synced(SyncLevel::Commit))?;
        self.begin()?;
        match recall::sweep(&self.connection, owner).and_then(|is_last| self.end().map(|()| is_last)) {
            Ok(is_last) => {
                self.count_commit();
                Ok(is_last)
            }
            Err(error) => {
                self.roll_back(&[]);
                Err(error)
            }
        }
    }

    /// Switches between transactions: with FULL SQLite syncs the log after each commit, with NORMAL it does not.
    fn set_sync(&mut self, synced: bool) -> rusqlite::Result<()> {
        if self.is_synced != Some(synced) {
            self.connection.execute_batch(if synced {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            })?;
            self.is_synced = Some(synced);
        }
        Ok(())
    }

    fn begin(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    fn end(&self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    fn roll_back(&mut self, batch: &[Command]) {
        // SQLite may have rolled back by itself, for example when the disk is full.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(path = %self.path.display(), "the store could not roll back: {error}");
        }
        for command in batch {
            if let Work::Append(append) = &*command.work {
                self.groups.rolled_back(append);
            }
        }
    }

    fn count_commit(&self) {
        Counters::add(&self.counters.commits, 1);
        if self.is_synced == Some(true) {
            Counters::add(&self.counters.syncs, 1);
        }
    }

    /// Copies the log into the database file and lets go of it.
    fn finish(self) -> Result<(), String> {
        let Self { connection, path, lock, .. } = self;
        let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = checkpoint {
            // Nothing is lost: the log stays and is read at the next open.
            tracing::warn!(path = %path.display(), "the store kept its log at the close: {error}");
        }
        let closed =
            connection.close().map_err(|(_, error)| explain(error, "sqlite.close", &path).message().to_owned());
        drop(lock);
        closed
    }

    #[cfg(any(test, feature = "fault-injection"))]
    fn call_fault(&self, point: AppendPoint, groups: usize) {
        let Some(fault) = &self.options.fault else { return };
        for n in 1..=groups as u64 {
            fault(point, self.appends + n);
        }
    }
}

fn is_append(command: &Command) -> bool {
    matches!(*command.work, Work::Append(_))
}

/// Returns what the command's answer promises, before the setting is applied.
fn sync_of(command: &Command) -> SyncLevel {
    match &*command.work {
        Work::Append(append) => append.sync,
        // A state value is written for its own sake. Messages are made again from the journal.
        Work::Set { .. } | Work::Delete { .. } | Work::Forget { .. } => SyncLevel::Disk,
        Work::Remember { .. } => SyncLevel::Commit,
    }
}

/// Returns why a writer that panicked ended.
pub(super) fn panicked(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    format!("the writer panicked: {text}")
}
