//! How an actor reacts: the traits its author implements.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use beluga_core::Result;
use serde_json::Value;

use crate::address::Address;
use crate::call::Answering;
use crate::cx::Cx;
use crate::exit::{ChildExit, ExitReason};
use crate::message::{Message, StreamMessage};
use crate::protocol::Protocol;
use crate::reply::ReplyPort;
use crate::sink::Sink;

/// Why an incarnation is asked to end.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// # use beluga_runtime::{Actor, Cx, Silent, StopReason};
/// struct Lamp { switched_off: Arc<Mutex<Option<StopReason>>> }
///
/// impl Actor for Lamp {
///     type Protocol = Silent;
///     const KIND: &'static str = "lamp";
///
///     async fn stopping(&mut self, _cx: &mut Cx<Self>, reason: StopReason) {
///         *self.switched_off.lock().unwrap() = Some(reason);
///     }
/// }
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let switched_off = Arc::new(Mutex::new(None));
/// # let seen = Arc::clone(&switched_off);
/// let lamp = system.spawn("lamp", move || Lamp { switched_off: Arc::clone(&switched_off) }).await?;
/// lamp.stop();
/// lamp.address()?.gone().await;
/// assert_eq!(*seen.lock().unwrap(), Some(StopReason::Requested));
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The actor called [`Cx::stop`].
    Own,
    /// Somebody stopped the actor for good.
    Requested,
    /// Its supervisor rebuilds it, together with its siblings or because somebody asked for it.
    Restart,
    /// It was idle and leaves memory; the next message activates it again.
    Passivated,
    /// The system shuts down, or the parent ends.
    Shutdown,
}

/// What introspection asks for an actor's status, whenever somebody looks, from any thread.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use beluga_runtime::StatusSource;
///
/// let calls = Arc::new(AtomicU64::new(3));
/// let source = StatusSource::new({
///     let calls = Arc::clone(&calls);
///     move || serde_json::json!({"calls": calls.load(Ordering::Relaxed)})
/// });
/// calls.store(4, Ordering::Relaxed);
/// assert_eq!(source.read(), serde_json::json!({"calls": 4}));
/// ```
#[derive(Clone)]
pub struct StatusSource(Arc<dyn Fn() -> Value + Send + Sync>);

impl StatusSource {
    /// Makes a source of a function, which must be cheap, must not block and must not give secrets away.
    #[must_use]
    pub fn new(read: impl Fn() -> Value + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Returns the status now; null if the function panics.
    #[must_use]
    pub fn read(&self) -> Value {
        catch_unwind(AssertUnwindSafe(|| (self.0)())).unwrap_or_default()
    }
}

impl fmt::Debug for StatusSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusSource").finish_non_exhaustive()
    }
}

/// A unit of state that handles one message at a time.
///
/// A restart builds the value anew from its factory; what must survive belongs to a supervisor or a journal. The value
/// is dropped before its exit is reported, so the next incarnation never meets it.
///
/// ```
/// # use beluga_runtime::{Actor, Cx, Handler, Message, System, protocol};
/// # use beluga_core::Result;
/// #[derive(Message)]
/// #[message(name = "counter.add", reply = u64)]
/// struct Add(u64);
///
/// protocol!(CounterProtocol: Add);
///
/// #[derive(Default)]
/// struct Counter { total: u64 }
///
/// impl Actor for Counter {
///     type Protocol = CounterProtocol;
///     const KIND: &'static str = "counter";
/// }
///
/// impl Handler<Add> for Counter {
///     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
///         self.total += n;
///         Ok(self.total)
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::builder("example").build()?;
/// let counter = system.spawn("counter-1", Counter::default).await?;
/// assert_eq!(counter.ask(Add(3)).await?, 3);
/// system.shutdown(std::time::Duration::from_secs(5)).await
/// # }).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    note = "implement `Actor` with `type Protocol` and `const KIND`"
)]
pub trait Actor: Sized + Send + 'static {
    /// What may be said to it.
    type Protocol: Protocol;
    /// What it is, in introspection: `session`, `tool`, `model`.
    const KIND: &'static str;

    /// Prepares the value before the first message. Bounded by the spec's `start_timeout`.
    ///
    /// # Errors
    /// An error ends the incarnation: the first spawn fails with it, a restart counts as one more failure.
    fn started(&mut self, cx: &mut Cx<Self>) -> impl Future<Output = Result<()>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Says goodbye at a clean stop, after the children ended. Not called after a panic, a failure or a kill. Bounded
    /// by the spec's `stop_grace`.
    fn stopping(&mut self, cx: &mut Cx<Self>, reason: StopReason) -> impl Future<Output = ()> + Send {
        let _ = (cx, reason);
        async {}
    }

    /// Learns that a child ended, after the kernel decided and acted.
    fn child_exited(&mut self, exit: ChildExit, cx: &mut Cx<Self>) -> impl Future<Output = ()> + Send {
        let _ = (exit, cx);
        async {}
    }

    /// Learns that an actor watched with [`Cx::watch`] is gone for good. Sent once per watch.
    fn watched_exited(
        &mut self,
        address: Address,
        reason: ExitReason,
        cx: &mut Cx<Self>,
    ) -> impl Future<Output = ()> + Send {
        let _ = (address, reason, cx);
        async {}
    }

    /// Returns whether a virtual actor may leave memory now. Asked when it was idle for long, or its place is wanted; not
    /// asked while messages wait or jobs run.
    fn may_passivate(&self) -> bool {
        true
    }

    /// Returns where introspection asks for the actor's status. Called once per incarnation, after
    /// [`started`](Self::started); nothing is computed before somebody looks.
    fn status(&self) -> Option<StatusSource> {
        None
    }
}

