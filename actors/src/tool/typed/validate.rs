//! Checks what a model sent against a tool's schema, and says what is wrong in words a model can act on.

use std::fmt;
use std::sync::Arc;

use beluga_core::{Error, Result};
use serde_json::Value;

use super::problem;

/// The most problems one error lists.
pub const PROBLEMS_MAX: usize = 5;

/// A tool's schema, compiled once. Cheap to clone.
///
/// ```
/// use beluga_actors::tool::typed::Arguments;
/// use serde_json::json;
///
/// let arguments = Arguments::compile(&json!({
///     "type": "object",
///     "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 7}},
///     "required": ["city"],
///     "additionalProperties": false,
/// })).unwrap();
/// arguments.validate(&json!({"city": "Oslo", "days": 3})).unwrap();
/// let error = arguments.validate(&json!({"days": "three", "town": "Oslo"})).unwrap_err();
/// assert_eq!(
///     error.message(),
///     "days: expected an integer, got a string; town: unknown argument, known are: city, days; city: missing"
/// );
/// ```
#[derive(Clone)]
pub struct Arguments(Arc<Compiled>);

struct Compiled {
    validator: jsonschema::Validator,
    schema: Value,
}

impl Arguments {
    /// Compiles the schema of a tool's arguments, draft 2020-12 unless it names another. Does no I/O: a reference out of
    /// the schema is an error.
    ///
    /// # Errors
    /// `config` if it is no JSON Schema, or not the schema of an object.
    pub fn compile(schema: &Value) -> Result<Self> {
        let kind = schema.get("type");
        if kind.is_some_and(|kind| kind != "object") || !schema.is_object() {
            return Err(Error::config("the schema of a tool's arguments is of type \"object\""));
        }
        let validator = jsonschema::validator_for(schema).map_err(|error| {
            Error::config("the schema of a tool's arguments is no JSON Schema")
                .with("at", error.instance_path().to_string())
                .with_source(error.to_string())
        })?;
        Ok(Self(Arc::new(Compiled { validator, schema: schema.clone() })))
    }

    /// Checks arguments. Good ones cost no allocation.
    ///
    /// # Errors
    /// `invalid_input` lists up to [`PROBLEMS_MAX`] problems as `path: problem`. Names stand in it, values do not.
    pub fn validate(&self, arguments: &Value) -> Result<()> {
        if self.0.validator.is_valid(arguments) {
            return Ok(());
        }
        let mut problems = Vec::new();
        for error in self.0.validator.iter_errors(arguments) {
            problem::describe(&self.0.schema, &error, &mut problems);
        }
        let more = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        let mut message = problems.join("; ");
        if more > 0 {
            message.push_str(&format!("; and {more} more"));
        }
        Err(Error::invalid_input(message).with_op("tool.arguments"))
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arguments").field(&self.0.schema).finish()
    }
}
