//! Actors the tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beluga_core::{CallContext, Error, Result};
use beluga_runtime::{
    Actor, Address, ChildExit, Cx, DeferredHandler, ExitReason, Handler, Message, Ref, ReplyPort, Silent, Sink, Spec,
    StatusSource, StopReason, StreamHandler, protocol,
};
use parking_lot::Mutex;

/// Adds to a total.
#[derive(Message)]
#[message(name = "counter.add", reply = u64)]
pub(crate) struct Add(pub u64);

/// Reads the total.
#[derive(Message)]
#[message(name = "counter.total", reply = u64)]
pub(crate) struct Total;

/// Panics with a text.
#[derive(Debug, Message)]
#[message(name = "counter.explode", reply = (), keep)]
pub(crate) struct Explode(pub &'static str);

/// Gives the value up.
#[derive(Message)]
#[message(name = "counter.give_up", reply = ())]
pub(crate) struct GiveUp;

/// Stops in order.
#[derive(Message)]
#[message(name = "counter.leave", reply = ())]
pub(crate) struct Leave;

/// Waits inside the handler.
#[derive(Message)]
#[message(name = "counter.wait", reply = ())]
pub(crate) struct Wait(pub Duration);

/// Waits in a job.
#[derive(Message)]
#[message(name = "counter.work", reply = u64)]
pub(crate) struct Work(pub Duration);

/// Counts up to a number.
#[derive(Message)]
#[message(name = "counter.count", stream = u64)]
pub(crate) struct Count(pub u64);

protocol!(pub(crate) CounterProtocol: Add, Total, Explode, GiveUp, Leave, Wait, Work; stream Count);

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.lock().push(text.into());
    }

    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }

    pub(crate) fn read(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

#[derive(Default)]
pub(crate) struct Counter {
    pub total: u64,
    /// The total as introspection sees it.
    pub shown: Arc<AtomicU64>,
    pub journal: Journal,
    /// Set for those who note their life.
    pub name: Option<String>,
}

impl Counter {
    pub(crate) fn noting(journal: &Journal) -> Self {
        Self { total: 0, shown: Arc::default(), journal: journal.clone(), name: None }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.journal.note(format!("{name} dropped"));
        }
    }
}

/// A counter that notes when it is built, says goodbye and is dropped.
pub(crate) fn named(name: &str, journal: &Journal) -> Spec<CounterProtocol> {
    named_as(name, name, journal)
}

pub(crate) fn named_as(name: &str, noted: &str, journal: &Journal) -> Spec<CounterProtocol> {
    let (journal, noted) = (journal.clone(), noted.to_owned());
    Spec::new(name, move || {
        journal.note(format!("{noted} built"));
        Counter { total: 0, shown: Arc::default(), journal: journal.clone(), name: Some(noted.clone()) }
    })
}

impl Actor for Counter {
    type Protocol = CounterProtocol;
    const KIND: &'static str = "counter";

    async fn stopping(&mut self, _cx: &mut Cx<Self>, _reason: StopReason) {
        if let Some(name) = &self.name {
            self.journal.note(format!("{name} stopping"));
        }
    }

    fn status(&self) -> Option<StatusSource> {
        let shown = Arc::clone(&self.shown);
        Some(StatusSource::new(move || serde_json::json!({ "total": shown.load(Ordering::Relaxed) })))
    }
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
        self.total += n;
        self.shown.store(self.total, Ordering::Relaxed);
        self.journal.note(n.to_string());
        Ok(self.total)
    }
}

impl Handler<Total> for Counter {
    async fn handle(&mut self, _: Total, _cx: &mut Cx<Self>) -> Result<u64> {
        Ok(self.total)
    }
}

impl Handler<Explode> for Counter {
    async fn handle(&mut self, Explode(text): Explode, _cx: &mut Cx<Self>) -> Result<()> {
        panic!("{text}")
    }
}

impl Handler<GiveUp> for Counter {
    async fn handle(&mut self, _: GiveUp, cx: &mut Cx<Self>) -> Result<()> {
        cx.fail(Error::internal("gave up"));
        Ok(())
    }
}

impl Handler<Leave> for Counter {
    async fn handle(&mut self, _: Leave, cx: &mut Cx<Self>) -> Result<()> {
        cx.stop();
        Ok(())
    }
}

