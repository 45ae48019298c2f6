//! One validation error in words: where, what was expected, what there is.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

/// The most names listed after "known are" or "one of".
const NAMES_MAX: usize = 20;
/// How deep alternatives within alternatives are explained.
const DEPTH_MAX: usize = 4;
/// The longest name of an unknown argument that is repeated, in characters.
const NAME_MAX_CHARS: usize = 64;

/// Adds what `error` says to `problems`.
pub(super) fn describe(schema: &Value, error: &ValidationError<'_>, problems: &mut Vec<String>) {
    describe_below(schema, error, problems, 0);
}

fn describe_below(schema: &Value, error: &ValidationError<'_>, problems: &mut Vec<String>, depth: usize) {
    let path = path_of(error);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let known = known_names(schema, error);
            for name in unexpected {
                problems.push(format!("{}: unknown argument{known}", join(&path, name)));
            }
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            problems.push(format!("{}: missing", join(&path, name)));
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            if let Some(choices) = constants(context) {
                problems.push(format!("{}: expected one of {choices}", shown(&path)));
                return;
            }
            match closest(context).filter(|_| depth < DEPTH_MAX) {
                Some(branch) => branch.iter().for_each(|error| describe_below(schema, error, problems, depth + 1)),
                None => problems.push(format!("{}: fits none of the {} allowed forms", shown(&path), context.len())),
            }
        }
        kind => problems.push(format!("{}: {}", shown(&path), reason(kind, error.instance()))),
    }
}

