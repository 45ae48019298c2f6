//! Virtual actors: a key instead of a slot. The first message activates it, idleness passivates it.
//!
//! A family holds at most one activation per key. Concurrent callers share one activation; it runs in its own task, so a
//! caller that leaves does not stop it. A passivated actor has no slot at all: its ref is a key. Passivation is decided
//! by the actor's own drain, which shuts the mailbox in the same step in which it sees it empty; a send that races gets
//! its envelope back and resolves the key again, and the next activation waits until the old slot is gone.
//!
//! When `max_active` is reached the actor that has been idle for longest leaves; busy ones are skipped, and if all are
//! busy the caller gets `overloaded`. Busy is who handles a message, has one waiting or a job running, has served nobody
//! yet, or says that it may not leave ([`Actor::may_passivate`](crate::Actor::may_passivate)).
//!
//! What a key has in memory: refs and actor share its *place*; the actor's slot has a *seat*, through which the family
//! learns when it rests; those that rest stand in an order; a *room* is the right to one more actor, and goes from the
//! one that leaves to the newcomer it leaves for.

mod key;
mod place;
mod resting;
mod seat;
mod sweep;
mod table;
mod waiting;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxFuture, Result};

use crate::address::Address;
use crate::delivery::Route;
use crate::mailbox::Signal;
use crate::protocol::Protocol;
use crate::reference::Ref;
use crate::spec::Spec;
use crate::system::System;
use crate::time;

use key::Key;
use place::Hold;
pub(crate) use seat::{Seat, Tie};
use table::Table;

/// The default of [`FamilyOptions::idle_after`].
pub const IDLE_AFTER: Duration = Duration::from_secs(300);
/// The default of [`FamilyOptions::max_active`].
pub const MAX_ACTIVE: usize = 10_000;

/// Between two looks whether keys have left memory.
const CLEAR_LOOK: Duration = Duration::from_millis(5);

/// A reference to a key: an ordinary [`Ref`] that activates on demand.
///
/// See [`Family`] for an example.
pub type VirtualRef<P> = Ref<P>;

/// The bounds of a family.
///
/// See [`Family`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyOptions {
    /// After how long without a message and without a job an actor leaves memory; 5 minutes.
    pub idle_after: Duration,
    /// How many actors may be active; 10,000.
    pub max_active: usize,
}

impl Default for FamilyOptions {
    fn default() -> Self {
        Self { idle_after: IDLE_AFTER, max_active: MAX_ACTIVE }
    }
}

/// Where an activation starts, and from what.
///
/// See [`Family`] for an example.
#[derive(Debug)]
pub struct Activation<P> {
    /// Who supervises it.
    pub supervisor: Address,
    /// What it is started from; its name must be unique under the supervisor.
    pub spec: Spec<P>,
}

/// Says what a key stands for.
///
/// See [`Family`] for an example.
pub trait Activator<P>: Send + Sync + 'static {
    /// Prepares the activation of a key: may load, may refuse.
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<P>>>;
}

impl FamilyOptions {
    /// A family without room for any actor would be of no use.
    fn checked(self) -> Self {
        Self { max_active: self.max_active.max(1), ..self }
    }
}

/// The virtual actors of one kind. A clone is the same family.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use beluga_core::BoxFuture;
/// # use beluga_runtime::{Activation, Activator, Address, FamilyOptions, Silent, Spec, time};
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
/// # #[derive(Message)]
/// # #[message(name = "counter.add", reply = u64)]
/// # struct Add(u64);
/// # protocol!(CounterProtocol: Add);
/// # #[derive(Default)]
/// # struct Counter { total: u64 }
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
/// #         self.total += n;
/// #         Ok(self.total)
/// #     }
/// # }
/// # struct Root;
/// # impl Actor for Root { type Protocol = Silent; const KIND: &'static str = "counters"; }
/// struct Counters { supervisor: Address }
///
/// impl Activator<CounterProtocol> for Counters {
///     fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<CounterProtocol>>> {
///         // A place to load what the key stands for, or to refuse.
///         let spec = Spec::new(key, Counter::default);
///         Box::pin(async move { Ok(Activation { supervisor: self.supervisor.clone(), spec }) })
///     }
/// }
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// # let supervisor = system.spawn("counters", || Root).await?.address()?;
/// let counters = Arc::new(Counters { supervisor });
/// let options = FamilyOptions { idle_after: Duration::from_secs(60), max_active: 2 };
/// let family = system.family("counter", options);
/// let (a, b) = (family.resolve("a", counters.clone()), family.resolve("b", counters));
/// assert!(family.is_empty() && a.active().is_none(), "a reference is but a key");
/// assert_eq!(a.ask(Add(1)).await?, 1);
/// assert_eq!(b.ask(Add(5)).await?, 5);
/// assert_eq!(a.ask(Add(1)).await?, 2);
/// assert_eq!(family.len(), 2);
/// time::sleep(Duration::from_secs(61)).await;
/// assert!(family.is_empty(), "idle ones have left memory");
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
pub struct Family<P> {
    kind: &'static str,
    table: Arc<Table>,
    protocol: PhantomData<fn(P)>,
}

