//! What is built of actors' streams: combinators, buffers, fan-outs and broadcasts hold nothing longer than their readers
//! live.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beluga_core::{BoxStream, Code, Result};
use beluga_runtime::stream::{Broadcast, FAN_OUT_BUFFER, Heard, buffered, collect, fan_out, filter, map, merge};
use beluga_runtime::{task, testkit, time};
use futures_util::{FutureExt, StreamExt};

use crate::fixture::*;
use crate::source::*;

#[test]
fn a_reader_that_stops_early_ends_all_producers_behind_every_combinator() {
    testkit::run(5, |system| async move {
        let source = Source::default();
        let actor = source.start(&system, "source").await;
        let numbers = || actor.stream(Produce { jobs: 1, limit: u64::MAX }).window(4).open().boxed();
        let combined: [&dyn Fn() -> BoxStream<'static, Result<u64>>; 6] = [
            &|| map(numbers(), |number| Ok(number + 1)),
            &|| filter(numbers(), |number| number % 2 == 0),
            &|| merge([numbers(), numbers(), numbers()]),
            &|| fan_out(numbers(), 1).pop().unwrap(),
            &|| buffered(numbers(), 4).0.boxed(),
            &|| merge(fan_out(map(buffered(merge([numbers(), numbers()]), 4).0.boxed(), Ok), 2)),
        ];
        for open in combined {
            assert_eq!(open().take(20).count().await, 20);
            settle().await;
            assert_eq!(jobs(&system, "source"), 0);
        }
        assert_eq!(collect(numbers(), 10).await.unwrap_err().code(), Code::Overloaded);
        settle().await;
        assert_eq!((jobs(&system, "source"), source.journal.read().len()), (0, 10));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn the_slowest_reader_of_a_fan_out_stops_the_actor_behind_it() {
    testkit::run(5, |system| async move {
        let source = Source::default();
        let actor = source.start(&system, "source").await;
        let stream = actor.stream(Produce { jobs: 1, limit: u64::MAX }).window(4).open();
        let mut readers = fan_out(stream.boxed(), 2);
        let (mut fast, slow) = (readers.pop().unwrap(), readers.pop().unwrap());
        let (seen, count) = (Arc::new(AtomicU64::new(0)), 4 + FAN_OUT_BUFFER as u64);
        let counted = Arc::clone(&seen);
        let reader = task::spawn("fast", async move {
            while let Some(item) = fast.next().await {
                counted.store(item.unwrap(), Ordering::SeqCst);
            }
        });
        settle().await;
        assert_eq!((seen.load(Ordering::SeqCst), source.count().0), (FAN_OUT_BUFFER as u64, count));
        drop(slow);
        settle().await;
        assert!(source.count().0 > 2 * count, "the others go on");
        drop(reader.abort_on_drop());
        settle().await;
        assert_eq!(jobs(&system, "source"), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_paused_buffer_stops_the_actor_behind_it() {
    testkit::run(5, |system| async move {
        let source = Source::default();
        let actor = source.start(&system, "source").await;
        let stream = actor.stream(Produce { jobs: 1, limit: u64::MAX }).window(4).open();
        let (mut reader, control) = buffered(stream.boxed(), 8);
        settle().await;
        assert_eq!((source.count().0, control.buffer_size()), (4 + 8, 8));
        control.request_pause();
        for _ in 0..8 {
            reader.next().await.unwrap().unwrap();
        }
        settle().await;
        // One credit was taken before the pause.
        let (paused, waiting) = (source.count().0, control.buffer_size());
        assert!(paused <= 4 + 8 + 1 && waiting <= 1, "{paused} sent, {waiting} in the buffer");
        assert!(time::timeout(Duration::from_secs(60), reader.by_ref().skip(waiting).next()).await.is_err());
        assert_eq!(source.count().0, paused, "it waits as long as the pause lasts");
        control.request_resume();
        settle().await;
        assert_eq!((source.count().0, control.buffer_size()), (4 + 8 + 8, 8));
        drop(reader);
        settle().await;
        assert_eq!(jobs(&system, "source"), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_actor_serves_the_readers_of_its_broadcast_each_with_credit() {
    testkit::run(5, |system| async move {
        let source = Source { news: Broadcast::new(8), ..Source::default() };
        let actor = source.start(&system, "source").await;
        let mut fast = actor.stream(Follow).window(4).open();
        let mut slow = actor.stream(Follow).window(4).open();
        for reader in [&mut fast, &mut slow] {
            assert!(reader.next().now_or_never().is_none());
        }
        settle().await;
        for round in 0..10 {
            assert_eq!(actor.ask(Say(4)).await.unwrap(), 2, "the producer waits for nobody");
            for number in 1..=4 {
                let number = round * 4 + number;
                assert_eq!(fast.next().await.unwrap().unwrap(), Heard::Item { number, item: number });
            }
        }
        let (mut received, mut missed, mut next) = (0, 0, 1);
        while let Some(heard) = slow.next().now_or_never() {
            match heard.unwrap().unwrap() {
                Heard::Item { number, item } => {
                    assert_eq!((number, item), (next, next));
                    (received, next) = (received + 1, next + 1);
                }
                Heard::Gap(gap) => {
                    assert_eq!(gap.first, next);
                    (missed, next) = (missed + gap.missed, next + gap.missed);
                }
            }
            settle().await;
        }
        assert_eq!((received + missed, next), (40, 41));
        assert!(missed > 0 && received >= 8 + 4, "{received} were in the ring or in the window");
        drop(slow);
        settle().await;
        assert_eq!((actor.ask(Say(1)).await.unwrap(), jobs(&system, "source")), (1, 1), "only the other one is left");
        source.news.finish();
        assert_eq!(fast.next().await.unwrap().unwrap(), Heard::Item { number: 41, item: 41 });
        assert!(fast.next().await.is_none(), "its end is the broadcast's");
        settle().await;
        assert_eq!(jobs(&system, "source"), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_broadcast_of_an_actors_stream_reads_it_once_and_as_long_as_somebody_listens() {
    testkit::run(5, |system| async move {
        let source = Source::default();
        let actor = source.start(&system, "source").await;
        let broadcast = Broadcast::default();
        let (first, second) = (broadcast.subscribe(), broadcast.subscribe());
        let stream = actor.stream(Produce { jobs: 1, limit: 100 }).open();
        let (sent, first, second) =
            tokio::join!(broadcast.send_all(stream), first.map(Result::unwrap).collect::<Vec<_>>(), second.count());
        assert!(sent.is_ok() && first.len() == 100 && second == 100);
        assert_eq!((first.last(), source.count().0), (Some(&Heard::Item { number: 100, item: 100 }), 100));

        let broadcast = Broadcast::default();
        let mut reader = broadcast.subscribe();
        let stream = actor.stream(Produce { jobs: 1, limit: u64::MAX }).open();
        let producer = task::spawn("producer", async move { broadcast.send_all(stream).await });
        assert!(reader.next().await.is_some() && jobs(&system, "source") == 1);
        drop(reader);
        assert!(producer.await.unwrap().unwrap_err().is_cancelled());
        settle().await;
        assert_eq!(jobs(&system, "source"), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}