impl Handler<Wait> for Counter {
    async fn handle(&mut self, Wait(time): Wait, cx: &mut Cx<Self>) -> Result<()> {
        let outcome = cx.sleep(time).await;
        self.journal.note(if outcome.is_ok() { "waited" } else { "cancelled" });
        outcome
    }
}

impl DeferredHandler<Work> for Counter {
    async fn handle(&mut self, Work(time): Work, reply: ReplyPort<u64>, cx: &mut Cx<Self>) {
        let journal = self.journal.clone();
        let context: CallContext = cx.context().clone();
        drop(cx.job("work", "work", &context, move |_| async move {
            let ended = Ended(journal);
            beluga_runtime::time::sleep(time).await;
            ended.0.note("worked");
            reply.send(Ok(7));
            Ok(())
        }));
    }
}

/// Notes the end of whatever holds it.
pub(crate) struct Ended(pub Journal);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.note("ended");
    }
}

impl StreamHandler<Count> for Counter {
    async fn handle(&mut self, Count(limit): Count, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        for n in 1..=limit {
            if let Err(error) = sink.send(n).await {
                self.journal.note("reader left");
                return Err(error);
            }
            self.total = n;
            self.journal.note(format!("sent {n}"));
        }
        sink.finish();
        Ok(())
    }
}

/// The patience of a shutdown in tests.
pub(crate) const GRACE: Duration = Duration::from_secs(60);

/// Lets everything that needs no time happen.
pub(crate) async fn settle() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

/// Something new.
#[derive(Debug, Clone, Message)]
#[message(name = "news.new")]
pub(crate) struct News(pub u64);

protocol!(pub(crate) NewsProtocol: News);

/// Sets an alarm.
#[derive(Message)]
#[message(name = "alarm.arm")]
pub(crate) struct Arm(pub Duration);

#[derive(Message)]
#[message(name = "alarm.ring")]
pub(crate) struct Ring;

protocol!(pub(crate) AlarmProtocol: Arm, Ring);

pub(crate) struct Alarm(Journal);

impl Alarm {
    pub(crate) fn new(journal: &Journal) -> Self {
        Self(journal.clone())
    }
}

impl Actor for Alarm {
    type Protocol = AlarmProtocol;
    const KIND: &'static str = "alarm";
}

impl Handler<Arm> for Alarm {
    async fn handle(&mut self, Arm(delay): Arm, cx: &mut Cx<Self>) -> Result<()> {
        cx.after(delay, Ring).map(drop)
    }
}

impl Handler<Ring> for Alarm {
    async fn handle(&mut self, _: Ring, cx: &mut Cx<Self>) -> Result<()> {
        self.0.note(format!("ring in {}", cx.incarnation()));
        Ok(())
    }
}

#[derive(Message)]
#[message(name = "mixed.control", lane = "control")]
pub(crate) struct Control;
#[derive(Message)]
#[message(name = "mixed.interrupt", lane = "interrupt")]
pub(crate) struct Interrupt;
#[derive(Message)]
#[message(name = "mixed.normal")]
pub(crate) struct Normal(pub u64);
#[derive(Message)]
#[message(name = "mixed.bulk", lane = "bulk")]
pub(crate) struct Bulk(pub u64);

protocol!(pub(crate) MixedProtocol: Control, Interrupt, Normal, Bulk);

/// The number a [`Mixed`] panics on.
pub(crate) const POISON: u64 = u64::MAX;

/// Notes what it gets in which lane.
pub(crate) struct Mixed(pub Journal);

impl Actor for Mixed {
    type Protocol = MixedProtocol;
    const KIND: &'static str = "mixed";
}

macro_rules! noted {
    ($($message:pat => $kind:ty, $text:expr $(, but $number:ident)?;)*) => {$(
        impl Handler<$kind> for Mixed {
            async fn handle(&mut self, $message: $kind, _cx: &mut Cx<Self>) -> Result<()> {
                $(assert_ne!($number, POISON, "poison");)?
                self.0.note($text);
                Ok(())
            }
        }
    )*};
}

noted! {
    Control => Control, "control";
    Interrupt => Interrupt, "interrupt";
    Normal(n) => Normal, format!("normal {n}"), but n;
    Bulk(n) => Bulk, format!("bulk {n}");
}

