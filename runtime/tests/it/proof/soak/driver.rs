//! What happens to those who live in the soak: one operation after the other, each of them drawn.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::CallContext;
use beluga_runtime::testkit::{kill, pause, resume};
use beluga_runtime::{Address, Family, Pool, Ref, System, SystemRandom, VirtualRef, task, time};
use futures_util::StreamExt;

use super::actors::{Arm, Count, Do, How, Raise, Run, Shared, Task, Watch, Worker, WorkerProtocol, Workers};

/// How many keys the family has; fewer than half of them may be active.
pub(super) const KEYS: u64 = 16;

/// Everybody there is, for one of those who make things happen.
#[derive(Clone)]
pub(super) struct Driver {
    pub system: System,
    pub shared: Arc<Shared>,
    pub workers: Vec<Ref<WorkerProtocol>>,
    pub branches: Vec<Address>,
    pub pool: Pool<WorkerProtocol>,
    pub family: Family<WorkerProtocol>,
    pub activator: Arc<Workers>,
    pub random: SystemRandom,
}

/// How many operations there are.
pub(super) const KINDS: u64 = 20;

impl Driver {
    fn below(&self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    fn worker(&self) -> &Ref<WorkerProtocol> {
        &self.workers[self.index(self.workers.len())]
    }

    fn key(&self) -> String {
        self.below(KEYS).to_string()
    }

    pub(super) fn entity(&self, key: &str) -> VirtualRef<WorkerProtocol> {
        self.family.resolve(key, Arc::clone(&self.activator) as Arc<_>)
    }

    fn any_entity(&self) -> VirtualRef<WorkerProtocol> {
        self.entity(&self.key())
    }

    fn how(&self) -> How {
        match self.below(16) {
            0 => How::Panic,
            1 => How::Fail,
            2 => How::Leave,
            3..=5 => How::Nap(self.below(4)),
            _ => How::Work,
        }
    }

    fn task(&self) -> Task {
        match self.below(8) {
            0 => Task::Panic,
            1 => Task::Hang,
            2 => Task::Nest,
            3 => Task::Guarded(true, self.below(3)),
            4 => Task::Guarded(false, self.below(3)),
            5 => Task::Call(self.index(5)),
            _ => Task::Finish(self.below(4)),
        }
    }

    fn brief(&self) -> Duration {
        Duration::from_micros(100 + self.below(5_000))
    }

    /// Gives somebody to talk to, of whatever kind.
    fn anybody(&self) -> Ref<WorkerProtocol> {
        match self.below(4) {
            0 => self.any_entity(),
            1 => self.pool.actor(),
            _ => self.worker().clone(),
        }
    }

    /// Does one drawn operation. Every error is welcome: what counts is what is left at the end.
    pub(super) async fn step(&self, kind: u64) {
        match kind {
            0 => drop(self.anybody().tell(Do(self.how())).await),
            1 => drop(self.anybody().try_tell(Do(self.how()))),
            2 => drop(self.anybody().ask(Do(self.how())).within(self.brief()).await),
            3 => self.leave_in_the_middle().await,
            4 => drop(self.anybody().ask(Run(self.task())).within(self.brief()).await),
            5 => self.run_and_cancel().await,
            6 => self.read_a_stream().await,
            7 => drop(self.any_entity().ask(Do(self.how())).within(self.brief()).await),
            8 => self.family.passivate(&self.key()),
            9 => drop(kill(&self.system, self.worker().name())),
            10 => drop(kill(&self.system, &format!("{}/task", self.worker().name()))),
            11 => self.disturb_a_branch(),
            12 => drop(self.worker().address().map(|address| address.restart())),
            13 => self.pause_for_a_moment().await,
            14 => self.spawn_for_a_moment().await,
            15 => self.meet(),
            16 => drop(self.worker().tell(Arm(1 + self.below(3))).await),
            17 => self.watch_somebody().await,
            18 => drop(self.worker().ask(Raise(self.below(4))).within(self.brief()).await),
            _ => self.call_the_service().await,
        }
    }

    /// Drops an ask or a tell wherever it stands.
    async fn leave_in_the_middle(&self) {
        let (actor, how) = (self.anybody(), self.how());
        let asking = task::spawn("test", async move { actor.ask(Do(how)).await });
        for _ in 0..self.below(4) {
            tokio::task::yield_now().await;
        }
        drop(asking.abort_on_drop());
    }

    async fn run_and_cancel(&self) {
        let context = CallContext::new();
        let ask = self.anybody().ask(Run(self.task())).with_context(&context).within(Duration::from_secs(1));
        let running = task::spawn("test", ask);
        time::sleep(self.brief() / 4).await;
        context.cancel_token().cancel();
        drop(running.await);
    }

    async fn read_a_stream(&self) {
        let (items, in_a_job) = (self.below(64), self.below(2) == 0);
        let window = 1 + self.index(8);
        let stream = self.anybody().stream(Count { items, in_a_job }).window(window).within(self.brief());
        let read = self.index(64);
        drop(stream.open().take(read).collect::<Vec<_>>().await);
    }

    fn disturb_a_branch(&self) {
        let branch = &self.branches[self.index(self.branches.len())];
        match self.below(3) {
            0 => drop(branch.kill()),
            1 => drop(branch.restart()),
            _ => drop(kill(&self.system, &format!("pool/{}", self.below(4)))),
        }
    }

    async fn pause_for_a_moment(&self) {
        let worker = self.worker();
        let Ok(address) = worker.address() else { return };
        if self.below(2) == 0 {
            address.pause();
            time::sleep(self.brief()).await;
            address.resume();
        } else {
            pause(&self.system, address.name());
            time::sleep(self.brief()).await;
            resume(&self.system, address.name());
        }
    }

    /// A name that is used once: spawned, perhaps given up while it starts, perhaps watched, and ended.
    async fn spawn_for_a_moment(&self) {
        let name = format!("moment-{}", self.random.next_u64());
        let spec =
            if self.below(2) == 0 { Worker::slow_spec(name, &self.shared) } else { Worker::spec(name, &self.shared) };
        let Ok(Ok(actor)) = time::timeout(self.brief(), self.system.spawn_with(spec)).await else { return };
        drop(self.system.join("moments", &actor));
        drop(self.worker().try_tell(Watch(actor.address().unwrap())));
        drop(actor.tell(Do(self.how())).await);
        if self.below(2) == 0 { actor.stop() } else { actor.drain() }
    }

    fn meet(&self) {
        let worker = self.worker();
        match self.below(5) {
            0 => drop(self.system.join("group", worker)),
            1 => drop(self.system.leave("group", worker)),
            2 => drop(self.system.subscribe::<_, Do>("topic", worker)),
            3 => drop(self.system.publish("topic", &Do(How::Work))),
            _ => drop(self.system.broadcast::<WorkerProtocol, _>("group", &Do(How::Work))),
        }
    }

    async fn watch_somebody(&self) {
        if let Ok(address) = self.anybody().address() {
            drop(self.worker().tell(Watch(address)).await);
        }
    }

    async fn call_the_service(&self) {
        let context = CallContext::new().with_timeout(time::now(), self.brief());
        let read = self.index(5);
        drop(self.shared.service.call((), context).take(read).collect::<Vec<_>>().await);
    }
}
