//! The JSON Schemas of a message, for clients that know no Rust.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// What a message and its answer look like as JSON.
///
/// ```
/// # use beluga_runtime::Message;
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// /// Adds to the total.
/// #[derive(Message, Serialize, Deserialize, JsonSchema)]
/// #[message(name = "counter.add", reply = u64, schema)]
/// struct Add { amount: u64 }
///
/// let schema = Add::schema().unwrap();
/// assert_eq!(schema.message["description"], "Adds to the total.");
/// assert_eq!(schema.answer["type"], "integer");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MessageSchema {
    /// The message.
    pub message: Value,
    /// The reply, or one item of the stream.
    pub answer: Value,
}

impl MessageSchema {
    /// Makes the schemas of two types.
    #[must_use]
    pub fn of<M: JsonSchema, A: JsonSchema>() -> Self {
        Self { message: schemars::schema_for!(M).into(), answer: schemars::schema_for!(A).into() }
    }
}
