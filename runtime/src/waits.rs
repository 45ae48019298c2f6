//! The asks of one system that wait for their answers: who asks whom for what since when, and whom to wake when the time
//! is over.
//!
//! An ask has no timer of its own: it enters this table when it has to wait, and one task wakes those whose time is over.
//! A timer costs a third of an ask; an entry costs one uncontended lock, and introspection reads the same table. The task
//! runs from the first wait until it finds the table empty.

use std::cell::Cell;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::sync::Notify;

use crate::call::NEVER_NS;
use crate::delivery::Resolve;
use crate::ground::Clock;
use crate::sync::{AtomicU64, BriefMutex, Mutex, Ordering};
use crate::{task, time};

/// Over how many locks the table is spread; each thread keeps to one. In a model all threads have the same.
const SHARDS: usize = if cfg!(beluga_loom) { 1 } else { 16 };

/// When the sweeper looks again although no time is known to be over: an ask may have no limit.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The waits of one system. Bounded by the asks that callers keep alive.
pub(crate) struct Waits {
    shards: [Shard; SHARDS],
    clock: Clock,
    /// When the sweeper looks next; [`NEVER_NS`] while nobody is about to.
    due_ns: AtomicU64,
    is_swept: Mutex<bool>,
    bell: Notify,
}

/// On cache lines of its own, so that two threads do not slow each other down.
#[repr(align(128))]
#[derive(Default)]
struct Shard(BriefMutex<Slab<Waiting>>);

/// One ask that waits.
#[derive(Clone)]
pub(crate) struct Waiting {
    pub(crate) waker: Waker,
    pub(crate) deadline_ns: u64,
    pub(crate) since_ns: u64,
    pub(crate) message: &'static str,
    /// The slot whose code asks; 0 for code outside of actors.
    pub(crate) from: u64,
    /// Whether a handler asks, which holds its actor up, and no job.
    pub(crate) in_handler: bool,
    /// The slot that is asked; 0 for a virtual actor that is being activated.
    pub(crate) to: u64,
    /// The virtual actor that is asked.
    pub(crate) to_key: Option<Arc<dyn Resolve>>,
}

/// A place in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    shard: usize,
    key: usize,
}

impl Waits {
    pub(crate) fn new(epoch: Instant) -> Arc<Self> {
        Arc::new(Self {
            shards: Default::default(),
            clock: Clock::since(epoch),
            due_ns: AtomicU64::new(NEVER_NS),
            is_swept: Mutex::new(false),
            bell: Notify::new(),
        })
    }

    /// Enters an ask.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn enter(self: &Arc<Self>, waiting: Waiting) -> Ticket {
        let (ticket, sweeper) = self.note(waiting);
        if let Some(sweeper) = sweeper {
            // Without any lock: a runtime that shuts down drops it at once, and it takes one then.
            drop(task::spawn("waits", sweeper.run()));
        }
        ticket
    }

    /// Enters an ask; gives the sweeper that must run if none does.
    pub(crate) fn note(self: &Arc<Self>, waiting: Waiting) -> (Ticket, Option<Sweeper>) {
        let deadline_ns = waiting.deadline_ns;
        let shard = own_shard();
        let key = self.shard(shard).lock().insert(waiting);
        // Whoever sweeps sets `due_ns` to never before it looks at the shards: it sees the entry, or this sees that.
        let is_early = deadline_ns < self.due_ns.load(Ordering::SeqCst);
        (Ticket { shard, key }, if is_early { self.look_at(deadline_ns) } else { None })
    }

    /// Changes whom to wake, and who is asked.
    pub(crate) fn update(&self, ticket: Ticket, waker: &Waker, to: u64) {
        if let Some(waiting) = self.shard(ticket.shard).lock().get_mut(ticket.key) {
            waiting.waker.clone_from(waker);
            waiting.to = to;
        }
    }

    /// Forgets an ask.
    pub(crate) fn leave(&self, ticket: Ticket) {
        let gone = self.shard(ticket.shard).lock().try_remove(ticket.key);
        drop(gone);
    }

    /// Returns all that waits, in no order.
    pub(crate) fn list(&self) -> Vec<Waiting> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.0.lock().iter().map(|(_, waiting)| waiting.clone()));
        }
        all
    }

    /// Lets the sweeper end now if nothing waits.
    pub(crate) fn close(&self) {
        self.bell.notify_one();
    }

    fn shard(&self, index: usize) -> &BriefMutex<Slab<Waiting>> {
        let [first, ..] = &self.shards;
        &self.shards.get(index).unwrap_or(first).0
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
            for (_, waiting) in shard.0.lock().iter_mut() {
                any = true;
                if waiting.deadline_ns <= now_ns {
                    // It leaves when it is polled; until then it is not woken again.
                    waiting.deadline_ns = NEVER_NS;
                    late.push(waiting.waker.clone());
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
        !*is_swept
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").finish_non_exhaustive()
    }
}

/// The task that wakes late asks.
pub(crate) struct Sweeper {
    waits: Arc<Waits>,
    /// It has ended, and another one may sweep.
    is_over: bool,
}

impl Sweeper {
    async fn run(mut self) {
        loop {
            tokio::select! {
                () = time::sleep_until(self.waits.clock.instant(self.due_ns())) => {}
                () = self.called() => {}
            }
            if self.look() {
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
            self.waits.due_ns.store(NEVER_NS, Ordering::SeqCst);
        }
    }
}

thread_local! {
    static OWN_SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Returns the shard of this thread.
fn own_shard() -> usize {
    let known = OWN_SHARD.get();
    if known < SHARDS {
        return known;
    }
    let mut hasher = DefaultHasher::new();
    std::thread::current().id().hash(&mut hasher);
    let shard = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0);
    OWN_SHARD.set(shard);
    shard
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(deadline_ns: u64) -> Waiting {
        Waiting {
            waker: Waker::noop().clone(),
            deadline_ns,
            since_ns: 1,
            message: "test",
            from: 0,
            in_handler: false,
            to: 0,
            to_key: None,
        }
    }

    /// Asks when it is dropped.
    struct Last(Arc<Waits>);

    impl Drop for Last {
        fn drop(&mut self) {
            self.0.enter(waiting(2));
        }
    }

    #[test]
    fn an_ask_that_enters_while_the_runtime_shuts_down_hangs_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let waits = Waits::new(time::now());
        let last = Last(Arc::clone(&waits));
        runtime.block_on(async {
            drop(task::spawn("last", async move {
                let _last = last;
                std::future::pending::<()>().await;
            }));
            tokio::task::yield_now().await;
        });
        drop(runtime);
        assert_eq!(waits.list().len(), 1);
        assert!(!*waits.is_swept.lock(), "the next ask starts another sweeper");
    }
}
