//! Beluga's kernel as users meet it: typed messages, waiting lanes of 1,024, asks with deadline and cancellation.

mod batched;
mod context;
mod hop_span;
mod passivated;

use std::time::Duration;

use beluga_core::Result;
use beluga_runtime::{Actor, BreakerConfig, Cx, Handler, Intensity, Message, Ref, Restart, Spec, System, protocol};
use tokio::sync::oneshot;

use crate::peer::Peer;
use crate::restart::{Fuse, Stopwatch};

pub(crate) use batched::Batched;
pub(crate) use context::Contextual;
pub(crate) use hop_span::hop_spans;
pub(crate) use passivated::passivated_bytes;

#[derive(Message)]
#[message(name = "counter.add")]
pub(crate) struct Add(u64);

#[derive(Message)]
#[message(name = "counter.add_in_control", lane = "control")]
pub(crate) struct AddInControl;

#[derive(Message)]
#[message(name = "counter.add_in_interrupt", lane = "interrupt")]
pub(crate) struct AddInInterrupt;

#[derive(Message)]
#[message(name = "counter.add_in_bulk", lane = "bulk")]
pub(crate) struct AddInBulk;

#[derive(Message)]
#[message(name = "counter.items")]
pub(crate) struct Items(Vec<u64>);

#[derive(Message)]
#[message(name = "counter.total", reply = u64)]
pub(crate) struct Total;

protocol!(pub(crate) CounterProtocol: Add, AddInControl, AddInInterrupt, AddInBulk, Items, Total);

#[derive(Default)]
struct Counter {
    total: u64,
}

impl Actor for Counter {
    type Protocol = CounterProtocol;
    const KIND: &'static str = "counter";
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<()> {
        self.total += n;
        Ok(())
    }
}

impl Handler<AddInControl> for Counter {
    async fn handle(&mut self, _: AddInControl, _cx: &mut Cx<Self>) -> Result<()> {
        self.total += 1;
        Ok(())
    }
}

impl Handler<AddInInterrupt> for Counter {
    async fn handle(&mut self, _: AddInInterrupt, _cx: &mut Cx<Self>) -> Result<()> {
        self.total += 1;
        Ok(())
    }
}

impl Handler<AddInBulk> for Counter {
    async fn handle(&mut self, _: AddInBulk, _cx: &mut Cx<Self>) -> Result<()> {
        self.total += 1;
        Ok(())
    }
}

impl Handler<Items> for Counter {
    async fn handle(&mut self, Items(items): Items, _cx: &mut Cx<Self>) -> Result<()> {
        self.total += items.into_iter().sum::<u64>();
        Ok(())
    }
}

impl Handler<Total> for Counter {
    async fn handle(&mut self, _: Total, _cx: &mut Cx<Self>) -> Result<u64> {
        Ok(self.total)
    }
}

#[derive(Message)]
#[message(name = "player.partner")]
struct Partner(Ref<PlayerProtocol>);

#[derive(Message)]
#[message(name = "player.bounce")]
struct Bounce(u64, oneshot::Sender<()>);

protocol!(PlayerProtocol: Partner, Bounce);

#[derive(Default)]
struct Player {
    other: Option<Ref<PlayerProtocol>>,
}

impl Actor for Player {
    type Protocol = PlayerProtocol;
    const KIND: &'static str = "player";
}

impl Handler<Partner> for Player {
    async fn handle(&mut self, Partner(other): Partner, _cx: &mut Cx<Self>) -> Result<()> {
        self.other = Some(other);
        Ok(())
    }
}

impl Handler<Bounce> for Player {
    async fn handle(&mut self, Bounce(left, done): Bounce, _cx: &mut Cx<Self>) -> Result<()> {
        match (&self.other, left.checked_sub(1)) {
            (Some(other), Some(left)) => other.tell(Bounce(left, done)).await,
            _ => {
                done.send(()).expect("somebody waits");
                Ok(())
            }
        }
    }
}

#[derive(Message)]
#[message(name = "phoenix.burn")]
struct Burn;

protocol!(PhoenixProtocol: Burn);

struct Phoenix(Fuse);

impl Actor for Phoenix {
    type Protocol = PhoenixProtocol;
    const KIND: &'static str = "phoenix";

    async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
        self.0.started();
        Ok(())
    }
}

impl Handler<Burn> for Phoenix {
    async fn handle(&mut self, _: Burn, _cx: &mut Cx<Self>) -> Result<()> {
        self.0.blow()
    }
}

pub(crate) struct Beluga {
    system: System,
}

impl Beluga {
    /// Makes a system. Called in a runtime.
    pub(crate) fn new() -> Self {
        Self { system: System::builder("bench").build().expect("a system starts") }
    }
}

impl Peer for Beluga {
    type Counter = Ref<CounterProtocol>;
    type End = ();

    async fn counter(&self, number: u64) -> (Ref<CounterProtocol>, ()) {
        let counter = self.system.spawn(format!("counter-{number}"), Counter::default).await;
        (counter.expect("a counter starts"), ())
    }

    async fn tell(counter: &Ref<CounterProtocol>, n: u64) {
        drop(counter.tell(Add(n)).await);
    }

    async fn tell_items(counter: &Ref<CounterProtocol>, items: Vec<u64>) {
        drop(counter.tell(Items(items)).await);
    }

    async fn total(counter: &Ref<CounterProtocol>) -> u64 {
        counter.ask(Total).await.unwrap_or(u64::MAX)
    }

    async fn stop(counter: Ref<CounterProtocol>, (): ()) {
        let address = counter.address().expect("it is no virtual actor");
        counter.stop();
        address.gone().await;
    }

    async fn bounce(&self, hops: u64) {
        let left = self.system.spawn("left", Player::default).await.expect("a player starts");
        let right = self.system.spawn("right", Player::default).await.expect("a player starts");
        drop(left.tell(Partner(right.clone())).await);
        drop(right.tell(Partner(left.clone())).await);
        let (done, ended) = oneshot::channel();
        drop(left.tell(Bounce(hops, done)).await);
        ended.await.expect("the message was lost");
        for player in [left, right] {
            let address = player.address().expect("it is no virtual actor");
            player.stop();
            address.gone().await;
        }
    }

    async fn use_all(counter: &Ref<CounterProtocol>) {
        drop(counter.tell(Add(1)).await);
        drop(counter.tell(AddInControl).await);
        drop(counter.tell(AddInInterrupt).await);
        // Asked, as a later message of the normal lane would overtake it.
        drop(counter.ask(AddInBulk).await);
    }

    async fn restart(&self, number: u64, stopwatch: &mut Stopwatch) -> Duration {
        let fuse = stopwatch.fuse();
        let spec = Spec::new(format!("phoenix-{number}"), move || Phoenix(fuse.clone()))
            .restart(Restart::Permanent)
            .intensity(Intensity::default())
            .breaker(BreakerConfig::default());
        let phoenix = self.system.spawn_with(spec).await.expect("a child starts");
        drop(phoenix.tell(Burn).await);
        let time = stopwatch.time().await;
        let address = phoenix.address().expect("it is no virtual actor");
        phoenix.stop();
        address.gone().await;
        time
    }
}
