//! What every codec takes, and what none takes.

use std::collections::BTreeMap;

use beluga_core::Code;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

/// A shape every codec can read: no attribute, nothing untagged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Line(i64, i64),
    Named { name: String, inside: Vec<Shape>, note: Option<Box<Shape>> },
    Bytes(Vec<u8>),
    Table(BTreeMap<String, u32>),
    Units(Vec<()>),
    Number(f64),
    Wide(u128),
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Point),
        (any::<i64>(), any::<i64>()).prop_map(|(a, b)| Shape::Line(a, b)),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Shape::Bytes),
        proptest::collection::btree_map(".{0,8}", any::<u32>(), 0..6).prop_map(Shape::Table),
        (0_usize..20).prop_map(|count| Shape::Units(vec![(); count])),
        // JSON is read to the last digit but one; quarters are exact in every notation.
        any::<i32>().prop_map(|quarters| Shape::Number(f64::from(quarters) / 4.0)),
        any::<u64>().prop_map(|low| Shape::Wide(u128::from(low))),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        (".{0,12}", proptest::collection::vec(inner.clone(), 0..6), proptest::option::of(inner))
            .prop_map(|(name, inside, note)| Shape::Named { name, inside, note: note.map(Box::new) })
    })
}

/// As deep as the bytes say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Chain {
    End,
    Link(Box<Chain>),
}

fn chain(links: usize) -> Chain {
    (0..links).fold(Chain::End, |chain, _| Chain::Link(Box::new(chain)))
}

proptest! {
    #[test]
    fn every_value_survives_every_codec(value in shape()) {
        for codec in Codec::ALL {
            let bytes = codec.encode(&value).unwrap();
            prop_assert_eq!(codec.decode::<Shape>(&bytes).unwrap(), value.clone(), "{}", codec);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_value_cut_short_or_followed_by_a_byte_is_refused(value in shape(), surplus in any::<u8>()) {
        for codec in Codec::ALL {
            let bytes = codec.encode(&value).unwrap();
            for length in 0..bytes.len() {
                prop_assert_eq!(codec.decode::<Shape>(&bytes[..length]).unwrap_err().code(), Code::Decode);
            }
            // Blanks may follow JSON, and digits lengthen a number that stands alone.
            if codec != Codec::Json {
                let longer = [&bytes[..], &[surplus]].concat();
                prop_assert_eq!(codec.decode::<Shape>(&longer).unwrap_err().code(), Code::Decode, "{}", codec);
            }
        }
    }

}

proptest! {
    #[test]
    fn random_bytes_are_a_value_or_an_error_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for codec in Codec::ALL {
            if let Err(error) = codec.decode::<Shape>(&bytes) {
                prop_assert_eq!(error.code(), Code::Decode);
            }
            let _ = codec.decode::<serde_json::Value>(&bytes).map_err(|error| error.to_string());
        }
    }

    #[test]
    fn a_changed_byte_is_a_value_or_an_error_and_nothing_else(
        value in shape(), place in any::<proptest::sample::Index>(), byte in any::<u8>(),
    ) {
        for codec in Codec::ALL {
            let mut bytes = codec.encode(&value).unwrap();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let _ = codec.decode::<Shape>(&bytes).map_err(|error| error.to_string());
        }
    }
}

#[test]
fn a_chain_beyond_the_depth_is_refused_by_every_codec() {
    for codec in Codec::ALL {
        let shallow = codec.encode(&chain(40)).unwrap();
        assert_eq!(codec.decode::<Chain>(&shallow).unwrap(), chain(40), "{codec}");
        let deep = codec.encode(&chain(400)).unwrap();
        assert_eq!(codec.decode::<Chain>(&deep).unwrap_err().code(), Code::Decode, "{codec}");
    }
}

/// Deep without a list or a table: each level reads the same byte again.
#[derive(Debug, Serialize, Deserialize)]
struct Hollow(Option<Box<Hollow>>);

#[test]
fn a_type_that_goes_round_in_the_same_byte_is_refused() {
    assert!(Codec::Json.decode::<Hollow>(b"1").is_err());
    assert!(Codec::Cbor.decode::<Hollow>(&[1]).is_err());
    assert!(Codec::B2.decode::<Hollow>(&vec![1; 1 << 20]).is_err());
    for codec in Codec::ALL {
        let bytes = codec.encode(&Hollow(None)).unwrap();
        assert!(codec.decode::<Hollow>(&bytes).unwrap().0.is_none());
    }
}

#[test]
fn what_describes_itself_survives_cbor_and_json() {
    let value = serde_json::json!({"a": null, "b": [1, -2, 2.5, "x", [], {}], "c": {"d": true}});
    for codec in [Codec::Cbor, Codec::Json] {
        let bytes = codec.encode(&value).unwrap();
        assert_eq!(codec.decode::<serde_json::Value>(&bytes).unwrap(), value, "{codec}");
    }
    assert_eq!(Codec::Cbor.encode(&()).unwrap(), [0xf6]);
    assert!(Codec::B2.decode::<serde_json::Value>(&Codec::B2.encode(&value).unwrap()).is_err());
}

#[test]
fn a_hostile_depth_ends_no_process() {
    let links = 1 << 20;
    let json = [b"[".repeat(links), b"]".repeat(links)].concat();
    for (codec, bytes) in [(Codec::B2, vec![1; links]), (Codec::Cbor, vec![0x81; links]), (Codec::Json, json)] {
        assert!(codec.decode::<Chain>(&bytes).is_err(), "{codec}");
        assert!(codec.decode::<serde_json::Value>(&bytes).is_err(), "{codec}");
    }
    let error = Codec::B2.decode::<Chain>(&vec![1; links]).unwrap_err();
    assert_eq!(error.message(), "the payload is nested too deeply");
}

#[test]
fn a_hostile_length_is_refused_at_once() {
    // 2^63 elements in each notation, and nothing behind.
    let claim = (1_u64 << 63).to_le_bytes();
    let b2 = [&[253][..], &claim].concat();
    let cbor = |major: u8| [&[major][..], &(1_u64 << 63).to_be_bytes()].concat();
    for (codec, bytes) in [
        (Codec::B2, b2),
        (Codec::Cbor, cbor(0x5b)),
        (Codec::Cbor, cbor(0x7b)),
        (Codec::Cbor, cbor(0x9b)),
        (Codec::Cbor, cbor(0xbb)),
    ] {
        assert!(codec.decode::<Vec<u64>>(&bytes).is_err(), "{codec}");
        assert!(codec.decode::<String>(&bytes).is_err(), "{codec}");
        assert!(codec.decode::<BTreeMap<u8, u8>>(&bytes).is_err(), "{codec}");
        assert!(codec.decode::<Vec<()>>(&bytes).is_err(), "{codec}");
    }
    let units = [&[253][..], &claim].concat();
    let error = Codec::B2.decode::<Vec<()>>(&units).unwrap_err();
    assert_eq!(error.message(), "the payload claims more elements than it has");
}

#[test]
fn what_is_too_large_is_refused_on_both_sides() {
    let large = vec![b'x'; PAYLOAD_MAX_BYTES + 1];
    let text = String::from_utf8(large.clone()).unwrap();
    for codec in Codec::ALL {
        assert_eq!(codec.encode(&text).unwrap_err().code(), Code::InvalidInput);
        assert_eq!(codec.decode::<String>(&large).unwrap_err().code(), Code::Decode);
    }
}

#[test]
fn many_small_structures_are_no_surplus_of_elements() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        inner: Inner,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        value: u8,
    }
    let many: Vec<Outer> = (0..5_000).map(|_| Outer { inner: Inner { value: 7 } }).collect();
    assert_eq!(Codec::B2.decode::<Vec<Outer>>(&Codec::B2.encode(&many).unwrap()).unwrap(), many);
}

