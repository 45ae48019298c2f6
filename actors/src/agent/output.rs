//! Answers with a type: the schema goes to the model, the answer is checked against it, a wrong one is sent back.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;

use beluga_core::{BoxFuture, ChatMessage, Error, ResponseFormat, Result};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::handle::Ask;
use crate::tool::typed::{Arguments, schema_of, support};

/// How often an answer of the wrong form is sent back to the model.
pub const OUTPUT_RETRIES: u32 = 2;

/// A question whose answer is a `T`; await it. Made by [`Ask::output`].
///
/// All tries are turns of one session and share the time of the question.
///
/// # Errors
/// `config` if `T` is no struct, `decode` if no answer fitted (its message says what was wrong with the last one, without
/// its values), and what [`AgentRef::invoke`](super::AgentRef::invoke) answers.
#[must_use = "a question does nothing unless awaited"]
pub struct AskOutput<T> {
    ask: Ask,
    output: PhantomData<fn() -> T>,
}

impl<T> AskOutput<T> {
    pub(super) fn new(ask: Ask) -> Self {
        Self { ask, output: PhantomData }
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> IntoFuture for AskOutput<T> {
    type Output = Result<T>;
    type IntoFuture = BoxFuture<'static, Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let schema = schema_of::<T>();
            if schema.get("type").is_none_or(|kind| kind != "object") {
                return Err(Error::config("an output type is a struct: its schema is of type \"object\""));
            }
            let form = Arguments::compile(&schema)?;
            let name = T::schema_name().chars().filter(char::is_ascii_alphanumeric).take(64).collect();
            let Ask { agent, invoke, .. } = self.ask.timed();
            // Not strict: vendors then refuse optional fields, and the answer is checked here in any case.
            let mut invoke =
                invoke.with_format(ResponseFormat::JsonSchema { name, schema, strict: false, description: None });
            let mut sent_back = 0;
            loop {
                let reply = agent.invoke(invoke.clone()).await?;
                let error = match read(&form, &reply.result) {
                    Ok(output) => return Ok(output),
                    Err(error) => error,
                };
                if sent_back == OUTPUT_RETRIES {
                    return Err(Error::decode(format!("the answer is not of the wanted form: {}", error.message()))
                        .with("session", reply.session)
                        .with("tries", sent_back + 1));
                }
                sent_back += 1;
                invoke.input = ChatMessage::user(format!(
                    "That answer is not of the wanted form: {}. Answer again, with the JSON and nothing else.",
                    error.message()
                ));
                invoke.idempotency_key = invoke.idempotency_key.map(|key| format!("{key}/{sent_back}"));
                invoke.session = Some(reply.session);
            }
        })
    }
}

impl<T> fmt::Debug for AskOutput<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AskOutput").field(&self.ask).finish()
    }
}

fn read<T: DeserializeOwned>(form: &Arguments, answer: &str) -> Result<T> {
    let value: Value = serde_json::from_str(bare(answer)).map_err(|error| {
        Error::invalid_input(format!("no JSON at line {}, column {}", error.line(), error.column()))
    })?;
    form.validate(&value)?;
    support::parse(value)
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
