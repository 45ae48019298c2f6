//! The environment as a value, and the overrides it holds. The only room that reads environment variables.
#![allow(clippy::disallowed_methods)] // The room the rule sends everybody to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{Path, Segment};

/// The prefix of overrides: `BELUGA__HTTP__ADDR=127.0.0.1:9000` sets `http.addr`.
pub const PREFIX: &str = "BELUGA__";

/// The environment variables a configuration may see: the process's, or a test's own.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Copies the process's environment; variables that are no UTF-8 are left out.
    #[must_use]
    pub fn process() -> Self {
        let text =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(text.collect())
    }

    /// Returns a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the overrides: path segments in lower case, and the text. Sorted by name.
    pub(crate) fn overrides(&self) -> impl Iterator<Item = (&str, Vec<String>, &str)> {
        self.0.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix(PREFIX)?;
            let segments: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
            segments.iter().all(|segment| !segment.is_empty()).then_some((name.as_str(), segments, value.as_str()))
        })
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl std::fmt::Debug for Environment {
    /// Shows the names only: any value may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Reads an override's text as the schema's type at that place: text stays text, anything else is read as TOML.
pub(crate) fn read_value(text: &str, wants_text: bool) -> Value {
    if wants_text {
        return Value::String(text.to_owned());
    }
    let line = format!("x = {text}");
    let read = toml::from_str::<BTreeMap<String, Value>>(&line).ok().and_then(|mut table| table.remove("x"));
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Sets a value, making the tables on the way. Segments match existing keys without case, `-` as `_`.
///
/// Returns the path that was set; `None` if something on the way is no table.
pub(crate) fn set(
    root: &mut Value,
    segments: &[String],
    known: impl Fn(&Path) -> Vec<String>,
    value: Value,
) -> Option<Path> {
    let mut path = Path::default();
    let mut place = root;
    for segment in segments {
        let table = place.as_object_mut()?;
        let plain = |text: &str| text.to_lowercase().replace('-', "_");
        let have = table.keys().find(|key| plain(key) == *segment).cloned();
        let key = have
            .or_else(|| known(&path).into_iter().find(|key| plain(key) == *segment))
            .unwrap_or_else(|| segment.clone());
        path.push(Segment::Key(key.clone()));
        place = table.entry(key).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    *place = value;
    Some(path)
}
