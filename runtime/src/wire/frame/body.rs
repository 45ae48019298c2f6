//! Payloads in frames.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// Bytes that are written as they are, not one by one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Raw(pub Bytes);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Raw, E> {
                Ok(Raw(Bytes::from(bytes)))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Raw, E> {
                Ok(Raw(Bytes::copy_from_slice(bytes)))
            }
        }

        deserializer.deserialize_byte_buf(Reader)
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A payload, or where it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Body {
    /// It is here; at most [`INLINE_MAX_BYTES`](super::INLINE_MAX_BYTES).
    Inline(Raw),
    /// It comes in [`Chunk`](super::Chunk)s.
    Chunked {
        /// How large it is.
        size_bytes: u64,
    },
    /// It lies in an object store.
    Object {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// How large it is.
        size_bytes: u64,
        /// Its SHA-256.
        sha256: [u8; 32],
    },
}

impl Body {
    /// Returns the payload if it is here.
    #[must_use]
    pub fn inline(&self) -> Option<&Bytes> {
        match self {
            Body::Inline(Raw(bytes)) => Some(bytes),
            Body::Chunked { .. } | Body::Object { .. } => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body::Inline(Raw(bytes))
    }
}
