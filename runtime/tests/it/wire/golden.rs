//! The bytes of messages, and every message of the tests there and back in every codec.

use std::fmt::Debug;

use beluga_core::Code;
use beluga_runtime::testkit::golden;
use beluga_runtime::wire::{Codec, WireProtocol};
use beluga_runtime::{Message, protocol};
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::actors::*;

/// A frame of sound: small, often, and plain.
#[derive(Debug, Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[message(name = "sound.play", version = 3, codec = "b2", lane = "interrupt", schema)]
struct Play {
    stream: u32,
    samples: Vec<i16>,
    note: Option<String>,
}

protocol!(SoundProtocol: Play);

#[test]
fn the_bytes_of_a_b2_message_never_change() {
    let play = Play { stream: 7, samples: vec![0, -1, 300], note: Some("a".to_owned()) };
    golden(Codec::B2, &play, "07 03 00 01 fb5802 01 0161");
    golden(Codec::Cbor, &Add(3), "03");
    golden(Codec::Cbor, &Count { to: 2, fails: false }, "a2 62746f 02 65 6661696c73 f4");
    golden(Codec::Json, &Count { to: 2, fails: true }, "7b22746f223a322c226661696c73223a747275657d");
}

#[test]
#[should_panic(expected = "reads back as something else")]
fn a_type_that_b2_reads_wrong_fails_its_golden_test() {
    #[derive(Serialize, Deserialize)]
    struct Skips {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first: Option<u8>,
        second: Option<u8>,
        third: Option<u8>,
    }
    golden(Codec::B2, &Skips { first: None, second: Some(1), third: None }, "010100");
}

#[test]
fn the_types_of_a_protocol_are_told_with_version_codec_and_schema() {
    let known: Vec<_> = SoundProtocol::wire_types().collect();
    assert_eq!((known[0].name, known[0].version, known[0].oldest, known[0].codec), ("sound.play", 3, 3, Codec::B2));
    let schema = (known[0].schema)().unwrap();
    assert_eq!(schema.message["properties"]["stream"]["type"], "integer");
    assert_eq!(schema.answer["type"], "null");
    assert!(MeterProtocol::wire_types().all(|known| (known.schema)().is_none() && known.codec == Codec::Cbor));
}

fn survives<M: Serialize + DeserializeOwned + PartialEq + Debug>(message: &M) -> Result<(), TestCaseError> {
    for codec in Codec::ALL {
        let bytes = codec.encode(message).unwrap();
        prop_assert_eq!(&codec.decode::<M>(&bytes).unwrap(), message);
        for length in 0..bytes.len() {
            let cut = codec.decode::<M>(&bytes[..length]).map_err(|error| error.code());
            // A number that stands alone in JSON is one as long as a digit is left.
            prop_assert!(codec == Codec::Json || cut == Err(Code::Decode), "{} bytes of {}", length, codec);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_message_survives_every_codec(
        number: u64, flag: bool, text in ".{0,12}", after_ms: Option<u64>, samples in proptest::collection::vec(any::<i16>(), 0..30),
    ) {
        survives(&Add(number))?;
        survives(&Who)?;
        survives(&Fail { code: text.clone(), after_ms })?;
        survives(&Explode)?;
        survives(&Wait(number))?;
        survives(&Count { to: number, fails: flag })?;
        survives(&Play { stream: 1, samples, note: flag.then_some(text) })?;
    }
}
