//! What is let in: by name, by kind, in which codec, and what a stranger may send.

use std::sync::Arc;

use beluga_core::{CallContext, Code, Result};
use beluga_runtime::wire::{Answer, Codec, Manner, Target, WireCall};
use beluga_runtime::{DeadReason, System, testkit};
use bytes::Bytes;
use futures_util::StreamExt;
use proptest::prelude::*;

use super::actors::*;
use crate::fixture::GRACE;

fn call(message: &'static str, codec: Codec, payload: impl Into<Bytes>) -> WireCall {
    WireCall {
        target: Arc::new(named("meter")),
        manner: Manner::Ask,
        message: message.into(),
        version: 1,
        codec,
        payload: payload.into(),
        context: CallContext::new(),
        sender: 0,
    }
}

async fn ask(system: &System, call: WireCall) -> Result<Bytes> {
    match system.ingress().call(call).await? {
        Answer::Reply(reply) => reply.await,
        other => panic!("{other:?} is no reply"),
    }
}

async fn open(system: &System) {
    system.register::<Meter>().unwrap();
    system.register::<Meter>().unwrap();
    system.spawn("meter", Meter::default).await.unwrap();
}

#[test]
fn a_stranger_speaks_json_and_is_answered_in_json() {
    testkit::run(1, |far| async move {
        open(&far).await;
        assert_eq!(ask(&far, call("meter.add", Codec::Json, "3")).await.unwrap(), "3");
        let told = WireCall { manner: Manner::Tell, ..call("meter.add", Codec::Json, "4") };
        assert!(matches!(far.ingress().call(told).await.unwrap(), Answer::None));
        assert_eq!(ask(&far, call("meter.add", Codec::Json, " 1 ")).await.unwrap(), "8");
        let manner = Manner::Stream { credit: 4 };
        let counted = WireCall { manner, ..call("meter.count", Codec::Json, r#"{"to": 2, "fails": false}"#) };
        let Answer::Items(items) = far.ingress().call(counted).await.unwrap() else { panic!("it streams") };
        let items: Vec<Bytes> = items.map(Result::unwrap).collect().await;
        assert_eq!(items, ["1", "2"]);
        far.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn what_is_no_such_message_is_refused_before_it_reaches_the_actor() {
    testkit::run(1, |far| async move {
        open(&far).await;
        let code = async |call| ask(&far, call).await.unwrap_err().code();
        assert_eq!(code(call("meter.sub", Codec::Json, "3")).await, Code::Unsupported);
        assert_eq!(code(call("meter.add", Codec::Json, "\"three\"")).await, Code::Decode);
        assert_eq!(code(call("meter.add", Codec::Json, "3 4")).await, Code::Decode);
        assert_eq!(code(call("meter.add", Codec::Cbor, "")).await, Code::Decode);
        assert_eq!(code(call("meter.add", Codec::B2, "\x03")).await, Code::Unsupported, "it is not written in b2");
        let later = WireCall { version: 2, ..call("meter.add", Codec::Json, "3") };
        let error = ask(&far, later).await.unwrap_err();
        assert_eq!((error.code(), error.get("newest")), (Code::Unsupported, Some("1")));
        assert_eq!(
            code(WireCall { manner: Manner::Stream { credit: 1 }, ..call("meter.add", Codec::Json, "3") }).await,
            Code::Unsupported
        );
        assert_eq!(code(call("meter.count", Codec::Json, "{}")).await, Code::Unsupported);
        let key = Target::Key { tenant: "a/b".into(), kind: "meter".into(), key: "x".into() };
        let meter = far.get::<MeterProtocol>("meter").unwrap();
        far.serve("meter", move |_, _| Ok(meter.clone())).unwrap();
        assert_eq!(
            code(WireCall { target: key.into(), ..call("meter.add", Codec::Json, "3") }).await,
            Code::InvalidInput
        );
        assert_eq!(ask(&far, call("meter.add", Codec::Json, "0")).await.unwrap(), "0", "nothing reached it");
        far.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_kind_is_served_once() {
    testkit::run(1, |far| async move {
        open(&far).await;
        let meter = far.get::<MeterProtocol>("meter").unwrap();
        let other = meter.clone();
        far.serve("meter", move |_, _| Ok(meter.clone())).unwrap();
        let error = far.serve("meter", move |_, _| Ok(other.clone())).unwrap_err();
        assert_eq!(error.code(), Code::Conflict);
        let served = far.served();
        assert_eq!((served.len(), served[0].0, served[0].1.len()), (1, "meter", 6));
        far.shutdown(GRACE).await.unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_payloads_never_harm_the_actor(payload in proptest::collection::vec(any::<u8>(), 0..60), message in 0..6_usize) {
        testkit::quiet_panics();
        testkit::run(1, |far| async move {
            open(&far).await;
            let name = ["meter.add", "meter.who", "meter.fail", "meter.wait", "meter.count", "meter.none"][message];
            for codec in Codec::ALL {
                for manner in [Manner::Tell, Manner::Ask, Manner::Stream { credit: 1 }] {
                    let context = CallContext::new().with_timeout(beluga_runtime::time::now(), GRACE);
                    let call = WireCall { manner, context, ..call(name, codec, payload.clone()) };
                    if let Ok(Answer::Reply(reply)) = far.ingress().call(call).await {
                        drop(reply.await);
                    }
                }
            }
            assert_eq!(far.dead_letters().count(DeadReason::Panicked), 0);
            far.shutdown(GRACE).await.unwrap();
            });
    }
}
