//! JSON.

use beluga_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::guard::Nested;
use super::{WireCodec, bounded, fits, undecodable, unencodable};

/// JSON, for clients that are no nodes. A fraction may be read with another last digit than it was written with.
///
/// ```
/// use beluga_runtime::wire::{Json, WireCodec};
///
/// assert_eq!(Json::encode(&("a", 1))?, br#"["a",1]"#);
/// # Ok::<(), beluga_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Json {}

impl WireCodec for Json {
    const ID: u8 = 2;
    const NAME: &'static str = "json";

    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
        fits(serde_json::to_vec(value).map_err(|error| unencodable(Self::NAME, error))?, Self::NAME)
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
        bounded(bytes, Self::NAME)?;
        let read = serde_json::from_slice::<Nested<T>>(bytes);
        read.map(|Nested(value)| value).map_err(|error| refusal::<T>(bytes, &error))
    }
}

/// Says where JSON is not what it should be. The library's own text quotes the content, so it is not taken over.
#[cold]
fn refusal<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Error {
    if !error.is_data() {
        return undecodable(Json::NAME, "the payload is no JSON")
            .with("line", error.line())
            .with("column", error.column());
    }
    let mut decoder = serde_json::Deserializer::from_slice(bytes);
    let path = match serde_path_to_error::deserialize::<_, Nested<T>>(&mut decoder) {
        Err(error) => error.path().to_string(),
        Ok(_) => ".".to_owned(),
    };
    let missing = error.to_string();
    let missing = missing.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let refused = undecodable(Json::NAME, "the payload does not fit the message").with("path", path);
    match missing {
        Some(field) => refused.with("missing", field),
        None => refused,
    }
}
