//! The JSON Schema of a settings type, and the problems it finds: readable, with hints.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::document::{Document, Path, Segment};
use super::hint;
use super::problem::Problem;

/// Keys that look like secrets, and where the secret belongs instead.
const SECRET_KEYS: [(&str, &str); 5] = [
    ("api_key", "api_key_env"),
    ("apikey", "api_key_env"),
    ("key", "api_key_env"),
    ("token", "token_env"),
    ("password", ""),
];

/// Returns the JSON Schema of a settings type, every part inlined; what `beluga schema config` prints.
#[must_use]
pub fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    schema
}

/// Takes `null` out of optional types: a TOML file cannot say it, and messages become clearer.
fn without_null(schema: &mut Value) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema["type"] = only;
        }
    }
    if let Some(Value::Array(variants)) = schema.get_mut("anyOf") {
        variants.retain(|variant| variant.get("type").is_none_or(|kind| kind != "null"));
        if let [only] = variants.as_mut_slice() {
            let only = only.take();
            if let (Value::Object(fields), Value::Object(only)) = (&mut *schema, only) {
                fields.shift_remove("anyOf");
                for (key, value) in only {
                    fields.entry(key).or_insert(value);
                }
            }
        }
    }
    match schema {
        Value::Object(fields) => fields.values_mut().for_each(without_null),
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// A schema ready to validate with.
#[derive(Debug)]
pub(super) struct Schema {
    raw: Value,
    validator: Validator,
}

impl Schema {
    pub(super) fn of<T: JsonSchema>() -> Result<Self, String> {
        let raw = schema::<T>();
        let validator =
            jsonschema::validator_for(&raw).map_err(|error| format!("the type's schema is wrong: {error}"))?;
        Ok(Self { raw, validator })
    }

    /// Returns the problems, and the paths of values that cannot be read.
    pub(super) fn problems(&self, document: &Document) -> (Vec<Problem>, Vec<Path>) {
        let mut found = Found { schema: self, document, problems: Vec::new(), wrong: Vec::new() };
        for error in self.validator.iter_errors(&document.root) {
            found.add(&error);
        }
        (found.problems, found.wrong)
    }

    /// Returns whether the schema wants text at a place.
    pub(super) fn wants_text(&self, segments: &[String]) -> bool {
        let plain = |text: &str| text.to_lowercase().replace('-', "_");
        let mut place = Some(&self.raw);
        for segment in segments {
            place = place.and_then(|schema| {
                let properties = schema.get("properties").and_then(Value::as_object);
                let named = properties.and_then(|fields| fields.iter().find(|(key, _)| plain(key) == *segment));
                named.map(|(_, schema)| schema).or_else(|| schema.get("additionalProperties"))
            });
        }
        place.is_some_and(|schema| {
            let only_words = |list: &Value| {
                list.as_array().is_some_and(|all| all.iter().all(|one| one.get("const").is_some_and(Value::is_string)))
            };
            schema.get("type").is_some_and(|kind| kind == "string")
                || schema.get("enum").is_some()
                || schema.get("oneOf").is_some_and(only_words)
        })
    }

    /// Returns the keys the schema names at a place.
    pub(super) fn keys(&self, path: &Path) -> Vec<String> {
        self.at(path)
            .and_then(|schema| schema.get("properties"))
            .and_then(Value::as_object)
            .map(|fields| fields.keys().cloned().collect())
            .unwrap_or_default()
    }

    fn at(&self, path: &Path) -> Option<&Value> {
        path.segments().iter().try_fold(&self.raw, |schema, segment| match segment {
            Segment::Key(key) => schema
                .get("properties")
                .and_then(|fields| fields.get(key))
                .or_else(|| schema.get("additionalProperties")),
            Segment::Index(_) => schema.get("items"),
        })
    }
}

struct Found<'a> {
    schema: &'a Schema,
    document: &'a Document,
    problems: Vec<Problem>,
    wrong: Vec<Path>,
}

