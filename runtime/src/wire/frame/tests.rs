//! Every frame, there and back; the bytes of each; and bytes that are none.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{Code, Error, Retry, TraceContext};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = Arc<str>> {
    ".{0,20}".prop_map(Arc::from)
}

fn string() -> impl Strategy<Value = String> {
    ".{0,20}"
}

fn id() -> impl Strategy<Value = MessageId> {
    any::<u128>().prop_map(MessageId)
}

fn raw() -> impl Strategy<Value = Raw> {
    vec(any::<u8>(), 0..300).prop_map(|bytes| Raw(Bytes::from(bytes)))
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        raw().prop_map(Body::Inline),
        any::<u64>().prop_map(|size_bytes| Body::Chunked { size_bytes }),
        (string(), string(), any::<u64>(), any::<[u8; 32]>())
            .prop_map(|(bucket, key, size_bytes, sha256)| Body::Object { bucket, key, size_bytes, sha256 }),
    ]
}

fn retry() -> impl Strategy<Value = Retry> {
    prop_oneof![
        Just(Retry::Never),
        Just(Retry::Now),
        Just(Retry::Exhausted),
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Retry::After(Duration::new(secs, nanos))),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    let code = proptest::sample::select(Code::ALL).prop_map(|code| code.as_str().to_owned());
    let texts = (string(), string(), vec((string(), string()), 0..4), vec(string(), 0..3));
    (code, retry(), option::of(any::<u16>()), texts).prop_map(
        |(code, retry, status, (op, message, context, causes))| Failure {
            code,
            retry,
            op,
            message,
            context,
            status,
            causes,
        },
    )
}

fn fence() -> impl Strategy<Value = Option<Fence>> {
    option::of((any::<u64>(), any::<u64>()).prop_map(|(generation, revision)| Fence { generation, revision }))
}

pub(crate) fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        (text(), text(), text()).prop_map(|(tenant, kind, key)| Target::Key { tenant, kind, key }),
        (text(), text(), any::<u64>()).prop_map(|(node, name, slot)| Target::Named { node, name, slot }),
    ]
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![Just(Manner::Tell), Just(Manner::Ask), any::<u32>().prop_map(|credit| Manner::Stream { credit })]
}

fn caller() -> impl Strategy<Value = Caller> {
    (text(), option::of(text()), option::of(text()), option::of(text()))
        .prop_map(|(tenant, tier, principal, request)| Caller { tenant, tier, principal, request })
}

