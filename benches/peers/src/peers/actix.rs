//! Actix on its own runtime. A panic ends its actors for good: its supervisor only restarts what stopped by itself.
//!
//! What makes it fair: actix has no workers that share tasks, every actor lives on one thread. At one worker the actor and
//! the producers live on the system's thread, spawned as actix spawns, as everything does on tokio's current-thread runtime.
//! At two the actor has an arbiter, a second thread, to itself, and the producers stay on the system's; so both have two
//! threads. A tell is `do_send`, which passes over the mailbox's bound: what has a bound, `send`, waits for the handler.

use std::process::ExitCode;

use actix::{Actor, ActorContext, Addr, Arbiter, Context, Handler, Message, System};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::child::answer;
use crate::peer::Peer;

/// The counter.
pub(crate) struct Counter {
    total: u64,
    /// Dropped with the actor: actix offers nothing else to wait for its end.
    _alive: oneshot::Sender<()>,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

struct Add(u64);

impl Message for Add {
    type Result = ();
}

impl Handler<Add> for Counter {
    type Result = ();

    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) {
        self.total += n;
    }
}

struct Items(Vec<u64>);

impl Message for Items {
    type Result = ();
}

impl Handler<Items> for Counter {
    type Result = ();

    fn handle(&mut self, Items(items): Items, _: &mut Context<Self>) {
        self.total += items.into_iter().sum::<u64>();
    }
}

struct Total;

impl Message for Total {
    type Result = u64;
}

impl Handler<Total> for Counter {
    type Result = u64;

    fn handle(&mut self, _: Total, _: &mut Context<Self>) -> u64 {
        self.total
    }
}

struct Stop;

impl Message for Stop {
    type Result = ();
}

impl Handler<Stop> for Counter {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        context.stop();
    }
}

struct Player {
    other: Option<Addr<Player>>,
}

impl Actor for Player {
    type Context = Context<Self>;
}

struct Partner(Addr<Player>);

impl Message for Partner {
    type Result = ();
}

impl Handler<Partner> for Player {
    type Result = ();

    fn handle(&mut self, Partner(other): Partner, _: &mut Context<Self>) {
        self.other = Some(other);
    }
}

struct Bounce(u64, oneshot::Sender<()>);

impl Message for Bounce {
    type Result = ();
}

impl Handler<Bounce> for Player {
    type Result = ();

    fn handle(&mut self, Bounce(left, done): Bounce, context: &mut Context<Self>) {
        match (&self.other, left.checked_sub(1)) {
            (Some(other), Some(left)) => other.do_send(Bounce(left, done)),
            _ => {
                done.send(()).expect("somebody waits");
                // The other one ends when nobody holds its address any more.
                context.stop();
            }
        }
    }
}

pub(crate) struct Actix {
    /// Where the actor lives at two workers.
    arbiter: Option<Arbiter>,
}

impl Actix {
    /// Takes a sample in a system of actix.
    pub(crate) fn enter<F: Future<Output = f64>>(workers: usize, sample: impl FnOnce(Self) -> F) -> ExitCode {
        System::new().block_on(async {
            let arbiter = (workers > 1).then(Arbiter::new);
            answer(sample(Self { arbiter }).await)
        })
    }
}

impl Peer for Actix {
    type Counter = Addr<Counter>;
    type End = oneshot::Receiver<()>;

    async fn counter(&self, _: u64) -> (Addr<Counter>, oneshot::Receiver<()>) {
        let (alive, end) = oneshot::channel();
        let counter = Counter { total: 0, _alive: alive };
        let address = match &self.arbiter {
            Some(arbiter) => Counter::start_in_arbiter(&arbiter.handle(), |_| counter),
            None => counter.start(),
        };
        (address, end)
    }

    async fn tell(counter: &Addr<Counter>, n: u64) {
        counter.do_send(Add(n));
    }

    async fn tell_items(counter: &Addr<Counter>, items: Vec<u64>) {
        counter.do_send(Items(items));
    }

    async fn total(counter: &Addr<Counter>) -> u64 {
        counter.send(Total).await.unwrap_or(u64::MAX)
    }

    async fn stop(counter: Addr<Counter>, end: oneshot::Receiver<()>) {
        counter.do_send(Stop);
        drop(end.await);
    }

    async fn bounce(&self, hops: u64) {
        let left = Player { other: None }.start();
        let right = Player { other: Some(left.clone()) }.start();
        left.do_send(Partner(right));
        let (done, ended) = oneshot::channel();
        left.do_send(Bounce(hops, done));
        ended.await.expect("the message was lost");
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        actix::spawn(task)
    }
}
