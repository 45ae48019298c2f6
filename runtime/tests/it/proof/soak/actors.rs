//! Who lives in the soak: one kind of actor that can do everything an actor may do, and what all of them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use beluga_core::{BoxFuture, CallContext, Error, Result};
use beluga_runtime::service::{Concurrency, Content, SharedService, concurrency, service_fn};
use beluga_runtime::{
    Activation, Activator, Actor, Address, Backoff, BreakerConfig, Cx, DeferredHandler, ExitReason, Handler, Intensity,
    Message, OnExhausted, ReplyPort, Restart, Sink, Spec, StreamHandler, protocol, time,
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

/// The places of the service everybody calls.
pub(super) const PLACES: usize = 4;

#[derive(Clone)]
pub(super) struct Item;

impl Content for Item {}

/// What all actors share and leave as they found it.
pub(super) struct Shared {
    /// How many values live.
    pub living: AtomicI64,
    pub handled: AtomicU64,
    pub places: Arc<Concurrency>,
    /// Three items, with a wait before each, behind those places.
    pub service: SharedService<(), Item>,
    /// The breakers of the actors that have one.
    pub breakers: Mutex<Vec<Arc<beluga_runtime::Breaker>>>,
}

impl Shared {
    pub(super) fn new() -> Arc<Self> {
        let places = Concurrency::new(PLACES, 64);
        let slow = service_fn(|(), _| {
            let items = stream::iter([Item, Item, Item]).then(|item| async {
                time::sleep(Duration::from_millis(1)).await;
                Ok(item)
            });
            items.boxed()
        });
        let service = concurrency(slow, Arc::clone(&places));
        let (living, handled) = (AtomicI64::new(0), AtomicU64::new(0));
        Arc::new(Self { living, handled, places, service, breakers: Mutex::default() })
    }
}

/// What a message makes its receiver do.
#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Work,
    Nap(u64),
    Panic,
    Fail,
    Leave,
}

/// What a job does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task {
    Finish(u64),
    Panic,
    Hang,
    /// Starts a job below it that hangs.
    Nest,
    /// Tries something behind the breaker, which succeeds or not.
    Guarded(bool, u64),
    /// Calls the service and reads this many of its items.
    Call(usize),
}

#[derive(Debug, Clone, Message)]
#[message(name = "worker.do", reply = u64)]
pub(super) struct Do(pub How);
#[derive(Message)]
#[message(name = "worker.run", reply = u64)]
pub(super) struct Run(pub Task);
#[derive(Message)]
#[message(name = "worker.arm")]
pub(super) struct Arm(pub u64);
#[derive(Message)]
#[message(name = "worker.watch")]
pub(super) struct Watch(pub Address);
#[derive(Message)]
#[message(name = "worker.raise")]
pub(super) struct Raise(pub u64);
#[derive(Message)]
#[message(name = "worker.count", stream = u64)]
pub(super) struct Count {
    pub items: u64,
    pub in_a_job: bool,
}

protocol!(pub(super) WorkerProtocol: Do, Run, Arm, Watch, Raise; stream Count);

pub(super) struct Worker {
    shared: Arc<Shared>,
    starts_in: Duration,
}

impl Worker {
    fn new(shared: &Arc<Shared>, starts_in: Duration) -> Self {
        shared.living.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), starts_in }
    }

    /// Says how to start one that comes back quickly, however it ends.
    pub(super) fn spec(name: impl Into<String>, shared: &Arc<Shared>) -> Spec<WorkerProtocol> {
        let shared = Arc::clone(shared);
        Spec::new(name, move || Self::new(&shared, Duration::ZERO))
            .backoff(Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(4), ..Backoff::default() })
            .intensity(Intensity { max_restarts: 20, window: Duration::from_millis(200) })
            .on_exhausted(OnExhausted::OpenGate { reset_after: Duration::from_millis(10) })
    }

    /// Says how to start one that takes its time.
    pub(super) fn slow_spec(name: impl Into<String>, shared: &Arc<Shared>) -> Spec<WorkerProtocol> {
        let shared = Arc::clone(shared);
        Spec::new(name, move || Self::new(&shared, Duration::from_millis(2)))
    }
}

/// The breaker of each lasting worker.
pub(super) const BREAKER: BreakerConfig =
    BreakerConfig { max_failures: 3, reset_timeout: Duration::from_millis(5), half_open_max: 2 };

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.living.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Actor for Worker {
    type Protocol = WorkerProtocol;
    const KIND: &'static str = "worker";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        if let Some(breaker) = cx.breaker() {
            let mut breakers = self.shared.breakers.lock();
            if !breakers.iter().any(|known| Arc::ptr_eq(known, &breaker)) {
                breakers.push(breaker);
            }
        }
        if !self.starts_in.is_zero() {
            time::sleep(self.starts_in).await;
        }
        Ok(())
    }

    async fn watched_exited(&mut self, _address: Address, _reason: ExitReason, _cx: &mut Cx<Self>) {
        self.shared.handled.fetch_add(1, Ordering::Relaxed);
    }
}

