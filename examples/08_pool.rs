//! A pool: one reference, many workers, a bounded queue. It is resized while it works, and one of its workers crashes.

use std::time::Duration;

use beluga::prelude::*;
use beluga::runtime::{Lane, Overflow, PoolKey, PoolSpec, Routing, Spec, task, time};
use futures_util::future::join_all;

#[derive(Message)]
#[message(name = "press.print", reply = String)]
struct Print {
    customer: &'static str,
    page: u32,
}

protocol!(PressProtocol: Print);

struct Press;

impl Actor for Press {
    type Protocol = PressProtocol;
    const KIND: &'static str = "press";
}

impl Handler<Print> for Press {
    async fn handle(&mut self, Print { customer, page }: Print, cx: &mut Cx<Self>) -> Result<String> {
        assert!(page != 13, "the paper is stuck"); // Kills this worker and this message, nothing else.
        cx.sleep(Duration::from_millis(20)).await?; // A worker is busy until its handler returns.
        let worker = cx.name().rsplit('/').next().unwrap_or_default().to_owned();
        Ok(format!("{customer}{page}@{worker}"))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    std::panic::set_hook(Box::new(|panic| println!("  (panic: {})", task::panic_text(panic.payload()))));
    let system = System::builder("printing").seed(1).build()?;

    // Pages of one customer go to whoever has a page of that customer in hand; others to whoever is free.
    let spec = PoolSpec::new("presses", 2, Spec::new("press", || Press))
        .routing(Routing::Sticky)
        .key_of::<Print>(|print| Some(PoolKey::of(print.customer)))
        .lane(Lane::Normal, 8, Overflow::Reject); // The queue, and what happens to the message that is too many.
    let pool = system.spawn_pool(spec).await?;
    let print = |customer, page| pool.ask(Print { customer, page }); // A pool is used like an actor.

    let all = |asks| async { join_all(asks).await.into_iter().map(said).collect::<Vec<_>>().join(" ") };
    println!("two workers:   {}", all(vec![print("a", 1), print("b", 1), print("a", 2), print("b", 2)]).await);

    let started = time::now();
    pool.resize(6).await?;
    let customers = ["a", "b", "c", "d", "e", "f"];
    println!("six workers:   {}", all(customers.map(|customer| print(customer, 5)).into()).await);
    println!("               six pages of 20 ms in {} ms", (time::now() - started).as_millis());

    println!("a crash:       {}", all(vec![print("a", 12), print("b", 13), print("c", 14)]).await);
    let status = pool.status();
    println!("               {} workers, {} waiting, {} handed", pool.workers(), status.waiting, status.handed);

    let burst: Vec<_> = (20..40).map(|page| print("a", page)).collect(); // One customer, so one worker's queue.
    let refused = join_all(burst).await.into_iter().filter(Result::is_err).count();
    println!("a burst of 20: {refused} refused, the rest printed");

    pool.resize(1).await?; // The others finish what they have and end.
    pool.drain(); // Everything accepted is printed first.
    pool.address()?.gone().await;
    println!(
        "dead letters:  {:?}",
        system.dead_letters().recent().first().map(|letter| (letter.message, letter.reason))
    );
    system.shutdown_gracefully().await
}

fn said(outcome: Result<String>) -> String {
    outcome.unwrap_or_else(|error| error.code().to_string())
}