#[derive(Message)]
#[message(name = "relay.forward")]
pub(crate) struct Forward(pub Duration);

protocol!(pub(crate) RelayProtocol: Forward);

/// Asks another actor on behalf of its caller.
pub(crate) struct Relay {
    pub to: Ref<CounterProtocol>,
    pub journal: Journal,
}

impl Actor for Relay {
    type Protocol = RelayProtocol;
    const KIND: &'static str = "relay";
}

impl Handler<Forward> for Relay {
    async fn handle(&mut self, Forward(time): Forward, cx: &mut Cx<Self>) -> Result<()> {
        let outcome = self.to.ask(Wait(time)).with_context(cx.context()).await;
        // The far actor notes its own cancellation when it is polled next.
        tokio::task::yield_now().await;
        self.journal.note(if outcome.is_err() { "relay cancelled" } else { "relayed" });
        outcome
    }
}

#[derive(Message)]
#[message(name = "stubborn.tick", reply = u64)]
pub(crate) struct Tick;
#[derive(Message)]
#[message(name = "stubborn.hang")]
pub(crate) struct Hang;

protocol!(pub(crate) StubbornProtocol: Tick, Hang);

/// Does not heed cancellation.
pub(crate) struct Stubborn {
    pub handled: u64,
}

impl Actor for Stubborn {
    type Protocol = StubbornProtocol;
    const KIND: &'static str = "stubborn";
}

impl Handler<Tick> for Stubborn {
    async fn handle(&mut self, _: Tick, _cx: &mut Cx<Self>) -> Result<u64> {
        self.handled += 1;
        Ok(self.handled)
    }
}

impl Handler<Hang> for Stubborn {
    async fn handle(&mut self, _: Hang, _cx: &mut Cx<Self>) -> Result<()> {
        std::future::pending().await
    }
}

#[derive(Message)]
#[message(name = "circle.round")]
pub(crate) struct Round;

protocol!(pub(crate) CircleProtocol: Round);

/// Asks itself.
pub(crate) struct Circle;

impl Actor for Circle {
    type Protocol = CircleProtocol;
    const KIND: &'static str = "circle";
}

impl Handler<Round> for Circle {
    async fn handle(&mut self, _: Round, cx: &mut Cx<Self>) -> Result<()> {
        cx.myself().ask(Round).with_context(cx.context()).await
    }
}

/// What a job does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    Hang,
    Panic,
    Finish,
    Nest,
}

#[derive(Message)]
#[message(name = "master.run_job", reply = u64)]
pub(crate) struct RunJob(pub Fate);

/// As `RunJob`, but the job's own end gives the answer.
#[derive(Message)]
#[message(name = "master.run_then", reply = u64)]
pub(crate) struct RunThen(pub Fate);

protocol!(pub(crate) MasterProtocol: RunJob, RunThen);

/// Gives work to jobs and awaits them.
pub(crate) struct Master;

impl Actor for Master {
    type Protocol = MasterProtocol;
    const KIND: &'static str = "master";
}

impl Handler<RunJob> for Master {
    async fn handle(&mut self, RunJob(fate): RunJob, cx: &mut Cx<Self>) -> Result<u64> {
        let context = cx.context().clone();
        let task = cx.job("task", "task", &context, move |job| async move {
            match fate {
                Fate::Hang => std::future::pending().await,
                Fate::Panic => panic!("job panic"),
                Fate::Finish => Ok(3),
                Fate::Nest => {
                    let context = job.context().clone();
                    job.job("task", "below", &context, |_| std::future::pending::<Result<u64>>()).await
                }
            }
        });
        task.await
    }
}

impl DeferredHandler<RunThen> for Master {
    async fn handle(&mut self, RunThen(fate): RunThen, reply: ReplyPort<u64>, cx: &mut Cx<Self>) {
        let context = cx.context().clone();
        let run = move |_| async move {
            match fate {
                Fate::Hang | Fate::Nest => std::future::pending().await,
                Fate::Panic => panic!("job panic"),
                Fate::Finish => Ok(3),
            }
        };
        cx.job_then("task", "task", &context, run, move |outcome| async move { reply.send(outcome) });
    }
}

/// Starts or does not.
pub(crate) struct Lame {
    pub starts: bool,
}

