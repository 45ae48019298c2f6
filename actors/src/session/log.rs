//! A session's one way to its journal: appends in order, keeps the fold, publishes what became durable.
//!
//! Shared by the session's actor and the turn it runs. An append is shielded: killing the turn does not tear it, and the
//! fold and the readers learn of it all the same. After an append whose outcome is unknown the log refuses everything;
//! the session dies and its successor reads the journal anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use beluga_core::{
    AgentName, Append, ChatMessage, Code, Error, Host, Journal, Mark, Result, StreamKey, SyncLevel, TurnId,
};
use beluga_runtime::task;
use parking_lot::Mutex;

use super::history::{History, OpenTurn};
use super::hub::Hub;
use super::record::{GroupBody, NUMBERS_PER_RANGE, Record};

/// How many groups one read brings from the journal.
pub(crate) const GROUPS_PER_READ: usize = 256;

/// A handle to one session's journal. Clones are the same log.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    journal: Arc<dyn Journal>,
    host: Arc<dyn Host>,
    stream: StreamKey,
    fence: u64,
    hub: Arc<Hub>,
    history: Mutex<History>,
    /// The next free event number.
    next: Mutex<u64>,
    /// Held while an append is under way.
    order: Arc<tokio::sync::Mutex<()>>,
    broken: AtomicBool,
}

impl Log {
    /// Reads the whole journal of a session.
    ///
    /// # Errors
    /// What the journal answers; `decode` for a damaged group.
    pub(crate) async fn load(
        journal: Arc<dyn Journal>,
        host: Arc<dyn Host>,
        stream: StreamKey,
        fence: u64,
        hub: Arc<Hub>,
    ) -> Result<Self> {
        let mut history = History::default();
        loop {
            let groups = journal.read(stream.clone(), history.version + 1, GROUPS_PER_READ).await?;
            history.extend(&groups).map_err(|error| error.with("stream", &stream))?;
            if groups.len() < GROUPS_PER_READ {
                break;
            }
        }
        hub.synchronise(history.recorded, history.index.clone());
        let next = history.reserved.max(hub.last()) + 1;
        Ok(Self(Arc::new(Inner {
            journal,
            host,
            stream,
            fence,
            hub,
            history: Mutex::new(history),
            next: Mutex::new(next),
            order: Arc::default(),
            broken: AtomicBool::new(false),
        })))
    }

    /// Looks at the fold.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.0.history.lock())
    }

    /// Returns the conversation as it is now.
    pub(crate) fn messages(&self) -> Arc<Vec<Arc<ChatMessage>>> {
        self.read(|history| Arc::clone(&history.messages))
    }

    /// Returns the open turn.
    pub(crate) fn open_turn(&self) -> Option<OpenTurn> {
        self.read(|history| history.open.clone())
    }

    /// Returns the readers' side.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// Returns the calendar time, milliseconds since 1970 UTC.
    pub(crate) fn now_ms(&self) -> u64 {
        wall_ms(self.0.host.as_ref())
    }

    /// Takes a fresh range for a turn and returns its first and last number. Durable once `until` is appended.
    pub(crate) fn reserve_range(&self) -> (u64, u64) {
        let mut next = self.0.next.lock();
        let from = (*next).max(self.read(|history| history.reserved) + 1);
        *next = from;
        (from, from + NUMBERS_PER_RANGE - 1)
    }

    /// Notes that a number of a fresh range was used by the record that reserved it.
    pub(crate) fn used(&self, number: u64) {
        let mut next = self.0.next.lock();
        *next = (*next).max(number + 1);
    }

    /// Takes the next event number; reserves the next range first when this one is used up.
    ///
    /// # Errors
    /// What the append of the reservation fails with.
    pub(crate) async fn number(&self, turn: &TurnId, agent: &AgentName) -> Result<u64> {
        let reserved = self.read(|history| history.reserved);
        match self.take_number(reserved) {
            Some(number) => Ok(number),
            // Boxed, as it is rare: every wait for a number would carry it.
            None => Box::pin(self.take_number_after(turn, agent, reserved)).await,
        }
    }

    fn take_number(&self, reserved: u64) -> Option<u64> {
        let mut next = self.0.next.lock();
        let number = *next;
        (number <= reserved).then(|| {
            *next += 1;
            number
        })
    }

    /// Reserves the next range and takes its first number.
    async fn take_number_after(&self, turn: &TurnId, agent: &AgentName, reserved: u64) -> Result<u64> {
        let until = reserved + NUMBERS_PER_RANGE;
        self.append(turn, agent, vec![Record::Reserved { until }], SyncLevel::Commit, Mark::Keep).await?;
        let mut next = self.0.next.lock();
        let number = *next;
        *next += 1;
        Ok(number)
    }

    /// Appends one group, then publishes its events, all but text and thinking, which were shown as they came.
    ///
    /// Dropping the future does not stop the append.
    ///
    /// # Errors
    /// What the journal answers. After anything but a clean refusal the log is broken and answers `unavailable`.
    pub(crate) async fn append(
        &self,
        turn: &TurnId,
        agent: &AgentName,
        records: Vec<Record>,
        sync: SyncLevel,
        mark: Mark,
    ) -> Result<()> {
        let body = GroupBody { at_ms: self.now_ms(), turn: turn.clone(), agent: agent.clone(), records };
        let inner = Arc::clone(&self.0);
        task::shield(async move { inner.append(body, sync, mark).await }).await
    }
}

impl Inner {
    async fn append(&self, body: GroupBody, sync: SyncLevel, mark: Mark) -> Result<()> {
        let _in_order = self.order.lock().await;
        if self.broken.load(Ordering::Acquire) {
            return Err(Error::unavailable("the session's log is broken; its successor reads it anew"));
        }
        let append = Append {
            stream: self.stream.clone(),
            expected: self.history.lock().version,
            fence: self.fence,
            payload: body.encode()?,
            sync,
            mark,
        };
        let version = match self.journal.append(append).await {
            Ok(version) => version,
            Err(error) => {
                if !matches!(error.code(), Code::Overloaded | Code::InvalidInput) {
                    self.broken.store(true, Ordering::Release);
                }
                return Err(error.with("stream", &self.stream));
            }
        };
        self.publish(version, body);
        Ok(())
    }

    fn publish(&self, version: u64, body: GroupBody) {
        let events = body.unshown(self.history.lock().beginning());
        let begins = body.records.iter().find_map(|record| match record {
            Record::TurnStarted { from, .. } => Some(from.saturating_sub(1)),
            _ => None,
        });
        let recorded = {
            let mut history = self.history.lock();
            history.apply(version, body);
            history.recorded
        };
        self.hub.commit(begins.map(|before| (before, version)), events, recorded);
    }
}

/// Returns the calendar time, milliseconds since 1970 UTC.
pub(crate) fn wall_ms(host: &dyn Host) -> u64 {
    host.wall()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
