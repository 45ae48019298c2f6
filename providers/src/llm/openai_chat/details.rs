//! Thinking in pieces that are signed or encrypted one by one, as OpenRouter passes them on (`reasoning_details`, read
//! 2026-11). They return as they came, in order.

use beluga_core::{Extra, PartNotes, Thinking};
use serde_json::{Value, json};

use super::super::json::{Text, filled};
use super::body::WireDetail;

/// The sort of a piece whose text is withheld.
pub(super) const ENCRYPTED: &str = "reasoning.encrypted";

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
        let mut notes = PartNotes { id: self.id, extra: self.extra, ..PartNotes::of(family) };
        notes.extra.insert("type".to_owned(), Value::String(self.kind.clone()));
        if let Some(index) = self.index {
            notes.extra.insert("index".to_owned(), json!(index));
        }
        Thinking {
            signature: self.signature,
            redacted: self.kind == ENCRYPTED,
            notes: notes.boxed(),
            ..Thinking::new(self.text, family)
        }
    }
}
