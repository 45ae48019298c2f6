//! Actors without any AI: tell, ask and stream, with replies typed by the message.

use std::time::Duration;

use beluga::prelude::*;
use futures_util::TryStreamExt;

#[derive(Message)]
#[message(name = "counter.add")] // No reply.
struct Add(u64);

#[derive(Message)]
#[message(name = "counter.total", reply = u64)]
struct Total;

#[derive(Message)]
#[message(name = "counter.down", stream = u64)]
struct CountDown;

protocol!(CounterProtocol: Add, Total; stream CountDown); // To say anything else does not compile.

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
        self.total = self.total.checked_add(n).ok_or_else(|| Error::invalid_input("the total is too large"))?;
        Ok(())
    }
}

impl Handler<Total> for Counter {
    async fn handle(&mut self, _: Total, _cx: &mut Cx<Self>) -> Result<u64> {
        Ok(self.total)
    }
}

impl StreamHandler<CountDown> for Counter {
    async fn handle(&mut self, _: CountDown, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        while self.total > 0 {
            self.total -= 1;
            sink.send(self.total).await?; // Waits for a slow reader; fails when the reader is gone.
        }
        sink.finish();
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let system = System::builder("counting").build()?;
    let counter = system.spawn("counter", Counter::default).await?; // A factory: a restart builds it anew.

    counter.tell(Add(3)).await?; // Returns once it is in the lane.
    counter.tell(Add(2)).await?; // One sender's messages arrive in order.
    println!("total: {}", counter.ask(Total).within(Duration::from_secs(1)).await?);

    let numbers: Vec<u64> = counter.stream(CountDown).open().try_collect().await?;
    println!("down: {numbers:?}");

    let node = system.snapshot()?;
    let seen = node.find("counter").map(|node| (node.kind.as_str(), node.handled, node.restarts));
    println!("in the tree (kind, handled, restarts): {seen:?}");

    counter.stop();
    system.shutdown_gracefully().await?;
    println!(
        "told after the end: {}",
        counter.tell(Add(1)).await.map_or_else(|error| error.to_string(), |()| "?".into())
    );
    Ok(())
}
