//! What a vendor adds to a message, a part, a tool or an answer, and what only some vendors understand.
//!
//! Most messages have none of it, so it stands in a box that is absent until it is needed. Everything that only its
//! maker understands carries the maker's family and goes back to that family alone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::content::ToolCall;

/// Fields of a vendor's own, by their wire names.
pub type Extra = Map<String, Value>;

/// The end of a prefix that is likely to come again, for vendors that cache prompts where they are told to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheMark {
    /// How long it is to be kept, as vendors write it: `5m`, `1h`; absent means the vendor's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
}

/// How the parts of a message or a tool result lie on the wire, where a dialect has two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One text.
    Joined,
    /// A list, also of one part.
    Listed,
}

/// Where a statement comes from. What several vendors tell has a field; the rest is in `extra`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Citation {
    /// The vendor's word for the sort of citation, such as `url_citation`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The source's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The source's title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The cited words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where it begins, in the vendor's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// Where it ends, in the vendor's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// The vendor's other fields.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

/// What is known of a part besides its content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PartNotes {
    /// The vendor's id of the part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The vendor's number of the part, where it numbers them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<i64>,
    /// The vendor's word for the sort of part, or for the field it stands in, where it has more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// Whether a prefix to cache ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheMark>,
    /// Where the part's statements come from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub citations: Vec<Citation>,
    /// How the parts of a tool result lie on the wire; absent means the dialect's habit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The provider family that `index`, `word`, `signature` and `extra` come from and alone go back to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub family: String,
    /// The vendor's opaque signature of a text or a tool call, returned verbatim. Thinking has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The vendor's other fields.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

impl PartNotes {
    /// Makes empty notes of a family.
    #[must_use]
    pub fn of(family: impl Into<String>) -> Self {
        Self { family: family.into(), ..Self::default() }
    }

    /// Returns whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.id.is_none()
            && self.index.is_none()
            && self.word.is_none()
            && self.cache.is_none()
            && self.citations.is_empty()
            && self.layout.is_none()
            && self.signature.is_none()
            && self.extra.is_empty()
    }

    /// Puts the notes where parts keep them; nothing if nothing is noted.
    ///
    /// ```
    /// use beluga_core::PartNotes;
    ///
    /// assert!(PartNotes::of("google").boxed().is_none());
    /// let signed = PartNotes { signature: Some("c2ln".into()), ..PartNotes::of("google") };
    /// assert_eq!(signed.boxed().unwrap().family, "google");
    /// ```
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (!self.is_empty()).then(|| Box::new(self))
    }

    /// Returns the vendor's own fields if they are this family's; none otherwise.
    #[must_use]
    pub fn extra_of(&self, family: &str) -> Option<&Extra> {
        (self.family == family && !self.extra.is_empty()).then_some(&self.extra)
    }

    /// Returns the vendor's word for the part if it is this family's.
    #[must_use]
    pub fn word_of(&self, family: &str) -> Option<&str> {
        self.word.as_deref().filter(|_| self.family == family)
    }

    /// Returns the signature if it is this family's.
    #[must_use]
    pub fn signature_of(&self, family: &str) -> Option<&str> {
        self.signature.as_deref().filter(|_| self.family == family)
    }
}

/// What is known of a message besides who says what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageNotes {
    /// The vendor's id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name of the one who speaks, where several share a role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The vendor's word for the role where it has more than one, such as `developer` for instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_word: Option<String>,
    /// How the parts lie on the wire; absent means the dialect's habit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The provider family that `role_word` and `extra` come from and alone go back to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub family: String,
    /// The vendor's other fields.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

impl MessageNotes {
    /// Makes empty notes of a family.
    #[must_use]
    pub fn of(family: impl Into<String>) -> Self {
        Self { family: family.into(), ..Self::default() }
    }

    /// Puts the notes where messages keep them; nothing if nothing is noted.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        let is_empty = Self { family: String::new(), ..self.clone() } == Self::default();
        (!is_empty).then(|| Box::new(self))
    }

    /// Returns the vendor's own fields if they are this family's; none otherwise.
    #[must_use]
    pub fn extra_of(&self, family: &str) -> Option<&Extra> {
        (self.family == family && !self.extra.is_empty()).then_some(&self.extra)
    }
}

/// What is known of a tool besides its name and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolNotes {
    /// Whether the vendor is to enforce the schema of the arguments; absent means its default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Whether a prefix to cache ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheMark>,
    /// Whether the arguments of a call come as they are written, before anybody has checked them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eager: Option<bool>,
    /// The vendor's word for a tool that runs at the vendor, such as `web_search_20250305`. Only its family is offered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The provider family that `kind` and `extra` come from and alone go back to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub family: String,
    /// The vendor's other fields.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

impl ToolNotes {
    /// Makes empty notes of a family.
    #[must_use]
    pub fn of(family: impl Into<String>) -> Self {
        Self { family: family.into(), ..Self::default() }
    }

    /// Puts the notes where tools keep them; nothing if nothing is noted.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        let is_empty = Self { family: String::new(), ..self.clone() } == Self::default();
        (!is_empty).then(|| Box::new(self))
    }

    /// Returns the vendor's own fields if they are this family's; none otherwise.
    #[must_use]
    pub fn extra_of(&self, family: &str) -> Option<&Extra> {
        (self.family == family && !self.extra.is_empty()).then_some(&self.extra)
    }
}

/// What a vendor tells of an answer besides its content and its cost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswerNotes {
    /// When the answer was made, seconds since 1970 UTC, where the vendor tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// Why the answer ended, in the vendor's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_word: Option<String>,
    /// Calls of tools whose arguments the limit cut: kept for the record, never run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cut_calls: Vec<ToolCall>,
    /// The provider family that `extra` comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub family: String,
    /// The vendor's other fields: fingerprints, service tiers, log probabilities, verdicts of filters, citations.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Extra,
}

impl AnswerNotes {
    /// Returns whether nothing is noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.created.is_none() && self.finish_word.is_none() && self.cut_calls.is_empty() && self.extra.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendors_own_fields_are_shown_to_their_family_only() {
        let mut notes = PartNotes { signature: Some("s".into()), ..PartNotes::of("google") };
        notes.extra.insert("a".into(), Value::Bool(true));
        assert_eq!(notes.extra_of("google").map(Map::len), Some(1));
        assert_eq!((notes.extra_of("vertex"), notes.signature_of("vertex")), (None, None));
        assert_eq!(notes.signature_of("google"), Some("s"));
    }

    #[test]
    fn empty_notes_take_no_box_and_no_json() {
        assert!(MessageNotes::of("openai").boxed().is_none());
        assert!(ToolNotes::of("openai").boxed().is_none());
        assert_eq!(serde_json::to_string(&PartNotes::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<AnswerNotes>("{}").unwrap(), AnswerNotes::default());
    }
}
