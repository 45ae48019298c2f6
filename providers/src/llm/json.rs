//! JSON helpers of the dialects: text borrowed from the input, and objects the caller's extra fields go into.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, SerializeMap};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Text that borrows from the input unless it has escapes. (An `Option<Cow<str>>` would always be copied.)
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Returns the text if there is some: vendors write "nothing" as an absent field, as null and as "".
pub(crate) fn filled<'a>(text: Option<&'a Text<'_>>) -> Option<&'a str> {
    text.map(|text| text.0.as_ref()).filter(|text| !text.is_empty())
}

/// A JSON object under construction. The caller's extra fields go before ours of the same name.
pub(crate) struct Fields<'a, M> {
    map: M,
    extra: &'a Map<String, Value>,
    left_out: &'static [&'static str],
}

impl<'a, M: SerializeMap> Fields<'a, M> {
    pub(crate) fn new(map: M, extra: &'a Map<String, Value>, left_out: &'static [&'static str]) -> Self {
        Self { map, extra, left_out }
    }

    /// Writes a field, unless the caller has it or the vendor refuses it.
    pub(crate) fn put<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), M::Error> {
        if self.extra.contains_key(name) || self.left_out.contains(&name) {
            return Ok(());
        }
        self.map.serialize_entry(name, value)
    }

    /// Writes a field if there is a value.
    pub(crate) fn put_some<T: Serialize>(&mut self, name: &'static str, value: Option<&T>) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.put(name, value))
    }

    /// Writes the caller's fields and ends the object.
    pub(crate) fn end(mut self) -> Result<M::Ok, M::Error> {
        for (name, value) in self.extra {
            self.map.serialize_entry(name, value)?;
        }
        self.map.end()
    }
}

/// Returns the arguments of a past call as a JSON object, however the model wrote them.
///
/// What is no object is wrapped: vendors refuse a history with malformed arguments, and a session must survive them.
pub(crate) fn arguments_object(arguments: &str) -> Cow<'_, str> {
    let text = arguments.trim();
    if text.is_empty() {
        return Cow::Borrowed("{}");
    }
    if text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok() {
        return Cow::Borrowed(arguments);
    }
    let mut wrapped = Map::new();
    wrapped.insert("malformed_arguments".to_owned(), Value::String(text.to_owned()));
    Cow::Owned(Value::Object(wrapped).to_string())
}

/// Takes a text out of an object; what is no text stays.
pub(crate) fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).filter(|value| value.is_string())?;
    match fields.shift_remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Takes a list out of an object; empty if there is none.
pub(crate) fn take_list(fields: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match fields.shift_remove(name) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

/// Takes a number that counts something out of an object; what is none stays.
pub(crate) fn take_count(fields: &mut Map<String, Value>, name: &str) -> Option<u64> {
    let found = fields.get(name).and_then(Value::as_u64)?;
    fields.shift_remove(name);
    Some(found)
}

/// Parses a usage object that is kept as it came.
pub(crate) fn raw_value(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_escapes_is_borrowed() {
        let text: Text<'_> = serde_json::from_str(r#""plain""#).unwrap();
        assert!(matches!(text.0, Cow::Borrowed("plain")));
        let text: Text<'_> = serde_json::from_str(r#""a\nb""#).unwrap();
        assert_eq!(text.0, "a\nb");
    }

    #[test]
    fn malformed_arguments_are_wrapped() {
        assert_eq!(arguments_object(r#" {"a":1} "#), r#" {"a":1} "#);
        assert_eq!(arguments_object(""), "{}");
        assert_eq!(arguments_object("{\"a\":"), r#"{"malformed_arguments":"{\"a\":"}"#);
        assert_eq!(arguments_object("[1]"), r#"{"malformed_arguments":"[1]"}"#);
    }
}
