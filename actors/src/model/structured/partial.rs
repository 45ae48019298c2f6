//! What is known of a JSON document while it comes.

use serde_json::{Map, Value};

/// The most bytes of a document that is followed; of a longer one, what came before stays what is known.
pub const PARTIAL_MAX_BYTES: usize = 1024 * 1024;

/// The deepest nesting that is followed; what serde reads at most.
pub const PARTIAL_MAX_DEPTH: usize = 127;

/// The bytes of a document that is shown after every piece. Of a longer one what is known is shown again when it has grown by
/// an eighth, so that copying it costs a multiple of its length, however small the pieces are.
pub const PARTIAL_PACED_BYTES: usize = 4 * 1024;

/// Follows a JSON document piece by piece, and says what is known of it so far.
///
/// What is known is a prefix of the whole: the members and elements that have begun, in their order, all but the last of
/// them whole; a text so far as it has come, without half an escape; numbers, `true`, `false` and `null` only when they
/// are whole. Each byte is read once. A document that is not JSON stays at what was known before the fault.
///
/// ```
/// use beluga_actors::model::structured::PartialJson;
/// use serde_json::json;
///
/// let mut partial = PartialJson::new();
/// partial.push(r#"{"city": "Os"#);
/// assert_eq!(partial.value(), Some(json!({"city": "Os"})));
/// partial.push(r#"lo", "people": 70"#);
/// assert_eq!(partial.value(), Some(json!({"city": "Oslo"})));
/// partial.push("9000}");
/// assert_eq!(partial.value(), Some(json!({"city": "Oslo", "people": 709000})));
/// assert!(partial.is_whole());
/// ```
#[derive(Debug)]
pub struct PartialJson {
    /// Whether what stands before the first brace is skipped.
    in_prose: bool,
    bytes: usize,
    /// How long the document is when it is shown next.
    next_bytes: usize,
    /// What was shown last.
    shown: Option<Value>,
    open: Vec<Open>,
    state: State,
    /// The text, the escape or the word that is being read.
    text: String,
    digits: String,
    /// The first half of a character that is written as two escapes.
    high: Option<u16>,
    whole: Option<Value>,
}

/// A list or an object that has begun.
#[derive(Debug)]
enum Open {
    List(Vec<Value>),
    Object(Map<String, Value>, Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value, or the end of an empty list.
    Value,
    /// A member, or the end of an object.
    Member,
    Colon,
    /// A comma, or the end of a list or object.
    Comma,
    Text,
    Escape,
    Unicode,
    /// A number, `true`, `false` or `null`.
    Word,
    Whole,
    Broken,
}

impl Default for PartialJson {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialJson {
    /// Follows a document.
    #[must_use]
    pub fn new() -> Self {
        Self {
            in_prose: false,
            bytes: 0,
            next_bytes: 0,
            shown: None,
            open: Vec::new(),
            state: State::Value,
            text: String::new(),
            digits: String::new(),
            high: None,
            whole: None,
        }
    }

    /// Follows the first object in a text: what stands before it is skipped, such as a fence.
    #[must_use]
    pub fn in_prose() -> Self {
        Self { in_prose: true, ..Self::new() }
    }

    /// Reads on.
    pub fn push(&mut self, piece: &str) {
        self.bytes = self.bytes.saturating_add(piece.len());
        if self.bytes > PARTIAL_MAX_BYTES {
            self.state = State::Broken;
        }
        for character in piece.chars() {
            self.read(character);
        }
    }

    /// Reads on, and returns what is known if it is more than was shown: at once up to
    /// [`PARTIAL_PACED_BYTES`], then paced, and whole at its end.
    ///
    /// ```
    /// use beluga_actors::model::structured::PartialJson;
    /// use serde_json::json;
    ///
    /// let mut partial = PartialJson::new();
    /// assert_eq!(partial.learn(r#"{"city": "Os"#), Some(json!({"city": "Os"})));
    /// assert_eq!(partial.learn(r#"lo", "peop"#), Some(json!({"city": "Oslo"})));
    /// assert_eq!(partial.learn(r#"le": 7"#), None);
    /// ```
    pub fn learn(&mut self, piece: &str) -> Option<Value> {
        let had_ended = self.is_whole();
        self.push(piece);
        let ends = self.is_whole() && !had_ended;
        if self.bytes < self.next_bytes && !ends {
            return None;
        }
        if self.bytes >= PARTIAL_PACED_BYTES {
            self.next_bytes = self.bytes.saturating_add(self.bytes / 8);
        }
        let known = self.value();
        if known == self.shown {
            return None;
        }
        self.shown.clone_from(&known);
        known
    }

