//! From an argument type to the schema a model sees: inlined, closed, and without what only schemars reads.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Formats schemars adds for Rust's numbers; no vocabulary of JSON Schema knows them and some vendors refuse them.
const NUMBER_FORMATS: [&str; 14] = [
    "int", "int8", "int16", "int32", "int64", "int128", "uint", "uint8", "uint16", "uint32", "uint64", "uint128",
    "float", "double",
];

/// Keywords that combine schemas of the same value: they decide together which properties there are.
const COMBINATORS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Returns the schema of a type: draft 2020-12, subschemas inlined, every object closed to unknown properties.
///
/// An object stays open if its type says so: a map, a flattened map, or `#[schemars(extend("additionalProperties" =
/// true))]`. A recursive type keeps `$ref` and `$defs`.
///
/// ```
/// #[derive(schemars::JsonSchema)]
/// #[allow(dead_code)]
/// struct Point {
///     /// Metres to the east.
///     x: f64,
/// }
///
/// assert_eq!(
///     beluga_actors::tool::typed::schema_of::<Point>(),
///     serde_json::json!({
///         "type": "object",
///         "properties": {"x": {"description": "Metres to the east.", "type": "number"}},
///         "required": ["x"],
///         "additionalProperties": false,
///     })
/// );
/// ```
#[must_use]
pub fn schema_of<A: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<A>().to_value();
    if let Value::Object(root) = &mut schema {
        // The Rust type's name and doc comment are for readers of the code; the tool's description is for the model.
        root.remove("title");
        root.remove("description");
        if root.get("type").is_some_and(|kind| kind == "object") || root.contains_key("properties") {
            root.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        }
    }
    close(&mut schema, false);
    schema
}

/// Closes every object below `schema`. `combined` says that a combinator above closes this one together with others.
fn close(schema: &mut Value, combined: bool) {
    let Value::Object(object) = schema else { return };
    if object.get("format").and_then(Value::as_str).is_some_and(|format| NUMBER_FORMATS.contains(&format)) {
        object.remove("format");
    }
    let has_properties = object.contains_key("properties");
    let combines = has_properties && COMBINATORS.iter().any(|keyword| object.contains_key(*keyword));
    let settled = object.contains_key("additionalProperties") || object.contains_key("unevaluatedProperties");
    if has_properties && !combined && !settled {
        let keyword = if combines { "unevaluatedProperties" } else { "additionalProperties" };
        object.insert(keyword.to_owned(), Value::Bool(false));
    }
    for (keyword, below) in object.iter_mut() {
        match (keyword.as_str(), below) {
            ("properties" | "patternProperties" | "$defs" | "dependentSchemas", Value::Object(named)) => {
                named.values_mut().for_each(|schema| close(schema, false));
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(branches)) => {
                branches.iter_mut().for_each(|schema| close(schema, combined || combines));
            }
            ("prefixItems", Value::Array(items)) => items.iter_mut().for_each(|schema| close(schema, false)),
            ("items" | "additionalProperties" | "contains" | "propertyNames" | "not", schema) => close(schema, false),
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(dead_code)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[derive(JsonSchema)]
    struct Window {
        /// Wide.
        width: u32,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Unit {
        Days,
        Weeks,
    }

    #[derive(JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Shape {
        Circle { radius: f64 },
        Square { side: f64 },
    }

    /// For readers of the code.
    #[derive(JsonSchema)]
    struct Everything {
        window: Window,
        unit: Option<Unit>,
        #[schemars(range(min = 1, max = 9), length(max = 3))]
        labels: BTreeMap<String, u8>,
        shapes: Vec<Shape>,
    }

    #[derive(JsonSchema)]
    struct Flat {
        name: String,
        #[serde(flatten)]
        shape: Shape,
    }

    #[derive(JsonSchema)]
    struct Open {
        name: String,
        #[serde(flatten)]
        rest: BTreeMap<String, Value>,
    }

    #[test]
    fn every_object_below_is_closed_and_no_rust_format_is_left() {
        let schema = schema_of::<Everything>();
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["window"]["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["window"]["properties"]["width"]["minimum"], json!(0));
        for branch in schema["properties"]["shapes"]["items"]["oneOf"].as_array().unwrap() {
            assert_eq!(branch["additionalProperties"], json!(false), "{branch}");
        }
        assert_eq!(schema["properties"]["labels"]["additionalProperties"]["type"], json!("integer"));
        let text = schema.to_string();
        assert!(!text.contains("format") && !text.contains("$schema") && !text.contains("$ref"), "{text}");
        assert!(!text.contains("Everything") && !text.contains("readers"), "{text}");
    }

    #[test]
    fn a_flattened_enum_is_closed_together_with_its_struct() {
        let schema = schema_of::<Flat>();
        let arguments = super::super::Arguments::compile(&schema).unwrap();
        arguments.validate(&json!({"name": "a", "kind": "circle", "radius": 1})).unwrap();
        arguments.validate(&json!({"name": "a", "kind": "circle", "radius": 1, "side": 2})).unwrap_err();
        arguments.validate(&json!({"name": "a", "kind": "circle", "radius": 1, "colour": 2})).unwrap_err();
    }

    #[test]
    fn a_flattened_map_leaves_its_object_open() {
        let arguments = super::super::Arguments::compile(&schema_of::<Open>()).unwrap();
        arguments.validate(&json!({"name": "a", "anything": [1]})).unwrap();
    }

    #[test]
    fn an_empty_struct_takes_no_argument_at_all() {
        #[derive(JsonSchema)]
        struct Nothing {}
        let schema = schema_of::<Nothing>();
        assert_eq!(schema, json!({"type": "object", "properties": {}, "additionalProperties": false}));
    }
}