impl<P: Protocol> Family<P> {
    pub(crate) fn new(system: &System, kind: &'static str, options: FamilyOptions) -> Self {
        Self { kind, table: Table::new(system, kind, options), protocol: PhantomData }
    }

    /// Returns the reference of a key. Nothing is started; the first message does that, through the activator.
    ///
    /// While the key has no actor such a reference takes some 200 bytes, the key's own included, and clones share them.
    #[must_use]
    pub fn resolve(&self, key: impl AsRef<str>, activator: Arc<dyn Activator<P>>) -> VirtualRef<P> {
        let key = Key::new(Hold::new(&self.table, key.as_ref()), activator);
        Ref::to_route(Route::Virtual(Arc::new(key)))
    }

    /// Returns the reference of a key that is active now: it leads to this activation only.
    #[must_use]
    pub fn active_ref(&self, key: &str) -> Option<Ref<P>> {
        self.table.places().active(key).map(Ref::to_slot)
    }

    /// Returns the keys that are active or being activated, sorted. Walks over all keys that somebody refers to.
    #[must_use]
    pub fn active(&self) -> Vec<Arc<str>> {
        let mut keys = self.table.places().in_use();
        keys.sort_unstable();
        keys
    }

    /// Returns how many keys are active or being activated.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.present()
    }

    /// Returns whether no key is active.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks the actor of a key to leave memory as soon as it is idle.
    pub fn passivate(&self, key: &str) {
        if let Some(slot) = self.table.places().active(key) {
            slot.mailbox.signal(Signal::Passivate);
        }
    }

    /// Asks the actors of some keys to leave memory, each as soon as it is idle, and waits until they have. Those that come
    /// meanwhile leave too. Dropped before, those that were asked leave all the same.
    pub async fn clear(&self, is_meant: impl Fn(&str) -> bool) {
        loop {
            let there: Vec<_> = self.active().into_iter().filter(|key| is_meant(key)).collect();
            if there.is_empty() {
                return;
            }
            there.iter().for_each(|key| self.passivate(key));
            time::sleep(CLEAR_LOOK).await;
        }
    }

    /// Returns the bounds in force.
    #[must_use]
    pub fn options(&self) -> FamilyOptions {
        self.table.options()
    }

    /// Changes the bounds, for the actors there are too.
    ///
    /// A new `idle_after` counts at once: those that have been idle for so long leave now. If there are more actors than
    /// a lower `max_active` allows, the idlest leave at once, and the others as they become idle, until it holds; none
    /// is stopped in its work. A `max_active` of 0 is raised to 1.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use beluga_runtime::{Family, FamilyOptions, Silent, System};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let system = System::builder("example").build()?;
    /// let family: Family<Silent> = system.family("cart", FamilyOptions::default());
    /// family.set_options(FamilyOptions { max_active: 500, ..family.options() });
    /// assert_eq!(family.options(), FamilyOptions { idle_after: Duration::from_secs(300), max_active: 500 });
    /// # system.shutdown(Duration::from_secs(5)).await
    /// # }).unwrap();
    /// ```
    pub fn set_options(&self, options: FamilyOptions) {
        self.table.set_options(options);
    }
}

impl<P> Clone for Family<P> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, table: Arc::clone(&self.table), protocol: PhantomData }
    }
}

impl<P> fmt::Debug for Family<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("kind", &self.kind).field("active", &self.table.present()).finish()
    }
}
