//! Answers of the Interactions dialect, streamed and whole.

use std::collections::VecDeque;

use beluga_core::{
    AnswerNotes, Citation, Error, FinishReason, Foreign, Media, MediaSource, ModelChunk, Part, PartNotes, Result,
    Thinking, ToolCall, Usage,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::answer::Decode;
use super::super::compact::compact;
use super::super::fault::{self, VendorError};
use super::super::json::{Text, filled, raw_value, take_count, take_list, take_text};
use super::super::profile::Profile;
use super::super::wire::{Kept, raw_json, wire};
use crate::http::SseEvent;

/// The data of the event that ends a stream.
const DONE: &str = "[DONE]";

/// The most steps of one answer.
const STEPS_MAX: usize = 1024;

wire! {
    struct WireEvent<'a> {
        kind: Text<'a> = "event_type",
        index: i64 = "index",
        interaction: WireInteraction<'a> = "interaction",
        step: &'a RawValue = "step",
        delta: WireDelta<'a> = "delta",
        error: &'a RawValue = "error",
    }
}

wire! {
    struct WireInteraction<'a> {
        id: Text<'a> = "id",
        model: Text<'a> = "model",
        status: Text<'a> = "status",
        steps: Vec<&'a RawValue> = "steps",
        usage: &'a RawValue = "usage",
        error: &'a RawValue = "error",
    }
}

wire! {
    struct WireDelta<'a> {
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        signature: Text<'a> = "signature",
        arguments: Text<'a> = "arguments",
        content: &'a RawValue = "content",
        annotations: &'a RawValue = "annotations",
    }
}

wire! {
    struct WireUsage<'a> {
        input: u64 = "total_input_tokens",
        output: u64 = "total_output_tokens",
        thought: u64 = "total_thought_tokens",
        cached: u64 = "total_cached_tokens",
        tools: u64 = "total_tool_use_tokens",
    }
}

/// Decodes one answer.
#[derive(Debug)]
pub(super) struct InteractionDecoder {
    family: &'static str,
    seed: u64,
    has_started: bool,
    /// Steps that have begun and not ended.
    open: Vec<(i64, Step)>,
    steps: usize,
    calls: usize,
    status: Option<String>,
    extra: Kept,
    raw_usage: Option<String>,
}

#[derive(Debug)]
enum Step {
    Thought { text: String, signature: String },
    Output { citations: Vec<Citation> },
    Call { at: usize, fields: Map<String, Value>, whole: String, pieces: String },
    Foreign { kind: String, fields: Map<String, Value> },
}

