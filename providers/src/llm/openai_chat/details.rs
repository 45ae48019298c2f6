//! Thinking in pieces that are signed or encrypted one by one, as OpenRouter passes them on (`reasoning_details`, read
//! 2026-11). They return as they came, in order.

use beluga_core::{Extra, PartNotes, Thinking};
use serde_json::{Map, Value, json};

use super::super::json::{Text, filled};
use super::body::WireDetail;

/// The sort of a piece whose text is withheld.
const ENCRYPTED: &str = "reasoning.encrypted";

/// The sort of a piece that is a summary.
const SUMMARY: &str = "reasoning.summary";

/// How the sorts of all pieces begin.
const PREFIX: &str = "reasoning.";

/// The pieces seen and not yet handed on.
#[derive(Debug, Default)]
pub(super) struct Details(Vec<Detail>);

#[derive(Debug)]
struct Detail {
    index: Option<i64>,
    kind: String,
    id: Option<String>,
    text: String,
    signature: Option<String>,
    extra: Extra,
}

impl Details {
    /// Takes a piece, or more of one: it continues the last piece of its index and sort. Returns its text.
    pub(super) fn push<'a>(&mut self, wire: &'a WireDetail<'_>) -> Option<&'a str> {
        let kind = filled(wire.kind.as_ref()).unwrap_or_default();
        let owned = |text: &Option<Text<'_>>| filled(text.as_ref()).map(str::to_owned);
        let text = filled(wire.text.as_ref()).or_else(|| filled(wire.summary.as_ref()));
        let signature = owned(&wire.signature).or_else(|| owned(&wire.data));
        let known = self.0.iter_mut().rfind(|have| have.index == wire.index && have.kind == kind);
        // Without an index, and with data of its own, a piece stands alone.
        let known = known.filter(|have| wire.index.is_some() && !(have.signature.is_some() && signature.is_some()));
        match known {
            Some(have) => {
                have.text.push_str(text.unwrap_or_default());
                have.id = have.id.take().or_else(|| owned(&wire.id));
                have.signature = have.signature.take().or(signature);
                have.extra.extend(wire.rest.to_extra());
            }
            None => self.0.push(Detail {
                index: wire.index,
                kind: kind.to_owned(),
                id: owned(&wire.id),
                text: text.unwrap_or_default().to_owned(),
                signature,
                extra: wire.rest.to_extra(),
            }),
        }
        text
    }

    /// Returns whether there is a text among the pieces.
    pub(super) fn tell_text(&self) -> bool {
        self.0.iter().any(|detail| !detail.text.is_empty())
    }

    /// Hands on the pieces.
    pub(super) fn finish(&mut self, family: &str) -> impl Iterator<Item = Thinking> + use<'_> {
        let family = family.to_owned();
        self.0.drain(..).map(move |detail| detail.into_thinking(&family))
    }
}

impl Detail {
    fn into_thinking(self, family: &str) -> Thinking {
        let (redacted, is_summary) = (self.kind == ENCRYPTED, self.kind == SUMMARY);
        let (id, index, word, extra) = (self.id, self.index, Some(self.kind), self.extra);
        let notes = PartNotes { id, index, word, extra, ..PartNotes::of(family) };
        let thinking = Thinking::new(self.text, family);
        Thinking { signature: self.signature, redacted, is_summary, notes: notes.boxed(), ..thinking }
    }
}

/// Writes a detail as it was read; `None` if the thinking is none.
pub(super) fn wire_detail(thinking: &Thinking) -> Option<Map<String, Value>> {
    let notes = thinking.notes.as_ref()?;
    let kind = notes.word.as_deref().filter(|word| word.starts_with(PREFIX))?;
    let mut wire = notes.extra.clone();
    wire.insert("type".to_owned(), json!(kind));
    if !thinking.text.is_empty() {
        let field = if thinking.is_summary { "summary" } else { "text" };
        wire.insert(field.to_owned(), json!(thinking.text));
    }
    if let Some(signature) = &thinking.signature {
        let field = if thinking.redacted { "data" } else { "signature" };
        wire.insert(field.to_owned(), json!(signature));
    }
    if let Some(id) = &notes.id {
        wire.insert("id".to_owned(), json!(id));
    }
    if let Some(index) = notes.index {
        wire.insert("index".to_owned(), json!(index));
    }
    Some(wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_written_as_it_was_read() {
        for wire in [
            json!({"type": "reasoning.text", "text": "a", "signature": "s", "format": "anthropic-claude-v1", "index": 0}),
            json!({"type": "reasoning.summary", "summary": "a", "format": "openai-responses-v1", "id": "rs_1"}),
            json!({"type": "reasoning.encrypted", "data": "x"}),
            json!({"type": "reasoning.of_tomorrow", "text": "x", "index": 3}),
        ] {
            let mut details = Details::default();
            let text = wire.to_string();
            details.push(&serde_json::from_str(&text).unwrap());
            let thinking: Vec<Thinking> = details.finish("openrouter").collect();
            assert_eq!(Value::Object(wire_detail(&thinking[0]).unwrap()), wire);
        }
        assert!(wire_detail(&Thinking::new("a", "openrouter")).is_none());
    }
}
