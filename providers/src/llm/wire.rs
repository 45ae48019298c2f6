//! Wire structures that keep what they do not know.
//!
//! A vendor adds fields without notice, and some of them are an answer's only record of something: a fingerprint, a
//! price, the verdict of a filter. [`wire!`] makes a structure whose unknown fields are kept as raw JSON, borrowed from
//! the input; [`Kept`] puts together what came of them over a stream, and costs a comparison of bytes where a field says
//! the same in every event.

use std::fmt;
use std::marker::PhantomData;

use beluga_core::Extra;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::Text;

/// Declares a structure of optional fields, each with the names it may have on the wire, and `rest` for all others. Null
/// is absence.
macro_rules! wire {
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$life:lifetime> {
        $($(#[$field_meta:meta])* $field:ident: $kind:ty = $($key:literal)|+),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $vis struct $name<$life> {
            $($(#[$field_meta])* $vis $field: Option<$kind>,)*
            /// What has no field.
            $vis rest: $crate::llm::wire::Rest<$life>,
        }

        impl<$life> ::serde::Deserialize<$life> for $name<$life> {
            fn deserialize<D: ::serde::Deserializer<$life>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields<$life>(::std::marker::PhantomData<&$life ()>);
                impl<$life> ::serde::de::Visitor<$life> for Fields<$life> {
                    type Value = $name<$life>;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: ::serde::de::MapAccess<$life>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut found = $name::default();
                        while let Some(key) = map.next_key::<$crate::llm::json::Text<$life>>()? {
                            match key.0.as_ref() {
                                $($($key)|+ => found.$field = map.next_value()?,)*
                                _ => found.rest.push(key, map.next_value()?),
                            }
                        }
                        Ok(found)
                    }
                }
                deserializer.deserialize_map(Fields(::std::marker::PhantomData))
            }
        }
    };
}
pub(super) use wire;

/// A list that mostly has one element: the first needs no allocation.
#[derive(Debug)]
pub(super) struct Few<T> {
    first: Option<T>,
    others: Vec<T>,
}

impl<T> Few<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.others)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Few<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut few = Few { first: list.next_element()?, others: Vec::new() };
                if few.first.is_some() {
                    while let Some(element) = list.next_element()? {
                        few.others.push(element);
                    }
                }
                Ok(few)
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// The fields of an object that its structure does not know, as they came. Nulls are left out.
#[derive(Default)]
pub(super) struct Rest<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'a> Rest<'a> {
    pub(super) fn push(&mut self, key: Text<'a>, value: &'a RawValue) {
        if value.get() != "null" {
            self.0.push((key, value));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the fields in the order they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.0.as_ref(), *value))
    }

    /// Parses the fields.
    pub(super) fn to_extra(&self) -> Extra {
        let parsed = |(key, value): (&str, &RawValue)| Some((key.to_owned(), serde_json::from_str(value.get()).ok()?));
        self.iter().filter_map(parsed).collect()
    }
}

impl fmt::Debug for Rest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| &key.0)).finish()
    }
}

/// Unknown fields, put together over the events of a stream.
///
/// A field that comes again with another value is merged: objects by name, a list behind a list unless the new one
/// repeats the old, and of everything else the newer. Its size is bounded by the answer's.
#[derive(Debug, Default)]
pub(super) struct Kept(Vec<KeptField>);

#[derive(Debug)]
struct KeptField {
    key: String,
    /// What came last, to see at a glance that nothing is new.
    raw: String,
    /// What has been merged, once two values differed.
    merged: Option<Value>,
}

impl Kept {
    /// Takes the unknown fields of one event but those named in `skip`.
    pub(super) fn take(&mut self, rest: &Rest<'_>, skip: &[&str]) {
        for (key, value) in rest.iter().filter(|(key, _)| !skip.contains(key)) {
            self.put(key, value.get());
        }
    }

    /// Takes one field.
    pub(super) fn put(&mut self, key: &str, raw: &str) {
        match self.0.iter_mut().find(|field| field.key == key) {
            None => self.0.push(KeptField { key: key.to_owned(), raw: raw.to_owned(), merged: None }),
            Some(field) if field.raw == raw => {}
            Some(field) => {
                let (Ok(new), Ok(old)) = (serde_json::from_str(raw), serde_json::from_str(&field.raw)) else { return };
                merge(field.merged.get_or_insert(old), new);
                raw.clone_into(&mut field.raw);
            }
        }
    }

    /// Returns the fields, in the order they were first seen.
    pub(super) fn finish(&mut self) -> Extra {
        let parsed = |field: KeptField| {
            let value = field.merged.or_else(|| serde_json::from_str(&field.raw).ok())?;
            Some((field.key, value))
        };
        std::mem::take(&mut self.0).into_iter().filter_map(parsed).collect()
    }
}

/// Adds a newer value to an older one.
fn merge(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                match old.get_mut(&key) {
                    Some(have) => merge(have, value),
                    None => drop(old.insert(key, value)),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) if !new.starts_with(old) => old.extend(new),
        (_, Value::Null) => {}
        (old, new) => *old = new,
    }
}

/// Reads text that may be a raw JSON value: a string's content, anything else as it is written.
pub(super) fn raw_text(raw: &RawValue) -> std::borrow::Cow<'_, str> {
    match serde_json::from_str::<Text<'_>>(raw.get()) {
        Ok(text) => text.0,
        Err(_) => std::borrow::Cow::Borrowed(raw.get()),
    }
}

/// Parses a raw value; null if it is none, which cannot be.
pub(super) fn raw_json(raw: &RawValue) -> Value {
    Value::deserialize(raw).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    wire! {
        struct Sample<'a> {
            id: Text<'a> = "id" | "ID",
            count: u32 = "count",
        }
    }

    #[test]
    fn what_has_no_field_is_kept_and_null_is_absence() {
        let sample: Sample<'_> = serde_json::from_str(r#"{"ID":"x","count":null,"new":{"a":1},"gone":null}"#).unwrap();
        assert_eq!((sample.id.unwrap().0.as_ref(), sample.count), ("x", None));
        assert_eq!(Value::Object(sample.rest.to_extra()), json!({"new": {"a": 1}}));
        assert!(serde_json::from_str::<Sample<'_>>("[]").is_err());
    }

    #[test]
    fn fields_of_many_events_are_merged() {
        let mut kept = Kept::default();
        for event in [
            r#"{"same":"a","list":[1],"grows":[1],"deep":{"a":[1],"b":"x"}}"#,
            r#"{"same":"a","list":[2],"grows":[1,2],"deep":{"a":[2],"c":true}}"#,
            r#"{"same":"b","noise":"z"}"#,
        ] {
            let sample: Sample<'_> = serde_json::from_str(event).unwrap();
            kept.take(&sample.rest, &["noise"]);
        }
        let want = json!({"same": "b", "list": [1, 2], "grows": [1, 2], "deep": {"a": [1, 2], "b": "x", "c": true}});
        assert_eq!(Value::Object(kept.finish()), want);
        assert!(kept.finish().is_empty());
    }
}
