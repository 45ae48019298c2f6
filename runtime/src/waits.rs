//! The asks of one system that wait for their answers: who asks whom for what since when, and whom to wake when the time
//! is over.
//!
//! An ask has no timer of its own: it enters this table when it has to wait, and one task wakes those whose time is over.
//! A timer costs a third of an ask; an entry costs one uncontended lock, and introspection reads the same table. The task
//! runs from the first wait until it finds the table empty.
//!
//! While asks follow each other closely it also keeps the coarse clock ([`Clock`]), so that they need not read one each.

use std::cell::Cell;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

use crate::call::{NEVER_NS, Sleeper};
use crate::clock::{Clock, TICK_NS};
use crate::delivery::Resolve;
use crate::ground::{self, IN_JOB};
use crate::sync::{AtomicU64, BriefMutex, Mutex, Ordering};
use crate::{task, time};

/// Over how many locks the table is spread; each thread keeps to one. In a model all threads have the same.
const SHARDS: u32 = if cfg!(beluga_loom) { 1 } else { 16 };

/// When the sweeper looks again although no time is known to be over: an ask may have no limit.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How many asks of a thread share a look at the clock at most, whoever keeps it.
const ASKS_PER_CLOCK: u8 = 16;

/// How far a kept clock is behind if nobody keeps it after all.
const KEEPER_LATE_NS: u64 = 8 * TICK_NS;

/// The waits of one system. Bounded by the asks that callers keep alive.
pub(crate) struct WaitTable {
    shards: [Shard; SHARDS as usize],
    clock: Arc<Clock>,
    /// When the sweeper looks next; [`NEVER_NS`] while nobody is about to.
    due_ns: AtomicU64,
    is_swept: Mutex<bool>,
    bell: Notify,
}

/// On cache lines of its own, so that two threads do not slow each other down.
#[repr(align(128))]
#[derive(Default)]
struct Shard(BriefMutex<Seats>);

/// The places of one shard. A slab that takes what it holds piece by piece, as an ask is here for a moment: a copy of it as a
/// whole waits for the pieces it was just written in.
#[derive(Default)]
struct Seats {
    seats: Vec<Seat>,
    /// The free seats, the last one freed first: none is as good as the one that is at hand.
    free: Vec<u32>,
}

/// A place, and the one ask that waits there.
struct Seat {
    waiting: Waiting,
    /// `None` if it is free.
    sleeper: Option<Sleeper>,
}

impl Seats {
    /// Seats an ask, and returns where.
    #[inline(always)]
    fn insert(&mut self, waiting: Waiting, sleeper: Sleeper) -> u32 {
        if let Some(key) = self.free.pop()
            && let Some(seat) = self.seats.get_mut(key as usize)
        {
            let Waiting { deadline_ns, since_ns, message, by, to, to_key } = waiting;
            let of = &mut seat.waiting;
            (of.deadline_ns, of.since_ns, of.message, of.by, of.to) = (deadline_ns, since_ns, message, by, to);
            if to_key.is_some() {
                of.to_key = to_key;
            }
            seat.sleeper = Some(sleeper);
            return key;
        }
        self.add(waiting, sleeper)
    }

    /// Adds a seat. There are fewer than 2^32: each takes a cache line.
    #[cold]
    fn add(&mut self, waiting: Waiting, sleeper: Sleeper) -> u32 {
        let key = u32::try_from(self.seats.len()).unwrap_or(u32::MAX);
        self.seats.push(Seat { waiting, sleeper: Some(sleeper) });
        key
    }

    fn get_mut(&mut self, key: u32) -> Option<(&mut Waiting, &mut Sleeper)> {
        let Seat { waiting, sleeper } = self.seats.get_mut(key as usize)?;
        Some((waiting, sleeper.as_mut()?))
    }

