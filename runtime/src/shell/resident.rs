//! The whole life of one incarnation, generic over the user's value.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::{Error, Result};
use pin_project_lite::pin_project;

use super::dispatch::Dispatch;
use super::drain::{Drain, Ending, Notice};
use super::hold::{Held, Why, hold};
use super::nest::{Nest, Placed, Polled};
use crate::actor::{Actor, StopReason};
use crate::cx::{Cx, Wish};
use crate::dead_letter::DeadReason;
use crate::envelope::Envelope;
use crate::exit::ExitReason;
use crate::incarnation::end_children;
use crate::mailbox::{Next, Signal, Stop};
use crate::slot::{Phase, Slot};
use crate::testkit::{self, Mishap};
use crate::watchdog::beats::Beats;
use crate::{ground, task, time};

/// How long aborted jobs may take to drop.
const JOBS_DROP_WAIT: Duration = Duration::from_secs(1);

/// Lives one incarnation: build, start, drain, end. Fields drop in the order handler, value, guard.
///
/// A block and no async function, which would keep room for the drain twice; what few actors await is boxed.
#[allow(clippy::manual_async_fn)] // An `async fn` would keep its arguments twice.
pub(super) fn live<A: Actor>(
    mut drain: Drain,
    table: &'static [Dispatch<A>],
    factory: impl Fn() -> A + Send,
) -> impl Future<Output = ()> + Send {
    async move {
        // Declared after the drain, so on a kill they drop before its guard reports.
        let mut cx = Cx::<A>::new(Arc::clone(&drain.incarnation));
        let mut nest = Nest::default();
        let reason = match build(factory) {
            Err(reason) => reason,
            Ok(mut value) => {
                let reason = match start(&mut drain, &mut value, &mut cx, &mut nest).await {
                    Err(reason) => reason,
                    Ok(()) => serve(&mut drain, table, &mut value, &mut cx, &mut nest).await,
                };
                end(&mut drain, &mut value, &mut cx, &mut nest, reason).await
            }
        };
        drain.guard.reason = Some(reason);
        // Now, and not when somebody drops the block: the guard reports.
        drop(drain);
    }
}

fn build<A: Actor>(factory: impl Fn() -> A) -> Result<Value<A>, ExitReason> {
    match catch_unwind(AssertUnwindSafe(factory)) {
        Err(panic) => Err(ExitReason::start_failed(&task::panicked(A::KIND, panic.as_ref()))),
        Ok(value) => Ok(Value(Some(value))),
    }
}

/// The user's value. It is dropped before anything is reported, and a panic in its drop goes nowhere.
struct Value<A>(Option<A>);

impl<A> Drop for Value<A> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take()
            && let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(value)))
        {
            tracing::error!(panic = task::panic_text(panic.as_ref()), "dropping an actor's value panicked");
        }
    }
}

async fn start<A: Actor>(
    drain: &mut Drain,
    value: &mut Value<A>,
    cx: &mut Cx<A>,
    nest: &mut Nest,
) -> Result<(), ExitReason> {
    let Some(value) = value.0.as_mut() else { return Err(ExitReason::Killed) };
    let mut outcome = Ok(());
    let slot = &mut outcome;
    let limit = drain.slot().settings.graces.start;
    let held = {
        let starting = value.started(cx);
        step(drain, nest.place(async move { *slot = starting.await }), limit).await
    };
    match held {
        Held::Done => outcome.map_err(|error| ExitReason::start_failed(&error))?,
        Held::Panicked(text) => {
            return Err(ExitReason::start_failed(&Error::internal("panicked while it started").with("panic", text)));
        }
        Held::Dropped(Why::TimedOut) => {
            let error = Error::timeout("it did not start in time").with("limit_ms", limit.as_millis());
            return Err(ExitReason::start_failed(&error));
        }
        Held::Dropped(_) => return Err(ExitReason::Stopped),
    }
    drain.slot().set_phase(Phase::Running);
    if drain.report
        && let Some(supervisor) = drain.slot().supervisor()
    {
        supervisor.mailbox.signal(Signal::ChildUp(Arc::clone(drain.slot())));
    }
    drain.revive();
    if let Some(status) = catch_unwind(AssertUnwindSafe(|| value.status())).unwrap_or_default() {
        drain.slot().show(status);
    }
    heed_wish(drain, cx);
    Ok(())
}

/// Does a step of the life. Most are done with their first poll; only one that awaits is watched, and costs a box.
async fn step(drain: &mut Drain, mut work: Placed<'_>, limit: Duration) -> Held {
    TakeWaker(drain).await;
    let is_paused = drain.slot().mailbox.is_paused();
    if !is_paused {
        // Nobody has read the clock for who is woken by the kernel, and what it sends is timed by the last reading.
        drain.slot().ground.clock.read();
        match work.poll(&mut Context::from_waker(&drain.waker)) {
            Poll::Ready(Ok(())) => return Held::Done,
            Poll::Ready(Err(panic)) => return Held::Panicked(task::panic_text(panic.as_ref())),
            Poll::Pending => {}
        }
    }
    Box::pin(hold(drain, work, Some(limit), !is_paused)).await
}

