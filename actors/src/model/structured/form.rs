//! The form of an answer: what the model is told of it, and what its answer is checked against.

use beluga_core::{Error, ResponseFormat, Result, SchemaSupport};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::strict::{strict, without_nulls};
use crate::tool::typed::{Arguments, schema_of, support};

/// The form of answers that are a type; compiled once a question.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) name: String,
    pub(crate) schema: Value,
    check: Arguments,
}

impl Form {
    /// Makes the form of a type.
    ///
    /// # Errors
    /// `config` if the type is no struct.
    pub(crate) fn of<T: JsonSchema>() -> Result<Self> {
        let schema = schema_of::<T>();
        if schema.get("type").is_none_or(|kind| kind != "object") {
            return Err(Error::config("an output type is a struct: its schema is of type \"object\""));
        }
        let check = Arguments::compile(&schema)?;
        let name = T::schema_name().chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        Ok(Self { name, schema, check })
    }

    /// Returns the format a model is asked for: enforced where its rules can say the schema.
    pub(crate) fn format(&self, support: &SchemaSupport) -> ResponseFormat {
        let enforced = match support {
            SchemaSupport::Enforced(rules) => strict(&self.schema, rules),
            _ => None,
        };
        ResponseFormat::JsonSchema {
            name: self.name.clone(),
            strict: enforced.is_some(),
            schema: enforced.unwrap_or_else(|| self.schema.clone()),
            description: None,
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// `invalid_input` says what is wrong with it, without its values.
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: &str) -> Result<T> {
        let mut value: Value = serde_json::from_str(bare(answer)).map_err(|error| {
            Error::invalid_input(format!("no JSON at line {}, column {}", error.line(), error.column()))
        })?;
        without_nulls(&mut value, &self.schema, &self.schema);
        self.check.validate(&value)?;
        support::parse(value)
    }
}

/// Says what is wrong with an answer, for the model.
pub(crate) fn complaint(error: &Error) -> String {
    format!("That answer is not of the wanted form: {}. Answer again, with the JSON and nothing else.", error.message())
}

/// Takes off the fence many models put round JSON.
fn bare(answer: &str) -> &str {
    let answer = answer.trim();
    let Some(inner) = answer.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else { return answer };
    inner.strip_prefix("json").unwrap_or(inner).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_taken_off_and_nothing_else() {
        for text in ["{\"a\": 1}", " {\"a\": 1}\n", "```json\n{\"a\": 1}\n```", "```\n{\"a\": 1}```"] {
            assert_eq!(bare(text), "{\"a\": 1}");
        }
        assert_eq!(bare("``` {"), "``` {");
    }
}
