//! What the expansion of `#[tool]` names; no API.

use std::any::Any;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use beluga_core::{BoxFuture, Effect, Error, Tool, ToolContext, ToolDefinition, ToolOutput};
pub use serde_json::Value;

use super::schema::schema_of;

/// The argument type of a tool without arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}

/// Makes the definition of a tool whose arguments are an `A`.
#[must_use]
pub fn definition<A: JsonSchema>(
    name: &str,
    description: &str,
    effect: Effect,
    timeout_ms: Option<u64>,
) -> ToolDefinition {
    ToolDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema: schema_of::<A>(),
        effect,
        timeout: timeout_ms.map(Duration::from_millis),
        notes: None,
    }
}

/// Makes an `A` of what the model sent; serde fills in the defaults.
///
/// # Errors
/// `invalid_input` names the field by its path.
pub fn parse<A: DeserializeOwned>(arguments: Value) -> Result<A, Error> {
    serde_path_to_error::deserialize(arguments).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "arguments".to_owned() } else { path };
        let reason = without_values(&error.inner().to_string());
        Error::invalid_input(format!("{path}: {reason}")).with_op("tool.arguments")
    })
}

/// Removes the values serde quotes (`invalid type: string "…", expected u8`): what a model sent may be a user's secret.
fn without_values(message: &str) -> String {
    for (opening, closing) in [(" \"", "\", expected"), ("unknown variant `", "`, expected")] {
        let Some((before, rest)) = message.split_once(opening) else { continue };
        let after = rest.rfind(closing).and_then(|at| rest.get(at + 1..)).unwrap_or_default();
        let kept = opening.trim_end_matches(['"', '`', ' ']);
        return format!("{before}{kept}{after}");
    }
    message.to_owned()
}

/// What a `#[tool]` function may answer: `Result<T, E>` with `T` a `String`, any `Serialize` value or `ToolOutput`.
#[diagnostic::on_unimplemented(
    message = "a `#[tool]` function cannot answer `{Self}`",
    label = "write `-> Result<T>` with a T that is a String, any Serialize value or ToolOutput",
    note = "the error type must convert into `beluga_core::Error`"
)]
pub trait ToolAnswer {
    /// Makes the output the model sees.
    ///
    /// # Errors
    /// The tool's own; `internal` if the value cannot be written as JSON.
    fn into_output(self) -> Result<ToolOutput, Error>;
}

impl<T: Serialize + 'static, E: Into<Error>> ToolAnswer for Result<T, E> {
    fn into_output(self) -> Result<ToolOutput, Error> {
        output(self.map_err(Into::into)?)
    }
}

/// Makes an output of any value; a [`ToolOutput`] stays what it is.
///
/// # Errors
/// `internal` if the value cannot be written as JSON.
pub fn output<T: Serialize + 'static>(value: T) -> Result<ToolOutput, Error> {
    let mut value = Some(value);
    if let Some(output) = (&mut value as &mut dyn Any).downcast_mut::<Option<ToolOutput>>() {
        return Ok(output.take().unwrap_or_default());
    }
    ToolOutput::json(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Order {
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Item {
        count: u8,
    }

    #[test]
    fn a_bad_value_is_named_by_its_path_and_not_repeated() {
        let error = parse::<Order>(json!({"items": [{"count": 1}, {"count": "geheim, \"expected"}]})).unwrap_err();
        assert_eq!(error.message(), "items[1].count: invalid type: string, expected u8");
        let error = parse::<Order>(json!({"items": [{"count": 300}]})).unwrap_err();
        assert!(error.message().starts_with("items[0].count: invalid value"), "{error}");
        let error = parse::<beluga_core::Role>(json!("geheim")).unwrap_err();
        assert!(error.message().starts_with("arguments: unknown variant, expected one of `system`"), "{error}");
        let error = parse::<Order>(json!({})).unwrap_err();
        assert_eq!(error.message(), "arguments: missing field `items`");
    }

    /// Tools named as the variables one would expect in an expansion.
    mod names {
        use beluga_core::{Result, ToolContext};
        use beluga_macros::tool;

        /// Answers.
        #[tool]
        pub(super) async fn answer(_cx: &ToolContext) -> Result<String> {
            Ok("answered".to_owned())
        }

        /// Argues.
        #[tool]
        pub(super) async fn arguments(_question: super::Question) -> Result<String> {
            Ok("argued".to_owned())
        }

        /// Is no context.
        #[tool(name = "context")]
        pub(super) async fn cx() -> Result<String> {
            Ok("cx".to_owned())
        }
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Question {}

    #[test]
    fn a_tool_may_have_the_name_of_any_variable_of_its_expansion() {
        use futures_util::FutureExt;

        let tools: [&dyn Tool; 3] = [&names::answer, &names::arguments, &names::cx];
        for (tool, expected) in tools.iter().zip(["answered", "argued", "cx"]) {
            let (session, turn) = ("s".parse().unwrap(), "t".parse().unwrap());
            let cx = ToolContext::new(beluga_core::CallContext::new(), "k", session, turn, "a".parse().unwrap());
            let output = tool.call(json!({}), cx).now_or_never().unwrap().unwrap();
            assert_eq!(output, ToolOutput::text(expected));
        }
        assert_eq!(names::cx.definition().name, "context");
    }

    #[test]
    fn a_tool_output_is_not_wrapped_again() {
        assert_eq!(output(ToolOutput::failed("no")).unwrap(), ToolOutput::failed("no"));
        assert_eq!(output("plain").unwrap(), ToolOutput::text("plain"));
        assert_eq!(output(json!({"a": 1})).unwrap(), ToolOutput::text("{\"a\":1}"));
    }
}