/// Lets the drain know the waker of its task.
struct TakeWaker<'a>(&'a mut Drain);

impl Future for TakeWaker<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.keep_waker(cx);
        Poll::Ready(())
    }
}

/// Handles messages until the incarnation is to end, and returns how.
async fn serve<A: Actor>(
    drain: &mut Drain,
    table: &'static [Dispatch<A>],
    value: &mut Value<A>,
    cx: &mut Cx<A>,
    nest: &mut Nest,
) -> ExitReason {
    let Some(value) = value.0.as_mut() else { return ExitReason::Killed };
    drain.rested();
    loop {
        if drain.is_over() {
            return ExitReason::Stopped;
        }
        if !drain.notices.is_empty() {
            let Some(notice) = drain.notices.pop_front() else { continue };
            if let Err(reason) = Box::pin(tell_notice(drain, value, cx, nest, notice)).await {
                return reason;
            }
            continue;
        }
        let emptying = drain.is_draining();
        match drain.incarnation.slot.mailbox.next(&mut drain.guard.batch, &drain.waker, emptying) {
            Next::Signal(signal) => drain.on_signal(signal),
            Next::Message(envelope) => {
                let is_faulty = drain.incarnation.slot.mailbox.is_faulty();
                let envelope = if is_faulty { Box::pin(suffer(drain, nest, envelope)).await } else { Some(envelope) };
                let Some(envelope) = envelope else { continue };
                if !drain.admit(envelope) {
                    continue;
                }
                if is_faulty && drain.crashes() {
                    return drain.poisoned("a crash on purpose".to_owned());
                }
                let held = match first_poll(drain, table, value, cx, nest) {
                    First::Done => Held::Done,
                    First::Panicked(text) => Held::Panicked(text),
                    First::Pending(work) => hold(drain, work, None, true).await,
                };
                if let Err(reason) = conclude(drain, cx, held) {
                    return reason;
                }
                if drain.is_due_to_yield() {
                    tokio::task::yield_now().await;
                }
            }
            Next::Empty => return ExitReason::Stopped,
            Next::Parked => {
                if !(drain.passivate && value.may_passivate() && drain.try_passivate()) {
                    Idle { drain, slept: false }.await;
                    drain.rested();
                }
            }
        }
    }
}

/// Sleeps until the mailbox wakes it.
struct Idle<'a> {
    drain: &'a mut Drain,
    slept: bool,
}

impl Future for Idle<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.drain.keep_waker(cx);
        if !std::mem::replace(&mut this.slept, true) {
            this.drain.rest();
            return Poll::Pending;
        }
        this.drain.slot().wake();
        Poll::Ready(())
    }
}

/// Lets happen to a message what the test kit wants. `None`: it is lost, or comes again when its time has come.
async fn suffer(drain: &mut Drain, nest: &mut Nest, envelope: Envelope) -> Option<Envelope> {
    let slot = Arc::clone(drain.slot());
    match testkit::befall(&slot, envelope.head()) {
        Mishap::None => return Some(envelope),
        Mishap::Lose => {
            let kept = if envelope.head().keep { envelope.kept() } else { None };
            slot.ground.bury(slot.name(), envelope.head(), DeadReason::Lost, kept, None);
            // Neither it nor the one it crowds out is dropped under the lock.
            let mut lost = Some(envelope);
            let crowded_out = slot.attached(|attached| attached.faults.as_mut()?.keep(lost.take()?));
            drop((lost, crowded_out));
        }
        Mishap::NotBefore(due_ns, changed) => {
            // It waits where it is safe; the end of the incarnation ends the wait.
            drain.guard.batch.put_first(envelope);
            let ended = drain.incarnation.context().cancel_token().cancelled();
            let until = time::sleep_until(slot.ground.clock.instant(due_ns));
            let wait = async move {
                tokio::select! {
                    () = until => {}
                    () = ended => {}
                    () = changed.notified() => {}
                }
            };
            let _ = hold(drain, nest.place(wait), None, false).await;
        }
    }
    None
}

/// What the first poll of a handler gave.
enum First<'a> {
    Done,
    Panicked(String),
    Pending(Placed<'a>),
}

/// Builds the handler's future and polls it once; most are done with that.
fn first_poll<'a, A: Actor>(
    drain: &mut Drain,
    table: &'static [Dispatch<A>],
    value: &'a mut A,
    cx: &'a mut Cx<A>,
    nest: &'a mut Nest,
) -> First<'a> {
    let hand = &mut drain.guard.hand;
    let dispatch = hand.as_ref().and_then(|envelope| table.get(usize::from(envelope.head().index)));
    let waker = &drain.waker;
    let polled = catch_unwind(AssertUnwindSafe(move || {
        // Moved and not borrowed again: the future keeps them.
        let (value, cx, nest) = (value, cx, nest);
        dispatch?(value, hand, cx, nest, &mut Context::from_waker(waker))
    }));
    match polled {
        Ok(Some(Polled::Done)) => First::Done,
        Ok(Some(Polled::Pending(work))) => First::Pending(work),
        Ok(None) => First::Panicked("the protocol and the actor disagree".to_owned()),
        Err(panic) => First::Panicked(task::panic_text(panic.as_ref())),
    }
}

