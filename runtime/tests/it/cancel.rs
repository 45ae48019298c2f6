//! Cancellation reaches everything done on behalf of a call, and nothing else.

use std::time::Duration;

use beluga_core::{CallContext, Code};
use beluga_runtime::task;
use beluga_runtime::testkit;
use beluga_runtime::{Spec, time};

use crate::fixture::*;

#[test]
fn a_cancelled_ask_cancels_its_children() {
    testkit::run(3, |system| async move {
        let journal = Journal::default();
        let (outer, inner) = (journal.clone(), journal.clone());
        let far = system.spawn("far", move || Counter::noting(&inner)).await.unwrap();
        let near = system.spawn("near", move || Relay { to: far.clone(), journal: outer.clone() }).await.unwrap();
        let asked = time::timeout(Duration::from_secs(1), near.ask(Forward(Duration::from_secs(60)))).await;
        assert!(asked.is_err(), "the ask was dropped while it waited");
        settle().await;
        assert_eq!(journal.read(), ["cancelled", "relay cancelled"], "two hops away");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_cancelled_ask_ends_its_jobs() {
    testkit::run(3, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let counter = system.spawn("counter", move || Counter::noting(&own)).await.unwrap();
        let call = CallContext::new();
        let ask = counter.ask(Work(Duration::from_secs(60))).with_context(&call).within(Duration::from_secs(90));
        let asked = task::spawn("test", ask);
        settle().await;
        let tree = system.snapshot().unwrap();
        let job = tree.find("counter/work").unwrap();
        assert_eq!((job.kind.as_str(), job.supervisor.as_deref()), ("work", Some("counter")));
        assert_eq!(counter.ask(Add(1)).await.unwrap(), 1, "the mailbox is not blocked");
        call.cancel_token().cancel();
        assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::Cancelled);
        settle().await;
        assert_eq!(journal.read(), ["1", "ended"], "it did not work to its end");
        assert!(system.snapshot().unwrap().find("counter/work").is_none());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_handler_that_ignores_its_cancellation_costs_the_incarnation() {
    testkit::run(3, |system| async move {
        for (name, safe) in [("stubborn", false), ("safe", true)] {
            let mut spec = Spec::new(name, || Stubborn { handled: 0 }).cancel_grace(Duration::from_secs(2));
            if safe {
                spec = spec.cancel_safe();
            }
            let actor = system.spawn_with(spec).await.unwrap();
            assert_eq!(actor.ask(Tick).await.unwrap(), 1);
            let stuck = actor.ask(Hang).within(Duration::from_secs(1)).await.unwrap_err();
            assert_eq!(stuck.code(), Code::Timeout);
            let expected = if safe { 2 } else { 1 };
            assert_eq!(actor.ask(Tick).await.unwrap(), expected, "{name}");
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_expired_call_starts_nothing() {
    testkit::run(3, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let call = CallContext::new().with_timeout(time::now(), Duration::ZERO);
        assert_eq!(counter.ask(Add(1)).with_context(&call).await.unwrap_err().code(), Code::Timeout);
        assert_eq!(counter.ask(Total).await.unwrap(), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_circle_of_asks_ends_with_a_typed_error() {
    testkit::run(3, |system| async move {
        let circle = system.spawn("circle", || Circle).await.unwrap();
        let started = time::now();
        let error = circle.ask(Round).within(Duration::from_secs(2)).await.unwrap_err();
        assert_eq!(error.code(), Code::Timeout, "an actor that asks itself waits for itself");
        assert_eq!(time::now() - started, Duration::from_secs(2));
        system.shutdown(GRACE).await.unwrap();
    });
}