impl Actor for Lame {
    type Protocol = Silent;
    const KIND: &'static str = "lame";

    async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
        if self.starts { Ok(()) } else { Err(Error::config("no legs")) }
    }
}

/// Never gets ready.
pub(crate) struct Slow;

impl Actor for Slow {
    type Protocol = Silent;
    const KIND: &'static str = "slow";

    async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
        std::future::pending().await
    }
}

/// Lets others run so many times.
#[derive(Message)]
#[message(name = "restless.fidget")]
pub(crate) struct Fidget(pub u32);

protocol!(pub(crate) RestlessProtocol: Fidget);

pub(crate) struct Restless;

impl Actor for Restless {
    type Protocol = RestlessProtocol;
    const KIND: &'static str = "restless";
}

impl Handler<Fidget> for Restless {
    async fn handle(&mut self, Fidget(times): Fidget, _cx: &mut Cx<Self>) -> Result<()> {
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Takes 3 s to start and 3 s to hear of a child's end, and notes both and the news it gets.
pub(crate) struct Sluggish(pub Journal);

impl Actor for Sluggish {
    type Protocol = NewsProtocol;
    const KIND: &'static str = "sluggish";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        self.0.note("started");
        cx.sleep(Duration::from_secs(3)).await
    }

    async fn child_exited(&mut self, _exit: ChildExit, cx: &mut Cx<Self>) {
        self.0.note("heard");
        drop(cx.sleep(Duration::from_secs(3)).await);
    }
}

impl Handler<News> for Sluggish {
    async fn handle(&mut self, News(n): News, _cx: &mut Cx<Self>) -> Result<()> {
        self.0.note(format!("news {n}"));
        Ok(())
    }
}

/// Starts after a while, and does not heed cancellation meanwhile.
pub(crate) struct Late {
    pub after: Duration,
    pub journal: Journal,
}

impl Actor for Late {
    type Protocol = Silent;
    const KIND: &'static str = "late";

    async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
        beluga_runtime::time::sleep(self.after).await;
        self.journal.note("started");
        Ok(())
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.journal.note("dropped");
    }
}

#[derive(Message)]
#[message(name = "watcher.watch")]
pub(crate) struct Watch(pub Address);

protocol!(pub(crate) WatcherProtocol: Watch);

/// Notes the ends of children and of what it watches.
pub(crate) struct Watcher(pub Journal);

impl Actor for Watcher {
    type Protocol = WatcherProtocol;
    const KIND: &'static str = "watcher";

    async fn child_exited(&mut self, exit: ChildExit, _cx: &mut Cx<Self>) {
        self.0.note(format!("{} {:?}", exit.reason, exit.verdict));
    }

    async fn watched_exited(&mut self, address: Address, _reason: ExitReason, _cx: &mut Cx<Self>) {
        self.0.note(format!("{} gone", address.name()));
    }
}

impl Handler<Watch> for Watcher {
    async fn handle(&mut self, Watch(address): Watch, cx: &mut Cx<Self>) -> Result<()> {
        cx.watch(&address);
        Ok(())
    }
}

/// How a guarded try ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome {
    Fail,
    /// Succeeds after a while.
    Hold,
}

#[derive(Message)]
#[message(name = "guarded.try")]
pub(crate) struct Try(pub Outcome);

protocol!(pub(crate) GuardedProtocol: Try);

/// Works behind the breaker of its slot.
pub(crate) struct Guarded;

impl Actor for Guarded {
    type Protocol = GuardedProtocol;
    const KIND: &'static str = "guarded";
}

impl DeferredHandler<Try> for Guarded {
    async fn handle(&mut self, Try(outcome): Try, reply: ReplyPort<()>, cx: &mut Cx<Self>) {
        let permit = match cx.breaker().expect("it has a breaker").try_acquire() {
            Ok(permit) => permit,
            Err(error) => return reply.send(Err(error)),
        };
        let context = cx.context().clone();
        drop(cx.job("try", "try", &context, move |_| async move {
            match outcome {
                Outcome::Fail => permit.failure(),
                Outcome::Hold => {
                    beluga_runtime::time::sleep(Duration::from_secs(1)).await;
                    permit.success();
                }
            }
            reply.send(Ok(()));
            Ok(())
        }));
    }
}