fn reason(kind: &ValidationErrorKind, instance: &Value) -> String {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::Type { kind } => format!("expected {}, got {}", expected(kind), noun(JsonType::from(instance))),
        Kind::Enum { options } => format!("expected one of {}", list(options.as_array().into_iter().flatten())),
        Kind::Constant { expected_value } => format!("expected {expected_value}"),
        Kind::Minimum { limit } => format!("expected at least {limit}"),
        Kind::Maximum { limit } => format!("expected at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("expected more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("expected less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("expected a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("expected at least {limit} characters"),
        Kind::MaxLength { limit } => format!("expected at most {limit} characters"),
        Kind::MinItems { limit } => format!("expected at least {limit} items"),
        Kind::MaxItems { limit } => format!("expected at most {limit} items"),
        Kind::MinProperties { limit } => format!("expected at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("expected at most {limit} properties"),
        Kind::UniqueItems => "expected no item twice".to_owned(),
        Kind::Pattern { pattern } => format!("expected text that matches {pattern}"),
        Kind::Format { format } => format!("expected the format {format}"),
        Kind::OneOfMultipleValid { .. } => "fits more than one of the allowed forms".to_owned(),
        other => format!("violates {}", other.keyword()),
    }
}

/// Names what is allowed where an unknown property was found, if the schema says so.
fn known_names(schema: &Value, error: &ValidationError<'_>) -> String {
    let location = error.schema_path().to_string();
    let parent = location.rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema.pointer(parent).and_then(|object| object.get("properties")).and_then(Value::as_object);
    match properties {
        Some(properties) if !properties.is_empty() => {
            let names: Vec<&str> = properties.keys().take(NAMES_MAX).map(String::as_str).collect();
            format!(", known are: {}", names.join(", "))
        }
        Some(_) => ", it takes none".to_owned(),
        None => String::new(),
    }
}

/// Lists the constants if each alternative is nothing but one constant or an enumeration, leaving out null.
fn constants(context: &[Vec<ValidationError<'static>>]) -> Option<String> {
    let mut values = Vec::new();
    for branch in context {
        let [error] = branch.as_slice() else { return None };
        match error.kind() {
            ValidationErrorKind::Constant { expected_value } => values.push(&**expected_value),
            ValidationErrorKind::Enum { options } => values.extend(options.as_array().into_iter().flatten()),
            ValidationErrorKind::Type { kind: TypeKind::Single(JsonType::Null) } => {}
            _ => return None,
        }
    }
    (!values.is_empty()).then(|| list(values.into_iter()))
}

/// Returns the alternative that was most likely meant: the right type or tag, then the fewest errors.
fn closest<'a>(context: &'a [Vec<ValidationError<'static>>]) -> Option<&'a Vec<ValidationError<'static>>> {
    let misses = |branch: &&Vec<ValidationError<'static>>| {
        let wrong_sort = branch.iter().any(|error| {
            let root_type = matches!(error.kind(), ValidationErrorKind::Type { .. })
                && branch
                    .iter()
                    .all(|other| other.instance_path().as_str().len() >= error.instance_path().as_str().len());
            root_type || matches!(error.kind(), ValidationErrorKind::Constant { .. })
        });
        (wrong_sort, branch.len())
    };
    context.iter().filter(|branch| !branch.is_empty()).min_by_key(misses)
}

fn list<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    let mut names: Vec<String> = values.filter(|value| !value.is_null()).map(Value::to_string).collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

fn expected(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => noun(*kind).to_owned(),
        TypeKind::Multiple(kinds) => {
            let nouns: Vec<&str> = kinds.iter().filter(|kind| *kind != JsonType::Null).map(noun).collect();
            nouns.join(" or ")
        }
    }
}

fn noun(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "an array",
        JsonType::Boolean => "a boolean",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

/// Writes a JSON pointer as a model writes paths: `items[0].count`.
fn path_of(error: &ValidationError<'_>) -> String {
    let mut path = String::new();
    for segment in error.instance_path().as_str().split('/').skip(1) {
        if segment.bytes().all(|byte| byte.is_ascii_digit()) && !segment.is_empty() {
            path.push_str(&format!("[{segment}]"));
        } else {
            path = join(&path, &segment.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}

fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(NAME_MAX_CHARS).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "arguments" } else { path }
}

#[cfg(test)]
mod tests {
    use super::super::Arguments;
    use serde_json::{Value, json};

    fn message(schema: &Value, arguments: &Value) -> String {
        Arguments::compile(schema).unwrap().validate(arguments).unwrap_err().message().to_owned()
    }

    #[allow(clippy::needless_pass_by_value)] // Callers write `json!(…)`.
    fn property(schema: Value) -> Value {
        json!({"type": "object", "properties": {"value": schema}, "additionalProperties": false})
    }

    #[test]
    fn a_nested_problem_is_named_by_its_path() {
        let schema = property(json!({"type": "array", "items": {"type": "object",
            "properties": {"count": {"type": "integer", "minimum": 1}}, "additionalProperties": false}}));
        assert_eq!(
            message(&schema, &json!({"value": [{"count": 1}, {"count": 0}]})),
            "value[1].count: expected at least 1"
        );
        assert_eq!(
            message(&schema, &json!({"value": [{"cuont": 0}]})),
            "value[0].cuont: unknown argument, known are: count"
        );
    }

    #[test]
    fn alternatives_are_listed_or_the_closest_one_is_explained() {
        let optional = property(json!({"anyOf": [{"enum": ["days", "weeks"]}, {"type": "null"}]}));
        assert_eq!(message(&optional, &json!({"value": "years"})), "value: expected one of \"days\", \"weeks\"");
        let tagged = property(json!({"oneOf": [
            {"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}}, "required": ["kind", "radius"]},
            {"type": "object", "properties": {"kind": {"const": "square"}, "side": {"type": "number"}}, "required": ["kind", "side"]},
        ]}));
        assert_eq!(message(&tagged, &json!({"value": {"kind": "square"}})), "value.side: missing");
        let union = property(json!({"type": ["integer", "null"]}));
        assert_eq!(message(&union, &json!({"value": "x"})), "value: expected an integer, got a string");
    }

    #[test]
    fn at_most_five_problems_are_listed_and_no_value_is_repeated() {
        let arguments = json!({"a": "geheim", "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1});
        let message = message(&property(json!({})), &arguments);
        assert_eq!(message.matches("unknown argument").count(), 5);
        assert!(message.ends_with("; and 2 more") && !message.contains("geheim"), "{message}");
    }

    #[test]
    fn something_that_is_no_object_is_said_to_be_so() {
        assert_eq!(message(&property(json!({})), &json!([1])), "arguments: expected an object, got an array");
    }

    #[test]
    fn a_schema_that_is_none_is_a_configuration_error() {
        for schema in [json!({"type": "string"}), json!(true), json!({"type": "object", "required": 5})] {
            assert_eq!(Arguments::compile(&schema).unwrap_err().code(), beluga_core::Code::Config, "{schema}");
        }
        let outside = json!({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/schema"}}});
        assert_eq!(Arguments::compile(&outside).unwrap_err().code(), beluga_core::Code::Config);
    }
}
