//! What the fuzz targets do with their bytes. Each function takes any bytes at all; it panics where a law is broken.

pub mod models;

use std::collections::BTreeMap;

use beluga_runtime::time;
use beluga_runtime::wire::frame::{self, Frame, Packet, Target};
use beluga_runtime::wire::{Codec, WireCall, headers};
use serde::{Deserialize, Serialize};

/// A publish: what is taken for frames is written as the same frames again, and a call in it is a call.
pub fn frames(bytes: &[u8]) {
    let Ok(frames) = frame::decode(bytes) else { return };
    let mut packet = Packet::new();
    for frame in &frames {
        assert!(packet.push(frame).expect("what was read can be written"), "what came together fits together");
    }
    assert_eq!(frame::decode(&packet.take()).expect("what was written can be read"), frames);
    for frame in frames {
        let Frame::Call(call) = frame else { continue };
        let (id, origin, now) = (call.id, call.origin.clone(), time::now());
        if let Ok(read) = WireCall::of_frame(*call, now) {
            drop(frame::encode(&Frame::Call(Box::new(read.to_frame(id, origin, now)))));
        }
    }
}

/// A type with one of everything a codec has to read.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Shape {
    Point,
    Line(i64, i64),
    Named { name: String, inside: Vec<Shape>, note: Option<Box<Shape>> },
    Bytes(Vec<u8>),
    Table(BTreeMap<String, u32>),
    Units(Vec<()>),
    Wide(u128),
    Letter(char),
    Again(Again),
}

/// A type that goes round without a byte of its own.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Again(pub Option<Box<Again>>);

/// A payload in each codec: what is taken for a value is written as the same value again.
pub fn payloads(bytes: &[u8]) {
    for codec in Codec::ALL {
        if let Ok(value) = codec.decode::<Shape>(bytes) {
            let again = codec.encode(&value).expect("what was read can be written");
            assert_eq!(codec.decode::<Shape>(&again).expect("what was written can be read"), value);
        }
        drop(codec.decode::<serde_json::Value>(bytes));
    }
}

/// Headers, one a line, then an empty line and a body: what is taken for a call is written as the same call again.
pub fn headers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let pairs = || head.lines().filter_map(|line| line.split_once(':'));
    drop(headers::read_answer(pairs(), body.to_owned()));
    let target = Target::Named { node: "n".into(), name: "a".into(), slot: 0 };
    let Ok(call) = headers::read_call(target.clone(), pairs(), body.to_owned()) else { return };
    let written = headers::of_call(&call);
    let written = written.iter().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(headers::read_call(target, written, body.to_owned()).expect("what was written can be read"), call);
}
