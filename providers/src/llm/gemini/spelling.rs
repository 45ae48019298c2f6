//! The ways a request may be spelled, brought to one and back.
//!
//! The API reads protobuf's JSON: `thinkingConfig` and `thinking_config` are one field, bytes are base64 of either
//! alphabet, and a schema is told in two fields, one of which also writes its types in capitals. The dialect knows the
//! camel case, the standard alphabet and JSON Schema. A request keeps how it was spelled, so that it can be told again as
//! it came; where two spellings of one field meet in a request, neither is touched.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Fields whose insides are the application's own.
const FREE: [&str; 6] = ["args", "labels", "parametersJsonSchema", "partMetadata", "response", "responseJsonSchema"];

/// Fields of a schema that hold one schema, a list of them, or a table of them.
const SCHEMA_ONE: [&str; 2] = ["items", "additionalProperties"];
const SCHEMA_LIST: [&str; 2] = ["anyOf", "prefixItems"];
const SCHEMA_TABLE: [&str; 2] = ["properties", "$defs"];

/// Bytes in the alphabet for addresses.
const URL: &str = "@url";

/// A schema with its types in capitals.
const CAPITALS: &str = "@capitals";

/// Brings a request to the one spelling, and returns how it was spelled; empty if it was spelled so already.
pub(super) fn normalise(request: &mut Value) -> Vec<String> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    walk(request, "", &mut |fields, path| {
        for key in fields.keys() {
            names.entry(join(path, &canonical(path, key))).or_default().insert(key.clone());
        }
    });
    let mut kept = Vec::new();
    // One spelling a field, and not the one that is known.
    names.retain(|path, found| {
        let last = path.rsplit('.').next().unwrap_or_default();
        found.len() == 1 && !found.contains(last)
    });
    kept.extend(names.iter().flat_map(|(path, found)| found.iter().map(move |key| format!("{path}={key}"))));
    rename(request, |path, key| {
        let to = canonical(path, key);
        names.contains_key(&join(path, &to)).then_some(to)
    });
    for (mark, is_meant, change) in TRANSFORMS {
        let mut found: BTreeMap<String, bool> = BTreeMap::new();
        walk(request, "", &mut |fields, path| {
            for (key, value) in fields.iter() {
                let path = join(path, key);
                if let Some(fits) = is_meant(&path, value) {
                    found.entry(path).and_modify(|all| *all &= fits).or_insert(fits);
                }
            }
        });
        found.retain(|_, fits| *fits);
        apply(request, &found, |value| change(value, true));
        kept.extend(found.keys().map(|path| format!("{path}{mark}")));
    }
    kept
}

/// Spells a request as it came.
pub(super) fn restore(request: &mut Value, spelling: &Value) {
    let entries = || spelling.as_array().into_iter().flatten().filter_map(Value::as_str);
    for (mark, _, change) in TRANSFORMS {
        let found = entries().filter_map(|entry| Some((entry.strip_suffix(mark)?.to_owned(), true))).collect();
        apply(request, &found, |value| change(value, false));
    }
    let names: BTreeMap<&str, &str> = entries().filter_map(|entry| entry.split_once('=')).collect();
    rename(request, |path, key| names.get(join(path, key).as_str()).map(|name| (*name).to_owned()));
}

/// A way to spell a value: its mark, whether a value at a path is spelled so (`None` where it does not matter), and the
/// change, to the one spelling or back.
type Transform = (&'static str, fn(&str, &Value) -> Option<bool>, fn(&mut Value, bool));

const TRANSFORMS: [Transform; 2] = [(URL, is_url_alphabet, change_alphabet), (CAPITALS, has_capitals, change_capitals)];

fn is_url_alphabet(path: &str, value: &Value) -> Option<bool> {
    let text = value.as_str().filter(|_| path.ends_with("inlineData.data"))?;
    if text.contains(['+', '/']) {
        return Some(false);
    }
    text.contains(['-', '_']).then_some(true)
}

fn change_alphabet(value: &mut Value, to_known: bool) {
    let Value::String(text) = value else { return };
    let swapped = |c: char| match (to_known, c) {
        (true, '-') => '+',
        (true, '_') => '/',
        (false, '+') => '-',
        (false, '/') => '_',
        (_, c) => c,
    };
    *text = text.chars().map(swapped).collect();
}

fn has_capitals(path: &str, value: &Value) -> Option<bool> {
    let last = path.rsplit('.').next()?;
    if !matches!(last, "parametersJsonSchema" | "responseJsonSchema") {
        return None;
    }
    let (mut is_some, mut are_all) = (false, true);
    types(&mut value.clone(), &mut |name| {
        is_some = true;
        are_all &= name.bytes().all(|byte| byte.is_ascii_uppercase());
    });
    is_some.then_some(are_all)
}

fn change_capitals(value: &mut Value, to_known: bool) {
    types(value, &mut |name| if to_known { name.make_ascii_lowercase() } else { name.make_ascii_uppercase() });
}

/// Visits the names of a schema's types. Its depth is bounded by the parser's.
fn types(schema: &mut Value, visit: &mut impl FnMut(&mut String)) {
    let Value::Object(fields) = schema else { return };
    for (key, value) in fields.iter_mut() {
        match (key.as_str(), value) {
            ("type", Value::String(name)) => visit(name),
            (key, value) if SCHEMA_ONE.contains(&key) => types(value, visit),
            (key, Value::Array(list)) if SCHEMA_LIST.contains(&key) => {
                list.iter_mut().for_each(|one| types(one, visit))
            }
            (key, Value::Object(table)) if SCHEMA_TABLE.contains(&key) => {
                table.iter_mut().for_each(|(_, one)| types(one, visit));
            }
            _ => {}
        }
    }
}

/// Returns the name the dialect knows a field by.
fn canonical(path: &str, key: &str) -> String {
    let key = camel(key);
    match (path, key.as_str()) {
        ("tools.functionDeclarations", "parameters") => "parametersJsonSchema".to_owned(),
        ("generationConfig", "responseSchema") => "responseJsonSchema".to_owned(),
        _ => key,
    }
}

fn camel(key: &str) -> String {
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return key.to_owned();
    }
    let mut name = String::with_capacity(key.len());
    let mut is_after = false;
    for c in key.chars() {
        match c {
            '_' if !name.is_empty() => is_after = true,
            c if is_after => {
                name.extend(c.to_uppercase());
                is_after = false;
            }
            c => name.push(c),
        }
    }
    name
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Visits every object with its path, the inner ones first, but nothing within what is the application's own. Places of a
/// list are no part of a path.
fn walk(value: &mut Value, path: &str, visit: &mut impl FnMut(&mut Map<String, Value>, &str)) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|one| walk(one, path, visit)),
        Value::Object(fields) => {
            for (key, child) in fields.iter_mut() {
                let name = canonical(path, key);
                if !FREE.contains(&name.as_str()) {
                    walk(child, &join(path, &name), visit);
                }
            }
            visit(fields, path);
        }
        _ => {}
    }
}

