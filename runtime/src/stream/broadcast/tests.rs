use std::time::Duration;

use beluga_core::Code;
use futures_util::{FutureExt, StreamExt, stream};

use super::*;
use crate::{task, time};

/// Everything a reader hears at once, as text: `3` is an item, `2+5` a gap of five from the second on.
fn heard(reader: &mut Subscription<u64>) -> Vec<String> {
    let mut heard = Vec::new();
    while let Some(Some(next)) = reader.next().now_or_never() {
        heard.push(match next {
            Ok(Heard::Item { number, item }) => {
                assert_eq!(number, item, "each test sends the numbers themselves");
                item.to_string()
            }
            Ok(Heard::Gap(Gap { first, missed })) => format!("{first}+{missed}"),
            Err(error) => error.code().as_str().to_owned(),
        });
    }
    heard
}

fn send(broadcast: &Broadcast<u64>, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        assert_eq!(broadcast.send(number).unwrap(), number);
    }
}

#[test]
fn every_reader_hears_every_item_while_it_keeps_up() {
    let broadcast = Broadcast::new(3);
    let (mut first, mut second) = (broadcast.subscribe(), broadcast.subscribe());
    for round in 0..5 {
        send(&broadcast, round * 3 + 1..=round * 3 + 3);
        let expected: Vec<_> = (round * 3 + 1..=round * 3 + 3).map(|number| number.to_string()).collect();
        assert_eq!(heard(&mut first), expected);
        assert_eq!(heard(&mut second), expected);
    }
}

#[test]
fn a_reader_that_falls_behind_hears_what_it_missed_and_goes_on_with_the_oldest() {
    let broadcast = Broadcast::new(4);
    let (mut fast, mut slow) = (broadcast.subscribe(), broadcast.subscribe());
    send(&broadcast, 1..=2);
    assert_eq!(heard(&mut fast), ["1", "2"]);
    send(&broadcast, 3..=6);
    assert_eq!(heard(&mut fast), ["3", "4", "5", "6"]);
    assert_eq!(heard(&mut slow), ["1+2", "3", "4", "5", "6"]);
    send(&broadcast, 7..=20);
    assert_eq!(heard(&mut slow), ["7+10", "17", "18", "19", "20"]);
}

#[test]
fn even_a_reader_that_is_always_late_hears_an_item_after_each_gap() {
    let broadcast = Broadcast::new(1);
    let mut slow = broadcast.subscribe();
    let mut items = 0;
    for round in 0..100 {
        send(&broadcast, round * 3 + 1..=round * 3 + 3);
        if let Heard::Item { .. } = slow.next().now_or_never().unwrap().unwrap().unwrap() {
            items += 1;
        }
    }
    assert_eq!(items, 50);
}

#[test]
fn a_reader_may_join_now_or_after_a_number() {
    let broadcast = Broadcast::new(3);
    send(&broadcast, 1..=5);
    let (mut now, mut all) = (broadcast.subscribe(), broadcast.subscribe_after(0));
    let (mut back, mut ahead) = (broadcast.subscribe_after(4), broadcast.subscribe_after(99));
    assert_eq!((now.cursor(), back.cursor(), ahead.cursor()), (5, 4, 5));
    send(&broadcast, 6..=6);
    assert_eq!(heard(&mut now), ["6"]);
    assert_eq!(heard(&mut all), ["1+3", "4", "5", "6"]);
    assert_eq!(heard(&mut back), ["5", "6"]);
    assert_eq!(heard(&mut ahead), ["6"]);
    assert_eq!((now.cursor(), all.cursor()), (6, 6));
}

#[test]
fn every_reader_hears_the_end_after_the_last_item_also_who_joins_later() {
    for (end, told) in [(Ok(()), None), (Err(Error::timeout("late")), Some("timeout"))] {
        let broadcast = Broadcast::new(2);
        let mut reader = broadcast.subscribe();
        send(&broadcast, 1..=2);
        match end {
            Ok(()) => broadcast.finish(),
            Err(error) => broadcast.fail(error),
        }
        broadcast.fail(Error::internal("the second end"));
        assert!(broadcast.send(3).unwrap_err().is_cancelled());
        let expected: Vec<_> = ["1", "2"].into_iter().chain(told).collect();
        assert_eq!(heard(&mut reader), expected);
        assert!(reader.next().now_or_never().unwrap().is_none(), "it is over");
        assert_eq!(heard(&mut broadcast.subscribe_after(1)), expected[1..]);
    }
}

