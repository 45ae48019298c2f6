//! Annotations of an answer's text.

use beluga_core::Citation;
use serde_json::{Map, Value};

/// Reads an annotation. Its fields stand beside `type` or in an object of the type's name; those that several vendors
/// share get a field, the rest stays as it is.
pub(in crate::llm) fn citation(value: Value) -> Citation {
    let Value::Object(mut fields) = value else { return Citation::default() };
    let kind = match fields.shift_remove("type") {
        Some(Value::String(kind)) => kind,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let mut citation = Citation { kind, ..Citation::default() };
    let nested = match fields.get_mut(&citation.kind) {
        Some(Value::Object(inner)) => Some(std::mem::take(inner)),
        _ => None,
    };
    match nested {
        Some(mut inner) => {
            fill(&mut citation, &mut inner);
            if !inner.is_empty() {
                fields.insert(citation.kind.clone(), Value::Object(inner));
            } else {
                fields.shift_remove(&citation.kind);
            }
        }
        None => fill(&mut citation, &mut fields),
    }
    citation.extra = fields;
    citation
}

fn fill(citation: &mut Citation, fields: &mut Map<String, Value>) {
    let mut text = |name: &str| match fields.get(name) {
        Some(Value::String(_)) => match fields.shift_remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    };
    citation.url = text("url");
    citation.title = text("title");
    citation.text = text("content");
    let mut number = |name: &str| {
        let number = fields.get(name).and_then(Value::as_u64)?;
        fields.shift_remove(name);
        Some(number)
    };
    citation.start = number("start_index");
    citation.end = number("end_index");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shared_fields_get_a_place_and_the_rest_stays() {
        let url = json!({"url": "https://h", "title": "T", "start_index": 1, "end_index": 9, "score": 0.5});
        let nested = citation(json!({"type": "url_citation", "url_citation": url}));
        assert_eq!((nested.url.as_deref(), nested.start, nested.end), (Some("https://h"), Some(1), Some(9)));
        assert_eq!(Value::Object(nested.extra), json!({"url_citation": {"score": 0.5}}));
        let flat = citation(json!({"type": "file_citation", "file_id": "f", "title": "T"}));
        assert_eq!((flat.kind.as_str(), flat.title.as_deref()), ("file_citation", Some("T")));
        assert_eq!(Value::Object(flat.extra), json!({"file_id": "f"}));
        assert_eq!(citation(json!("x")), Citation::default());
    }
}
