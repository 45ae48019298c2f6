//! Streams between actors: credit holds the producer back, both sides learn the end of the other, and nothing outlives
//! its reader.

use std::sync::atomic::Ordering;
use std::time::Duration;

use beluga_core::{CallContext, Code, Error};
use beluga_runtime::stream::Heard;
use beluga_runtime::testkit::{self, Probe};
use beluga_runtime::{STREAM_WINDOW, System, task, time};
use futures_util::StreamExt;

use crate::fixture::*;
use crate::source::*;

#[test]
fn producers_are_stopped_at_the_window_and_go_on_with_each_item_read() {
    for window in [1, 2, 7, STREAM_WINDOW, 300] {
        for producers in [1, 3] {
            testkit::run(5, move |system| async move {
                let source = Source::default();
                let actor = source.start(&system, "source").await;
                let limit = 4 * window as u64 + 100;
                let mut stream = actor.stream(Produce { jobs: producers, limit }).window(window).open();
                let window = window as u64;
                for items in [1, 1, window, 3, 2 * window + 1] {
                    source.read(&mut stream, items).await;
                    settle_all(window).await;
                    let (sent, read) = source.count();
                    assert_eq!(sent, read + window, "all of the window is used, and no more");
                    settle_all(window).await;
                    assert_eq!(source.count().0, sent, "it is stopped");
                }
                while let Some(item) = stream.next().await {
                    item.unwrap();
                    source.read.fetch_add(1, Ordering::SeqCst);
                }
                assert_eq!(source.count(), (limit * producers as u64, limit * producers as u64));
                assert_eq!(source.ahead.load(Ordering::SeqCst), window);
                system.shutdown(GRACE).await.unwrap();
            });
        }
    }
}

/// Lets several producers use a whole window, item by item.
async fn settle_all(window: u64) {
    for _ in 0..=window / 100 {
        settle().await;
    }
}

