//! Ways to reach an actor besides tell and ask: recipients, questions passed on, batches, lanes that shed.

use std::time::Duration;

use beluga_core::{CallContext, Code, Error, Result, Retry};
use beluga_runtime::{
    Actor, BATCH_MAX, Cx, DeadReason, DeferredHandler, Handler, Lane, Message, Overflow, Recipient, Ref, ReplyPort,
    Sink, Spec, StreamHandler, protocol, task, testkit, time,
};
use futures_util::StreamExt;

use crate::fixture::*;

/// Gives every question on to another actor of its kind, or to the counter at the end.
struct Clerk {
    next: Option<Ref<CounterProtocol>>,
}

impl Actor for Clerk {
    type Protocol = ClerkProtocol;
    const KIND: &'static str = "clerk";
}

protocol!(ClerkProtocol: Total, Wait; stream Count);

impl DeferredHandler<Total> for Clerk {
    async fn handle(&mut self, message: Total, reply: ReplyPort<u64>, _cx: &mut Cx<Self>) {
        if let Some(next) = &self.next {
            next.forward(message, reply).await;
        }
    }
}

impl DeferredHandler<Wait> for Clerk {
    async fn handle(&mut self, message: Wait, reply: ReplyPort<()>, _cx: &mut Cx<Self>) {
        if let Some(next) = &self.next {
            next.forward(message, reply).await;
        }
    }
}

impl StreamHandler<Count> for Clerk {
    async fn handle(&mut self, message: Count, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        match &self.next {
            Some(next) => next.forward_stream(message, sink).await,
            None => sink.finish(),
        }
        Ok(())
    }
}

