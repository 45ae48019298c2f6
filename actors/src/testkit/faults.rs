//! Faults on purpose: which call of a store fails, when, and how.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxFuture, Error, Result, Retry};
use beluga_runtime::time;
use parking_lot::Mutex;

/// What may be asked of a store or a memory tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreCall {
    /// `Journal::append` and `MessageStore::append`.
    Append,
    /// `Journal::read`.
    Read,
    /// `Journal::open`.
    Open,
    /// `StateStore::get`.
    Get,
    /// `StateStore::set`.
    Set,
    /// `StateStore::delete`.
    Delete,
    /// `StateStore::watch`.
    Watch,
    /// `MessageStore::search` and `Memory::search`.
    Search,
    /// `MessageStore::all`.
    All,
    /// `MessageStore::clear` and `Memory::clear`.
    Clear,
    /// `Memory::save`.
    Save,
    /// `Memory::load`.
    Load,
}

impl StoreCall {
    /// The calls that need space on a disk.
    const WRITES: [StoreCall; 4] = [StoreCall::Append, StoreCall::Set, StoreCall::Delete, StoreCall::Save];
}

/// A plan of faults that doubles follow. Clones are the same plan, and a plan may be changed while it is followed.
///
/// Calls are counted per kind from 1, over all doubles of the plan. Of several faults for one call the one planned last
/// counts.
///
/// ```
/// use beluga_actors::testkit::{Faults, StoreCall};
/// use beluga_core::{Code, Error};
///
/// # futures_util::FutureExt::now_or_never(async {
/// let faults = Faults::new();
/// faults.fail(StoreCall::Append, 2, Error::internal("the cable came off"));
/// let append = || faults.meet(StoreCall::Append, async { Ok("written") });
/// assert_eq!(append().await.unwrap(), "written");
/// assert_eq!(append().await.unwrap_err().code(), Code::Internal);
/// assert_eq!(append().await.unwrap(), "written");
/// assert_eq!(faults.calls(StoreCall::Append), 3);
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    delays: BTreeMap<StoreCall, Duration>,
    calls: BTreeMap<StoreCall, u64>,
}

#[derive(Debug)]
struct Rule {
    call: StoreCall,
    from: u64,
    until: u64,
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    /// It fails and does nothing.
    Fail(Error),
    /// It does its work, and then fails.
    Lose(Error),
    /// It does nothing and never ends.
    Hang,
    /// It answers with damaged bytes.
    Corrupt,
}

impl Fate {
    fn duplicate(&self) -> Self {
        match self {
            Fate::Fail(error) => Fate::Fail(error.duplicate()),
            Fate::Lose(error) => Fate::Lose(error.duplicate()),
            Fate::Hang => Fate::Hang,
            Fate::Corrupt => Fate::Corrupt,
        }
    }
}

impl Faults {
    /// Makes a plan without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets one call fail before it does anything; `nth` counts from 1.
    pub fn fail(&self, call: StoreCall, nth: u64, error: Error) {
        self.add(call, nth, nth, Fate::Fail(error));
    }

    /// Lets every call from the nth on fail, until [`heal`](Self::heal).
    pub fn fail_from(&self, call: StoreCall, nth: u64, error: Error) {
        self.add(call, nth, u64::MAX, Fate::Fail(error));
    }

    /// Lets one call do its work and lose its acknowledgement: the caller gets the error all the same.
    pub fn lose(&self, call: StoreCall, nth: u64, error: Error) {
        self.add(call, nth, nth, Fate::Lose(error));
    }

    /// Lets one call do nothing and never end.
    pub fn hang(&self, call: StoreCall, nth: u64) {
        self.add(call, nth, nth, Fate::Hang);
    }

    /// Lets one read of a journal answer with damaged groups, as a broken disk does. Other calls fail as `internal`, as a
    /// store does that notices damage.
    pub fn corrupt(&self, call: StoreCall, nth: u64) {
        self.add(call, nth, nth, Fate::Corrupt);
    }

    /// Lets every write fail as on a full disk, with `overloaded`, until [`heal`](Self::heal). Reads go on.
    pub fn fill_disk(&self) {
        let full = Error::overloaded("the disk is full").with_retry(Retry::After(Duration::from_secs(1)));
        for call in StoreCall::WRITES {
            self.add(call, 1, u64::MAX, Fate::Fail(full.duplicate()));
        }
    }

    /// Lets every call of a kind take so long first, on the runtime's clock; zero ends it.
    pub fn delay(&self, call: StoreCall, delay: Duration) {
        self.0.lock().delays.insert(call, delay);
    }

    /// Forgets every fault and delay; calls count on.
    pub fn heal(&self) {
        let mut plan = self.0.lock();
        plan.rules.clear();
        plan.delays.clear();
    }

    /// Returns how many calls of a kind were made; a call counts when its future is first polled.
    #[must_use]
    pub fn calls(&self, call: StoreCall) -> u64 {
        self.0.lock().calls.get(&call).copied().unwrap_or_default()
    }

    /// Runs one call as the plan says: for doubles of one's own.
    ///
    /// # Errors
    /// The planned error, or what the call answers.
    pub async fn meet<T>(&self, call: StoreCall, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.meet_or(call, work, |_| Err(Error::internal("what is stored is damaged"))).await
    }

    /// As [`meet`](Self::meet); what is corrupted passes `damage`.
    pub(super) async fn meet_or<T>(
        &self,
        call: StoreCall,
        work: impl Future<Output = Result<T>>,
        damage: impl FnOnce(T) -> Result<T>,
    ) -> Result<T> {
        let (fate, delay) = self.next(call);
        if !delay.is_zero() {
            time::sleep(delay).await;
        }
        match fate {
            None => work.await,
            Some(Fate::Fail(error)) => Err(error),
            Some(Fate::Lose(error)) => {
                work.await?;
                Err(error)
            }
            Some(Fate::Hang) => std::future::pending().await,
            Some(Fate::Corrupt) => damage(work.await?),
        }
    }

    /// Makes the boxed future of a call.
    pub(super) fn boxed<T: Send + 'static>(
        &self,
        call: StoreCall,
        work: BoxFuture<'static, Result<T>>,
    ) -> BoxFuture<'static, Result<T>> {
        let faults = self.clone();
        Box::pin(async move { faults.meet(call, work).await })
    }

    fn add(&self, call: StoreCall, from: u64, until: u64, fate: Fate) {
        self.0.lock().rules.push(Rule { call, from, until, fate });
    }

    /// Counts a call and returns what is planned for it.
    fn next(&self, call: StoreCall) -> (Option<Fate>, Duration) {
        let mut plan = self.0.lock();
        let count = plan.calls.entry(call).or_default();
        *count += 1;
        let nth = *count;
        let rule = plan.rules.iter().rev().find(|rule| rule.call == call && (rule.from..=rule.until).contains(&nth));
        (rule.map(|rule| rule.fate.duplicate()), plan.delays.get(&call).copied().unwrap_or_default())
    }
}
