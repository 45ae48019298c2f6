//! What a turn is asked with, read from JSON: one reader for every face, so that they take the same requests.

use std::collections::BTreeMap;

use beluga_actors::session::Invoke;
use beluga_core::{CallContext, Code, Error, Result, SessionId};
use serde_json::{Map, Value};

/// The longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_MAX_BYTES: usize = 255;

/// What a turn is asked with.
#[derive(Debug)]
pub(crate) struct TurnRequest {
    pub(crate) input: String,
    pub(crate) session: Option<SessionId>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) cancel_on_disconnect: bool,
}

impl TurnRequest {
    /// Reads the body of a request. `streams` tells whether `cancel_on_disconnect` is a field of it.
    ///
    /// # Errors
    /// `decode` (no JSON), `invalid_input` (no object; names the field that is wrong, missing or unknown).
    pub(crate) fn parse(body: &[u8], idempotency_key: Option<&str>, streams: bool) -> Result<Self> {
        let mut fields = object(body)?;
        let input = text(&mut fields, "input")?.ok_or_else(|| missing("input"))?;
        if input.trim().is_empty() {
            return Err(Error::invalid_input("input must not be empty").with("field", "input"));
        }
        let session = text(&mut fields, "session")?.map(SessionId::parse).transpose()?;
        let metadata = labels(&mut fields)?;
        let cancel_on_disconnect = if streams { flag(&mut fields, "cancel_on_disconnect")? } else { None };
        let known = if streams { "input, session, metadata, cancel_on_disconnect" } else { "input, session, metadata" };
        refuse_others(&fields, known)?;
        Ok(Self {
            input,
            session,
            idempotency_key: idempotency_key.map(check_key).transpose()?,
            metadata,
            cancel_on_disconnect: cancel_on_disconnect.unwrap_or(false),
        })
    }

    /// Makes the call of an agent out of it.
    pub(crate) fn into_invoke(self, context: CallContext) -> Invoke {
        let mut invoke = Invoke::text(self.input).with_context(context);
        invoke.session = self.session;
        invoke.idempotency_key = self.idempotency_key;
        invoke.metadata = self.metadata;
        invoke.cancel_on_drop(self.cancel_on_disconnect)
    }
}

/// Checks an idempotency key.
///
/// # Errors
/// `invalid_input` if it is empty or too long.
pub(crate) fn check_key(key: &str) -> Result<String> {
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX_BYTES {
        let error = Error::invalid_input("the idempotency key is empty or too long");
        return Err(error.with("limit_bytes", IDEMPOTENCY_KEY_MAX_BYTES));
    }
    Ok(key.to_owned())
}

/// Reads a JSON object.
///
/// # Errors
/// `decode` with line and column, `invalid_input` if it is something else.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(Error::invalid_input("the body must be a JSON object").with("got", kind_of(&other))),
        Err(error) => Err(Error::new(Code::Decode, "the body is no JSON")
            .with("line", error.line())
            .with("column", error.column())),
    }
}

/// Takes a field that is text.
pub(crate) fn text(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(name, "a string", &other)),
    }
}

/// Takes a field that is true or false.
pub(crate) fn flag(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<bool>> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(other) => Err(wrong_type(name, "true or false", &other)),
    }
}

/// Takes a field that is a whole number of at least 0.
pub(crate) fn number(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<u64>> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong_type(name, "a whole number", &value)),
    }
}

/// Refuses what is left: a misspelt field must not be ignored.
pub(crate) fn refuse_others(fields: &Map<String, Value>, known: &'static str) -> Result<()> {
    let Some(name) = fields.keys().next() else { return Ok(()) };
    let name: String = name.chars().take(64).flat_map(char::escape_default).collect();
    Err(Error::invalid_input("unknown field").with("field", name).with("known", known))
}

/// Makes the error of a field that is not there.
pub(crate) fn missing(name: &'static str) -> Error {
    Error::invalid_input(format!("{name} is required")).with("field", name)
}

/// Reads the labels; how many and how long they may be is checked with the turn.
fn labels(fields: &mut Map<String, Value>) -> Result<BTreeMap<String, String>> {
    match fields.remove("metadata") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(labels)) => labels
            .into_iter()
            .map(|(key, value)| match value {
                Value::String(value) => Ok((key, value)),
                other => Err(wrong_type("metadata", "an object of strings", &other)),
            })
            .collect(),
        Some(other) => Err(wrong_type("metadata", "an object of strings", &other)),
    }
}

fn wrong_type(name: &'static str, wanted: &str, got: &Value) -> Error {
    Error::invalid_input(format!("{name} must be {wanted}")).with("field", name).with("got", kind_of(got))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, streams: bool) -> Result<TurnRequest> {
        TurnRequest::parse(body.as_bytes(), None, streams)
    }

    #[test]
    fn a_request_is_read_field_by_field() {
        let request = read(r#"{"input":"hi","session":"s-1","cancel_on_disconnect":true}"#, true).unwrap();
        assert_eq!((request.input.as_str(), request.session.unwrap().as_str()), ("hi", "s-1"));
        assert!(request.cancel_on_disconnect);
        assert!(read(r#"{"input":"hi","session":null}"#, false).unwrap().session.is_none());
    }

    #[test]
    fn each_wrong_body_is_told_what_is_wrong() {
        for (body, told) in [
            ("", "no JSON"),
            ("{\"input\"", "no JSON"),
            ("\u{0}\u{1}", "no JSON"),
            ("[]", "must be a JSON object (got: an array)"),
            ("{}", "input is required"),
            (r#"{"input":7}"#, "input must be a string (field: input, got: a number)"),
            (r#"{"input":"  "}"#, "must not be empty"),
            (r#"{"input":"a","session":["s"]}"#, "session must be a string"),
            (r#"{"input":"a","session":"../etc"}"#, "session must be 1 to 64"),
            (r#"{"input":"a","metadata":["x"]}"#, "metadata must be an object of strings"),
            (r#"{"input":"a","metadata":{"x":1}}"#, "metadata must be an object of strings"),
            (r#"{"input":"a","sesion":"s"}"#, "unknown field (field: sesion"),
            (r#"{"input":"a","cancel_on_disconnect":true}"#, "unknown field"),
        ] {
            let problem = read(body, false).unwrap_err().problem();
            assert_eq!(problem.status, 400, "{body}: {}", problem.detail);
            assert!(problem.detail.contains(told), "{body}: {}", problem.detail);
        }
        let deep = format!("{{\"input\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(read(&deep, false).unwrap_err().problem().detail.contains("no JSON"), "depth is bounded");
    }

    #[test]
    fn a_key_is_neither_empty_nor_endless() {
        for key in ["", &"k".repeat(IDEMPOTENCY_KEY_MAX_BYTES + 1)] {
            let error = TurnRequest::parse(br#"{"input":"a"}"#, Some(key), false).unwrap_err();
            assert!(error.to_string().contains("limit_bytes: 255"), "{error}");
        }
    }
}