    /// Frees a seat.
    #[inline]
    fn remove(&mut self, key: u32) -> (Option<Sleeper>, Option<Arc<dyn Resolve>>) {
        let Some(seat) = self.seats.get_mut(key as usize) else { return (None, None) };
        let Some(sleeper) = seat.sleeper.take() else { return (None, None) };
        let to_key = if seat.waiting.to_key.is_some() { seat.waiting.to_key.take() } else { None };
        self.free.push(key);
        (Some(sleeper), to_key)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = (&mut Waiting, &mut Sleeper)> {
        self.seats.iter_mut().filter_map(|Seat { waiting, sleeper }| Some((waiting, sleeper.as_mut()?)))
    }
}

/// One ask that waits. With what the table adds it fills a cache line.
#[derive(Clone)]
pub(crate) struct Waiting {
    pub(crate) deadline_ns: u64,
    pub(crate) since_ns: u64,
    /// A thin reference; see [`message`](Self::message).
    message: &'static &'static str,
    /// Whose code asks, as the thread knew it.
    by: u64,
    /// The slot that is asked; 0 for a virtual actor that is being activated.
    pub(crate) to: u64,
    /// The virtual actor that is asked.
    pub(crate) to_key: Option<Arc<dyn Resolve>>,
}

impl Waiting {
    /// Describes an ask of this thread.
    #[inline]
    pub(crate) fn new(message: &'static &'static str, since_ns: u64, deadline_ns: u64) -> Self {
        Self { deadline_ns, since_ns, message, by: ground::current(), to: 0, to_key: None }
    }

    /// Returns the name of the message.
    pub(crate) fn message(&self) -> &'static str {
        self.message
    }

    /// Returns the slot whose code asks; 0 for code outside of actors.
    pub(crate) fn from(&self) -> u64 {
        self.by & !IN_JOB
    }

    /// Returns whether a handler asks, which holds its actor up, and no job.
    pub(crate) fn in_handler(&self) -> bool {
        self.by != 0 && self.by & IN_JOB == 0
    }
}

/// A place in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    shard: u32,
    key: u32,
}

impl WaitTable {
    pub(crate) fn new(clock: Arc<Clock>) -> Arc<Self> {
        Arc::new(Self {
            shards: Default::default(),
            clock,
            due_ns: AtomicU64::new(NEVER_NS),
            is_swept: Mutex::new(false),
            bell: Notify::new(),
        })
    }

    /// Returns the time to within a tick of the clock: asks that follow each other closely share a reading.
    #[inline]
    pub(crate) fn lately(&self) -> u64 {
        let asks = SHARING.get();
        if asks < ASKS_PER_CLOCK
            && let Some(now_ns) = self.clock.kept()
        {
            SHARING.set(asks + 1);
            return now_ns;
        }
        SHARING.set(0);
        self.look_at_clock()
    }

    /// Reads the clock, and has it kept if that was done lately as well.
    #[cold]
    fn look_at_clock(&self) -> u64 {
        let before_ns = self.clock.coarse();
        let now_ns = self.clock.read();
        let passed_ns = now_ns.saturating_sub(before_ns);
        if self.clock.is_kept() {
            if passed_ns > KEEPER_LATE_NS {
                self.clock.set_kept(false);
            }
        } else if passed_ns <= TICK_NS {
            let is_swept = self.is_swept.lock();
            // Whoever begins to sweep has an ask to wait for; the next one after that finds it here.
            if *is_swept {
                self.clock.set_kept(true);
                self.bell.notify_one();
            }
        }
        now_ns
    }

    /// Seats an ask. Whoever does calls [`heed`](Self::heed) next.
    #[inline(always)] // A copy of what waits would wait for its pieces to be written.
    pub(crate) fn seat(&self, waiting: Waiting, sleeper: Sleeper) -> Ticket {
        let shard = own_shard();
        let key = self.shard(shard).lock().insert(waiting, sleeper);
        Ticket { shard, key }
    }

    /// Sees to it that somebody looks when the time of an ask that was seated is over; gives the sweeper that must run if none
    /// does.
    #[inline]
    pub(crate) fn heed(self: &Arc<Self>, deadline_ns: u64) -> Option<Sweeper> {
        // Whoever sweeps sets `due_ns` to never before it looks at the shards: it sees the ask, or this sees that.
        let is_early = deadline_ns < self.due_ns.load(Ordering::SeqCst);
        if is_early { self.look_at(deadline_ns) } else { None }
    }