impl Found<'_> {
    fn add(&mut self, error: &ValidationError<'_>) {
        let path = Path::from_pointer(error.instance_path().as_str(), &self.document.root);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for key in unexpected {
                    self.unknown_key(&path, key);
                }
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let hint = self.description(&path.key(key));
                self.note(&path.key(key), "is required".to_owned(), hint);
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.none_of(error, &path, context);
            }
            ValidationErrorKind::Enum { options } => {
                let known: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                self.not_one_of(&path, error.instance(), &known);
            }
            _ => {
                let hint = self.description(&path);
                self.wrong.push(path.clone());
                self.note(&path, explain(error), hint);
            }
        }
    }

    fn unknown_key(&mut self, path: &Path, key: &str) {
        let known = self.schema.keys(path);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let plain = key.to_lowercase().replace('-', "_");
        let secret = SECRET_KEYS.iter().find(|(name, _)| *name == plain);
        let hint = match secret {
            Some((_, "")) => Some("secrets are read from the environment only".to_owned()),
            Some((_, instead)) => {
                Some(format!("secrets are read from the environment only: {instead} = \"THE_NAME_OF_A_VARIABLE\""))
            }
            None => hint::unknown(key, &known),
        };
        self.wrong.push(path.key(key));
        self.note(&path.key(key), "unknown key".to_owned(), hint);
    }

    /// Explains a value that fits no variant by the variant it most likely meant.
    fn none_of(&mut self, error: &ValidationError<'_>, path: &Path, context: &[Vec<ValidationError<'static>>]) {
        let words: Vec<&str> = context
            .iter()
            .flatten()
            .filter_map(|inner| match inner.kind() {
                ValidationErrorKind::Constant { expected_value } => expected_value.as_str(),
                _ => None,
            })
            .collect();
        if words.len() == context.len() {
            return self.not_one_of(path, error.instance(), &words);
        }
        let pointer = error.instance_path().as_str();
        let meant = context.iter().find(|errors| {
            !errors.iter().any(|inner| {
                matches!(inner.kind(), ValidationErrorKind::Type { .. }) && inner.instance_path().as_str() == pointer
            })
        });
        match meant {
            Some(errors) => errors.iter().for_each(|inner| self.add(inner)),
            None => {
                let hint = self.description(path);
                self.wrong.push(path.clone());
                self.note(path, format!("{} is not allowed here", kind_of(error.instance())), hint);
            }
        }
    }

    fn not_one_of(&mut self, path: &Path, value: &Value, known: &[&str]) {
        let (message, hint) = match value.as_str() {
            Some(word) => (format!("unknown value \"{}\"", shorten(word)), hint::unknown(word, known)),
            None => (format!("{} is not allowed here", kind_of(value)), Some(format!("known: {}", known.join(", ")))),
        };
        self.wrong.push(path.clone());
        self.note(path, message, hint);
    }

    fn description(&self, path: &Path) -> Option<String> {
        self.schema.at(path)?.get("description")?.as_str().map(|text| text.replace('\n', " "))
    }

    fn note(&mut self, path: &Path, message: String, hint: Option<String>) {
        let place = self.document.place(path);
        self.problems.push(Problem { path: path.to_string(), place, message, hint });
    }
}

fn explain(error: &ValidationError<'_>) -> String {
    let value = error.instance();
    match error.kind() {
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(kind) => article(&kind.to_string()),
                TypeKind::Multiple(kinds) => {
                    kinds.iter().map(|kind| article(&kind.to_string())).collect::<Vec<_>>().join(" or ")
                }
            };
            format!("must be {wanted}, not {}", kind_of(value))
        }
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}, not {value}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}, not {value}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be above {limit}, not {value}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be below {limit}, not {value}"),
        ValidationErrorKind::MinLength { limit: 1 } => "must not be empty".to_owned(),
        ValidationErrorKind::MinLength { limit } => format!("must have at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} entries"),
        ValidationErrorKind::UniqueItems => "must not name anything twice".to_owned(),
        ValidationErrorKind::Pattern { .. } => {
            format!("\"{}\" is not well formed", shorten(value.as_str().unwrap_or_default()))
        }
        other => format!("breaks the rule \"{}\"", other.keyword()),
    }
}

fn article(kind: &str) -> String {
    match kind {
        "integer" => "a whole number".to_owned(),
        "object" => "a table".to_owned(),
        "array" => "a list".to_owned(),
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => format!("a {other}"),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// Cuts a value for a message; it may be a whole prompt.
fn shorten(text: &str) -> String {
    let cut: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 { format!("{cut}…") } else { cut }
}
