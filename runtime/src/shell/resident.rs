//! The whole life of one incarnation, generic over the user's value.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::{Error, Result};
use pin_project_lite::pin_project;

use super::Dispatch;
use super::drain::{Drain, Ending, Notice};
use super::hold::{Held, Why, hold};
use super::nest::Nest;
use crate::actor::{Actor, StopReason};
use crate::cx::{Cx, Wish};
use crate::dead_letter::DeadReason;
use crate::envelope::Envelope;
use crate::exit::ExitReason;
use crate::incarnation::end_children;
use crate::mailbox::{Next, Signal, Stop};
use crate::slot::{Fate, Phase};
use crate::{ground, task, time};

/// How long aborted jobs may take to drop.
const JOBS_DROP_WAIT: Duration = Duration::from_secs(1);

/// Lives one incarnation: build, start, drain, end. Fields drop in the order handler, value, guard.
pub(super) async fn live<A: Actor>(mut drain: Drain, table: &'static [Dispatch<A>], factory: impl Fn() -> A + Send) {
    // Declared after the drain, so on a kill they drop before its guard reports.
    let mut cx = Cx::<A>::new(Arc::clone(&drain.incarnation));
    let mut nest = Nest::default();
    let reason = match catch_unwind(AssertUnwindSafe(factory)) {
        Err(panic) => ExitReason::start_failed(&task::panicked(A::KIND, panic.as_ref())),
        Ok(value) => {
            let mut value = Value(Some(value));
            let reason = match start(&mut drain, &mut value, &mut cx, &mut nest).await {
                Err(reason) => reason,
                Ok(()) => serve(&mut drain, table, &mut value, &mut cx, &mut nest).await,
            };
            end(&mut drain, &mut value, &mut cx, &mut nest, reason).await
        }
    };
    drain.guard.reason = Some(reason);
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
        hold(drain, nest.place(async move { *slot = starting.await }), Some(limit)).await
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
    drain.guard.acknowledge();
    if drain.report
        && let Some(supervisor) = drain.slot().supervisor()
    {
        supervisor.mailbox.signal(Signal::ChildUp(Arc::clone(drain.slot())));
    }
    refresh_status(drain, value);
    heed_wish(drain, cx);
    Ok(())
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
        if let Some(notice) = drain.notices.pop_front() {
            if let Err(reason) = tell_notice(drain, value, cx, nest, notice).await {
                return reason;
            }
            continue;
        }
        let incarnation = Arc::clone(&drain.incarnation);
        match incarnation.slot.mailbox.next(&mut drain.guard.batch) {
            Next::Signal(signal) => drain.on_signal(signal),
            Next::Message(envelope) => {
                if let Err(reason) = handle(drain, table, value, cx, nest, envelope).await {
                    return reason;
                }
                if drain.is_due_to_yield() {
                    tokio::task::yield_now().await;
                }
            }
            Next::Empty if drain.is_draining() => return ExitReason::Stopped,
            Next::Empty if drain.passivate && value.may_passivate() && drain.try_passivate() => {}
            Next::Empty | Next::Paused => {
                refresh_status(drain, value);
                drain.passivate = Idle { drain, parked: false }.await == Rest::TimeToLeave;
                drain.rested();
            }
        }
    }
}

/// Sleeps until the mailbox has something, or the actor has been idle for as long as its family allows.
struct Idle<'a> {
    drain: &'a mut Drain,
    parked: bool,
}

#[derive(PartialEq, Eq)]
enum Rest {
    Woken,
    TimeToLeave,
}

impl Future for Idle<'_> {
    type Output = Rest;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Rest> {
        let this = &mut *self;
        let slot = Arc::clone(this.drain.slot());
        let idle_since = &slot.stats.idle_since_ns;
        let idle_after = slot.settings.idle_after;
        if this.parked {
            let timer = this.drain.idle_timer.as_mut();
            if idle_after.is_some() && timer.is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
                this.drain.idle_timer = None;
                return Poll::Ready(Rest::TimeToLeave);
            }
            if slot.mailbox.is_parked() {
                return Poll::Pending;
            }
            idle_since.store(0, Ordering::Relaxed);
            return Poll::Ready(Rest::Woken);
        }
        if let Some(limit) = idle_after {
            let timer = this.drain.idle_timer.get_or_insert_with(|| Box::pin(time::sleep(limit)));
            timer.as_mut().reset((time::now() + limit.min(time::SLEEP_MAX)).into());
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Rest::TimeToLeave);
            }
        }
        idle_since.store(slot.ground.clock.coarse(), Ordering::Relaxed);
        this.parked = slot.mailbox.park_idle(&this.drain.guard.batch, cx.waker());
        if this.parked {
            return Poll::Pending;
        }
        idle_since.store(0, Ordering::Relaxed);
        Poll::Ready(Rest::Woken)
    }
}

