//! The leaves of JSON documents: every text, number and truth value, with the way to it.

use std::collections::HashSet;

use beluga_providers::llm::Ignored;
use serde_json::Value;

/// Numbers that have a name of the normal form's own.
const RENAMED: [(&str, &str); 8] = [
    ("start_index", "start"),
    ("end_index", "end"),
    ("start_char_index", "start"),
    ("end_char_index", "end"),
    ("start_page_number", "start"),
    ("end_page_number", "end"),
    ("start_block_index", "start"),
    ("end_block_index", "end"),
];

/// A step on the way to a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Name(String),
    /// A place in a list, or an object that names its own index: what belongs together over events has the same.
    Item(Option<i64>),
}

/// A text, a number or a truth value.
#[derive(Debug, Clone)]
pub(crate) struct Leaf<'a> {
    pub(crate) way: Vec<Step>,
    pub(crate) value: &'a Value,
}

impl Leaf<'_> {
    /// Returns the way as patterns write it.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.way {
            match step {
                Step::Name(name) if path.is_empty() => path.push_str(name),
                Step::Name(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Item(_) if path.is_empty() => {}
                Step::Item(_) => path.push_str("[]"),
            }
        }
        path
    }

    /// Returns the name nearest to the leaf.
    pub(crate) fn name(&self) -> &str {
        let name = |step: &'_ Step| matches!(step, Step::Name(_));
        match self.way.iter().rfind(|step| name(step)) {
            Some(Step::Name(name)) => name,
            _ => "",
        }
    }
}

/// Collects the leaves of a document. Null, empty text, empty lists and objects are nothing.
pub(crate) fn leaves(value: &Value) -> Vec<Leaf<'_>> {
    let mut found = Vec::new();
    collect(value, &mut Vec::new(), &mut found);
    found
}

fn collect<'a>(value: &'a Value, way: &mut Vec<Step>, found: &mut Vec<Leaf<'a>>) {
    match value {
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        Value::Array(items) => {
            for item in items {
                let own = item.get("index").and_then(Value::as_i64);
                way.push(Step::Item(own));
                collect(item, way, found);
                way.pop();
            }
        }
        Value::Object(fields) => {
            let own = way.is_empty().then(|| value.get("index").and_then(Value::as_i64)).flatten();
            way.extend(own.map(|index| Step::Item(Some(index))));
            for (name, field) in fields {
                way.push(Step::Name(name.clone()));
                collect(field, way, found);
                way.pop();
            }
            if own.is_some() {
                way.pop();
            }
        }
        value => found.push(Leaf { way: way.clone(), value }),
    }
}

/// Returns whether a leaf is one that says nothing.
pub(crate) fn is_ignored(leaf: &Leaf<'_>, ignored: &[Ignored]) -> Option<&'static str> {
    let path = leaf.path();
    let found = ignored.iter().find(|entry| {
        let fits = |json: &str| serde_json::from_str::<Value>(json).is_ok_and(|value| same(&value, leaf.value));
        matches(entry.path, &path) && entry.value.is_none_or(fits)
    });
    found.map(|entry| entry.path)
}

/// Returns whether a pattern leads to a path: `*` is any name, a trailing `**` everything below.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some("**"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some("*[]"), Some(have)) if have.ends_with("[]") => {}
            (Some(want), Some(have)) if want == have => {}
            _ => return false,
        }
    }
}

/// Returns whether two values are the same; 1 and 1.0 are. The parser reads some numbers of seventeen digits one step
/// beside themselves, so numbers that were written out and read again may differ by that.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let close = |one: f64, other: f64| (one - other).abs() <= one.abs() * 4.0 * f64::EPSILON;
            one == other || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| close(one, other))
        }
        (one, other) => one == other,
    }
}

/// What an answer's normal form holds, to look leaves up in.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    texts: HashSet<String>,
    /// Name and value.
    named: HashSet<(String, String)>,
    /// All texts of a name behind each other, for pieces.
    joined: Vec<(String, String)>,
}

impl Holdings {
    /// Takes everything a document holds, also inside texts that are JSON themselves.
    pub(crate) fn take(&mut self, document: &Value) {
        for leaf in leaves(document) {
            let name = leaf.name().to_owned();
            match leaf.value {
                Value::String(text) => {
                    if text.starts_with(['{', '['])
                        && let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text)
                    {
                        self.take(&inner);
                    }
                    match self.joined.iter_mut().find(|(have, _)| *have == name) {
                        Some((_, joined)) => joined.push_str(text),
                        None => self.joined.push((name, text.clone())),
                    }
                    self.texts.insert(text.clone());
                }
                value => {
                    self.named.insert((name, number_text(value)));
                }
            }
        }
    }

    /// Returns whether a leaf is held: a text anywhere, anything else under its own name.
    pub(crate) fn has(&self, leaf: &Leaf<'_>) -> bool {
        match leaf.value {
            Value::String(text) => {
                self.texts.contains(text)
                    || text.split_once(";base64,").is_some_and(|(_, data)| self.texts.contains(data))
            }
            value => {
                let held = |name: &str| self.named.contains(&(name.to_owned(), number_text(value)));
                let name = leaf.name();
                held(name) || RENAMED.iter().any(|(wire, normal)| *wire == name && held(normal))
            }
        }
    }

    /// Returns whether a text is the beginning of one that is held.
    pub(crate) fn begins_with(&self, text: &str) -> bool {
        self.joined.iter().any(|(_, joined)| joined.starts_with(text))
            || self.texts.iter().any(|held| held.starts_with(text))
    }

    /// Returns whether a text stands in one piece in what is held.
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.texts.contains(text) || self.joined.iter().any(|(_, joined)| joined.contains(text))
    }
}

fn number_text(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
        value => value.to_string(),
    }
}
