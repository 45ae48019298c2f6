//! What a handler can do besides changing its value.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{CallContext, Error, Result};

use crate::actor::Actor;
use crate::address::Address;
use crate::breaker::Breaker;
use crate::incarnation::Incarnation;
use crate::job::{self, Job, JobCx};
use crate::mailbox::Signal;
use crate::message::Message;
use crate::pool::{self, Pool, PoolSpec};
use crate::protocol::{Accepts, Protocol};
use crate::reference::Ref;
use crate::scope::Scope;
use crate::shell::Serves;
use crate::spec::Spec;
use crate::system::{self, System};
use crate::timer::{self, TimerKey};
use crate::{exit::ExitReason, time};

/// The context of one incarnation and of the message in its hand.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol, time};
/// # #[derive(Message)]
/// # #[message(name = "clock.tick")]
/// # struct Tick;
/// # #[derive(Message)]
/// # #[message(name = "clock.ticks", reply = u32)]
/// # struct Ticks;
/// # protocol!(ClockProtocol: Tick, Ticks);
/// # #[derive(Default)]
/// # struct Clock { ticks: u32 }
/// impl Actor for Clock {
///     type Protocol = ClockProtocol;
///     const KIND: &'static str = "clock";
///
///     async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
///         cx.every(Duration::from_secs(1), || Tick)?; // Ends with this incarnation.
///         Ok(())
///     }
/// }
///
/// impl Handler<Tick> for Clock {
///     async fn handle(&mut self, _: Tick, cx: &mut Cx<Self>) -> Result<()> {
///         self.ticks += 1;
///         if self.ticks == 3 {
///             cx.stop(); // A permanent actor, so it is built anew.
///         }
///         Ok(())
///     }
/// }
/// # impl Handler<Ticks> for Clock {
/// #     async fn handle(&mut self, _: Ticks, cx: &mut Cx<Self>) -> Result<u32> {
/// #         Ok(self.ticks + 100 * cx.incarnation())
/// #     }
/// # }
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let clock = system.spawn("clock", Clock::default).await?;
/// time::sleep(Duration::from_millis(4_500)).await;
/// // Its answer: a hundred per incarnation, one per tick.
/// assert_eq!(clock.ask(Ticks).await?, 201);
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
pub struct Cx<A: Actor> {
    pub(crate) incarnation: Arc<Incarnation>,
    pub(crate) wish: Option<Wish>,
    actor: PhantomData<fn(A)>,
}

/// What a handler asked the kernel to do when it returns.
pub(crate) enum Wish {
    Stop,
    Fail(Error),
}

impl<A: Actor> Cx<A> {
    pub(crate) fn new(incarnation: Arc<Incarnation>) -> Self {
        Self { incarnation, wish: None, actor: PhantomData }
    }

