//! Citations of a text block.

use beluga_core::Citation;
use serde_json::{Map, Value, json};

/// Reads a citation. A place in characters, pages or blocks is told by the citation's sort.
pub(super) fn citation(value: Value) -> Citation {
    let Value::Object(mut fields) = value else { return Citation::default() };
    let mut text = |name: &str| match fields.shift_remove(name) {
        Some(Value::String(text)) => Some(text),
        Some(other) => {
            fields.insert(name.to_owned(), other);
            None
        }
        None => None,
    };
    let kind = text("type").unwrap_or_default();
    let (url, title, cited) = (text("url"), text("title"), text("cited_text"));
    let unit = unit(&kind);
    let mut number = |name: &str| {
        let number = fields.get(name).and_then(Value::as_u64)?;
        fields.shift_remove(name);
        Some(number)
    };
    let (start, end) = match unit {
        Some((start, end)) => (number(start), number(end)),
        None => (None, None),
    };
    Citation { kind, url, title, text: cited, start, end, extra: fields }
}

/// Writes a citation as it was read.
pub(super) fn wire_citation(citation: &Citation) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    put("type", Some(json!(citation.kind)));
    put("url", citation.url.as_ref().map(|url| json!(url)));
    put("title", citation.title.as_ref().map(|title| json!(title)));
    put("cited_text", citation.text.as_ref().map(|text| json!(text)));
    if let Some((start, end)) = unit(&citation.kind) {
        put(start, citation.start.map(|at| json!(at)));
        put(end, citation.end.map(|at| json!(at)));
    }
    fields.extend(citation.extra.clone());
    Value::Object(fields)
}

fn unit(kind: &str) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "char_location" => ("start_char_index", "end_char_index"),
        "page_location" => ("start_page_number", "end_page_number"),
        "content_block_location" | "search_result_location" => ("start_block_index", "end_block_index"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_citation_is_written_as_it_was_read() {
        for wire in [
            json!({"type": "char_location", "cited_text": "a", "document_index": 0, "document_title": null,
                "start_char_index": 1, "end_char_index": 5}),
            json!({"type": "web_search_result_location", "url": "https://h", "title": null, "encrypted_index": "x"}),
            json!({"type": "of_tomorrow", "start_char_index": 7}),
        ] {
            assert_eq!(wire_citation(&citation(wire.clone())), wire);
        }
    }
}