    /// Changes who is asked, and with `renew`, which is called under the lock, whom to wake.
    pub(crate) fn update(&self, ticket: Ticket, to: u64, renew: impl FnOnce(&mut Sleeper) -> bool) -> bool {
        let mut entries = self.shard(ticket.shard).lock();
        let Some((waiting, sleeper)) = entries.get_mut(ticket.key) else { return true };
        waiting.to = to;
        renew(sleeper)
    }

    /// Forgets an ask.
    #[inline]
    pub(crate) fn leave(&self, ticket: Ticket) -> Option<Sleeper> {
        // Outside the lock: it may be the last handle of a key.
        let (sleeper, _to_key) = self.shard(ticket.shard).lock().remove(ticket.key);
        sleeper
    }

    /// Returns all that waits, in no order.
    pub(crate) fn list(&self) -> Vec<Waiting> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.0.lock().iter_mut().map(|(waiting, _)| waiting.clone()));
        }
        all
    }

    /// Lets the sweeper end now if nothing waits.
    pub(crate) fn close(&self) {
        self.bell.notify_one();
    }

    fn shard(&self, index: u32) -> &BriefMutex<Seats> {
        let [first, ..] = &self.shards;
        &self.shards.get(index as usize).unwrap_or(first).0
    }

    /// Makes sure that somebody looks at that time.
    #[cold]
    fn look_at(self: &Arc<Self>, deadline_ns: u64) -> Option<Sweeper> {
        let mut is_swept = self.is_swept.lock();
        if self.due_ns.fetch_min(deadline_ns, Ordering::SeqCst) <= deadline_ns {
            return None;
        }
        if std::mem::replace(&mut *is_swept, true) {
            self.bell.notify_one();
            return None;
        }
        Some(Sweeper { waits: Arc::clone(self), is_over: false })
    }

    /// Wakes those whose time is over, and sets when the next one's is. Returns whether anything waits.
    fn sweep(&self) -> bool {
        let now_ns = self.clock.read();
        self.due_ns.store(NEVER_NS, Ordering::SeqCst);
        let (mut next_ns, mut any) = (NEVER_NS, false);
        for shard in &self.shards {
            let mut late = Vec::new();
            for (waiting, sleeper) in shard.0.lock().iter_mut() {
                any = true;
                if waiting.deadline_ns <= now_ns {
                    // It leaves when it is polled; until then it is not woken again.
                    waiting.deadline_ns = NEVER_NS;
                    late.extend(sleeper.rouse());
                } else {
                    next_ns = next_ns.min(waiting.deadline_ns);
                }
            }
            late.into_iter().for_each(Waker::wake);
        }
        if any {
            let again_ns = u64::try_from(LOOK_AGAIN.as_nanos()).unwrap_or(NEVER_NS);
            self.due_ns.fetch_min(next_ns.min(now_ns.saturating_add(again_ns)), Ordering::SeqCst);
        }
        any
    }

    /// Ends the sweeping if nothing waits. Who enters meanwhile is seen here, or finds nobody and starts it again.
    fn end_sweeping(&self) -> bool {
        let mut is_swept = self.is_swept.lock();
        *is_swept = self.sweep();
        if !*is_swept {
            self.clock.set_kept(false);
        }
        !*is_swept
    }
}

impl fmt::Debug for WaitTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitTable").finish_non_exhaustive()
    }
}

/// The task that wakes late asks.
pub(crate) struct Sweeper {
    waits: Arc<WaitTable>,
    /// It has ended, and another one may sweep.
    is_over: bool,
}

