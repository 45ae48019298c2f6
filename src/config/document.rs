//! A TOML text as a JSON document that remembers where each value stood.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    /// A key of a table.
    Key(String),
    /// A place in a list, from 0.
    Index(usize),
}

/// The path of a value, shown as `agents.support.handoffs[0]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Path(Vec<Segment>);

impl Path {
    /// Reads the dotted form without lists: `providers.main.model`, given as its keys.
    pub(crate) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Segment::Key((*key).to_owned())).collect())
    }

    /// Reads a JSON pointer against the document it points into.
    pub(crate) fn from_pointer(pointer: &str, root: &Value) -> Self {
        let mut place = Some(root);
        let mut path = Self::default();
        for raw in pointer.split('/').skip(1) {
            let key = raw.replace("~1", "/").replace("~0", "~");
            let segment = match (place, key.parse()) {
                (Some(Value::Array(_)), Ok(index)) => Segment::Index(index),
                _ => Segment::Key(key),
            };
            place = place.and_then(|value| step(value, &segment));
            path.push(segment);
        }
        path
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        self.0.push(segment);
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.push(segment);
        path
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Returns the path and then each one above it, the document itself last.
    fn upwards(&self) -> impl Iterator<Item = Path> {
        (0..=self.0.len()).rev().map(|length| Path(self.0.iter().take(length).cloned().collect()))
    }

    /// Removes the value it names; nothing happens if there is none.
    pub(crate) fn remove_from(&self, root: &mut Value) {
        let Some((last, above)) = self.0.split_last() else { return };
        let mut place = Some(root);
        for segment in above {
            place = place.and_then(|value| match segment {
                Segment::Key(key) => value.get_mut(key),
                Segment::Index(index) => value.get_mut(index),
            });
        }
        match (place, last) {
            (Some(Value::Object(table)), Segment::Key(key)) => drop(table.shift_remove(key)),
            // Taking an entry out would move the others; an empty one fails no more than the wrong one did.
            (Some(Value::Array(list)), Segment::Index(index)) if *index < list.len() => list.truncate(*index),
            _ => {}
        }
    }
}

fn step<'a>(value: &'a Value, segment: &Segment) -> Option<&'a Value> {
    match segment {
        Segment::Key(key) => value.get(key),
        Segment::Index(index) => value.get(index),
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    let dot = if place == 0 { "" } else { "." };
                    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
                    if bare { write!(f, "{dot}{key}")? } else { write!(f, "{dot}\"{}\"", key.escape_debug())? }
                }
            }
        }
        Ok(())
    }
}

/// A parsed text: the values, and where each key stood.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: Value,
    places: HashMap<Path, Range<usize>>,
    text: String,
}

impl Document {
    /// Parses a text.
    ///
    /// # Errors
    /// Every syntax error, each with its place.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Self { root: Value::Null, places: HashMap::new(), text: text.to_owned() };
        let mut problems: Vec<Problem> = errors
            .iter()
            .map(|error| Problem {
                path: String::new(),
                place: error.span().map(|span| document.line_column(span.start)),
                message: format!("not TOML: {}", error.message()),
                hint: None,
            })
            .collect();
        document.root = document.table(table.get_ref(), &Path::default(), &mut problems);
        if problems.is_empty() { Ok(document) } else { Err(problems) }
    }

    /// Returns line and column of a value, or of the nearest table round it that stands in the text.
    pub(crate) fn place(&self, path: &Path) -> Option<(usize, usize)> {
        path.upwards().find_map(|path| self.places.get(&path)).map(|span| self.line_column(span.start))
    }

    /// Forgets where a value stood, because another one replaced it.
    pub(crate) fn forget_place(&mut self, path: &Path) {
        self.places.remove(path);
    }

    /// Orders problems as the text does.
    pub(crate) fn sort(problems: &mut [Problem]) {
        problems.sort_by_key(|problem| problem.place.unwrap_or((usize::MAX, 0)));
    }

    fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset.min(self.text.len())).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    fn table(&mut self, table: &DeTable<'_>, path: &Path, problems: &mut Vec<Problem>) -> Value {
        let mut fields = Map::new();
        for (key, value) in table {
            let path = path.key(key.get_ref());
            self.places.insert(path.clone(), key.span());
            let value = self.value(value, &path, problems);
            fields.insert(key.get_ref().to_string(), value);
        }
        Value::Object(fields)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &Path, problems: &mut Vec<Problem>) -> Value {
        let converted = match value.get_ref() {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Boolean(flag) => Some(Value::Bool(*flag)),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from),
            DeValue::Float(number) => number.as_str().parse().ok().and_then(Number::from_f64).map(Value::Number),
            DeValue::Datetime(moment) => Some(Value::String(moment.to_string())),
            DeValue::Table(table) => return self.table(table, path, problems),
            DeValue::Array(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let path = path.index(index);
                    self.places.insert(path.clone(), item.span());
                    list.push(self.value(item, &path, problems));
                }
                return Value::Array(list);
            }
        };
        converted.unwrap_or_else(|| {
            problems.push(Problem {
                path: path.to_string(),
                place: self.place(path),
                message: "the number is out of range".to_owned(),
                hint: None,
            });
            Value::Null
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_remembers_its_place() {
        let document = Document::parse("a = 1\n\n[b.c]\n  list = [1,\n 2]\n").unwrap();
        assert_eq!(document.root, json!({"a": 1, "b": {"c": {"list": [1, 2]}}}));
        let list = Path::of(&["b", "c", "list"]);
        assert_eq!((document.place(&list), document.place(&list.index(1))), (Some((4, 3)), Some((5, 2))));
        assert_eq!(document.place(&Path::of(&["b", "c", "missing"])), Some((3, 4)), "the table stands for it");
        assert_eq!(list.index(1).to_string(), "b.c.list[1]");
    }

    #[test]
    fn every_syntax_error_has_its_place() {
        let problems = Document::parse("a = \nb = 1\nc = ]\n").unwrap_err();
        let lines: Vec<usize> = problems.iter().filter_map(|problem| problem.place).map(|(line, _)| line).collect();
        assert!(lines.contains(&1) && lines.contains(&3), "{problems:?}");
    }

    #[test]
    fn a_number_that_fits_nowhere_is_a_problem() {
        for text in ["a = 99999999999999999999", "a = inf", "a = [1, nan]"] {
            assert_eq!(Document::parse(text).unwrap_err().len(), 1, "{text}");
        }
    }

    #[test]
    fn a_pointer_becomes_a_path() {
        let root = json!({"a/b": [{"c": 1}]});
        assert_eq!(Path::from_pointer("/a~1b/0/c", &root).to_string(), "\"a/b\"[0].c");
    }
}