impl InteractionDecoder {
    pub(super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            has_started: false,
            open: Vec::new(),
            steps: 0,
            calls: 0,
            status: None,
            extra: Kept::default(),
            raw_usage: None,
        }
    }

    fn interaction(&mut self, interaction: &WireInteraction<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        if let Some(error) = interaction.error {
            return Err(VendorError::parse(error.get().as_bytes()).into_stream_error());
        }
        if !std::mem::replace(&mut self.has_started, true) {
            let owned = |text: &Option<Text<'_>>| filled(text.as_ref()).map(str::to_owned);
            out.push_back(ModelChunk::Started { id: owned(&interaction.id), model: owned(&interaction.model) });
        }
        for (at, step) in interaction.steps.iter().flatten().enumerate() {
            let index = i64::try_from(at).unwrap_or(i64::MAX);
            self.begin(index, step, out)?;
            self.close(index, out)?;
        }
        if let Some(usage) = interaction.usage {
            self.usage(usage.get(), out);
        }
        self.extra.take(&interaction.rest, &[]);
        self.status = filled(interaction.status.as_ref()).map(str::to_owned).or(self.status.take());
        Ok(())
    }

    /// Begins a step with what its start, or the whole of it, says.
    fn begin(&mut self, index: i64, raw: &RawValue, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Error::provider_unavailable(format!("the answer has more than {STEPS_MAX} steps")));
        }
        let Value::Object(mut fields) = raw_json(raw) else { return Err(fault::nonsense("a step that is no object")) };
        let kind = take_text(&mut fields, "type").unwrap_or_default();
        let step = match kind.as_str() {
            "thought" => {
                let signature = take_text(&mut fields, "signature").unwrap_or_default();
                let mut text = String::new();
                for piece in take_list(&mut fields, "summary") {
                    push_thinking(piece.get("text").and_then(Value::as_str), &mut text, out);
                }
                Step::Thought { text, signature }
            }
            "model_output" => {
                let mut citations = Vec::new();
                for content in take_list(&mut fields, "content") {
                    self.content(content, &mut citations, out);
                }
                Step::Output { citations }
            }
            "function_call" => {
                let at = self.calls;
                self.calls += 1;
                let name = fields.get("name").and_then(Value::as_str).map(str::to_owned);
                let index = u32::try_from(at).unwrap_or(u32::MAX);
                out.push_back(ModelChunk::ToolCallDelta { index, name, arguments: String::new() });
                let whole = match fields.shift_remove("arguments") {
                    Some(Value::String(text)) => text,
                    Some(value) => compact(&value.to_string()),
                    None => String::new(),
                };
                Step::Call { at, fields, whole, pieces: String::new() }
            }
            _ => Step::Foreign { kind, fields },
        };
        self.open.push((index, step));
        Ok(())
    }

    fn content(&self, content: Value, citations: &mut Vec<Citation>, out: &mut VecDeque<ModelChunk>) {
        let Value::Object(mut fields) = content else { return };
        let kind = take_text(&mut fields, "type").unwrap_or_default();
        if kind == "text" {
            push_text(take_text(&mut fields, "text").as_deref(), out);
            citations.extend(take_list(&mut fields, "annotations").into_iter().map(citation));
            return;
        }
        out.push_back(ModelChunk::Whole { part: self.media(kind, fields) });
    }

    fn media(&self, kind: String, mut fields: Map<String, Value>) -> Part {
        if !matches!(kind.as_str(), "image" | "audio" | "video" | "document") {
            return Part::Foreign(Foreign { family: self.family.to_owned(), kind, value: fields.into(), notes: None });
        }
        let source = match take_text(&mut fields, "data") {
            Some(data) => MediaSource::Base64(data.into()),
            None => MediaSource::Url(take_text(&mut fields, "uri").unwrap_or_default()),
        };
        let mime = take_text(&mut fields, "mime_type").unwrap_or_default();
        let notes = PartNotes { extra: fields, ..PartNotes::of(self.family) }.boxed();
        let media = Media { notes, ..Media::new(source, mime) };
        match kind.as_str() {
            "image" => Part::Image(media),
            "audio" => Part::Audio(media),
            "video" => Part::Video(media),
            _ => Part::File(media),
        }
    }

    fn grow(&mut self, index: i64, delta: &WireDelta<'_>, out: &mut VecDeque<ModelChunk>) {
        let Some(at) = self.open.iter().rposition(|(have, _)| *have == index) else { return };
        let (_, mut step) = self.open.remove(at);
        match &mut step {
            Step::Thought { text, signature } => {
                signature.push_str(filled(delta.signature.as_ref()).unwrap_or_default());
                let content = delta.content.map(raw_json);
                let said = content.as_ref().and_then(|content| content.get("text")?.as_str());
                push_thinking(said.or_else(|| filled(delta.text.as_ref())), text, out);
            }
            Step::Output { citations } => {
                if filled(delta.kind.as_ref()).is_none_or(|kind| kind.starts_with("text")) {
                    push_text(filled(delta.text.as_ref()), out);
                    if let Some(Value::Array(list)) = delta.annotations.map(raw_json) {
                        citations.extend(list.into_iter().map(citation));
                    }
                } else {
                    let kind = filled(delta.kind.as_ref()).unwrap_or_default().to_owned();
                    out.push_back(ModelChunk::Whole { part: self.media(kind, delta.rest.to_extra()) });
                }
            }
            Step::Call { at, pieces, .. } => {
                if let Some(piece) = filled(delta.arguments.as_ref()) {
                    pieces.push_str(piece);
                    let index = u32::try_from(*at).unwrap_or(u32::MAX);
                    out.push_back(ModelChunk::ToolCallDelta { index, name: None, arguments: piece.to_owned() });
                }
            }
            Step::Foreign { fields, .. } => {
                fields.extend(delta.rest.to_extra());
                for (name, text) in [("signature", &delta.signature), ("text", &delta.text)] {
                    if let Some(text) = filled(text.as_ref()) {
                        fields.insert(name.to_owned(), Value::from(text));
                    }
                }
            }
        }
        self.open.insert(at, (index, step));
    }

    fn close(&mut self, index: i64, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let Some(at) = self.open.iter().rposition(|(have, _)| *have == index) else { return Ok(()) };
        let (_, step) = self.open.remove(at);
        let family = self.family;
        match step {
            Step::Thought { text, signature } => {
                let signature = (!signature.is_empty()).then_some(signature);
                if !text.is_empty() || signature.is_some() {
                    out.push_back(ModelChunk::Thinking(Thinking { signature, ..Thinking::new(text, family) }));
                }
            }
            Step::Output { citations } => {
                out.extend(PartNotes { citations, ..PartNotes::of(family) }.boxed().map(ModelChunk::PartNotes));
            }
            Step::Call { at, mut fields, whole, pieces } => {
                let Some(name) = take_text(&mut fields, "name").filter(|name| !name.is_empty()) else {
                    return Err(fault::nonsense("a tool call without a name"));
                };
                let id = take_text(&mut fields, "id").unwrap_or_else(|| format!("call_{:016x}_{at}", self.seed));
                // A stream begins with an empty object in the arguments' place.
                let arguments = match (pieces.is_empty(), whole.is_empty()) {
                    (false, _) => pieces,
                    (true, false) => whole,
                    (true, true) => "{}".to_owned(),
                };
                let signature = take_text(&mut fields, "signature");
                let notes = PartNotes { signature, extra: fields, ..PartNotes::of(family) }.boxed();
                out.push_back(ModelChunk::ToolCall(ToolCall { notes, ..ToolCall::new(id, name, arguments) }));
            }
            Step::Foreign { kind, fields } => {
                let foreign = Foreign { family: family.to_owned(), kind, value: fields.into(), notes: None };
                out.push_back(ModelChunk::Whole { part: Part::Foreign(foreign) });
            }
        }
        Ok(())
    }

    fn usage(&mut self, raw: &str, out: &mut VecDeque<ModelChunk>) {
        let Ok(usage) = serde_json::from_str::<WireUsage<'_>>(raw) else { return };
        let sum =
            |one: Option<u64>, other: Option<u64>| one.unwrap_or_default().saturating_add(other.unwrap_or_default());
        out.push_back(ModelChunk::Usage(Usage {
            input_tokens: sum(usage.input, usage.tools),
            output_tokens: sum(usage.output, usage.thought),
            cached_tokens: usage.cached.unwrap_or_default(),
            cache_write_tokens: 0,
            reasoning_tokens: usage.thought.unwrap_or_default(),
        }));
        self.raw_usage = Some(raw.to_owned());
    }

    fn finish(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let Some(word) = self.status.take().filter(|word| word != "in_progress") else { return Err(fault::half()) };
        while let Some(index) = self.open.first().map(|(index, _)| *index) {
            self.close(index, out)?;
        }
        let reason = match word.as_str() {
            "requires_action" => FinishReason::ToolCalls,
            "completed" if self.calls > 0 => FinishReason::ToolCalls,
            "completed" => FinishReason::Stop,
            "incomplete" => FinishReason::Length,
            "failed" => return Err(Error::provider_unavailable("the vendor's interaction failed")),
            other => FinishReason::Other(other.to_owned()),
        };
        let (family, extra) = (self.family.to_owned(), self.extra.finish());
        let notes = AnswerNotes { finish_word: Some(word), family, extra, ..AnswerNotes::default() };
        out.push_back(ModelChunk::AnswerNotes(Box::new(notes)));
        let raw_usage = self.raw_usage.take().as_deref().and_then(raw_value);
        out.push_back(ModelChunk::Finished { reason, raw_usage });
        Ok(())
    }
}

