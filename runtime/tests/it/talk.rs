//! Tell, ask and stream.

use std::time::Duration;

use beluga_core::Code;
use futures_util::StreamExt;

use crate::fixture::*;

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn an_actor_answers_what_it_was_asked() {
    let system = system();
    let counter = system.spawn("counter", Counter::default).await.unwrap();
    counter.tell(Add(2)).await.unwrap();
    assert_eq!(counter.ask(Add(3)).await.unwrap(), 5);
    assert_eq!(system.get::<CounterProtocol>("counter").unwrap().ask(Total).await.unwrap(), 5);
    system.shutdown(GRACE).await.unwrap();
    assert_eq!(counter.ask(Total).await.unwrap_err().code(), Code::NotSent);
}

#[tokio::test(start_paused = true)]
async fn a_stream_gives_its_items_and_then_ends() {
    let system = system();
    let counter = system.spawn("counter", Counter::default).await.unwrap();
    let items: Vec<u64> = counter.stream(Count(100)).open().map(Result::unwrap).collect().await;
    assert_eq!(items, (1..=100).collect::<Vec<_>>());
    system.shutdown(GRACE).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_loses_exactly_the_poison_message_and_names_it() {
    let system = system();
    let counter = system.spawn("counter", Counter::default).await.unwrap();
    let (wait, explode) = (counter.ask(Wait(GRACE / 5)), counter.ask(Explode("boom")));
    let (waited, exploded, total) =
        tokio::join!(wait.into_future(), explode.into_future(), counter.ask(Add(4)).into_future());
    waited.unwrap();
    assert_eq!(exploded.unwrap_err().code(), Code::UnknownOutcome);
    assert_eq!(total.unwrap(), 4, "the message behind the poison is handled by the next incarnation");
    let letters = system.dead_letters().recent();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].message, letters[0].panic.as_deref()), ("counter.explode", Some("boom")));
    assert_eq!(letters[0].payload.as_deref(), Some("Explode(\"boom\")"));
    system.shutdown(GRACE).await.unwrap();
}

use std::future::IntoFuture;
