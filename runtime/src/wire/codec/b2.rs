//! b2: bincode 2.0.1 with its standard settings, a limit and a guard.

use beluga_core::{Code, Error, Result};
use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::guard::{Guarded, Limits};
use super::{DEPTH_MAX, PAYLOAD_MAX_BYTES, WireCodec, bounded, fits, undecodable, unencodable};

/// What a claimed length may come to. Without a limit a hostile length ends the process.
type Limited = Configuration<LittleEndian, Varint, Limit<PAYLOAD_MAX_BYTES>>;

const LIMITED: Limited = config::standard().with_limit::<PAYLOAD_MAX_BYTES>();

/// How many elements without a byte of their own (units) a payload may have, beside one for each byte.
const UNITS_MAX: usize = 1024;

/// bincode 2: the smallest, for types it can decode.
///
/// It cannot decode `serde_json::Value`, untagged, internally or adjacently tagged enums and flattened fields, and it writes
/// skipped fields so that they are read back wrong. The golden test a message with `codec = "b2"` needs shows that.
///
/// ```
/// use beluga_runtime::wire::{B2, WireCodec};
///
/// assert_eq!(B2::encode(&(7_u64, Some("x")))?, [7, 1, 1, b'x']);
/// # Ok::<(), beluga_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub enum B2 {}

impl WireCodec for B2 {
    const ID: u8 = 3;
    const NAME: &'static str = "b2";

    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
        let bytes = bincode::serde::encode_to_vec(value, config::standard());
        fits(bytes.map_err(|error| unencodable(Self::NAME, error))?, Self::NAME)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
        bounded(bytes, Self::NAME)?;
        let limits = Limits::new(DEPTH_MAX, bytes.len() + UNITS_MAX);
        let seed = Guarded::new(std::marker::PhantomData::<T>, &limits);
        let (value, used) = bincode::serde::seed_decode_from_slice(seed, bytes, LIMITED)
            .map_err(|_| limits.passed().unwrap_or_else(|| undecodable(Self::NAME, "the payload is malformed")))?;
        if used != bytes.len() {
            return Err(undecodable(Self::NAME, "bytes follow the payload").with("surplus_bytes", bytes.len() - used));
        }
        Ok(value)
    }
}

/// Encodes a value of a flat, known type at the end of `bytes`.
pub(crate) fn append<T: Serialize>(bytes: &mut Vec<u8>, value: &T) -> Result<()> {
    let written = bincode::serde::encode_into_std_write(value, bytes, config::standard());
    written.map(drop).map_err(|error| unencodable(B2::NAME, error))
}

/// Decodes a value of a flat, known type from the start of `bytes`, and returns how many it took. `LIMIT` bounds it.
pub(crate) fn take<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<(T, usize)> {
    let config = config::standard().with_limit::<LIMIT>();
    bincode::serde::decode_from_slice(bytes, config).map_err(|_| Error::new(Code::Decode, "the frame is malformed"))
}
