//! Headers there and back, and headers no honest sender writes.

use beluga_core::{Code, Retry};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::frame::tests::{call, target};

fn pairs(headers: &[Header]) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str()))
}

fn one(name: &str, value: &str) -> Result<Call> {
    let target = Target::Named { node: "n".into(), name: "a".into(), slot: 0 };
    read_call(target, [(TYPE, "a.b@1"), (name, value)], "{}")
}

proptest! {
    #[test]
    fn every_call_survives_headers(call in call(), codec in 0..3_usize, payload in vec(any::<u8>(), 0..50)) {
        let payload = Bytes::from(payload);
        let trace = call.trace.filter(TraceContext::is_valid);
        let call = Call { codec: Codec::ALL[codec].id(), body: Body::from(payload.clone()), trace, ..call };
        let headers = of_call(&call);
        for (name, value) in &headers {
            prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{}: {:?}", name, value);
        }
        prop_assert_eq!(read_call(call.target.clone(), pairs(&headers), payload).unwrap(), call);
    }

    #[test]
    fn strange_headers_are_a_call_or_an_error(
        target in target(), headers in vec((".{0,20}", ".{0,40}"), 0..70), known in 0..17_usize, value in ".{0,40}",
    ) {
        let names = [
            ID, TYPE, CODEC, MANNER, CREDIT, DEADLINE_MS, FROM, SEQ, CORR, FENCE, HOPS, TENANT, TIER, PRINCIPAL, REQUEST,
            IDEMPOTENCY_KEY, TRACEPARENT,
        ];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let with = [(names[known], value.as_str())].into_iter().chain(headers);
        if let Err(error) = read_call(target, with.clone(), "") {
            prop_assert!(matches!(error.code(), Code::InvalidInput | Code::Unsupported));
        }
        let _ = read_answer(with, value.clone()).map_err(|error| error.to_string());
    }

    #[test]
    fn every_text_survives_escaping(text in any::<String>()) {
        prop_assume!(text.len() <= 1024);
        let escaped = escape(&text);
        prop_assert!(escaped.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(unescape(&escaped), Some(text));
    }
}

#[test]
fn little_is_needed_and_the_rest_has_defaults() {
    let target = Target::Named { node: "n".into(), name: "a".into(), slot: 0 };
    let call = read_call(target.clone(), [("BELUGA-TYPE", "counter.add")], "3").unwrap();
    assert_eq!((&*call.message, call.version, call.manner), ("counter.add", 1, Manner::Ask));
    assert_eq!((call.codec, call.id, &*call.caller.tenant), (Codec::Json.id(), MessageId(0), "default"));
    let error = read_call(target, [("Other", "x")], "3").unwrap_err();
    assert_eq!((error.code(), error.get("header")), (Code::InvalidInput, Some(TYPE)));
}

#[test]
fn malformed_headers_are_named() {
    for (name, value) in [
        (ID, "7"),
        (ID, "zz000000-0000-7000-8000-000000000001"),
        (TYPE, "again@2"),
        (MANNER, "shout"),
        (DEADLINE_MS, "-1"),
        (DEADLINE_MS, "+1"),
        (DEADLINE_MS, "99999999999999999999999"),
        (FROM, "n.1"),
        (FENCE, "7"),
        (HOPS, "256"),
        (PRINCIPAL, "%zz"),
        (PRINCIPAL, "%+1"),
        (PRINCIPAL, "%ff"),
    ] {
        let error = one(name, value).unwrap_err();
        assert_eq!((error.code(), error.get("header")), (Code::InvalidInput, Some(name)), "{value}");
    }
    assert_eq!(one(CODEC, "xml").unwrap_err().code(), Code::Unsupported);
    assert_eq!(one(TYPE, "x@70000").unwrap_err().code(), Code::InvalidInput);
    assert_eq!(one(TRACEPARENT, "garbage").unwrap().trace, None, "as the standard has it");
    assert_eq!(&*one(PRINCIPAL, "two words").unwrap().caller.principal.unwrap(), "two words");
    let many = (0..=HEADERS_MAX).map(|n| n.to_string()).collect::<Vec<_>>();
    let many = many.iter().map(|name| (name.as_str(), ""));
    let target = Target::Named { node: "n".into(), name: "a".into(), slot: 0 };
    assert_eq!(read_call(target, many, "").unwrap_err().message(), "too many headers");
}

#[test]
fn an_id_is_a_uuid() {
    let id = MessageId(0x0192_0000_0000_7000_8000_0000_0000_0001);
    assert_eq!(id_text(id), "01920000-0000-7000-8000-000000000001");
    for text in ["01920000-0000-7000-8000-000000000001", "01920000000070008000000000000001"] {
        assert_eq!(parse_id(text), Some(id));
    }
    assert_eq!(parse_id("01920000-0000-7000-8000-00000000000ä"), None);
}

#[test]
fn a_reply_an_item_and_an_error_survive_headers() {
    let (headers, body) = of_reply(MessageId(1), Codec::Cbor, Ok(Bytes::from_static(b"\x03")));
    let Answered::Value { number: None, codec: Codec::Cbor, payload } = read_answer(pairs(&headers), body).unwrap()
    else {
        panic!("it is a value");
    };
    assert_eq!(&payload[..], b"\x03");
    let headers = of_item(MessageId(1), Codec::Json, 7);
    let item = read_answer(pairs(&headers), "{}").unwrap();
    assert!(matches!(item, Answered::Value { number: Some(7), codec: Codec::Json, .. }));
    let error = Error::new(Code::Overloaded, "the lane\nis full").with("lane", "bulk").with_status(429);
    let error = error.with_retry(Retry::After(std::time::Duration::from_millis(250)));
    let (headers, body) = of_reply(MessageId(1), Codec::Json, Err(error));
    let has = |name, value: &str| assert!(headers.contains(&(name, value.to_owned())), "{headers:?}");
    has(SERVICE_ERROR_CODE, "429");
    has(SERVICE_ERROR, "overloaded: the lane%0Ais full (lane: bulk)");
    let Answered::Failed(back) = read_answer(pairs(&headers), body).unwrap() else { panic!("it failed") };
    assert_eq!((back.code(), back.http_status()), (Code::Overloaded, 429));
    assert_eq!(back.retry(), Retry::After(std::time::Duration::from_millis(250)));
}

#[test]
fn an_error_of_a_service_that_is_not_ours_has_the_nearest_code() {
    for (status, code) in [("404", Code::NotFound), ("503", Code::Unavailable), ("418", Code::Internal)] {
        let answer = read_answer([(SERVICE_ERROR_CODE, status), (SERVICE_ERROR, "no")], "gone").unwrap();
        let Answered::Failed(error) = answer else { panic!("it failed") };
        assert_eq!((error.code(), error.message()), (code, "no"));
    }
}

#[test]
fn the_end_of_a_stream_says_how_it_ended() {
    for (error, how) in [(None, "ok"), (Some(Error::cancelled("x")), "cancelled"), (Some(Error::timeout("x")), "err")] {
        let (headers, body) = of_end(MessageId(1), 4, error.as_ref());
        assert!(headers.contains(&(EOS, how.to_owned())));
        let Answered::End { items: 4, error: back } = read_answer(pairs(&headers), body).unwrap() else {
            panic!("it ended");
        };
        assert_eq!(back.map(|error| error.code()), error.map(|error| error.code()));
    }
    assert_eq!(read_answer([(EOS, "perhaps")], "").unwrap_err().get("header"), Some(EOS));
}