impl Handler<Do> for Worker {
    async fn handle(&mut self, Do(how): Do, cx: &mut Cx<Self>) -> Result<u64> {
        match how {
            How::Work => {}
            How::Nap(ms) => cx.sleep(Duration::from_millis(ms)).await?,
            How::Panic => panic!("on purpose"),
            How::Fail => cx.fail(Error::internal("gave up")),
            How::Leave => cx.stop(),
        }
        Ok(self.shared.handled.fetch_add(1, Ordering::Relaxed))
    }
}

impl DeferredHandler<Run> for Worker {
    async fn handle(&mut self, Run(task): Run, reply: ReplyPort<u64>, cx: &mut Cx<Self>) {
        let (context, breaker, shared) = (cx.context().clone(), cx.breaker(), Arc::clone(&self.shared));
        drop(cx.job("task", "task", &context, move |job| async move {
            let outcome = match task {
                Task::Finish(ms) => {
                    time::sleep(Duration::from_millis(ms)).await;
                    Ok(ms)
                }
                Task::Panic => panic!("on purpose"),
                Task::Hang => std::future::pending().await,
                Task::Nest => {
                    let context = job.context().clone();
                    job.job("task", "below", &context, |_| std::future::pending::<Result<u64>>()).await
                }
                Task::Guarded(succeeds, ms) => match breaker.map(|breaker| breaker.try_acquire()) {
                    None => Ok(0),
                    Some(Err(error)) => Err(error),
                    Some(Ok(permit)) => {
                        // Killed or cancelled here, it gives no verdict.
                        time::sleep(Duration::from_millis(ms)).await;
                        if succeeds {
                            permit.success()
                        } else {
                            permit.failure()
                        }
                        Ok(ms)
                    }
                },
                Task::Call(items) => Ok(shared.service.call((), context_of(&job)).take(items).count().await as u64),
            };
            reply.send(outcome);
            Ok(())
        }));
    }
}

fn context_of(job: &beluga_runtime::JobCx) -> CallContext {
    job.context().clone()
}

impl Handler<Arm> for Worker {
    async fn handle(&mut self, Arm(ms): Arm, cx: &mut Cx<Self>) -> Result<()> {
        let delay = Duration::from_millis(ms);
        cx.after(delay, Do(How::Work))?;
        let ticks = cx.every(delay, || Do(How::Work))?;
        let late = cx.after(20 * delay, Do(How::Work))?;
        cx.sleep(delay).await?;
        cx.cancel_timer(ticks);
        cx.cancel_timer(late);
        Ok(())
    }
}

impl Handler<Watch> for Worker {
    async fn handle(&mut self, Watch(address): Watch, cx: &mut Cx<Self>) -> Result<()> {
        cx.watch(&address);
        Ok(())
    }
}

impl Handler<Raise> for Worker {
    /// Starts a child that leaves after a while.
    async fn handle(&mut self, Raise(ms): Raise, cx: &mut Cx<Self>) -> Result<()> {
        let name = format!("child-{}", cx.system().random().next_u64());
        let child = cx.spawn_with(Self::spec(name, &self.shared).restart(Restart::Temporary)).await?;
        child.tell(Do(How::Nap(ms))).await?;
        child.tell(Do(How::Leave)).await
    }
}

impl StreamHandler<Count> for Worker {
    async fn handle(&mut self, Count { items, in_a_job }: Count, sink: Sink<u64>, cx: &mut Cx<Self>) -> Result<()> {
        let context = cx.context().clone();
        if in_a_job {
            drop(cx.job("stream", "stream", &context, move |_| count(items, sink)));
            return Ok(());
        }
        count(items, sink).await
    }
}

async fn count(items: u64, sink: Sink<u64>) -> Result<()> {
    for item in 0..items {
        sink.send(item).await?;
    }
    sink.finish();
    Ok(())
}

/// Starts workers below a supervisor, under their keys.
pub(super) struct Workers {
    pub hub: Address,
    pub shared: Arc<Shared>,
}

impl Activator<WorkerProtocol> for Workers {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<WorkerProtocol>>> {
        let spec = Worker::spec(key, &self.shared);
        Box::pin(async move { Ok(Activation { supervisor: self.hub.clone(), spec }) })
    }
}
