//! How payloads become bytes: one trait, three codecs, each known by a number on the wire.
//!
//! CBOR is the default: it describes itself, so a field may be added with a default, skipped or flattened. JSON is for those
//! who read it. b2 (bincode) is the smallest and the strictest; a message opts in with `codec = "b2"`.

mod b2;
mod cbor;
mod guard;
mod json;

use std::fmt;

use beluga_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use b2::B2;
pub(crate) use b2::{append, take};
pub use cbor::Cbor;
pub use json::Json;

/// The largest payload, in bytes: 8 MiB. What is larger travels by reference.
pub const PAYLOAD_MAX_BYTES: usize = 8 << 20;

/// The deepest nesting a payload may have: sequences, maps, structures, variants and options within each other.
pub const DEPTH_MAX: usize = 128;

/// One way to write values as bytes.
///
/// Laws: what was encoded decodes to an equal value; bytes beyond the value, a depth beyond [`DEPTH_MAX`] and a size beyond
/// [`PAYLOAD_MAX_BYTES`] are refused; no bytes whatever make it panic, recurse without end or allocate beyond the limit.
pub trait WireCodec {
    /// The number on the wire; never used again for anything else.
    const ID: u8;
    /// The name in headers and attributes.
    const NAME: &'static str;

    /// Encodes a value.
    ///
    /// # Errors
    /// `invalid_input` if it is larger than [`PAYLOAD_MAX_BYTES`], `internal` if the type cannot be written at all.
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>>;

    /// Decodes a value from all of the bytes.
    ///
    /// # Errors
    /// `decode`; it names the codec and, where it is known, the place, and none of the content.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T>;
}

/// A codec by its number.
///
/// ```
/// use beluga_runtime::wire::Codec;
///
/// for codec in Codec::ALL {
///     let bytes = codec.encode(&("three", 3_u8))?;
///     assert_eq!(codec.decode::<(String, u8)>(&bytes)?, ("three".to_owned(), 3));
///     assert!(codec.decode::<(String, u8)>(&[&bytes[..], &[0]].concat()).is_err(), "nothing may follow");
///     assert_eq!(Codec::of_id(codec.id()), Some(codec));
/// }
/// # Ok::<(), beluga_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Codec {
    /// CBOR (RFC 8949) with field names: the default.
    Cbor,
    /// JSON (RFC 8259).
    Json,
    /// bincode 2: no names, no skipped fields, no `serde_json::Value`.
    B2,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Codec; 3] = [Codec::Cbor, Codec::Json, Codec::B2];

    /// Returns the number on the wire.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Codec::Cbor => Cbor::ID,
            Codec::Json => Json::ID,
            Codec::B2 => B2::ID,
        }
    }

    /// Returns the codec of a number; `None` if there is none.
    #[must_use]
    pub fn of_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.id() == id)
    }

    /// Returns the name in headers and attributes: `cbor`, `json`, `b2`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Codec::Cbor => Cbor::NAME,
            Codec::Json => Json::NAME,
            Codec::B2 => B2::NAME,
        }
    }

    /// Returns the codec of a name; `None` if there is none.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.as_str() == name)
    }

    /// Encodes a value. See [`WireCodec::encode`].
    ///
    /// # Errors
    /// As [`WireCodec::encode`].
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>> {
        match self {
            Codec::Cbor => Cbor::encode(value),
            Codec::Json => Json::encode(value),
            Codec::B2 => B2::encode(value),
        }
    }

    /// Decodes a value from all of the bytes. See [`WireCodec::decode`].
    ///
    /// # Errors
    /// As [`WireCodec::decode`].
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T> {
        match self {
            Codec::Cbor => Cbor::decode(bytes),
            Codec::Json => Json::decode(bytes),
            Codec::B2 => B2::decode(bytes),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks the size of what was encoded.
fn fits(bytes: Vec<u8>, codec: &'static str) -> Result<Vec<u8>> {
    if bytes.len() <= PAYLOAD_MAX_BYTES {
        return Ok(bytes);
    }
    Err(Error::invalid_input("the payload is too large")
        .with("codec", codec)
        .with("size_bytes", bytes.len())
        .with("limit_bytes", PAYLOAD_MAX_BYTES))
}

/// Checks the size of what is to be decoded.
fn bounded(bytes: &[u8], codec: &'static str) -> Result<()> {
    if bytes.len() <= PAYLOAD_MAX_BYTES {
        return Ok(());
    }
    Err(undecodable(codec, "the payload is too large").with("size_bytes", bytes.len()))
}

/// The error of a type that this codec cannot write. Its text is the codec's or the type's, never the value's.
fn unencodable(codec: &'static str, cause: impl fmt::Display) -> Error {
    Error::internal("the value cannot be encoded").with("codec", codec).with("cause", cause)
}

fn undecodable(codec: &'static str, message: &'static str) -> Error {
    Error::decode(message).with("codec", codec)
}

#[cfg(test)]
mod tests;
