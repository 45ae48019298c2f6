//! From a type's schema to one a vendor enforces, and back from its answer.

use beluga_core::StrictSchema;
use serde_json::{Map, Value, json};

/// Keywords whose value is a list of schemas.
const LISTS: [&str; 3] = ["anyOf", "allOf", "prefixItems"];

/// Returns the schema as a vendor's rules want it; `None` if they cannot say it: a map, an open object, or `oneOf` and
/// `allOf` where every property must be required.
pub(crate) fn strict(schema: &Value, rules: &StrictSchema) -> Option<Value> {
    let Value::Object(schema) = schema else { return None };
    let mut strict = Map::new();
    for (keyword, value) in schema {
        if rules.refused.contains(keyword) {
            // It says that more may come, so it cannot be left out.
            if keyword == "patternProperties" {
                return None;
            }
            continue;
        }
        let value = match keyword.as_str() {
            "properties" | "$defs" => Value::Object(named(value, rules)?),
            "items" => self::strict(value, rules)?,
            "additionalProperties" if *value != Value::Bool(false) => return None,
            "oneOf" => {
                strict.insert("anyOf".to_owned(), list(value, rules)?);
                continue;
            }
            "allOf" if rules.all_required => return None,
            keyword if LISTS.contains(&keyword) => list(value, rules)?,
            _ => value.clone(),
        };
        strict.insert(keyword.clone(), value);
    }
    let is_object = strict.get("type").is_some_and(|kind| kind == "object");
    if is_object && !schema.contains_key("properties") {
        return None;
    }
    if is_object {
        strict.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if is_object && rules.all_required {
        require_all(&mut strict);
    }
    Some(Value::Object(strict))
}

fn named(schemas: &Value, rules: &StrictSchema) -> Option<Map<String, Value>> {
    schemas.as_object()?.iter().map(|(name, schema)| Some((name.clone(), strict(schema, rules)?))).collect()
}

fn list(schemas: &Value, rules: &StrictSchema) -> Option<Value> {
    schemas.as_array()?.iter().map(|schema| strict(schema, rules)).collect::<Option<Vec<_>>>().map(Value::Array)
}

/// Makes every property required; one that was not may be null.
fn require_all(object: &mut Map<String, Value>) {
    let required: Vec<Value> = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    for (name, schema) in properties.iter_mut() {
        if !required.iter().any(|have| have == name) && !takes_null(schema) {
            let inner = schema.take();
            *schema = json!({"anyOf": [inner, {"type": "null"}]});
        }
    }
    let names = properties.keys().cloned().map(Value::String).collect();
    object.insert("required".to_owned(), Value::Array(names));
}

fn takes_null(schema: &Value) -> bool {
    let is_null = |kind: &Value| kind == "null";
    match schema.get("type") {
        Some(Value::Array(kinds)) if kinds.iter().any(is_null) => return true,
        Some(kind) if is_null(kind) => return true,
        _ => {}
    }
    if schema.get("enum").and_then(Value::as_array).is_some_and(|values| values.contains(&Value::Null)) {
        return true;
    }
    ["anyOf", "oneOf"]
        .iter()
        .filter_map(|keyword| schema.get(*keyword)?.as_array())
        .any(|branches| branches.iter().any(takes_null))
}

/// Takes the nulls out of an answer that stand for properties left out.
pub(crate) fn without_nulls(answer: &mut Value, schema: &Value, root: &Value) {
    let schema = resolved(schema, root);
    match answer {
        Value::Object(members) => {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
            let required = schema.get("required").and_then(Value::as_array);
            let is_required = |name: &String| required.is_some_and(|names| names.iter().any(|have| have == name));
            members.retain(|name, value| {
                let property = properties.get(name);
                !value.is_null()
                    || is_required(name)
                    || property.is_none_or(|schema| takes_null(resolved(schema, root)))
            });
            for (name, value) in members {
                if let Some(schema) = properties.get(name) {
                    without_nulls(value, schema, root);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| without_nulls(item, schema, root));
            }
        }
        _ => {}
    }
}

/// Follows a reference within the document, one step: schemas of types refer to definitions only.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    reference.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

#[cfg(test)]
#[allow(dead_code)]
mod tests {
    use super::*;
    use crate::tool::typed::schema_of;
    use schemars::JsonSchema;
    use std::collections::BTreeMap;

    #[derive(JsonSchema)]
    struct Street {
        name: String,
        #[serde(default)]
        #[schemars(range(min = 1))]
        number: u32,
        note: Option<String>,
    }

    #[derive(JsonSchema)]
    struct City {
        streets: Vec<Street>,
    }

    #[derive(JsonSchema)]
    struct Open {
        by_name: BTreeMap<String, u32>,
    }

    fn rules(all_required: bool, refused: &[&str]) -> StrictSchema {
        StrictSchema { all_required, refused: refused.iter().map(|word| (*word).to_owned()).collect() }
    }

    #[test]
    fn every_property_is_required_and_what_was_optional_may_be_null() {
        let schema = schema_of::<City>();
        let strict = strict(&schema, &rules(true, &["default", "minimum"])).unwrap();
        let street = &strict["properties"]["streets"]["items"];
        assert_eq!(street["required"], json!(["name", "number", "note"]));
        assert_eq!(street["additionalProperties"], json!(false));
        assert_eq!(street["properties"]["number"]["anyOf"][1], json!({"type": "null"}));
        assert_eq!(street["properties"]["note"]["type"], json!(["string", "null"]));
        assert!(!strict.to_string().contains("minimum") && !strict.to_string().contains("default"), "{strict}");
        let mut answer = json!({"streets": [{"name": "Ring", "number": null, "note": null}]});
        without_nulls(&mut answer, &schema, &schema);
        assert_eq!(answer, json!({"streets": [{"name": "Ring", "note": null}]}));
    }

    #[test]
    fn optional_properties_stay_where_the_vendor_takes_them() {
        let strict = strict(&schema_of::<Street>(), &rules(false, &["minimum"])).unwrap();
        assert_eq!(strict["required"], json!(["name"]));
    }

    #[test]
    fn a_map_cannot_be_enforced() {
        assert!(strict(&schema_of::<Open>(), &rules(true, &[])).is_none());
    }
}
