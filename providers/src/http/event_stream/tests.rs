use super::*;
use proptest::prelude::*;

/// A message that owns what it holds.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    headers: Vec<(String, Value)>,
    payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Bool(bool),
    Byte(i8),
    Short(i16),
    Integer(i32),
    Long(i64),
    Bytes(Vec<u8>),
    Text(String),
    Timestamp(i64),
    Uuid([u8; 16]),
}

impl Owned {
    fn of(message: &EventStreamMessage<'_>) -> Self {
        let value = |value: &EventStreamValue<'_>| match *value {
            EventStreamValue::Bool(is) => Value::Bool(is),
            EventStreamValue::Byte(number) => Value::Byte(number),
            EventStreamValue::Short(number) => Value::Short(number),
            EventStreamValue::Integer(number) => Value::Integer(number),
            EventStreamValue::Long(number) => Value::Long(number),
            EventStreamValue::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            EventStreamValue::Text(text) => Value::Text(text.to_owned()),
            EventStreamValue::TimestampMs(number) => Value::Timestamp(number),
            EventStreamValue::Uuid(bytes) => Value::Uuid(bytes),
        };
        let headers = message.headers.iter().map(|(name, have)| ((*name).to_owned(), value(have))).collect();
        Self { headers, payload: message.payload.to_vec() }
    }

    fn encode(&self) -> Vec<u8> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            headers.push(u8::try_from(name.len()).unwrap());
            headers.extend_from_slice(name.as_bytes());
            value.encode(&mut headers);
        }
        frame(&headers, &self.payload)
    }
}

impl Value {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |kind: u8, bytes: &[u8]| {
            out.push(kind);
            if matches!(kind, 6 | 7) {
                out.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_be_bytes());
            }
            out.extend_from_slice(bytes);
        };
        match self {
            Value::Bool(is) => put(u8::from(!is), &[]),
            Value::Byte(number) => put(2, &number.to_be_bytes()),
            Value::Short(number) => put(3, &number.to_be_bytes()),
            Value::Integer(number) => put(4, &number.to_be_bytes()),
            Value::Long(number) => put(5, &number.to_be_bytes()),
            Value::Bytes(bytes) => put(6, bytes),
            Value::Text(text) => put(7, text.as_bytes()),
            Value::Timestamp(number) => put(8, &number.to_be_bytes()),
            Value::Uuid(bytes) => put(9, bytes),
        }
    }
}

/// Frames headers and payload with right checksums.
fn frame(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = PRELUDE_BYTES + headers.len() + payload.len() + CHECKSUM_BYTES;
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(&u32::try_from(total).unwrap().to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend_from_slice(headers);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// What came of some pieces: the messages, and why it ended.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Owned>, Option<String>) {
    let mut decoder = EventStreamDecoder::new();
    let mut seen = Vec::new();
    let fed = pieces.into_iter().try_for_each(|piece| {
        decoder.feed(piece, |message| {
            seen.push(Owned::of(&message));
            Ok(())
        })
    });
    let error = fed.and_then(|()| decoder.finish()).err();
    (seen, error.map(|error| format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string))))
}

fn fails(bytes: &[u8], why: &str) {
    let (seen, error) = decode([bytes]);
    let error = error.unwrap_or_else(|| panic!("{why}: {seen:?}"));
    assert!(seen.is_empty() && error.contains(why), "{error} is not {why}");
}

fn text(name: &str, text: &str) -> (String, Value) {
    (name.to_owned(), Value::Text(text.to_owned()))
}

#[test]
fn the_published_examples_decode() {
    // The smallest message there is, and one with a payload alone.
    let empty = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xC2, 0x48, 0xEB, 0x7D, 0x98, 0xC8, 0xFF];
    assert_eq!(decode([&empty[..]]), (vec![Owned { headers: Vec::new(), payload: Vec::new() }], None));
    let mut bytes = vec![0, 0, 0, 0x1D, 0, 0, 0, 0, 0xFD, 0x52, 0x8C, 0x5A];
    bytes.extend_from_slice(b"{'foo':'bar'}\xC3\x65\x39\x36");
    assert_eq!(decode([&bytes[..]]).0[0].payload, b"{'foo':'bar'}");
}