impl Sweeper {
    /// Starts to sweep. Without any lock: a runtime that shuts down drops it at once, and it takes one then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn start(self) {
        drop(task::spawn("waits", self.run()));
    }

    async fn run(mut self) {
        loop {
            let clock = &self.waits.clock;
            let tick_ns = if clock.is_kept() { clock.coarse() + TICK_NS } else { NEVER_NS };
            let is_called = tokio::select! {
                () = time::sleep_until(clock.instant(self.due_ns().min(tick_ns))) => false,
                () = self.called() => true,
            };
            // A tick is no reason to look at every ask.
            let is_tick = clock.is_kept() && clock.tick() < self.due_ns();
            if (is_called || !is_tick) && self.look() {
                return;
            }
        }
    }

    /// Returns when it looks next.
    pub(crate) fn due_ns(&self) -> u64 {
        self.waits.due_ns.load(Ordering::SeqCst)
    }

    /// Waits until it is to look at another time.
    pub(crate) async fn called(&self) {
        self.waits.bell.notified().await;
    }

    /// Wakes those whose time is over. Returns whether it has ended, because nothing waits.
    pub(crate) fn look(&mut self) -> bool {
        self.is_over = !self.waits.sweep() && self.waits.end_sweeping();
        self.is_over
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        // Dropped with its runtime, the next ask starts another one. At its end that may have happened already.
        if !self.is_over {
            let mut is_swept = self.waits.is_swept.lock();
            *is_swept = false;
            self.waits.clock.set_kept(false);
            self.waits.due_ns.store(NEVER_NS, Ordering::SeqCst);
        }
    }
}

thread_local! {
    static OWN_SHARD: Cell<u32> = const { Cell::new(u32::MAX) };
    /// How many asks of this thread have shared the last reading of a clock.
    static SHARING: Cell<u8> = const { Cell::new(0) };
}

/// Returns the shard of this thread.
#[inline]
fn own_shard() -> u32 {
    let known = OWN_SHARD.get();
    if known < SHARDS {
        return known;
    }
    let mut hasher = DefaultHasher::new();
    std::thread::current().id().hash(&mut hasher);
    let shard = u32::try_from(hasher.finish() % u64::from(SHARDS)).unwrap_or(0);
    OWN_SHARD.set(shard);
    shard
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::call::{Call, Waits};

    /// Asks when it is dropped.
    struct Last {
        table: Arc<WaitTable>,
        asks: Waits<()>,
    }

    impl Drop for Last {
        fn drop(&mut self) {
            self.asks.enter(&self.table, Waiting::new(&"test", 1, 2));
            assert_eq!(self.table.list().len(), 1);
            self.asks.leave(&self.table);
        }
    }

    #[test]
    fn an_ask_that_enters_while_the_runtime_shuts_down_hangs_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let waits = WaitTable::new(Arc::new(Clock::new()));
        let (asks, _answers) = Call::pair(None, 2, Waker::noop().clone());
        let last = Last { table: Arc::clone(&waits), asks };
        runtime.block_on(async {
            drop(task::spawn("last", async move {
                let _last = last;
                std::future::pending::<()>().await;
            }));
            tokio::task::yield_now().await;
        });
        drop(runtime);
        assert!(!*waits.is_swept.lock(), "the next ask starts another sweeper");
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_is_kept_while_asks_follow_each_other_and_no_longer() {
        let clock = Arc::new(Clock::new());
        let table = WaitTable::new(Arc::clone(&clock));
        let (mut asks, _answers) = Call::<()>::pair(None, NEVER_NS, Waker::noop().clone());
        table.lately();
        assert!(!clock.is_kept(), "nobody sweeps");
        asks.enter(&table, Waiting::new(&"test", 1, 3_600_000_000_000));
        table.lately();
        assert!(clock.is_kept());
        for _ in 0..50 {
            time::sleep(Duration::from_nanos(TICK_NS * 3 / 4)).await;
            let behind_ns = clock.since_epoch(time::now()) - table.lately();
            // A timer may be a millisecond late.
            assert!(clock.is_kept() && behind_ns <= TICK_NS + 1_000_000, "{behind_ns}");
        }
        time::sleep(Duration::from_nanos(TICK_NS * 3)).await;
        assert!(!clock.is_kept());
        asks.leave(&table);
    }

    #[test]
    fn a_sweeper_that_is_gone_keeps_no_clock() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let clock = Arc::new(Clock::new());
        let table = WaitTable::new(Arc::clone(&clock));
        let (mut asks, _answers) = Call::<()>::pair(None, NEVER_NS, Waker::noop().clone());
        runtime.block_on(async {
            asks.enter(&table, Waiting::new(&"test", 1, 3_600_000_000_000));
            clock.set_kept(true);
        });
        drop(runtime);
        assert!(!clock.is_kept());
        asks.leave(&table);
    }
}