async fn handle<A: Actor>(
    drain: &mut Drain,
    table: &'static [Dispatch<A>],
    value: &mut A,
    cx: &mut Cx<A>,
    nest: &mut Nest,
    envelope: Envelope,
) -> Result<(), ExitReason> {
    let Some(envelope) = drain.admit(envelope) else { return Ok(()) };
    let (name, index) = (envelope.head().name, usize::from(envelope.head().index));
    cx.carried = drain.guard.hand.as_ref().and_then(|hand| hand.head.context.clone());
    let Some(dispatch) = table.get(index) else {
        envelope.refuse(Error::internal("the protocol and the actor disagree").with("message", name));
        return Ok(());
    };
    let held = match catch_unwind(AssertUnwindSafe(|| dispatch(value, envelope, cx, nest))) {
        Ok(Some(work)) => hold(drain, work, None).await,
        Ok(None) => Held::Panicked("the protocol and the actor disagree".to_owned()),
        Err(panic) => Held::Panicked(task::panic_text(panic.as_ref())),
    };
    cx.carried = None;
    match held {
        Held::Done => {
            drain.done();
            heed_wish(drain, cx);
            Ok(())
        }
        Held::Panicked(text) => {
            let text: Arc<str> = Arc::from(text);
            drain.slot().stats.panics.fetch_add(1, Ordering::Relaxed);
            drain.guard.bury_hand(DeadReason::Panicked, Some(Arc::clone(&text)));
            tracing::error!(actor = %drain.slot().name(), message = name, panic = %text, "a handler panicked");
            Err(ExitReason::Panicked { text, message: Some(name) })
        }
        Held::Dropped(Why::Cancelled) if drain.slot().settings.cancel_safe => {
            drain.done();
            Ok(())
        }
        Held::Dropped(why) => {
            drain.guard.bury_hand(DeadReason::Abandoned, None);
            Err(if why == Why::Stopped {
                ExitReason::Stopped
            } else {
                let error = Error::internal("a handler went on after its call was cancelled").with("message", name);
                ExitReason::failed(&error)
            })
        }
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
        Notice::ChildExited(exit) => hold(drain, nest.place(value.child_exited(exit, cx)), None).await,
        Notice::WatchedExited(address, reason) => {
            hold(drain, nest.place(value.watched_exited(address, reason, cx)), None).await
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
    let slot = Arc::clone(drain.slot());
    slot.set_phase(Phase::Stopping);
    if slot.life.lock().fate == Fate::Terminate {
        slot.mailbox.close();
    }
    slot.children.lock().closed = true;
    let stop = drain.stop_for_children();
    end_children(&slot, stop).await;
    end_jobs(drain, stop).await;
    if !reason.is_failure()
        && let Some(value) = value.0.as_mut()
    {
        let why = match &drain.ending {
            Some(Ending::Stop(Stop { reason, .. })) => *reason,
            _ => StopReason::Own,
        };
        let patience = drain.stop_patience();
        if let Held::Panicked(text) = hold(drain, nest.place(value.stopping(cx, why)), Some(patience)).await {
            reason = ExitReason::Panicked { text: Arc::from(text), message: None };
        }
    }
    drop(value.0.take().map(|last| Value(Some(last))));
    reason
}

/// Ends the jobs: on a drain those that a call stands behind may finish, then all are killed and awaited.
async fn end_jobs(drain: &mut Drain, stop: Stop) {
    let incarnation = Arc::clone(&drain.incarnation);
    incarnation.cancel();
    incarnation.timers.clear();
    if stop.drain {
        incarnation.jobs.end_unbound();
        drop(time::timeout(drain.stop_patience(), incarnation.jobs.wait_idle()).await);
    }
    incarnation.jobs.close();
    if time::timeout(JOBS_DROP_WAIT, incarnation.jobs.wait_idle()).await.is_err() {
        tracing::error!(actor = %incarnation.slot.name(), "a job blocks its thread and could not be killed");
    }
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

fn refresh_status<A: Actor>(drain: &Drain, value: &A) {
    let status = catch_unwind(AssertUnwindSafe(|| value.status())).unwrap_or_default();
    if !status.is_null() {
        *drain.slot().status.lock() = status;
    }
}

pin_project! {
    /// Names the actor while its code runs on this thread, so that what it sends knows its sender.
    pub(super) struct Named<F> {
        id: u64,
        #[pin]
        inner: F,
    }
}

impl<F> Named<F> {
    pub(super) fn new(id: u64, inner: F) -> Self {
        Self { id, inner }
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _current = ground::enter_actor(*this.id);
        this.inner.poll(cx)
    }
}