    /// Returns whether the document has ended.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Returns what is known; `None` before there is anything. Costs a copy of it.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        if self.whole.is_some() {
            return self.whole.clone();
        }
        let in_text = matches!(self.state, State::Text | State::Escape | State::Unicode);
        let is_key = matches!(self.open.last(), Some(Open::Object(_, None)));
        let mut last = (in_text && !is_key).then(|| Value::String(self.text.clone()));
        for open in self.open.iter().rev() {
            last = Some(match open {
                Open::List(items) => Value::Array(items.iter().cloned().chain(last).collect()),
                Open::Object(members, key) => {
                    let mut members = members.clone();
                    if let (Some(key), Some(value)) = (key, last) {
                        members.insert(key.clone(), value);
                    }
                    Value::Object(members)
                }
            });
        }
        last
    }

    fn read(&mut self, character: char) {
        if self.in_prose {
            if character != '{' {
                return;
            }
            self.in_prose = false;
        }
        match self.state {
            State::Whole | State::Broken => {}
            State::Text => self.read_text(character),
            State::Escape => self.read_escape(character),
            State::Unicode => self.read_digit(character),
            State::Word if matches!(character, ',' | '}' | ']') || character.is_ascii_whitespace() => {
                self.end_word();
                self.read(character);
            }
            State::Word => self.text.push(character),
            _ if character.is_ascii_whitespace() => {}
            State::Value => self.begin_value(character),
            State::Member => match character {
                '"' => self.begin_text(),
                '}' => self.close(character),
                _ => self.state = State::Broken,
            },
            State::Colon if character == ':' => self.state = State::Value,
            State::Comma => match (character, self.open.last()) {
                (',', Some(Open::List(_))) => self.state = State::Value,
                (',', Some(Open::Object(..))) => self.state = State::Member,
                ('}' | ']', _) => self.close(character),
                _ => self.state = State::Broken,
            },
            State::Colon => self.state = State::Broken,
        }
    }

    fn begin_value(&mut self, character: char) {
        match character {
            '{' | '[' if self.open.len() == PARTIAL_MAX_DEPTH => self.state = State::Broken,
            '{' => {
                self.open.push(Open::Object(Map::new(), None));
                self.state = State::Member;
            }
            '[' => self.open.push(Open::List(Vec::new())),
            ']' => self.close(character),
            '"' => self.begin_text(),
            _ => {
                self.text.clear();
                self.text.push(character);
                self.state = State::Word;
            }
        }
    }

    fn begin_text(&mut self) {
        self.text.clear();
        self.high = None;
        self.state = State::Text;
    }

    fn read_text(&mut self, character: char) {
        match character {
            '"' => {
                let text = std::mem::take(&mut self.text);
                match self.open.last_mut() {
                    Some(Open::Object(_, key @ None)) => {
                        *key = Some(text);
                        self.state = State::Colon;
                    }
                    _ => self.add(Value::String(text)),
                }
            }
            '\\' => self.state = State::Escape,
            character => self.text.push(character),
        }
    }

    fn read_escape(&mut self, character: char) {
        self.state = State::Text;
        match character {
            'n' => self.text.push('\n'),
            't' => self.text.push('\t'),
            'r' => self.text.push('\r'),
            'b' => self.text.push('\u{8}'),
            'f' => self.text.push('\u{c}'),
            '"' | '\\' | '/' => self.text.push(character),
            'u' => {
                self.digits.clear();
                self.state = State::Unicode;
            }
            _ => self.state = State::Broken,
        }
    }

    fn read_digit(&mut self, character: char) {
        self.digits.push(character);
        if self.digits.len() < 4 {
            return;
        }
        let Ok(unit) = u16::from_str_radix(&self.digits, 16) else {
            self.state = State::Broken;
            return;
        };
        let units = self.high.take().into_iter().chain([unit]);
        match char::decode_utf16(units).collect::<Result<String, _>>() {
            Ok(text) => self.text.push_str(&text),
            Err(_) if self.high.is_none() && (0xD800..0xDC00).contains(&unit) => self.high = Some(unit),
            Err(_) => {
                self.state = State::Broken;
                return;
            }
        }
        self.state = State::Text;
    }

    fn end_word(&mut self) {
        match serde_json::from_str(&self.text) {
            Ok(value) => self.add(value),
            Err(_) => self.state = State::Broken,
        }
    }

    fn close(&mut self, character: char) {
        match (self.open.pop(), character) {
            (Some(Open::List(items)), ']') => self.add(Value::Array(items)),
            (Some(Open::Object(members, None)), '}') => self.add(Value::Object(members)),
            (open, _) => {
                self.open.extend(open);
                self.state = State::Broken;
            }
        }
    }

