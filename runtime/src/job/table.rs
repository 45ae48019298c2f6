//! The jobs of one incarnation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use beluga_core::{Error, Result};
use futures_util::future::AbortHandle;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::JOBS_MAX;

/// What the tree shows of a job.
#[derive(Debug, Clone)]
pub(crate) struct JobRecord {
    pub(crate) kind: Cow<'static, str>,
    pub(crate) path: Arc<str>,
    pub(crate) parent: Option<u64>,
    pub(crate) since: Instant,
    /// Whether a call stands behind it; background work ends at once when its actor drains.
    pub(crate) bound: bool,
}

#[derive(Default)]
pub(crate) struct Jobs {
    table: Mutex<Table>,
    idle: Notify,
}

#[derive(Default)]
struct Table {
    closed: bool,
    next: u64,
    /// Ordered by start, which is the order the tree shows. Boxed: a map of one entry has room for eleven.
    entries: BTreeMap<u64, Box<Line>>,
}

struct Line {
    record: JobRecord,
    abort: AbortHandle,
    /// How many live jobs it started.
    below: usize,
}

impl Jobs {
    pub(crate) fn insert(&self, record: JobRecord, abort: AbortHandle) -> Result<u64> {
        let mut table = self.table.lock();
        let orphaned = record.parent.is_some_and(|parent| !table.entries.contains_key(&parent));
        if table.closed || orphaned {
            return Err(Error::not_sent("its parent has ended, so the job was not started").with("job", &record.path));
        }
        if table.entries.len() >= JOBS_MAX {
            return Err(Error::overloaded(format!("an actor has at most {JOBS_MAX} jobs")).with("job", &record.path));
        }
        table.next += 1;
        let id = table.next;
        if let Some(parent) = record.parent.and_then(|parent| table.entries.get_mut(&parent)) {
            parent.below += 1;
        }
        table.entries.insert(id, Box::new(Line { record, abort, below: 0 }));
        Ok(id)
    }

    /// Removes an ended job and kills those below it. Returns whether it was the last.
    pub(crate) fn remove(&self, id: u64) -> bool {
        let (below, idle) = {
            let mut table = self.table.lock();
            let Some(line) = table.entries.remove(&id) else { return false };
            if let Some(parent) = line.record.parent.and_then(|parent| table.entries.get_mut(&parent)) {
                parent.below -= 1;
            }
            let mut below = Vec::new();
            if line.below > 0 {
                let children = table.entries.values().filter(|child| child.record.parent == Some(id));
                below.extend(children.map(|child| child.abort.clone()));
            }
            (below, table.entries.is_empty())
        };
        below.iter().for_each(AbortHandle::abort);
        if idle {
            self.idle.notify_waiters();
        }
        idle
    }

    /// Kills all jobs and takes no new ones.
    pub(crate) fn close(&self) {
        let all = self.select(|_| true, true);
        all.iter().for_each(AbortHandle::abort);
    }

    /// Takes no new jobs if there are none. Returns whether it was so.
    pub(crate) fn close_if_idle(&self) -> bool {
        let mut table = self.table.lock();
        table.closed |= table.entries.is_empty();
        table.closed && table.entries.is_empty()
    }

    /// Kills the jobs that no call stands behind.
    pub(crate) fn end_unbound(&self) {
        let unbound = self.select(|record| !record.bound, false);
        unbound.iter().for_each(AbortHandle::abort);
    }

    /// Kills the newest job of that path. False if there is none.
    pub(crate) fn kill(&self, path: &str) -> bool {
        let found = self.select(|record| &*record.path == path, false);
        found.last().map(AbortHandle::abort).is_some()
    }

    fn select(&self, wanted: impl Fn(&JobRecord) -> bool, close: bool) -> Vec<AbortHandle> {
        let mut table = self.table.lock();
        table.closed |= close;
        table.entries.values().filter(|line| wanted(&line.record)).map(|line| line.abort.clone()).collect()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.table.lock().entries.is_empty()
    }

    pub(crate) async fn wait_idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.is_idle() {
                return;
            }
            idle.await;
        }
    }

    /// Returns all jobs by id, in the order of their start.
    pub(crate) fn records(&self) -> Vec<(u64, JobRecord)> {
        self.table.lock().entries.iter().map(|(id, line)| (*id, line.record.clone())).collect()
    }
}
