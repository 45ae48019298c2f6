//! Streams between actors: credit holds the producer back, both sides learn the end of the other, and nothing outlives
//! its reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beluga_core::{BoxStream, CallContext, Code, Error, Result};
use beluga_runtime::stream::{Broadcast, FAN_OUT_BUFFER, Heard, buffered, collect, fan_out, filter, map, merge};
use beluga_runtime::testkit::{self, Probe};
use beluga_runtime::{
    Actor, Cx, Handler, Message, Ref, ReplyStream, STREAM_WINDOW, Sink, StreamHandler, System, protocol, task, time,
};
use futures_util::{FutureExt, StreamExt};

use crate::fixture::*;

/// Counts from 1 in so many jobs at a time, each up to the limit.
#[derive(Message)]
#[message(name = "source.produce", stream = u64)]
struct Produce {
    jobs: usize,
    limit: u64,
}

/// Sends as many items as it is told and then ends.
#[derive(Message)]
#[message(name = "source.then", stream = u64)]
struct Then(u64, End);

#[derive(Debug, Clone, Copy)]
enum End {
    Finish,
    /// Finishes and does not return for long.
    FinishAndStay,
    Fail,
    ReturnError,
    Drop,
    Panic,
}

/// Starts a job that asks and has a job of its own, and sends nothing.
#[derive(Message)]
#[message(name = "source.family", stream = u64)]
struct Family(Ref<CounterProtocol>);

/// Follows the broadcast.
#[derive(Message)]
#[message(name = "source.follow", stream = Heard<u64>)]
struct Follow;

/// Says so many items to all who follow.
#[derive(Message)]
#[message(name = "source.say", reply = usize)]
struct Say(u64);

protocol!(SourceProtocol: Say; stream Produce, Then, Family, Follow);

#[derive(Clone, Default)]
struct Source {
    journal: Journal,
    sent: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
    /// The most items sent and not read at any moment.
    ahead: Arc<AtomicU64>,
    news: Broadcast<u64>,
}

impl Source {
    async fn start(&self, system: &System, name: &str) -> Ref<SourceProtocol> {
        let own = self.clone();
        system.spawn(name, move || own.clone()).await.unwrap()
    }

    fn count(&self) -> (u64, u64) {
        (self.sent.load(Ordering::SeqCst), self.read.load(Ordering::SeqCst))
    }

    async fn read(&self, stream: &mut ReplyStream<u64>, items: u64) {
        for _ in 0..items {
            stream.next().await.unwrap().unwrap();
            self.read.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Actor for Source {
    type Protocol = SourceProtocol;
    const KIND: &'static str = "source";
}

impl StreamHandler<Produce> for Source {
    async fn handle(&mut self, Produce { jobs, limit }: Produce, sink: Sink<u64>, cx: &mut Cx<Self>) -> Result<()> {
        let own = self.clone();
        drop(cx.job("produce", "produce", cx.context(), move |job| async move {
            let each = (0..jobs).map(|number| {
                let (sink, own) = (sink.clone(), own.clone());
                job.job("produce", number.to_string(), job.context(), move |_| async move {
                    let _ended = Ended(own.journal.clone());
                    for item in 1..=limit {
                        sink.send(item).await?;
                        let sent = own.sent.fetch_add(1, Ordering::SeqCst) + 1;
                        own.ahead.fetch_max(sent - own.read.load(Ordering::SeqCst), Ordering::SeqCst);
                    }
                    Ok(())
                })
            });
            for ended in futures_util::future::join_all(each).await {
                ended?;
            }
            sink.finish();
            Ok(())
        }));
        Ok(())
    }
}

impl StreamHandler<Then> for Source {
    async fn handle(&mut self, Then(items, end): Then, sink: Sink<u64>, cx: &mut Cx<Self>) -> Result<()> {
        for item in 1..=items {
            sink.send(item).await?;
        }
        match end {
            End::Finish => sink.finish(),
            End::FinishAndStay => {
                sink.finish();
                cx.sleep(Duration::from_secs(60)).await?;
            }
            End::Fail => sink.fail(Error::not_found("no more")),
            End::ReturnError => return Err(Error::not_found("no more")),
            End::Drop => {}
            End::Panic => panic!("on purpose"),
        }
        Ok(())
    }
}

impl StreamHandler<Family> for Source {
    async fn handle(&mut self, Family(far): Family, sink: Sink<u64>, cx: &mut Cx<Self>) -> Result<()> {
        let journal = self.journal.clone();
        drop(cx.job("parent", "parent", cx.context(), move |job| async move {
            let (_ended, _sink) = (Ended(journal.clone()), sink);
            let child = job.job("child", "child", job.context(), move |_| async move {
                let _ended = Ended(journal);
                std::future::pending::<Result<()>>().await
            });
            far.ask(Wait(Duration::from_secs(600)))
                .with_context(job.context())
                .within(Duration::from_secs(900))
                .await?;
            child.await
        }));
        Ok(())
    }
}

impl StreamHandler<Follow> for Source {
    async fn handle(&mut self, _: Follow, sink: Sink<Heard<u64>>, cx: &mut Cx<Self>) -> Result<()> {
        let news = self.news.subscribe();
        drop(cx.job("follow", "follow", cx.context(), move |_| sink.send_all(news)));
        Ok(())
    }
}

impl Handler<Say> for Source {
    async fn handle(&mut self, Say(items): Say, _cx: &mut Cx<Self>) -> Result<usize> {
        for _ in 0..items {
            self.news.send(self.news.last() + 1)?;
        }
        Ok(self.news.readers())
    }
}

/// How many jobs the actor has.
fn jobs(system: &System, name: &str) -> usize {
    system.snapshot().unwrap().find(name).unwrap().children.len()
}

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
        let produce = Produce { jobs: 1, limit: u64::MAX };
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
