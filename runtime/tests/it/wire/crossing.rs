//! A reference to an actor of another node works as any other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use beluga_core::{CallContext, MessageId, RequestId, TenantId, TraceContext};
use beluga_runtime::wire::frame::Frame;
use beluga_runtime::{FamilyOptions, Recipient, time};

use super::actors::*;
use crate::fixture::settle;

#[test]
fn an_actor_of_another_node_is_told_and_asked() {
    crossing(|pair| async move {
        pair.meter.tell(Add(2)).await.unwrap();
        assert_eq!(pair.meter.ask(Add(3)).await.unwrap(), 5);
        pair.meter.try_tell(Add(4)).unwrap();
        pair.meter.tell_batch(vec![Add(5), Add(6)]).await.unwrap();
        let recipient: Recipient<Add> = pair.meter.recipient();
        assert_eq!(recipient.ask(Add(7)).await.unwrap(), 27);
        assert_eq!(pair.journal.read(), ["2", "3", "4", "5", "6", "7"]);
        assert_eq!((pair.meter.name(), pair.meter.kind()), ("meter@second", "meter"));
        assert!(pair.meter.active().is_none() && !pair.meter.is_gone());
    });
}

#[test]
fn tells_of_one_sender_arrive_in_the_order_in_which_they_were_sent() {
    crossing(|pair| async move {
        for n in 0..200 {
            if n % 3 == 0 {
                pair.meter.try_tell(Add(n)).unwrap();
            } else {
                pair.meter.tell(Add(n)).await.unwrap();
            }
        }
        pair.meter.ask(Add(0)).await.unwrap();
        let expected: Vec<String> = (0..200).chain([0]).map(|n: u64| n.to_string()).collect();
        assert_eq!(pair.journal.read(), expected);
        let calls = pair.second.seen.lock();
        let sequences = calls.iter().filter_map(|frame| match frame {
            Frame::Call(call) => Some(call.origin.sequence),
            _ => None,
        });
        assert!(sequences.eq(1..=201), "each has its number");
    });
}

#[test]
fn the_context_of_a_call_goes_along() {
    crossing(|pair| async move {
        let trace = TraceContext { trace_id: 0xabc, span_id: 0xdef, flags: 1 };
        let context = CallContext::new()
            .with_tenant(TenantId::parse("acme").unwrap())
            .with_tier("gold")
            .with_principal("user %7\n")
            .with_request_id(RequestId::parse("r-1").unwrap())
            .with_trace(trace)
            .with_message(MessageId(0xfeed))
            .with_idempotency_key("once")
            .with_timeout(time::now(), Duration::from_secs(9))
            .child()
            .with_message(MessageId(0xfeed))
            .with_idempotency_key("once");
        let far = pair.meter.ask(Who).with_context(&context).await.unwrap();
        let local = pair.near.spawn("meter", Meter::default).await.unwrap();
        let near = local.ask(Who).with_context(&context).await.unwrap();
        assert_eq!(far, near, "as if it were here");
        assert_eq!((far.remaining_ms, far.hops), (Some(9_000), 2));
        assert_eq!(far.principal.as_deref(), Some("user %7\n"));
        let alone = pair.meter.ask(Who).await.unwrap();
        assert_eq!((alone.tenant.as_str(), alone.remaining_ms), ("default", Some(30_000)));
        assert!(alone.message.is_some(), "a call between nodes always has an id");
    });
}

#[test]
fn a_question_is_passed_on_to_another_node_and_holds_nobody_up() {
    crossing(|pair| async move {
        let meter = pair.meter.clone();
        let desk = pair.near.spawn("desk", move || Desk(meter.clone())).await.unwrap();
        assert_eq!(desk.ask(Add(3)).await.unwrap(), 3);
        let waiting = desk.ask(Wait(60_000)).within(Duration::from_secs(10));
        let (waited, passed) = tokio::join!(waiting, async {
            settle().await;
            let before = time::now();
            desk.tell(Add(1)).await.unwrap();
            settle().await;
            let desk = desk.address().unwrap().snapshot(beluga_runtime::TreeBounds::default());
            assert_eq!(desk.handled, 3, "the desk is free although the meter waits");
            time::now() - before
        });
        assert_eq!(waited.unwrap_err().code(), beluga_core::Code::Timeout);
        assert_eq!(passed, Duration::ZERO);
        settle().await;
        assert_eq!(pair.journal.read(), ["3", "waits", "cancelled", "1"]);
        let numbers: Vec<u64> =
            futures_util::TryStreamExt::try_collect(desk.stream(Count { to: 3, fails: false }).open()).await.unwrap();
        assert_eq!(numbers, [1, 2, 3]);
    });
}

#[test]
fn a_virtual_actor_is_activated_by_another_nodes_call() {
    crossing(|pair| async move {
        let supervisor = pair.far.spawn("meters", || Root).await.unwrap().address().unwrap();
        let meters = Arc::new(Meters { supervisor, journal: pair.journal.clone() });
        let family = pair.far.family::<MeterProtocol>("meter", FamilyOptions::default());
        let served = family.clone();
        pair.far
            .serve("meter", move |tenant, key| Ok(served.resolve(format!("{tenant}.{key}"), meters.clone())))
            .unwrap();
        let a = pair.near.remote::<MeterProtocol>("meter", keyed("a"), pair.first.egress());
        let b = pair.near.remote::<MeterProtocol>("meter", keyed("b"), pair.first.egress());
        assert!(family.is_empty());
        assert_eq!(a.ask(Add(1)).await.unwrap(), 1);
        assert_eq!(b.ask(Add(10)).await.unwrap(), 10);
        assert_eq!(a.ask(Add(1)).await.unwrap(), 2);
        assert_eq!(family.active(), ["acme.a".into(), "acme.b".into()] as [Arc<str>; 2]);
    });
}

#[test]
fn a_key_that_is_served_here_is_spoken_to_without_bytes() {
    crossing(|pair| async move {
        let local = pair.near.spawn("own", Meter::default).await.unwrap();
        pair.near.serve("meter", move |_, _| Ok(local.clone())).unwrap();
        let far = pair.far.get::<MeterProtocol>("meter").unwrap();
        pair.far.serve("meter", move |_, _| Ok(far.clone())).unwrap();
        let meter = pair.near.remote::<MeterProtocol>("meter", keyed("a"), pair.first.egress());
        pair.first.owns_keys.store(true, Ordering::Relaxed);
        meter.tell(Add(1)).await.unwrap();
        assert_eq!(meter.ask(Add(2)).await.unwrap(), 3);
        meter.try_tell(Add(3)).unwrap();
        assert_eq!(meter.active().unwrap().name(), "own");
        assert_eq!(pair.second.count(|_| true), 0, "nothing crossed");
        pair.first.owns_keys.store(false, Ordering::Relaxed);
        assert_eq!(meter.ask(Add(100)).await.unwrap(), 100, "it moved, and the reference with it");
        assert_eq!(meter.active(), None);
    });
}