    fn add(&mut self, value: Value) {
        self.state = State::Comma;
        match self.open.last_mut() {
            Some(Open::List(items)) => items.push(value),
            Some(Open::Object(members, key)) => {
                if let Some(key) = key.take() {
                    members.insert(key, value);
                }
            }
            None => {
                self.whole = Some(value);
                self.state = State::Whole;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9_f64..1e9).prop_map(Value::from),
            "[ -~é日😀\\n\\t\"\\\\]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"é]{0,4}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Writes every character beyond ASCII as escapes, as many vendors do.
    fn escaped(text: &str) -> String {
        let mut units = [0; 2];
        text.chars().fold(String::new(), |mut out, character| {
            if character.is_ascii() {
                out.push(character);
            } else {
                for unit in character.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            out
        })
    }

    fn is_prefix(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::String(part), Value::String(whole)) => whole.starts_with(part.as_str()),
            (Value::Array(part), Value::Array(whole)) => {
                part.len() <= whole.len()
                    && part.iter().zip(whole).enumerate().all(|(index, (part_item, item))| {
                        part_item == item || (index + 1 == part.len() && is_prefix(part_item, item))
                    })
            }
            (Value::Object(part), Value::Object(whole)) => {
                part.len() <= whole.len()
                    && part.iter().zip(whole).enumerate().all(|(index, ((key, value), (whole_key, item)))| {
                        key == whole_key && (value == item || (index + 1 == part.len() && is_prefix(value, item)))
                    })
            }
            (part, whole) => part == whole,
        }
    }

    proptest! {
        #[test]
        fn every_prefix_of_a_document_gives_a_prefix_of_its_value(
            whole in documents(), pretty in any::<bool>(), escapes in any::<bool>()
        ) {
            let text = if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) }.unwrap();
            let text = if escapes { escaped(&text) } else { text };
            let mut partial = PartialJson::new();
            let mut known = None;
            for character in text.chars() {
                partial.push(character.encode_utf8(&mut [0; 4]));
                let value = partial.value();
                if let Some(value) = &value {
                    prop_assert!(is_prefix(value, &whole), "{value} of {whole}");
                    if let Some(known) = &known {
                        prop_assert!(is_prefix(known, value), "{known} was known before {value}");
                    }
                } else {
                    prop_assert!(known.is_none(), "what was known is forgotten");
                }
                known = value;
            }
            // Only its end tells that a number is whole.
            partial.push(" ");
            prop_assert_eq!(partial.value(), Some(whole));
            prop_assert!(partial.is_whole());
        }

        #[test]
        fn no_text_upsets_it(text in ".{0,60}", at in 0_usize..60) {
            let mut partial = PartialJson::in_prose();
            partial.push("{\"a\": [1, ");
            let cut = text.floor_char_boundary(at.min(text.len()));
            partial.push(&text[..cut]);
            partial.push(&text[cut..]);
            prop_assert!(partial.value().is_some());
        }
    }

    #[test]
    fn a_fault_keeps_what_was_known() {
        let mut partial = PartialJson::new();
        partial.push("{\"a\": 1, \"b\": nope}");
        assert_eq!(partial.value(), Some(json!({"a": 1})));
        partial.push(", \"c\": 2}");
        assert_eq!(partial.value(), Some(json!({"a": 1})));
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let mut partial = PartialJson::new();
        partial.push(&"[".repeat(PARTIAL_MAX_DEPTH + 9));
        assert_eq!(partial.open.len(), PARTIAL_MAX_DEPTH);
        let mut partial = PartialJson::new();
        partial.push("[1, 2, ");
        partial.push(&"3".repeat(PARTIAL_MAX_BYTES));
        assert_eq!(partial.value(), Some(json!([1, 2])));
    }

    #[test]
    fn a_long_document_is_shown_as_it_grows_and_whole_at_its_end() {
        let text = format!("[{}1]", "1234567, ".repeat(20_000));
        let mut partial = PartialJson::new();
        let (mut copied, mut shown, mut last) = (0, 0, None);
        for piece in text.as_bytes().chunks(9) {
            if let Some(value) = partial.learn(std::str::from_utf8(piece).unwrap()) {
                copied += value.as_array().unwrap().len();
                shown += 1;
                last = Some(value);
            }
        }
        assert_eq!(last, serde_json::from_str(&text).ok());
        assert!(shown > 400, "shown {shown} times");
        assert!(copied < 15 * 20_000, "{copied} elements were copied");
    }

    #[test]
    fn a_fence_before_the_object_is_skipped() {
        let mut partial = PartialJson::in_prose();
        partial.push("```json\n{\"a\": \"b");
        assert_eq!(partial.value(), Some(json!({"a": "b"})));
    }
}