#[test]
fn recipients_of_different_actors_stand_in_one_list() {
    testkit::run(5, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let clerk = system
            .spawn("clerk", {
                let next = counter.clone();
                move || Clerk { next: Some(next.clone()) }
            })
            .await
            .unwrap();
        counter.tell(Add(7)).await.unwrap();
        let recipients: Vec<Recipient<Total>> = vec![counter.recipient(), (&clerk).into()];
        for recipient in &recipients {
            assert_eq!(recipient.ask(Total).await.unwrap(), 7, "{recipient:?}");
            assert!(recipient.active().is_some());
        }
        let call = CallContext::new();
        call.cancel_token().cancel();
        recipients[0].tell_with(Total, &call).await.unwrap();
        recipients[0].try_tell(Total).unwrap();
        settle().await;
        assert_eq!(system.dead_letters().count(DeadReason::Expired), 1, "the one of the cancelled call");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_question_passed_on_is_answered_to_whoever_asked_and_dies_with_the_caller() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let counter = system.spawn("counter", move || Counter::noting(&own)).await.unwrap();
        let clerk = system
            .spawn("clerk", {
                let next = counter.clone();
                move || Clerk { next: Some(next.clone()) }
            })
            .await
            .unwrap();
        counter.tell(Add(3)).await.unwrap();
        assert_eq!(clerk.ask(Total).await.unwrap(), 3);
        let items: Vec<_> = clerk.stream(Count(3)).open().map(Result::unwrap).collect().await;
        assert_eq!(items, [1, 2, 3]);
        journal.clear();
        let asked = time::timeout(Duration::from_secs(1), clerk.ask(Wait(Duration::from_secs(60)))).await;
        assert!(asked.is_err());
        settle().await;
        assert_eq!(journal.read(), ["cancelled"], "the far handler learns that the caller left");
        let late = clerk.ask(Wait(Duration::from_secs(60))).within(Duration::from_secs(2)).await.unwrap_err();
        assert_eq!(late.code(), Code::Timeout, "the deadline goes along");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_question_that_cannot_be_passed_on_is_refused_to_the_caller() {
    testkit::run(5, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let clerk = system
            .spawn("clerk", {
                let next = counter.clone();
                move || Clerk { next: Some(next.clone()) }
            })
            .await
            .unwrap();
        counter.stop();
        counter.address().unwrap().gone().await;
        assert_eq!(clerk.ask(Total).await.unwrap_err().code(), Code::NotSent);
        let mut items = clerk.stream(Count(3)).open();
        assert_eq!(items.next().await.unwrap().unwrap_err().code(), Code::NotSent);
        system.shutdown(GRACE).await.unwrap();
    });
}

/// Passes every question on to itself.
struct Lazy;

protocol!(LazyProtocol: Total);

impl Actor for Lazy {
    type Protocol = LazyProtocol;
    const KIND: &'static str = "lazy";
}

impl DeferredHandler<Total> for Lazy {
    async fn handle(&mut self, message: Total, reply: ReplyPort<u64>, cx: &mut Cx<Self>) {
        cx.myself().forward(message, reply).await;
    }
}

#[test]
fn a_question_that_is_passed_on_in_a_circle_comes_back_as_an_error() {
    testkit::run(5, |system| async move {
        let lazy = system.spawn("lazy", || Lazy).await.unwrap();
        let error = lazy.ask(Total).await.unwrap_err();
        assert_eq!((error.code(), error.get("message")), (Code::Overloaded, Some("counter.total")));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[derive(Message)]
#[message(name = "list.push")]
struct Push(i64);

#[derive(Message)]
#[message(name = "list.read", reply = Vec<i64>)]
struct Read;

protocol!(ListProtocol: Push, Read);

/// Writes what it gets into a list of the test; panics at 13, waits at a negative number, stops at 99.
struct List(std::sync::Arc<parking_lot::Mutex<Vec<i64>>>);

impl Actor for List {
    type Protocol = ListProtocol;
    const KIND: &'static str = "list";
}

impl Handler<Push> for List {
    async fn handle(&mut self, Push(n): Push, cx: &mut Cx<Self>) -> Result<()> {
        assert_ne!(n, 13, "thirteen");
        if n < 0 {
            time::sleep(Duration::from_secs(n.unsigned_abs())).await;
        }
        if n == 99 {
            cx.stop();
        }
        self.0.lock().push(n);
        Ok(())
    }
}

impl Handler<Read> for List {
    async fn handle(&mut self, _: Read, _cx: &mut Cx<Self>) -> Result<Vec<i64>> {
        Ok(self.0.lock().clone())
    }
}

async fn list(system: &beluga_runtime::System) -> Ref<ListProtocol> {
    let written = std::sync::Arc::default();
    system.spawn("list", move || List(std::sync::Arc::clone(&written))).await.unwrap()
}

fn pushes(numbers: impl IntoIterator<Item = i64>) -> Vec<Push> {
    numbers.into_iter().map(Push).collect()
}

#[test]
fn a_batch_arrives_in_order_and_counts_each_message() {
    testkit::run(5, |system| async move {
        let list = list(&system).await;
        list.tell(Push(1)).await.unwrap();
        list.tell_batch(pushes((2..=100).filter(|n| ![13, 99].contains(n)))).await.unwrap();
        list.tell(Push(101)).await.unwrap();
        list.tell_batch(Vec::<Push>::new()).await.unwrap();
        let read = list.ask(Read).await.unwrap();
        assert_eq!(read, (1..=98).chain([100, 101]).filter(|n| *n != 13).collect::<Vec<i64>>());
        assert_eq!(system.snapshot().unwrap().find("list").unwrap().handled, 100);
        let error = list.tell_batch(pushes(0..=i64::try_from(BATCH_MAX).unwrap())).await.unwrap_err();
        assert_eq!((error.code(), error.get("messages")), (Code::InvalidInput, Some("1025")));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_crash_in_a_batch_loses_exactly_its_message() {
    testkit::quiet_panics();
    testkit::run(5, |system| async move {
        let list = list(&system).await;
        list.tell_batch(pushes([1, 13, 2, 3, 13, 4])).await.unwrap();
        list.tell(Push(5)).await.unwrap();
        time::sleep(Duration::from_secs(10)).await;
        assert_eq!(list.ask(Read).await.unwrap(), [1, 2, 3, 4, 5], "the rest stands where the batch stood");
        assert_eq!(system.dead_letters().count(DeadReason::Panicked), 2);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_stop_and_a_kill_in_a_batch_keep_the_rest_for_the_next_incarnation() {
    testkit::run(5, |system| async move {
        let list = list(&system).await;
        list.tell_batch(pushes([1, 99, 2])).await.unwrap();
        assert_eq!(list.ask(Read).await.unwrap(), [1, 99, 2], "a permanent actor that stops itself is built anew");
        list.tell_batch(pushes([3, -60, 4, 5])).await.unwrap();
        settle().await;
        assert!(testkit::kill(&system, "list"));
        assert_eq!(list.ask(Read).await.unwrap(), [1, 99, 2, 3, 4, 5], "the one in hand is lost");
        assert_eq!(system.dead_letters().count(DeadReason::Abandoned), 1);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_batch_of_a_cancelled_call_never_runs() {
    testkit::run(5, |system| async move {
        let list = list(&system).await;
        let call = CallContext::new();
        list.tell(Push(-5)).await.unwrap();
        list.tell_batch_with(pushes([1, 2]), &call).await.unwrap();
        call.cancel_token().cancel();
        assert_eq!(list.ask(Read).await.unwrap(), [-5]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_lane_that_sheds_refuses_what_would_wait_for_too_long() {
    testkit::run(5, |system| async move {
        let after = Duration::from_secs(2);
        let spec = Spec::new("counter", Counter::default).lane(Lane::Normal, 100, Overflow::Shed { after });
        let counter = system.spawn_with(spec).await.unwrap();
        let busy = task::spawn("test", counter.ask(Wait(Duration::from_secs(5))));
        settle().await;
        counter.tell(Add(1)).await.unwrap();
        time::sleep(Duration::from_secs(1)).await;
        counter.tell(Add(1)).await.unwrap();
        time::sleep(Duration::from_secs(2)).await;
        let refused: Error = counter.tell(Add(1)).await.unwrap_err();
        assert_eq!((refused.code(), refused.retry()), (Code::Overloaded, Retry::After(after)));
        assert_eq!(counter.ask(Total).await.unwrap_err().code(), Code::Overloaded);
        busy.await.unwrap().unwrap();
        assert_eq!(counter.ask(Total).await.unwrap(), 2, "it takes messages again once it has caught up");
        system.shutdown(GRACE).await.unwrap();
    });
}