#[test]
fn a_message_says_what_it_is() {
    let kind = |headers: Vec<(String, Value)>| {
        let bytes = Owned { headers, payload: b"{}".to_vec() }.encode();
        let mut found = String::new();
        let mut decoder = EventStreamDecoder::new();
        decoder
            .feed(&bytes, |message| {
                found = format!("{:?}", message.kind());
                Ok(())
            })
            .unwrap();
        found
    };
    assert_eq!(kind(vec![text(":message-type", "event"), text(":event-type", "a")]), r#"Event("a")"#);
    assert_eq!(kind(vec![text(":exception-type", "b"), text(":message-type", "exception")]), r#"Exception("b")"#);
    let error = vec![text(":message-type", "error"), text(":error-code", "c"), text(":error-message", "d")];
    assert_eq!(kind(error), r#"Error { code: "c", message: "d" }"#);
    assert_eq!(kind(vec![(":message-type".to_owned(), Value::Long(1))]), "Unknown");
}

#[test]
fn a_wrong_checksum_ends_the_stream() {
    let good = Owned { headers: vec![text("a", "b")], payload: b"payload".to_vec() }.encode();
    for at in 0..PRELUDE_BYTES {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fails(&bytes, "lengths is wrong");
    }
    for at in PRELUDE_BYTES..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x80;
        fails(&bytes, "checksum of a message is wrong");
    }
}

#[test]
fn lengths_that_cannot_be_are_refused_before_anything_is_kept() {
    let prelude = |total: u32, headers: u32| {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes
    };
    fails(&prelude(15, 0), "contradict");
    fails(&prelude(0, 0), "contradict");
    fails(&prelude(20, 5), "contradict");
    fails(&prelude(u32::MAX, 0), "too long");
    fails(&prelude(u32::MAX, u32::MAX - 16), "too long");
    fails(&prelude(1024 * 1024, 256 * 1024), "too long");
}

#[test]
fn malformed_headers_are_refused_though_their_checksum_is_right() {
    fails(&frame(&[200, b'a'], b""), "cut");
    fails(&frame(&[1, b'a'], b""), "cut");
    fails(&frame(&[1, b'a', 7, 0, 9, b'x'], b""), "cut");
    fails(&frame(&[1, b'a', 9, 1, 2], b""), "cut");
    fails(&frame(&[1, b'a', 10], b""), "unknown type");
    fails(&frame(&[1, 0xFF, 0], b""), "UTF-8");
    fails(&frame(&[1, b'a', 7, 0, 1, 0xC3], b""), "UTF-8");
}

#[test]
fn a_stream_that_ends_inside_a_message_says_so() {
    let good = Owned { headers: vec![text("a", "b")], payload: b"payload".to_vec() }.encode();
    for at in 1..good.len() {
        assert!(decode([&good[..at]]).1.unwrap().contains("inside a message"), "{at}");
    }
    assert_eq!(decode([&good[..0]]), (Vec::new(), None));
}

#[test]
fn a_long_message_in_tiny_pieces_costs_no_more_than_its_length() {
    // Looking at the kept bytes again with every piece would take hours.
    let bytes = Owned { headers: Vec::new(), payload: vec![7; 2 * 1024 * 1024] }.encode();
    assert_eq!(decode(bytes.chunks(1)).0[0].payload.len(), 2 * 1024 * 1024);
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Short),
        any::<i32>().prop_map(Value::Integer),
        any::<i64>().prop_map(Value::Long),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        "[a-zé€😀]{0,8}".prop_map(Value::Text),
        any::<i64>().prop_map(Value::Timestamp),
        any::<[u8; 16]>().prop_map(Value::Uuid),
    ]
}

fn message() -> impl Strategy<Value = Owned> {
    (prop::collection::vec(("[:a-z-]{0,12}", value()), 0..6), prop::collection::vec(any::<u8>(), 0..80))
        .prop_map(|(headers, payload)| Owned { headers, payload })
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn messages_of_all_types_come_back_from_any_split(
        messages in prop::collection::vec(message(), 0..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(Owned::encode).collect();
        let want = (messages, None);
        prop_assert_eq!(&decode([&bytes[..]]), &want);
        prop_assert_eq!(&decode(bytes.chunks(1)), &want);
        prop_assert_eq!(&decode(pieces(&bytes, &cuts)), &want);
    }

    /// Bytes with right checksums and wrong insides, and bytes with neither: never a panic, and the cut never matters.
    #[test]
    fn hostile_bytes_never_panic_and_never_depend_on_the_cut(
        frames in prop::collection::vec(
            (prop::collection::vec(0_u8..12, 0..40), prop::collection::vec(any::<u8>(), 0..40)), 0..4,
        ),
        noise in prop::collection::vec(any::<u8>(), 0..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut bytes: Vec<u8> = frames.iter().flat_map(|(headers, payload)| frame(headers, payload)).collect();
        bytes.extend_from_slice(&noise);
        let whole = decode([&bytes[..]]);
        prop_assert_eq!(&decode(bytes.chunks(1)), &whole);
        prop_assert_eq!(&decode(pieces(&bytes, &cuts)), &whole);
    }

    /// A damaged stream gives the messages before the damage and then an error, or what CRC32 cannot tell.
    #[test]
    fn damage_is_noticed(
        messages in prop::collection::vec(message(), 1..4),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        let mut bytes: Vec<u8> = messages.iter().flat_map(Owned::encode).collect();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let (seen, error) = decode([&bytes[..]]);
        prop_assert!(error.is_some());
        prop_assert_eq!(&seen[..], &messages[..seen.len()]);
    }
}
