//! A content block, from its beginning to its end.

use std::collections::VecDeque;

use beluga_core::{Citation, Extra, Foreign, ModelChunk, Part, PartNotes, Result, Thinking, ToolCall};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::fault;
use super::super::json::{Text, filled};
use super::super::wire::{raw_json, raw_text};
use super::body::{WireBlock, WireDelta};
use super::citation::citation;

/// A block that has begun.
#[derive(Debug)]
pub(super) enum Block {
    Text {
        citations: Vec<Citation>,
        extra: Extra,
        is_empty: bool,
    },
    Thinking {
        text: String,
        signature: String,
        extra: Extra,
    },
    Redacted {
        data: String,
        extra: Extra,
    },
    Call {
        index: u32,
        call: ToolCall,
        first: String,
    },
    /// Something of the vendor's own: a tool that runs there, its result, and what later versions bring.
    Foreign {
        kind: String,
        value: Map<String, Value>,
        /// The input that came in pieces.
        input: String,
    },
}

/// What a block ended as.
pub(super) enum Ended {
    /// It is handed on.
    Done,
    /// A call whose arguments are no JSON: cut, empty or malformed, as the finish reason will tell.
    Doubtful(ToolCall),
    /// A text without notes: what follows may run into it.
    Open,
}

impl Block {
    /// Begins a block; `calls` counts the calls before it, `seed` makes an id where one is missing.
    pub(super) fn begin(
        raw: &RawValue,
        family: &str,
        calls: &mut u32,
        seed: u64,
        out: &mut VecDeque<ModelChunk>,
    ) -> Result<Self> {
        let wire: WireBlock<'_> = serde_json::from_str(raw.get()).map_err(|error| fault::garbage(&error))?;
        let text = |text: &Option<Text<'_>>| filled(text.as_ref()).unwrap_or_default().to_owned();
        let kind = filled(wire.kind.as_ref()).unwrap_or_default();
        Ok(match kind {
            "text" => {
                let said = filled(wire.text.as_ref());
                push_text(said, out);
                let citations = wire.citations.iter().flatten().map(|raw| citation(raw_json(raw))).collect();
                Block::Text { citations, extra: wire.rest.to_extra(), is_empty: said.is_none() }
            }
            "thinking" => {
                push_thinking(filled(wire.thinking.as_ref()), out);
                let (text, signature) = (text(&wire.thinking), text(&wire.signature));
                Block::Thinking { text, signature, extra: wire.rest.to_extra() }
            }
            "redacted_thinking" => Block::Redacted { data: text(&wire.data), extra: wire.rest.to_extra() },
            "tool_use" => {
                let (index, name) = (*calls, text(&wire.name));
                if name.is_empty() {
                    return Err(fault::nonsense("a tool call without a name"));
                }
                *calls += 1;
                let id = match text(&wire.id) {
                    id if id.is_empty() => format!("call_{seed:016x}_{index}"),
                    id => id,
                };
                out.push_back(ModelChunk::ToolCallDelta { index, name: Some(name.clone()), arguments: String::new() });
                let first = wire.input.map(RawValue::get).unwrap_or_default().to_owned();
                let mut call = ToolCall::new(id, name, "");
                call.notes = PartNotes { extra: wire.rest.to_extra(), ..PartNotes::of(family) }.boxed();
                Block::Call { index, call, first }
            }
            kind => {
                let mut value = match raw_json(raw) {
                    Value::Object(fields) => fields,
                    _ => Map::new(),
                };
                value.shift_remove("type");
                Block::Foreign { kind: kind.to_owned(), value, input: String::new() }
            }
        })
    }

    /// Takes more of the block.
    pub(super) fn grow(&mut self, delta: &WireDelta<'_>, out: &mut VecDeque<ModelChunk>) {
        match self {
            Block::Text { citations, is_empty, .. } => {
                let said = filled(delta.text.as_ref());
                *is_empty &= said.is_none();
                push_text(said, out);
                citations.extend(delta.citation.map(|raw| citation(raw_json(raw))));
            }
            Block::Thinking { text, signature, .. } => {
                text.push_str(filled(delta.thinking.as_ref()).unwrap_or_default());
                signature.push_str(filled(delta.signature.as_ref()).unwrap_or_default());
                push_thinking(filled(delta.thinking.as_ref()), out);
            }
            Block::Call { index, call, .. } => {
                if let Some(piece) = filled(delta.partial_json.as_ref()) {
                    call.arguments.push_str(piece);
                    out.push_back(ModelChunk::ToolCallDelta { index: *index, name: None, arguments: piece.to_owned() });
                }
            }
            Block::Foreign { value, input, .. } => {
                input.push_str(filled(delta.partial_json.as_ref()).unwrap_or_default());
                for (name, raw) in delta.rest.iter() {
                    let piece = raw_text(raw);
                    match value.get_mut(name) {
                        Some(Value::String(have)) => have.push_str(&piece),
                        _ => drop(value.insert(name.to_owned(), raw_json(raw))),
                    }
                }
            }
            Block::Redacted { .. } => {}
        }
    }

    /// Ends the block and hands it on.
    pub(super) fn end(self, family: &str, out: &mut VecDeque<ModelChunk>) -> Ended {
        let noted = |extra: Extra| PartNotes { extra, ..PartNotes::of(family) };
        match self {
            Block::Text { is_empty: true, .. } => return Ended::Open,
            Block::Text { citations, extra, .. } => {
                let notes = PartNotes { citations, ..noted(extra) };
                let Some(notes) = notes.boxed() else { return Ended::Open };
                out.push_back(ModelChunk::PartNotes(notes));
            }
            Block::Thinking { text, signature, extra } => {
                if !(text.is_empty() && signature.is_empty()) {
                    let signature = (!signature.is_empty()).then_some(signature);
                    let notes = noted(extra).boxed();
                    out.push_back(ModelChunk::Thinking(Thinking { signature, notes, ..Thinking::new(text, family) }));
                }
            }
            Block::Redacted { data, extra } => {
                let (signature, notes) = (Some(data), noted(extra).boxed());
                let thinking = Thinking { signature, redacted: true, notes, ..Thinking::new("", family) };
                out.push_back(ModelChunk::Thinking(thinking));
            }
            Block::Call { mut call, first, .. } => {
                // Compatible servers send the whole input at the start; Anthropic an empty object in its place.
                if call.arguments.is_empty() && first != "{}" {
                    call.arguments = first;
                }
                if serde_json::from_str::<&RawValue>(&call.arguments).is_err() {
                    return Ended::Doubtful(call);
                }
                out.push_back(ModelChunk::ToolCall(call));
            }
            Block::Foreign { kind, mut value, input } => {
                if !input.is_empty() {
                    let parsed = serde_json::from_str(&input).unwrap_or(Value::String(input));
                    value.insert("input".to_owned(), parsed);
                }
                let foreign = Foreign { family: family.to_owned(), kind, value: Value::Object(value), notes: None };
                out.push_back(ModelChunk::Whole { part: Part::Foreign(foreign) });
            }
        }
        Ended::Done
    }
}

fn push_text(text: Option<&str>, out: &mut VecDeque<ModelChunk>) {
    if let Some(text) = text {
        out.push_back(ModelChunk::Text { text: text.to_owned() });
    }
}

fn push_thinking(text: Option<&str>, out: &mut VecDeque<ModelChunk>) {
    if let Some(text) = text {
        out.push_back(ModelChunk::ThinkingDelta { text: text.to_owned() });
    }
}