fn rename(request: &mut Value, to: impl Fn(&str, &str) -> Option<String>) {
    walk(request, "", &mut |fields, path| {
        if fields.keys().any(|key| to(path, key).is_some()) {
            let renamed = |(key, value): (String, Value)| (to(path, &key).unwrap_or(key), value);
            *fields = std::mem::take(fields).into_iter().map(renamed).collect();
        }
    });
}

fn apply(request: &mut Value, paths: &BTreeMap<String, bool>, change: impl Fn(&mut Value)) {
    if paths.is_empty() {
        return;
    }
    walk(request, "", &mut |fields, path| {
        fields.iter_mut().filter(|(key, _)| paths.contains_key(&join(path, key))).for_each(|(_, value)| change(value));
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(original: &Value, want: &Value, kept: &[&str]) {
        let mut value = original.clone();
        let spelling = normalise(&mut value);
        assert_eq!((&value, &spelling[..]), (want, &kept.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()[..]));
        restore(&mut value, &json!(spelling));
        assert_eq!(value, *original);
    }

    #[test]
    fn snakes_become_camels_and_return() {
        let parts = |call: &str| {
            json!([
                {call: {"name": "a_b", "args": {"first_name": 1}}},
                {"functionResponse": {"name": "a_b", "response": {"x_y": {"z_w": 1}}}},
            ])
        };
        let spelled = json!({
            "generation_config": {"thinkingConfig": {"include_thoughts": true}},
            "contents": [{"parts": parts("function_call")}],
        });
        let known = json!({
            "generationConfig": {"thinkingConfig": {"includeThoughts": true}},
            "contents": [{"parts": parts("functionCall")}],
        });
        let kept = [
            "contents.parts.functionCall=function_call",
            "generationConfig=generation_config",
            "generationConfig.thinkingConfig.includeThoughts=include_thoughts",
        ];
        check(&spelled, &known, &kept);
    }

    #[test]
    fn a_schema_in_capitals_becomes_a_json_schema_and_returns() {
        let request = |field: &str, object: &str, text: &str| {
            let properties = json!({"type": {"type": text, "enum": ["TYPE"]}, "a_b": {"items": {"type": text}}});
            let function = json!({"name": "f", field: {"type": object, "properties": properties}});
            json!({"tools": [{"functionDeclarations": [function]}]})
        };
        let known = request("parametersJsonSchema", "object", "string");
        let field = "tools.functionDeclarations.parametersJsonSchema";
        let kept = [format!("{field}=parameters"), format!("{field}@capitals")];
        check(&request("parameters", "OBJECT", "STRING"), &known, &[&kept[0], &kept[1]]);
        check(&known, &known, &[]);
    }

    #[test]
    fn bytes_for_addresses_become_standard_and_return() {
        let parts = |data: &str| json!({"contents": [{"parts": [{"inlineData": {"data": data}}]}]});
        check(&parts("_9j_4-A="), &parts("/9j/4+A="), &["contents.parts.inlineData.data@url"]);
        check(&parts("/9j/"), &parts("/9j/"), &[]);
    }

    #[test]
    fn two_spellings_of_one_field_are_left_alone() {
        let both = json!({"tools": [{"functionDeclarations": [{"parameters": {}}, {"parametersJsonSchema": {}}]}]});
        check(&both, &both, &[]);
        let data = |data: &str| json!({"inlineData": {"data": data}});
        let mixed = json!({"contents": [{"parts": [data("a_b"), data("a/b")]}]});
        check(&mixed, &mixed, &[]);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[A-Za-z_+/-]{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(5, 40, 4, |inner| {
            let keys = prop::sample::select(vec![
                "contents",
                "parts",
                "inline_data",
                "inlineData",
                "data",
                "tools",
                "function_declarations",
                "parameters",
                "type",
                "functionDeclarations",
                "parameters_json_schema",
                "a_b",
                "aB",
                "_x",
                "x_",
                "a__b",
                "properties",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((keys, inner), 0..4).prop_map(|pairs| pairs
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<Map<_, _>>()
                    .into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_normalised_returns(original in json_value()) {
            let mut value = original.clone();
            let spelling = normalise(&mut value);
            restore(&mut value, &json!(spelling));
            prop_assert_eq!(value, original);
        }
    }
}
