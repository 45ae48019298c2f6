//! What the decoders of requests share: fields taken out of an object one by one, and what is left over.

use std::collections::BTreeMap;

use beluga_core::{CacheMark, Error, Extra, Layout, Part, Result};
use serde_json::{Map, Value, json};

/// An object whose known fields are taken out; what is left passes through.
#[derive(Debug)]
pub(super) struct Taken {
    /// What the object is, for errors.
    what: &'static str,
    fields: Map<String, Value>,
}

impl Taken {
    /// Opens an object.
    ///
    /// # Errors
    /// `invalid_input` if it is none.
    pub(super) fn open(what: &'static str, value: Value) -> Result<Self> {
        match value {
            Value::Object(fields) => Ok(Self { what, fields }),
            _ => Err(Error::invalid_input(format!("{what} is no object"))),
        }
    }

    /// Opens the object that is a request's body.
    pub(super) fn body(body: &[u8]) -> Result<Self> {
        // The parser's own words may repeat content; its place does not.
        let value = serde_json::from_slice(body).map_err(|error| {
            Error::invalid_input(format!("the request is no JSON: line {} column {}", error.line(), error.column()))
        })?;
        Self::open("the request", value)
    }

    /// Returns a field without taking it.
    pub(super) fn peek(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Takes a field; null is absence.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.shift_remove(name).filter(|value| !value.is_null())
    }

    /// Puts a field back, to pass through.
    pub(super) fn put_back(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }

    /// Takes a field of a type.
    ///
    /// # Errors
    /// `invalid_input` if it is of another.
    pub(super) fn typed<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => match read(&value) {
                Some(read) => Ok(Some(read)),
                None => Err(Error::invalid_input(format!("{} of {} has the wrong type", name, self.what))),
            },
        }
    }

    /// Takes a text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::invalid_input(format!("{} of {} is no text", name, self.what))),
        }
    }

    /// Takes a text that must be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<String> {
        let text = self.text(name)?;
        text.ok_or_else(|| Error::invalid_input(format!("{} has no {}", self.what, name)))
    }

    /// Takes a number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<f64>> {
        self.typed(name, Value::as_f64)
    }

    /// Takes a number that counts something.
    pub(super) fn count(&mut self, name: &str) -> Result<Option<u32>> {
        self.typed(name, |value| value.as_u64().and_then(|number| u32::try_from(number).ok()))
    }

    /// Takes a truth value.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        self.typed(name, Value::as_bool)
    }

    /// Takes a list; empty if it is absent.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(Error::invalid_input(format!("{} of {} is no list", name, self.what))),
        }
    }

    /// Takes a list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        let what = self.what;
        let read = |value: Value| match value {
            Value::String(text) => Ok(text),
            _ => Err(Error::invalid_input(format!("{name} of {what} is no list of texts"))),
        };
        self.list(name)?.into_iter().map(read).collect()
    }

    /// Takes an object.
    pub(super) fn object(&mut self, name: &'static str) -> Result<Option<Taken>> {
        self.take(name).map(|value| Taken::open(name, value)).transpose()
    }

    /// Takes the application's labels, if all of them are texts; else they stay.
    pub(super) fn labels(&mut self) -> Option<BTreeMap<String, String>> {
        let labels = self.peek("metadata")?.as_object()?;
        let labels: Option<_> =
            labels.iter().map(|(name, label)| Some((name.clone(), label.as_str()?.to_owned()))).collect();
        if labels.is_some() {
            self.take("metadata");
        }
        labels
    }

    /// Takes a mark of Anthropic's form, which others have taken over: `{"type": "ephemeral", "ttl": …}`.
    pub(super) fn cache_control(&mut self) -> Option<CacheMark> {
        let mark = cache_mark(self.peek("cache_control")?)?;
        self.take("cache_control");
        Some(mark)
    }

    /// Returns what is left, without nulls.
    pub(super) fn rest(self) -> Extra {
        self.fields.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }
}

/// Reads content: a text, or a list of parts, each by `read`. What one text says needs no layout.
///
/// # Errors
/// `invalid_input` if it is neither.
pub(super) fn content(
    value: Option<Value>,
    parts: &mut Vec<Part>,
    read: impl Fn(Value) -> Result<Part>,
) -> Result<Option<Layout>> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => {
            parts.push(Part::text(text));
            Ok(None)
        }
        Some(Value::Array(items)) => {
            for item in items {
                parts.push(read(item)?);
            }
            Ok(Some(Layout::Listed))
        }
        Some(_) => Err(Error::invalid_input("the content of a message is neither text nor a list")),
    }
}

/// Reads a cache mark; `None` if it says more than the normal form has a word for.
fn cache_mark(value: &Value) -> Option<CacheMark> {
    let fields = value.as_object()?;
    let is_known = fields.iter().all(|(name, value)| match name.as_str() {
        "type" => value == "ephemeral",
        "ttl" => value.is_string() || value.is_null(),
        _ => false,
    });
    let ttl = fields.get("ttl").and_then(Value::as_str).map(str::to_owned);
    (is_known && fields.contains_key("type")).then_some(CacheMark { ttl })
}

/// Writes a cache mark of that form.
pub(super) fn wire_cache_control(mark: &CacheMark) -> Value {
    match &mark.ttl {
        Some(ttl) => json!({"type": "ephemeral", "ttl": ttl}),
        None => json!({"type": "ephemeral"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_is_left_over() {
        let mut taken = Taken::open("a test", json!({"a": "x", "b": 1, "c": null, "d": true})).unwrap();
        assert_eq!(taken.text("a").unwrap().as_deref(), Some("x"));
        assert_eq!((taken.count("b").unwrap(), taken.flag("c").unwrap()), (Some(1), None));
        assert_eq!(Value::Object(taken.rest()), json!({"d": true}));
    }

    #[test]
    fn a_wrong_type_is_told_by_name_and_not_by_content() {
        let mut taken = Taken::open("a test", json!({"a": {"secret": 1}})).unwrap();
        let error = taken.number("a").unwrap_err();
        assert_eq!(error.code(), beluga_core::Code::InvalidInput);
        assert!(error.to_string().contains("a of a test") && !error.to_string().contains("secret"));
        assert!(Taken::body(b"{").is_err() && Taken::body(b"[]").is_err());
    }

    #[test]
    fn a_cache_mark_that_says_more_passes_through() {
        for (mark, is_known) in [
            (json!({"type": "ephemeral"}), true),
            (json!({"type": "ephemeral", "ttl": "1h"}), true),
            (json!({"type": "ephemeral", "scope": "x"}), false),
            (json!({"type": "eternal"}), false),
        ] {
            let mut taken = Taken::open("a part", json!({"cache_control": mark})).unwrap();
            let read = taken.cache_control();
            assert_eq!(read.is_some(), is_known, "{mark}");
            assert_eq!(taken.rest().is_empty(), is_known, "{mark}");
            if let Some(read) = read {
                assert_eq!(wire_cache_control(&read), mark);
            }
        }
    }
}