#[test]
fn an_error_names_the_place_and_never_the_content() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Order {
        city: String,
        days: Vec<u32>,
    }
    let wrong = Codec::Json.decode::<Order>(br#"{"city": "Wien", "days": [1, "hunter2"]}"#).unwrap_err();
    assert_eq!(wrong.get("path"), Some("days[1]"));
    assert!(!wrong.to_string().contains("hunter2"));
    let missing = Codec::Json.decode::<Order>(br#"{"city": "Wien"}"#).unwrap_err();
    assert_eq!(missing.get("missing"), Some("days"));
    let broken = Codec::Json.decode::<Order>(b"{\"city\":\n hunter2}").unwrap_err();
    assert_eq!((broken.get("line"), broken.to_string().contains("hunter2")), (Some("2"), false));
}

#[test]
fn the_numbers_and_names_of_codecs_never_change() {
    let known = Codec::ALL.map(|codec| (codec.id(), codec.as_str()));
    assert_eq!(known, [(1, "cbor"), (2, "json"), (3, "b2")]);
    assert!(Codec::ALL.iter().all(|codec| Codec::parse(codec.as_str()) == Some(*codec)));
    assert_eq!((Codec::of_id(0), Codec::parse("bincode")), (None, None));
}

#[test]
fn the_bytes_of_a_value_never_change() {
    let value = Shape::Named {
        name: "é".to_owned(),
        inside: vec![Shape::Line(-1, 300), Shape::Units(vec![(); 2])],
        note: Some(Box::new(Shape::Number(1.5))),
    };
    let text = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(text(Codec::B2.encode(&value).unwrap()), "0202c3a9020101fb580205020106000000000000f83f");
    assert_eq!(
        String::from_utf8(Codec::Json.encode(&value).unwrap()).unwrap(),
        r#"{"Named":{"name":"é","inside":[{"Line":[-1,300]},{"Units":[null,null]}],"note":{"Number":1.5}}}"#
    );
    assert_eq!(
        text(Codec::Cbor.encode(&value).unwrap()),
        "a1654e616d6564a3646e616d6562c3a966696e7369646582a1644c696e65822019012ca165556e69747382f6f6646e6f7465a1664e\
         756d626572f93e00"
    );
}