pub(crate) fn call() -> impl Strategy<Value = Call> {
    let origin = (text(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    let origin =
        origin.prop_map(|(node, epoch, actor, sequence, oldest)| Origin { node, epoch, actor, sequence, oldest });
    let trace =
        option::of((any::<u128>(), any::<u64>(), any::<u8>()).prop_map(|(trace_id, span_id, flags)| TraceContext {
            trace_id,
            span_id,
            flags,
        }));
    let message = (string(), any::<u16>(), any::<u8>(), body());
    let journey = (option::of(any::<u64>()), fence(), any::<u8>(), trace, option::of(text()), option::of(id()));
    (id(), origin, target(), manner(), message, journey, caller()).prop_map(
        |(id, origin, target, manner, (message, version, codec, body), journey, caller)| {
            let (deadline_ms, fence, hops, trace, idempotency_key, correlation) = journey;
            let message = message.into();
            Call {
                id,
                origin,
                target,
                manner,
                message,
                version,
                codec,
                body,
                deadline_ms,
                fence,
                hops,
                trace,
                caller,
                idempotency_key,
                correlation,
            }
        },
    )
}

fn frame() -> impl Strategy<Value = Frame> {
    let outcome = prop_oneof![body().prop_map(Outcome::Done), failure().prop_map(Outcome::Failed)];
    let owner = option::of((string(), any::<u64>()).prop_map(|(node, epoch)| Owner { node, epoch }));
    prop_oneof![
        3 => call().prop_map(|call| Frame::Call(Box::new(call))),
        1 => (id(), outcome).prop_map(|(of, outcome)| Frame::Reply(Reply { of, outcome })),
        1 => (id(), any::<u64>(), body()).prop_map(|(of, number, body)| Frame::Item(Item { of, number, body })),
        1 => (id(), any::<u32>()).prop_map(|(of, more)| Frame::Credit(Credit { of, more })),
        1 => (id(), any::<u64>(), option::of(failure()))
            .prop_map(|(of, items, failure)| Frame::End(End { of, items, failure })),
        1 => id().prop_map(|of| Frame::Cancel(Cancel { of })),
        1 => (id(), owner, fence()).prop_map(|(of, owner, fence)| Frame::Moved(Moved { of, owner, fence })),
        1 => id().prop_map(|of| Frame::Ack(Ack { of })),
        1 => (id(), any::<u64>(), any::<u64>(), raw())
            .prop_map(|(of, item, offset, bytes)| Frame::Chunk(Chunk { of, item, offset, bytes })),
    ]
}

proptest! {
    #[test]
    fn every_frame_survives_the_wire_alone_and_among_others(frames in vec(frame(), 1..8)) {
        let mut packet = Packet::new();
        for frame in &frames {
            prop_assert_eq!(&decode(&encode(frame).unwrap()).unwrap(), std::slice::from_ref(frame));
            prop_assert!(packet.push(frame).unwrap());
        }
        prop_assert_eq!(packet.len(), frames.len());
        prop_assert_eq!(decode(&packet.take()).unwrap(), frames);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_frame_cut_short_anywhere_is_refused(frame in frame()) {
        let bytes = encode(&frame).unwrap();
        for length in 0..bytes.len() {
            prop_assert_eq!(decode(&bytes[..length]).unwrap_err().code(), Code::Decode, "{} bytes", length);
        }
    }

}

proptest! {
    #[test]
    fn bytes_after_the_last_frame_are_a_frame_or_refused(frame in frame(), surplus in vec(any::<u8>(), 1..12)) {
        let bytes = encode(&frame).unwrap();
        if let Ok(frames) = decode(&[&bytes[..], &surplus].concat()) {
            prop_assert!(frames.len() > 1);
            prop_assert_eq!(&frames[0], &frame);
        }
    }

    #[test]
    fn a_changed_byte_is_a_frame_or_an_error_and_nothing_else(
        frame in frame(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encode(&frame).unwrap();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Err(error) = decode(&bytes) {
            prop_assert!(matches!(error.code(), Code::Decode | Code::Unsupported));
        }
    }

    #[test]
    fn random_bytes_are_frames_or_an_error_and_nothing_else(mut bytes in vec(any::<u8>(), 0..400), is_versioned: bool) {
        if is_versioned && let Some(first) = bytes.first_mut() {
            *first = FRAME_VERSION;
        }
        if let Err(error) = decode(&bytes) {
            prop_assert!(matches!(error.code(), Code::Decode | Code::Unsupported));
        }
    }

    #[test]
    fn an_error_keeps_its_code_and_its_retry_class(failure in failure()) {
        let error = Error::from(failure.clone());
        prop_assert_eq!(error.code().as_str(), &failure.code);
        prop_assert_eq!(error.retry(), failure.retry);
        let again = Failure::from(&error);
        prop_assert_eq!((again.op, again.message, again.context), (failure.op, failure.message, failure.context));
    }
}

fn full_call() -> Call {
    Call {
        id: MessageId(0x0192_0000_0000_7000_8000_0000_0000_0001),
        origin: Origin { node: "n1".into(), epoch: 300, actor: 5, sequence: 7, oldest: 6 },
        target: Target::Key { tenant: "acme".into(), kind: "counter".into(), key: "a".into() },
        manner: Manner::Stream { credit: 32 },
        message: "counter.add".into(),
        version: 2,
        codec: 1,
        body: Body::from(Bytes::from_static(b"\x03")),
        deadline_ms: Some(30_000),
        fence: Some(Fence { generation: 1, revision: 9 }),
        hops: 2,
        trace: Some(TraceContext { trace_id: 0xabc, span_id: 0xdef, flags: 1 }),
        caller: Caller {
            tenant: "acme".into(),
            tier: Some("gold".into()),
            principal: None,
            request: Some("r-1".into()),
        },
        idempotency_key: Some("k".into()),
        correlation: Some(MessageId(4)),
    }
}

fn hex(frame: &Frame) -> String {
    encode(frame).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A change here breaks a cluster in the middle of an upgrade: what is new is appended, or is another frame version.
#[test]
fn the_bytes_of_frames_never_change() {
    let of = MessageId(1);
    let failure = Failure {
        code: "overloaded".to_owned(),
        retry: Retry::After(Duration::from_millis(1500)),
        op: "actor.ask".to_owned(),
        message: "full".to_owned(),
        context: vec![("lane".to_owned(), "bulk".to_owned())],
        status: Some(429),
        causes: vec!["x".to_owned()],
    };
    let named = Target::Named { node: "n2".into(), name: "a/b".into(), slot: 9 };
    let told = Call { target: named, manner: Manner::Tell, ..full_call() };
    let golden = [
        (
            Frame::Call(Box::new(full_call())),
            "0100fe01000000000000800070000000009201026e31fb2c010507060004\
             61636d6507636f756e7465720161022\
             00b636f756e7465722e616464020100010301fb3075010109020\
             1fbbc0afbef0d01\
             0461636d650104676f6c64000103722d3101016b0104",
        ),
        (Frame::Reply(Reply { of, outcome: Outcome::Done(Body::Chunked { size_bytes: 9 }) }), "010101000109"),
        (
            Frame::Reply(Reply { of, outcome: Outcome::Failed(failure) }),
            "010101010a6f7665726c6f616465640201fc0065cd1d096163746f722e61736b0466756c6c01046c616e650462756c6b01fbad010101\
             78",
        ),
        (Frame::Item(Item { of, number: 3, body: Body::from(Bytes::from_static(b"hi")) }), "010201030002686 9"),
        (Frame::Credit(Credit { of, more: 16 }), "01030110"),
        (Frame::End(End { of, items: 3, failure: None }), "0104010300"),
        (Frame::Cancel(Cancel { of }), "010501"),
        (
            Frame::Moved(Moved {
                of,
                owner: Some(Owner { node: "n2".to_owned(), epoch: 4 }),
                fence: Some(Fence { generation: 0, revision: 12 }),
            }),
            "01060101026e320401000c",
        ),
        (Frame::Ack(Ack { of }), "010701"),
        (Frame::Chunk(Chunk { of, item: 0, offset: 512, bytes: Raw(Bytes::from_static(b"z")) }), "01080100fb0002017a"),
    ];
    for (frame, bytes) in golden {
        assert_eq!(hex(&frame), bytes.replace(' ', ""), "{frame:?}");
    }
    let told = hex(&Frame::Call(Box::new(told)));
    assert!(told.contains("01026e3203612f620900"), "a named target, told: {told}");
}

#[test]
fn an_unknown_frame_version_or_variant_is_refused() {
    let bytes = encode(&Frame::Ack(Ack { of: MessageId(1) })).unwrap();
    for version in [0, 2, 255] {
        let error = decode(&[&[version], &bytes[1..]].concat()).unwrap_err();
        assert_eq!((error.code(), error.get("newest")), (Code::Unsupported, Some("1")));
    }
    assert_eq!(decode(&[1, 99, 1]).unwrap_err().code(), Code::Decode);
    assert_eq!(decode(&[]).unwrap_err().code(), Code::Decode);
    assert_eq!(decode(&[1]).unwrap_err().code(), Code::Decode);
}

#[test]
fn a_packet_is_full_before_it_is_larger_than_a_batch() {
    let item =
        |size: usize| Frame::Item(Item { of: MessageId(1), number: 1, body: Body::from(Bytes::from(vec![7; size])) });
    let mut packet = Packet::new();
    let mut frames = 0;
    while packet.push(&item(1000)).unwrap() {
        frames += 1;
    }
    assert_eq!((frames, packet.len()), (65, 65));
    assert!(packet.size_bytes() <= BATCH_MAX_BYTES);
    assert_eq!(decode(&packet.take()).unwrap().len(), 65);
    assert!(packet.push(&item(INLINE_MAX_BYTES)).unwrap(), "a large one travels alone");
    assert!(!packet.push(&item(1)).unwrap());
    assert_eq!(decode(&packet.take()).unwrap().len(), 1);
}

#[test]
fn what_no_frame_may_hold_is_refused_on_both_sides() {
    let large =
        Frame::Item(Item { of: MessageId(1), number: 1, body: Bytes::from(vec![0; INLINE_MAX_BYTES + 1]).into() });
    assert_eq!(encode(&large).unwrap_err().code(), Code::InvalidInput);
    let long = "x".repeat(TEXT_MAX_BYTES + 1);
    let call = Call { idempotency_key: Some(long.into()), ..full_call() };
    let error = encode(&Frame::Call(Box::new(call.clone()))).unwrap_err();
    assert_eq!((error.code(), error.get("field")), (Code::InvalidInput, Some("idempotency_key")));
    let mut bytes = vec![FRAME_VERSION];
    crate::wire::codec::append(&mut bytes, &Frame::Call(Box::new(call))).unwrap();
    assert_eq!(decode(&bytes).unwrap_err().code(), Code::Decode);
    let mut packet = Packet::new();
    assert!(packet.push(&large).is_err());
    assert!(packet.is_empty() && packet.take().is_empty(), "what was refused leaves nothing");
}

#[test]
fn a_batch_of_nothing_but_small_frames_is_bounded() {
    let ack = encode(&Frame::Ack(Ack { of: MessageId(1) })).unwrap();
    let many = [&ack[..1], &ack[1..].repeat(BATCH_MAX_BYTES)].concat();
    assert_eq!(decode(&many).unwrap_err().message(), "the batch is too large");
}

#[test]
fn a_claimed_length_beyond_the_bytes_is_refused() {
    // An item whose payload claims 2^40 bytes.
    let claim = [&[1, 2, 1, 1, 0, 253][..], &(1_u64 << 40).to_le_bytes()].concat();
    assert_eq!(decode(&claim).unwrap_err().code(), Code::Decode);
}

#[test]
fn a_long_error_is_cut_and_keeps_its_partial_result() {
    let partial = "p".repeat(100_000);
    let error = Error::new(Code::BudgetExhausted, "é".repeat(5000)).with("detail", "d".repeat(9000));
    let error = error.with(beluga_core::PARTIAL, &partial);
    let failure = Failure::from(&error);
    assert_eq!(failure.message.len(), FAILURE_TEXT_MAX_BYTES);
    let back = Error::from(failure);
    assert_eq!(back.get(beluga_core::PARTIAL), Some(&*partial));
    assert_eq!(back.get("detail").unwrap().len(), FAILURE_TEXT_MAX_BYTES);
}
