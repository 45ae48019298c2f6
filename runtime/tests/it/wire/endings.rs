//! How a call between nodes ends other than well.

use std::time::Duration;

use beluga_core::{CallContext, Code, Retry};
use beluga_runtime::wire::Target;
use beluga_runtime::wire::frame::Frame;
use beluga_runtime::{Lane, Overflow, Spec, task, testkit, time};

use super::actors::*;
use crate::fixture::settle;

#[test]
fn every_error_keeps_its_code_its_retry_class_and_its_place() {
    crossing(|pair| async move {
        for code in Code::ALL {
            let fail = Fail { code: code.as_str().to_owned(), after_ms: None };
            let error = pair.meter.ask(fail).await.unwrap_err();
            assert_eq!((error.code(), error.retry()), (*code, code.default_retry()));
            assert_eq!((error.message(), error.get("meter")), ("as told", Some("m-1")));
        }
        let fail = Fail { code: "rate_limit".to_owned(), after_ms: Some(1500) };
        let error = pair.meter.ask(fail).await.unwrap_err();
        assert_eq!(error.retry(), Retry::After(Duration::from_millis(1500)));
    });
}

#[test]
fn a_panic_elsewhere_leaves_the_outcome_unknown_and_the_actor_alive() {
    testkit::quiet_panics();
    crossing(|pair| async move {
        pair.meter.ask(Add(3)).await.unwrap();
        let error = pair.meter.ask(Explode).await.unwrap_err();
        assert_eq!((error.code(), error.retry()), (Code::UnknownOutcome, Retry::Never));
        assert_eq!(pair.meter.ask(Add(1)).await.unwrap(), 1, "its next incarnation");
    });
}

#[test]
fn a_caller_that_leaves_cancels_the_handler_elsewhere() {
    crossing(|pair| async move {
        let meter = pair.meter.clone();
        let asking = task::spawn("asking", async move { meter.ask(Wait(60_000)).await }).abort_on_drop();
        settle().await;
        assert_eq!(pair.journal.read(), ["waits"]);
        drop(asking);
        settle().await;
        assert_eq!(pair.journal.read(), ["waits", "cancelled"]);
        assert_eq!(pair.second.count(|frame| matches!(frame, Frame::Cancel(_))), 1);
    });
}

#[test]
fn a_cancelled_call_ends_on_both_nodes() {
    crossing(|pair| async move {
        let call = CallContext::new();
        let (outcome, ()) = tokio::join!(pair.meter.ask(Wait(60_000)).with_context(&call), async {
            settle().await;
            call.cancel_token().cancel();
        });
        assert_eq!(outcome.unwrap_err().code(), Code::Cancelled);
        settle().await;
        assert_eq!(pair.journal.read(), ["waits", "cancelled"]);
    });
}

#[test]
fn a_deadline_ends_a_call_on_both_nodes() {
    crossing(|pair| async move {
        let before = time::now();
        let error = pair.meter.ask(Wait(60_000)).within(Duration::from_secs(2)).await.unwrap_err();
        assert_eq!((error.code(), time::now() - before), (Code::Timeout, Duration::from_secs(2)));
        settle().await;
        assert_eq!(pair.journal.read(), ["waits", "cancelled"]);
    });
}

#[test]
fn a_call_that_is_over_before_it_is_sent_never_crosses() {
    crossing(|pair| async move {
        let over = CallContext::new();
        over.cancel_token().cancel();
        assert_eq!(pair.meter.ask(Add(1)).with_context(&over).await.unwrap_err().code(), Code::Cancelled);
        assert_eq!(pair.meter.tell_with(Add(1), &over).await.unwrap_err().code(), Code::Cancelled);
        let late = CallContext::new().with_deadline(time::now());
        assert_eq!(pair.meter.tell_with(Add(1), &late).await.unwrap_err().code(), Code::Timeout);
        assert_eq!(pair.second.count(|_| true), 0);
    });
}

#[test]
fn a_refusal_says_that_nothing_was_executed() {
    crossing(|pair| async move {
        let near = &pair.near;
        let to = |name: &str| near.remote::<MeterProtocol>("meter", named(name), pair.first.egress());
        assert_eq!(to("nobody").ask(Add(1)).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(to("nobody").tell(Add(1)).await.unwrap_err().code(), Code::NotFound);
        let error = futures_util::StreamExt::next(&mut to("nobody").stream(Count { to: 1, fails: false }).open()).await;
        assert_eq!(error.unwrap().unwrap_err().code(), Code::NotFound);
        pair.far.spawn("closed", || Root).await.unwrap();
        let error = to("closed").ask(Add(1)).await.unwrap_err();
        assert_eq!((error.code(), error.retry()), (Code::Unsupported, Retry::Never));
        let other = near.remote::<MeterProtocol>("meter", keyed("a"), pair.first.egress());
        assert_eq!(other.ask(Add(1)).await.unwrap_err().code(), Code::NotFound, "the kind is not served");
    });
}

#[test]
fn a_full_lane_elsewhere_answers_overloaded() {
    crossing(|pair| async move {
        let journal = pair.journal.clone();
        let spec = Spec::new("small", move || Meter::noting(&journal));
        let small = pair.far.spawn_with(spec).await.unwrap();
        small.address().unwrap().set_lane(Lane::Normal, 1, Overflow::Reject);
        let remote = pair.near.remote::<MeterProtocol>("meter", named("small"), pair.first.egress());
        let waiting = remote.ask(Wait(1_000));
        let (waited, refused) = tokio::join!(waiting, async {
            settle().await;
            remote.tell(Add(1)).await.unwrap();
            remote.ask(Add(2)).await.unwrap_err()
        });
        waited.unwrap();
        assert_eq!((refused.code(), refused.get("lane")), (Code::Overloaded, Some("normal")));
        settle().await;
        assert_eq!(pair.journal.read(), ["waits", "waited", "1"]);
    });
}

#[test]
fn an_actor_that_is_gone_says_so_and_a_slot_is_not_its_successor() {
    crossing(|pair| async move {
        let old = pair.far.get::<MeterProtocol>("meter").unwrap().address().unwrap();
        let exactly = Target::Named { node: "second".into(), name: "meter".into(), slot: old.id() };
        let exactly = pair.near.remote::<MeterProtocol>("meter", exactly, pair.first.egress());
        assert_eq!(exactly.ask(Add(1)).await.unwrap(), 1);
        old.stop();
        old.gone().await;
        pair.far.spawn("meter", Meter::default).await.unwrap();
        assert_eq!(pair.meter.ask(Add(5)).await.unwrap(), 5, "whoever has the name");
        assert_eq!(exactly.ask(Add(1)).await.unwrap_err().code(), Code::NotFound);
    });
}