#[test]
fn items_of_each_producer_keep_their_order_across_threads() {
    const PRODUCERS: u64 = 4;
    const EACH: u64 = 5_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let system = System::builder("threads").build().unwrap();
        let mut probe = Probe::<SourceProtocol>::spawn(&system, "probe").await.unwrap();
        let mut stream = probe.actor().stream(Follow).window(7).open();
        let reader = task::spawn("reader", async move {
            let mut next = vec![0; 4];
            while let Some(item) = stream.next().await {
                let Heard::Item { number: producer, item } = item.unwrap() else { panic!("no gap was sent") };
                let next = &mut next[usize::try_from(producer).unwrap()];
                assert_eq!(item, *next, "of producer {producer}");
                *next += 1;
            }
            next
        });
        let sink = probe.expect_stream::<Follow>().await.unwrap().sink;
        let producers = (0..PRODUCERS).map(|number| {
            let sink = sink.clone();
            task::spawn("producer", async move {
                for item in 0..EACH {
                    sink.send(Heard::Item { number, item }).await.unwrap();
                }
            })
        });
        futures_util::future::join_all(producers).await;
        sink.finish();
        assert_eq!(reader.await.unwrap(), [EACH; 4]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn dropping_the_reader_ends_the_producers_jobs_and_all_they_asked_for() {
    testkit::run(5, |system| async move {
        let (source, far) = (Source::default(), Journal::default());
        let noted = far.clone();
        let counter = system.spawn("far", move || Counter::noting(&noted)).await.unwrap();
        let actor = source.start(&system, "source").await;
        let mut stream = actor.stream(Family(counter)).open();
        assert!(futures_util::poll!(stream.next()).is_pending());
        settle().await;
        assert_eq!((jobs(&system, "source"), source.journal.read().len()), (1, 0), "it runs");
        drop(stream);
        settle().await;
        assert_eq!(source.journal.read(), ["ended", "ended"], "parent and child");
        assert_eq!(far.read(), ["cancelled"], "the actor it asked");
        assert_eq!(jobs(&system, "source"), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn dropping_the_reader_ends_every_producer_that_waits_for_credit() {
    testkit::run(5, |system| async move {
        let source = Source::default();
        let actor = source.start(&system, "source").await;
        let mut stream = actor.stream(Produce { jobs: 3, limit: 1_000 }).window(2).open();
        source.read(&mut stream, 5).await;
        settle().await;
        assert!(source.journal.read().is_empty());
        drop(stream);
        settle().await;
        assert_eq!(source.journal.read(), ["ended"; 3]);
        assert_eq!((jobs(&system, "source"), source.count().0), (0, 7));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn the_end_comes_after_all_items_whatever_it_is() {
    testkit::run(5, |system| async move {
        testkit::quiet_panics();
        let actor = Source::default().start(&system, "source").await;
        for (end, code) in [
            (End::Finish, None),
            (End::FinishAndStay, None),
            (End::Fail, Some(Code::NotFound)),
            (End::ReturnError, Some(Code::NotFound)),
            (End::Drop, Some(Code::UnknownOutcome)),
            (End::Panic, Some(Code::UnknownOutcome)),
        ] {
            let started = time::now();
            let mut stream = actor.stream(Then(5, end)).window(8).open();
            assert_eq!(stream.next().await.unwrap().unwrap(), 1);
            settle().await;
            let rest: Vec<_> = stream.map(|item| item.map_err(|error| error.code())).collect().await;
            let expected: Vec<_> = (2..=5).map(Ok).chain(code.map(Err)).collect();
            assert_eq!(rest, expected, "{end:?}");
            assert!(time::now() - started < Duration::from_secs(5), "{end:?} is seen at once");
            time::sleep(Duration::from_secs(120)).await;
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_parents_cancellation_ends_both_sides_whoever_waits() {
    testkit::run(5, |system| async move {
        for window in [1, 8] {
            let source = Source::default();
            let name = format!("source-{window}");
            let actor = source.start(&system, &name).await;
            let call = CallContext::new();
            let produce = Produce { jobs: 1, limit: 1_000 };
            let mut stream = actor.stream(produce).window(window).with_context(&call).open();
            source.read(&mut stream, 3).await;
            settle().await;
            call.cancel_token().cancel();
            settle().await;
            assert_eq!((source.journal.read().len(), jobs(&system, &name)), (1, 0), "without a look of the reader");
            let rest: Vec<_> = stream.map(|item| item.map_err(|error| error.code())).collect().await;
            assert_eq!(rest.len(), window + 1, "what was sent, and the end");
            assert_eq!(rest.last(), Some(&Err(Code::Cancelled)));
        }
        // And the side that waits is the reader.
        let mut probe = Probe::<SourceProtocol>::spawn(&system, "probe").await.unwrap();
        let call = CallContext::new();
        let mut stream = probe.actor().stream(Produce { jobs: 0, limit: 0 }).with_context(&call).open();
        let reader = task::spawn("reader", async move { stream.next().await.unwrap() });
        let sink = probe.expect_stream::<Produce>().await.unwrap().sink;
        call.cancel_token().cancel();
        assert_eq!(reader.await.unwrap().unwrap_err().code(), Code::Cancelled);
        sink.closed().await;
        assert!(sink.send(1).await.unwrap_err().is_cancelled() && sink.try_send(1).unwrap_err().is_cancelled());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_deadline_ends_a_stream_that_is_never_silent() {
    testkit::run(5, |system| async move {
        let source = Source::default();
        let actor = source.start(&system, "source").await;
        let started = time::now();
        let produce = Produce { jobs: 1, limit: 1_000 };
        let mut stream = actor.stream(produce).window(4).within(Duration::from_secs(1)).open();
        let mut items = 0;
        let last = loop {
            match stream.next().await.unwrap() {
                Ok(_) => items += 1,
                Err(error) => break error,
            }
            time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!((last.code(), last.get("message")), (Code::Timeout, Some("source.produce")));
        assert!(stream.next().await.is_none());
        assert!((100..=105).contains(&items), "{items} items in a second, and the window");
        assert!(time::now() - started <= Duration::from_millis(1_050));
        settle().await;
        assert_eq!((source.journal.read().len(), jobs(&system, "source")), (1, 0));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_stream_is_passed_on_with_its_end_and_dropped_with_its_reader() {
    testkit::run(5, |system| async move {
        let source = Source::default();
        let actor = source.start(&system, "source").await;
        let mut probe = Probe::<SourceProtocol>::spawn(&system, "probe").await.unwrap();
        for (end, code) in [(End::Finish, None), (End::Fail, Some(Code::NotFound))] {
            let stream = probe.actor().stream(Produce { jobs: 0, limit: 0 }).window(1).open();
            let reader =
                task::spawn("reader", stream.map(|item| item.map_err(|error| error.code())).collect::<Vec<_>>());
            let sink = probe.expect_stream::<Produce>().await.unwrap().sink;
            sink.send_all(actor.stream(Then(9, end)).open()).await.unwrap();
            let expected: Vec<_> = (1..=9).map(Ok).chain(code.map(Err)).collect();
            assert_eq!(reader.await.unwrap(), expected);
        }
        let mut stream = probe.actor().stream(Produce { jobs: 0, limit: 0 }).open();
        assert!(futures_util::poll!(stream.next()).is_pending());
        let sink = probe.expect_stream::<Produce>().await.unwrap().sink;
        let far = system.spawn("far", Counter::default).await.unwrap();
        let passing = task::spawn("passing", sink.send_all(actor.stream(Family(far)).open()));
        settle().await;
        assert_eq!(jobs(&system, "source"), 1);
        drop(stream);
        assert!(passing.await.unwrap().unwrap_err().is_cancelled());
        settle().await;
        assert_eq!(jobs(&system, "source"), 0, "although it was silent");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_end_of_one_producer_ends_the_stream_for_all() {
    testkit::run(5, |system| async move {
        let mut probe = Probe::<SourceProtocol>::spawn(&system, "probe").await.unwrap();
        let mut stream = probe.actor().stream(Produce { jobs: 0, limit: 0 }).window(1).open();
        assert!(futures_util::poll!(stream.next()).is_pending());
        let sink = probe.expect_stream::<Produce>().await.unwrap().sink;
        let other = sink.clone();
        assert_eq!(sink.credit(), 1);
        sink.try_send(1).unwrap();
        assert_eq!((sink.credit(), sink.try_send(2).unwrap_err().code()), (0, Code::Overloaded));
        let waits = task::spawn("producer", async move { (other.send(2).await, other.is_closed()) });
        settle().await;
        sink.fail(Error::conflict("it is enough"));
        let (sent, is_closed) = waits.await.unwrap();
        assert!(sent.unwrap_err().is_cancelled() && is_closed);
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        assert_eq!(stream.next().await.unwrap().unwrap_err().code(), Code::Conflict);
        system.shutdown(GRACE).await.unwrap();
    });
}
