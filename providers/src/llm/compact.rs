//! JSON text without the white space a vendor prints it with.

/// Returns valid JSON text without white space outside its strings; numbers and escapes stay as they are written.
///
/// A whole answer is printed for readers and a stream is not: the arguments of a call are the same in both.
pub(super) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut is_inside, mut is_escaped) = (false, false);
    for c in json.chars() {
        if is_inside {
            is_inside = is_escaped || c != '"';
            is_escaped = c == '\\' && !is_escaped;
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            is_inside = c == '"';
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn strings_keep_their_white_space_and_numbers_their_form() {
        assert_eq!(
            compact("{\n \"a b\" : [ 1.50, \"\\\\\" , \"x \\\" y\\n\" ] }"),
            r#"{"a b":[1.50,"\\","x \" y\n"]}"#
        );
    }

    proptest! {
        #[test]
        fn the_value_stays(texts in prop::collection::vec("[ \\\\\"\n\ta-cé]{0,8}", 0..6), number in any::<i64>()) {
            let value = json!({"list": texts, "number": number, "inner": {"a": null}});
            let short = compact(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(&short, &serde_json::to_string(&value).unwrap());
            prop_assert_eq!(serde_json::from_str::<Value>(&short).unwrap(), value);
        }
    }
}