#[test]
fn the_last_producer_that_dies_tells_every_reader() {
    let broadcast = Broadcast::new(2);
    let mut reader = broadcast.subscribe();
    let other = broadcast.clone();
    send(&broadcast, 1..=1);
    drop(broadcast);
    assert_eq!(heard(&mut reader), ["1"]);
    assert!(reader.next().now_or_never().is_none(), "one producer is left");
    drop(other);
    assert_eq!(heard(&mut reader), [Code::UnknownOutcome.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn readers_that_wait_are_woken_by_an_item_and_by_the_end() {
    let broadcast = Broadcast::new(8);
    let readers: Vec<_> = (0..3)
        .map(|_| task::spawn("reader", broadcast.subscribe().map(Result::unwrap).collect::<Vec<Heard<u64>>>()))
        .collect();
    for number in 1..=3 {
        time::sleep(Duration::from_secs(1)).await;
        broadcast.send(number).unwrap();
    }
    time::sleep(Duration::from_secs(1)).await;
    broadcast.finish();
    let expected: Vec<_> = (1..=3).map(|number| Heard::Item { number, item: number }).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
}

#[test]
fn the_last_reader_that_leaves_is_seen_by_the_producer() {
    let broadcast = Broadcast::<u64>::new(2);
    assert!(broadcast.closed().now_or_never().is_some(), "nobody reads yet");
    let (first, second) = (broadcast.subscribe(), broadcast.subscribe());
    let mut closed = Box::pin(broadcast.closed());
    assert!((&mut closed).now_or_never().is_none());
    drop(first);
    assert!((&mut closed).now_or_never().is_none());
    assert_eq!(broadcast.readers(), 1);
    drop(second);
    assert!(closed.now_or_never().is_some());
    let _third = broadcast.subscribe();
    assert!(broadcast.closed().now_or_never().is_none(), "one came back");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_producer_is_woken_by_the_last_reader_that_leaves() {
    let broadcast = Broadcast::<u64>::new(2);
    let (first, second) = (broadcast.subscribe(), broadcast.subscribe());
    let producer = task::spawn("producer", async move { broadcast.closed().await });
    time::sleep(Duration::from_secs(1)).await;
    drop(first);
    time::sleep(Duration::from_secs(1)).await;
    assert!(!producer.is_finished());
    drop(second);
    producer.await.unwrap();
}

#[test]
fn readers_and_producers_that_left_leave_nothing_behind() {
    let broadcast = Broadcast::<u64>::new(2);
    let stays = broadcast.subscribe();
    for _ in 0..100 {
        let mut reader = broadcast.subscribe();
        assert!(reader.next().now_or_never().is_none());
        assert!(broadcast.closed().now_or_never().is_none());
    }
    assert_eq!(broadcast.readers(), 1);
    assert_eq!(broadcast.0.lock().census(), (0, 0), "nobody waits");
    drop(stays);
    assert_eq!(Arc::strong_count(&broadcast.0), 1);
}

#[test]
fn an_item_that_left_the_ring_is_dropped_at_once() {
    let broadcast = Broadcast::new(2);
    let _never_reads = broadcast.subscribe();
    let items: Vec<_> = (0..5).map(Arc::new).collect();
    for item in &items {
        broadcast.send(Arc::clone(item)).unwrap();
    }
    assert_eq!(items.iter().map(Arc::strong_count).collect::<Vec<_>>(), [1, 1, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_broadcast_to_its_end_or_its_error() {
    for (end, told) in [(None, None), (Some(Error::timeout("late")), Some("timeout"))] {
        let broadcast = Broadcast::new(8);
        let mut reader = broadcast.subscribe();
        let source = stream::iter([Ok(1), Ok(2)]).chain(stream::iter(end.map(Err)));
        broadcast.send_all(source).await.unwrap();
        let expected: Vec<_> = ["1", "2"].into_iter().chain(told).collect();
        assert_eq!(heard(&mut reader), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_dropped_with_the_last_reader_although_it_gives_nothing() {
    let broadcast = Broadcast::<u64>::new(8);
    let reader = broadcast.subscribe();
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let silent = stream::once(async move {
        let _held = held;
        std::future::pending::<Result<u64>>().await
    });
    let producer = task::spawn("producer", {
        let broadcast = broadcast.clone();
        async move { broadcast.send_all(silent).await }
    });
    time::sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(reader);
    assert!(producer.await.unwrap().unwrap_err().is_cancelled());
    assert_eq!(Arc::strong_count(&alive), 1);
    assert_eq!(broadcast.send(1).unwrap(), 1, "it has not ended");
}

#[tokio::test(start_paused = true)]
async fn an_endless_source_leaves_its_readers_time_to_leave() {
    let broadcast = Broadcast::new(8);
    let reader = broadcast.subscribe();
    let leaves = task::spawn("reader", async move { reader.take(3).count().await });
    let endless = stream::repeat(1).map(Ok);
    assert!(broadcast.send_all(endless).await.unwrap_err().is_cancelled());
    assert_eq!(leaves.await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_on_several_threads_account_for_every_item() {
    const ITEMS: u64 = 20_000;
    let broadcast = Broadcast::new(16);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let mut reader = broadcast.subscribe();
            task::spawn("reader", async move {
                let mut cursor = 0;
                while let Some(heard) = reader.next().await {
                    match heard.unwrap() {
                        Heard::Item { number, item } => {
                            assert_eq!((number, item), (cursor + 1, cursor + 1));
                            cursor = number;
                        }
                        Heard::Gap(Gap { first, missed }) => {
                            assert!(first == cursor + 1 && missed > 0);
                            cursor += missed;
                        }
                    }
                }
                cursor
            })
        })
        .collect();
    send(&broadcast, 1..=ITEMS);
    broadcast.finish();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), ITEMS);
    }
}