impl Decode for InteractionDecoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(());
        }
        if data == DONE {
            return self.finish(out);
        }
        let wire: WireEvent<'_> = serde_json::from_str(data).map_err(|error| fault::garbage(&error))?;
        if let Some(error) = wire.error {
            return Err(VendorError::parse(error.get().as_bytes()).into_stream_error());
        }
        if let Some(interaction) = &wire.interaction {
            return self.interaction(interaction, out);
        }
        let index = wire.index.unwrap_or(0);
        match (filled(wire.kind.as_ref()).unwrap_or_else(|| event.event.as_ref()), wire.step, &wire.delta) {
            ("step.start", Some(step), _) => self.begin(index, step, out)?,
            ("step.delta", _, Some(delta)) => self.grow(index, delta, out),
            ("step.stop", ..) => self.close(index, out)?,
            // Words on the status, and events of later versions.
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        let interaction: WireInteraction<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        self.interaction(&interaction, out)?;
        self.finish(out)
    }

    fn end(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.finish(out)
    }
}

/// Reads a source of a statement; what has no field stays.
fn citation(value: Value) -> Citation {
    let Value::Object(mut fields) = value else { return Citation::default() };
    Citation {
        kind: take_text(&mut fields, "type").unwrap_or_default(),
        url: take_text(&mut fields, "url"),
        title: take_text(&mut fields, "title"),
        text: None,
        start: take_count(&mut fields, "start_index"),
        end: take_count(&mut fields, "end_index"),
        extra: fields,
    }
}

fn push_text(text: Option<&str>, out: &mut VecDeque<ModelChunk>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        out.push_back(ModelChunk::Text { text: text.to_owned() });
    }
}

fn push_thinking(said: Option<&str>, text: &mut String, out: &mut VecDeque<ModelChunk>) {
    if let Some(said) = said.filter(|said| !said.is_empty()) {
        text.push_str(said);
        out.push_back(ModelChunk::ThinkingDelta { text: said.to_owned() });
    }
}
