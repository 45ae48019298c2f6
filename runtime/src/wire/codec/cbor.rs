//! CBOR.

use beluga_core::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::guard::Nested;
use super::{WireCodec, bounded, fits, undecodable, unencodable};

/// The room a payload gets before it is known how much it needs; it is written piece by piece.
const FIRST_BYTES: usize = 128;

/// How many lists and tables the reader itself goes into; the guard stops before.
const READER_DEPTH: usize = 256;

/// CBOR with field names and externally tagged enums: the default of user messages.
///
/// ```
/// use beluga_runtime::wire::{Cbor, WireCodec};
/// use serde_json::json;
///
/// let value = json!({"city": "Wien", "days": [1, 2.5, null]});
/// assert_eq!(Cbor::decode::<serde_json::Value>(&Cbor::encode(&value)?)?, value);
/// # Ok::<(), beluga_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Cbor {}

impl WireCodec for Cbor {
    const ID: u8 = 1;
    const NAME: &'static str = "cbor";

    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        ciborium::into_writer(value, &mut bytes).map_err(|error| unencodable(Self::NAME, error))?;
        fits(bytes, Self::NAME)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
        bounded(bytes, Self::NAME)?;
        let mut rest = bytes;
        // The reader takes no byte more than it needs.
        let read = ciborium::de::from_reader_with_recursion_limit::<Nested<T>, _>(&mut rest, READER_DEPTH);
        let Nested(value) = read.map_err(|_| undecodable(Self::NAME, "the payload is malformed"))?;
        if !rest.is_empty() {
            return Err(undecodable(Self::NAME, "bytes follow the payload").with("surplus_bytes", rest.len()));
        }
        Ok(value)
    }
}