/// Settles the message in hand by how its handler ended. An error ends the incarnation.
fn conclude<A: Actor>(drain: &mut Drain, cx: &mut Cx<A>, held: Held) -> Result<(), ExitReason> {
    match held {
        Held::Done => {
            drain.done();
            heed_wish(drain, cx);
            Ok(())
        }
        Held::Panicked(text) => Err(drain.poisoned(text)),
        Held::Dropped(Why::Cancelled) if drain.slot().settings.cancel_safe => {
            drain.done();
            Ok(())
        }
        Held::Dropped(why) => Err(drain.abandoned(why)),
    }
}

async fn tell_notice<A: Actor>(
    drain: &mut Drain,
    value: &mut A,
    cx: &mut Cx<A>,
    nest: &mut Nest,
    notice: Notice,
) -> Result<(), ExitReason> {
    let held = match notice {
        Notice::ChildExited(exit) => hold(drain, nest.place(value.child_exited(exit, cx)), None, false).await,
        Notice::WatchedExited(address, reason) => {
            hold(drain, nest.place(value.watched_exited(address, reason, cx)), None, false).await
        }
    };
    match held {
        Held::Done => {
            heed_wish(drain, cx);
            Ok(())
        }
        Held::Panicked(text) => Err(ExitReason::Panicked { text: Arc::from(text), message: None }),
        Held::Dropped(_) => Err(ExitReason::Stopped),
    }
}

/// Ends the incarnation: the children in reverse order, the jobs, the goodbye, the value. Returns how it ended.
async fn end<A: Actor>(
    drain: &mut Drain,
    value: &mut Value<A>,
    cx: &mut Cx<A>,
    nest: &mut Nest,
    reason: ExitReason,
) -> ExitReason {
    let mut reason = match drain.ending.take() {
        Some(Ending::Fail(failure)) if !reason.is_failure() => failure,
        ending => {
            drain.ending = ending;
            reason
        }
    };
    drain.slot().begin_stop();
    let stop = drain.stop_for_children();
    if drain.slot().close_children() {
        let slot = Arc::clone(drain.slot());
        Box::pin(async move { end_children(&slot, stop).await }).await;
    }
    let incarnation = &drain.incarnation;
    incarnation.cancel();
    incarnation.timers.clear();
    drain.guard.is_bare = incarnation.jobs.close_if_idle() || Box::pin(end_jobs(drain, stop)).await;
    if !reason.is_failure()
        && let Some(value) = value.0.as_mut()
    {
        let why = match &drain.ending {
            Some(Ending::Stop(Stop { reason, .. })) => *reason,
            _ => StopReason::Own,
        };
        let patience = drain.stop_patience();
        if let Held::Panicked(text) = step(drain, nest.place(value.stopping(cx, why)), patience).await {
            reason = ExitReason::Panicked { text: Arc::from(text), message: None };
        }
    }
    // It may hold what the value holds.
    drain.slot().hide();
    drop(value.0.take().map(|last| Value(Some(last))));
    reason
}

/// Ends the jobs: on a drain those that a call stands behind may finish, then all are killed and awaited. Returns whether
/// none is left.
async fn end_jobs(drain: &mut Drain, stop: Stop) -> bool {
    let incarnation = Arc::clone(&drain.incarnation);
    if stop.drain {
        incarnation.jobs.end_unbound();
        drop(time::timeout(drain.stop_patience(), incarnation.jobs.wait_idle()).await);
    }
    incarnation.jobs.close();
    let idle = time::timeout(JOBS_DROP_WAIT, incarnation.jobs.wait_idle()).await.is_ok();
    if !idle {
        tracing::error!(actor = %incarnation.slot.name(), "a job blocks its thread and could not be killed");
    }
    idle
}

fn heed_wish<A: Actor>(drain: &mut Drain, cx: &mut Cx<A>) {
    match cx.wish.take() {
        None => {}
        Some(Wish::Stop) => {
            drain.on_signal(Signal::Stop(Stop { reason: StopReason::Own, drain: false, deadline: None }));
        }
        Some(Wish::Fail(error)) => drain.fail(ExitReason::failed(&error)),
    }
}

pin_project! {
    /// Names the actor while its code runs on this thread, so that what it sends knows its sender.
    pub(super) struct Named<F> {
        id: u64,
        beats: Arc<Beats>,
        #[pin]
        inner: F,
    }
}

impl<F> Named<F> {
    pub(super) fn new(slot: &Slot, inner: F) -> Self {
        Self { id: slot.id(), beats: Arc::clone(&slot.ground.beats), inner }
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _current = ground::enter_actor(this.beats, *this.id);
        this.inner.poll(cx)
    }
}