/// Handles one message type and answers it when it returns.
///
/// An error goes to whoever asked (for a tell it is logged) and the actor goes on; an actor that can no longer trust
/// its state calls [`Cx::fail`].
///
/// See [`Actor`] for an example.
#[diagnostic::on_unimplemented(
    message = "the actor `{Self}` does not handle `{M}`",
    label = "no handler for `{M}`",
    note = "its protocol promises it: implement `Handler<{M}>`, `DeferredHandler<{M}>` or (for `stream`) `StreamHandler<{M}>`"
)]
pub trait Handler<M: Message>: Actor {
    /// Handles a message. While it awaits, only the kernel reaches the actor: give long work to [`Cx::job`].
    ///
    /// # Errors
    /// Whatever the caller shall see.
    fn handle(&mut self, message: M, cx: &mut Cx<Self>) -> impl Future<Output = Result<M::Reply>> + Send;
}

/// Handles one message type and answers it later, usually from a job.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, DeferredHandler, Message, ReplyPort, protocol, time};
/// # #[derive(Message)]
/// # #[message(name = "oven.bake", reply = &'static str)]
/// # struct Bake;
/// # protocol!(OvenProtocol: Bake);
/// # struct Oven;
/// # impl Actor for Oven { type Protocol = OvenProtocol; const KIND: &'static str = "oven"; }
/// impl DeferredHandler<Bake> for Oven {
///     async fn handle(&mut self, _: Bake, reply: ReplyPort<&'static str>, cx: &mut Cx<Self>) {
///         // The job answers; the actor takes the next message meanwhile.
///         drop(cx.job("bake", "bake", cx.context(), |_| async move {
///             time::sleep(Duration::from_secs(600)).await;
///             reply.send(Ok("bread"));
///             Ok(())
///         }));
///     }
/// }
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let (oven, before) = (system.spawn("oven", || Oven).await?, time::now());
/// let bake = || oven.ask(Bake).within(Duration::from_secs(900));
/// assert_eq!(tokio::try_join!(bake(), bake())?, ("bread", "bread"));
/// assert_eq!(time::now() - before, Duration::from_secs(600), "both at once");
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "the actor `{Self}` does not handle `{M}`",
    label = "no handler for `{M}`",
    note = "its protocol promises it: implement `Handler<{M}>` or `DeferredHandler<{M}>`"
)]
pub trait DeferredHandler<M: Message>: Actor {
    /// When the answer is given.
    #[doc(hidden)]
    const ANSWERING: Answering<Self, M> = Answering::LATER;

    /// Handles a message. A `reply` dropped unanswered tells the caller `unknown_outcome`.
    fn handle(&mut self, message: M, reply: ReplyPort<M::Reply>, cx: &mut Cx<Self>) -> impl Future<Output = ()> + Send;
}

impl<A: Handler<M>, M: Message> DeferredHandler<M> for A {
    const ANSWERING: Answering<Self, M> = Answering::AT_LAST;

    async fn handle(&mut self, message: M, reply: ReplyPort<M::Reply>, cx: &mut Cx<Self>) {
        let outcome = Handler::handle(self, message, cx).await;
        reply.send(outcome);
    }
}

/// Handles one streaming message type.
///
/// ```
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Message, Sink, StreamHandler, protocol};
/// # use futures_util::TryStreamExt;
/// #[derive(Message)]
/// #[message(name = "counter.down", stream = u32)]
/// struct CountDown(u32);
///
/// protocol!(CounterProtocol: ; stream CountDown);
///
/// # struct Counter;
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// impl StreamHandler<CountDown> for Counter {
///     async fn handle(&mut self, CountDown(from): CountDown, sink: Sink<u32>, _cx: &mut Cx<Self>) -> Result<()> {
///         for number in (0..from).rev() {
///             sink.send(number).await?; // Waits for a slow reader; fails when it has left.
///         }
///         sink.finish();
///         Ok(())
///     }
/// }
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let counter = system.spawn("counter", || Counter).await?;
/// let numbers: Vec<u32> = counter.stream(CountDown(3)).window(2).open().try_collect().await?;
/// assert_eq!(numbers, [2, 1, 0]);
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "the actor `{Self}` does not stream answers to `{M}`",
    label = "no stream handler for `{M}`",
    note = "its protocol promises it: implement `StreamHandler<{M}>`"
)]
pub trait StreamHandler<M: StreamMessage>: Actor {
    /// Handles a message. The sink may move into a job; it must be finished, or the reader sees `unknown_outcome`.
    ///
    /// # Errors
    /// An error ends the stream with it, unless the sink was finished before.
    fn handle(&mut self, message: M, sink: Sink<M::Item>, cx: &mut Cx<Self>)
    -> impl Future<Output = Result<()>> + Send;
}