    /// Returns the context of the message in hand, or the incarnation's own if no call stands behind it.
    ///
    /// It is cancelled with the call, and when the incarnation is asked to stop.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        let incarnation = &self.incarnation;
        let context = incarnation.errand.context(&incarnation.slot.ground.clock, |made| incarnation.heed_end(made));
        context.unwrap_or_else(|| incarnation.context())
    }

    /// Returns the context of work no call stands behind; cancelled when the incarnation ends.
    #[must_use]
    pub fn own_context(&self) -> &CallContext {
        self.incarnation.context()
    }

    /// Returns the reference others hold.
    #[must_use]
    pub fn myself(&self) -> Ref<A::Protocol> {
        Ref::to_slot(Arc::clone(&self.incarnation.slot))
    }

    /// Returns the place of this actor.
    #[must_use]
    pub fn address(&self) -> Address {
        Address(Arc::clone(&self.incarnation.slot))
    }

    /// Returns the system.
    #[must_use]
    pub fn system(&self) -> System {
        System::of(&self.incarnation.slot.ground)
    }

    /// Returns the path of this actor.
    #[must_use]
    pub fn name(&self) -> &str {
        self.incarnation.slot.name()
    }

    /// Returns the number of this incarnation, 1 for the first.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.incarnation.number
    }

    /// Returns the circuit breaker of the slot, if its spec has one, or that of its pool. It survives restarts.
    #[must_use]
    pub fn breaker(&self) -> Option<Arc<Breaker>> {
        let slot = &self.incarnation.slot;
        let of_pool = || slot.supervisor().filter(|_| slot.settings.pooled)?.breaker.clone();
        slot.breaker.clone().or_else(of_pool)
    }

    /// Starts a child and waits until it has started. See [`spawn_with`](Self::spawn_with).
    ///
    /// # Errors
    /// As [`spawn_with`](Self::spawn_with).
    pub async fn spawn<C, F>(&self, name: impl Into<String>, factory: F) -> Result<Ref<C::Protocol>>
    where
        C: Serves,
        F: Fn() -> C + Send + Sync + 'static,
    {
        self.spawn_with(Spec::new(name, factory)).await
    }

    /// Starts a child under this actor and waits until it has started. It ends with this incarnation.
    ///
    /// # Errors
    /// `conflict` if the name is taken, `invalid_input` for a bad name, `unavailable` if this actor is ending,
    /// `cancelled` with the message in hand, and whatever the child's `started` answered.
    pub async fn spawn_with<P: Protocol>(&self, spec: Spec<P>) -> Result<Ref<P>> {
        let slot = &self.incarnation.slot;
        self.wait(system::spawn_child(slot, Some(self.incarnation.number), spec)).await?
    }

    /// Starts a pool of workers under this actor, as [`spawn_with`](Self::spawn_with).
    ///
    /// # Errors
    /// As [`System::spawn_pool`], `cancelled` with the message in hand.
    pub async fn spawn_pool<P: Protocol>(&self, spec: PoolSpec<P>) -> Result<Pool<P>> {
        let slot = &self.incarnation.slot;
        self.wait(pool::spawn(slot, Some(self.incarnation.number), spec)).await?
    }

    /// Starts a job: work that must not block the mailbox. It costs about as much as a task.
    ///
    /// The job belongs to this incarnation, is shown in the tree under `kind` and `name`, and is cancelled by `context`
    /// (usually [`context`](Self::context), so that a cancelled ask ends it; [`own_context`](Self::own_context) for
    /// work that goes on). A refusal (the actor ends, too many jobs) shows when the job is awaited.
    pub fn job<T, F, Fut>(
        &self,
        kind: impl Into<Cow<'static, str>>,
        name: impl AsRef<str>,
        context: &CallContext,
        build: F,
    ) -> Job<T>
    where
        T: Send + 'static,
        F: FnOnce(JobCx) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        job::start(&self.incarnation, None, kind.into(), name.as_ref(), context, build)
    }

    /// Starts a job and says what comes after it: `then` gets how the job ended, also if it panicked, was cancelled,
    /// killed or refused, as awaiting a [`Job`] tells it. It runs in the job's task when the job is over and no longer
    /// listed; it belongs to nobody and must be short.
    pub fn job_then<T, F, Fut, Then, After>(
        &self,
        kind: impl Into<Cow<'static, str>>,
        name: impl AsRef<str>,
        context: &CallContext,
        build: F,
        then: Then,
    ) where
        T: Send + 'static,
        F: FnOnce(JobCx) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
        Then: FnOnce(Result<T>) -> After + Send + 'static,
        After: Future<Output = ()> + Send + 'static,
    {
        job::start_then(&self.incarnation, kind.into(), name.as_ref(), context, build, then);
    }

    /// Returns a handle of the same powers that may leave the handler.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::new(Arc::clone(&self.incarnation), self.context().clone())
    }

    /// Sends a message to this incarnation after a while. A later incarnation never gets it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use beluga_core::Result;
    /// # use beluga_runtime::{Actor, Cx, Handler, Message, TimerKey, protocol, time};
    /// # #[derive(Message)]
    /// # #[message(name = "egg.done")]
    /// # struct Done;
    /// # #[derive(Message)]
    /// # #[message(name = "egg.boil", reply = bool)]
    /// # struct Boil(Duration);
    /// # protocol!(EggProtocol: Done, Boil);
    /// # #[derive(Default)]
    /// # struct Egg { timer: Option<TimerKey>, is_done: bool }
    /// # impl Actor for Egg { type Protocol = EggProtocol; const KIND: &'static str = "egg"; }
    /// # impl Handler<Done> for Egg {
    /// #     async fn handle(&mut self, _: Done, _cx: &mut Cx<Self>) -> Result<()> {
    /// #         self.is_done = true;
    /// #         Ok(())
    /// #     }
    /// # }
    /// impl Handler<Boil> for Egg {
    ///     async fn handle(&mut self, Boil(time): Boil, cx: &mut Cx<Self>) -> Result<bool> {
    ///         if let Some(timer) = self.timer.take() {
    ///             cx.cancel_timer(timer); // Boiled anew: the old time does not count.
    ///         }
    ///         self.timer = Some(cx.after(time, Done)?);
    ///         Ok(self.is_done)
    ///     }
    /// }
    ///
    /// # beluga_runtime::testkit::run(1, |system| async move {
    /// let egg = system.spawn("egg", Egg::default).await?;
    /// egg.ask(Boil(Duration::from_secs(300))).await?;
    /// egg.ask(Boil(Duration::from_secs(600))).await?;
    /// time::sleep(Duration::from_secs(599)).await;
    /// assert!(!egg.ask(Boil(Duration::from_secs(1))).await?);
    /// time::sleep(Duration::from_secs(2)).await;
    /// assert!(egg.ask(Boil(Duration::from_secs(1))).await?);
    /// # system.shutdown_gracefully().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `overloaded` with too many timers, `not_sent` while the actor ends.
    pub fn after<M: Message>(&self, delay: Duration, message: M) -> Result<TimerKey>
    where
        A::Protocol: Accepts<M>,
    {
        timer::after(&self.incarnation, <A::Protocol as Accepts<M>>::INDEX, delay, message)
    }

    /// Sends a fresh message to this incarnation at each period; the first after one period.
    ///
    /// # Errors
    /// As [`after`](Self::after).
    pub fn every<M: Message>(&self, period: Duration, make: impl FnMut() -> M + Send + 'static) -> Result<TimerKey>
    where
        A::Protocol: Accepts<M>,
    {
        timer::every(&self.incarnation, <A::Protocol as Accepts<M>>::INDEX, period, make)
    }

    /// Ends a timer. False if it has fired or is unknown; a message already in the lane still comes.
    pub fn cancel_timer(&self, key: TimerKey) -> bool {
        self.incarnation.timers.cancel(key)
    }

    /// Waits.
    ///
    /// # Errors
    /// `cancelled` as soon as the context of the message in hand is cancelled.
    pub async fn sleep(&self, duration: Duration) -> Result<()> {
        self.wait(time::sleep(duration)).await
    }

    /// Awaits anything, but no longer than the message in hand is wanted.
    ///
    /// # Errors
    /// `cancelled` as soon as the context of the message in hand is cancelled.
    pub async fn wait<F: Future>(&self, future: F) -> Result<F::Output> {
        let cancelled = self.context().cancel_token().cancelled();
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = cancelled => Err(Error::cancelled("the call was cancelled").with("actor", self.name())),
        }
    }

    /// Watches another actor: when it is gone for good, [`Actor::watched_exited`] is called once.
    pub fn watch(&self, address: &Address) {
        let own = &self.incarnation.slot;
        if !address.0.watch(own) {
            own.mailbox.signal(Signal::WatchedGone(address.clone(), ExitReason::Stopped));
        }
    }

    /// Stops watching.
    pub fn unwatch(&self, address: &Address) {
        address.0.unwatch(&self.incarnation.slot);
    }

    /// Ends this incarnation in order after the message in hand. A permanent actor is built anew.
    pub fn stop(&mut self) {
        self.wish.get_or_insert(Wish::Stop);
    }

    /// Ends this incarnation as a failure after the message in hand: the value can no longer be trusted.
    pub fn fail(&mut self, error: Error) {
        self.wish = Some(Wish::Fail(error));
    }
}

impl<A: Actor> fmt::Debug for Cx<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("actor", &self.incarnation.slot)
            .field("incarnation", &self.incarnation.number)
            .finish_non_exhaustive()
    }
}
