//! Answers of the Responses dialect, streamed and whole: a stream tells each item once more when it is whole.

use std::collections::VecDeque;

use beluga_core::{
    AnswerNotes, Error, Extra, FinishReason, Foreign, ModelChunk, Part, PartNotes, Result, Thinking, ToolCall, Usage,
};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::answer::Decode;
use super::super::fault::{self, VendorError};
use super::super::json::{Text, filled, raw_value, take_list, take_text};
use super::super::openai_chat::citation;
use super::super::profile::Profile;
use super::super::wire::{Kept, raw_json, raw_text, wire};
use crate::http::SseEvent;

/// The data of the event that some servers end a stream with.
const DONE: &str = "[DONE]";

/// The most items of one answer.
const ITEMS_MAX: usize = 1024;

/// What a response repeats of its request, and of its own items.
const REPEATED: [&str; 3] = ["instructions", "tools", "output_text"];

/// What comes between two summaries of one train of thought.
const PARAGRAPH: &str = "\n\n";

wire! {
    struct WireEvent<'a> {
        kind: Text<'a> = "type",
        response: WireResponse<'a> = "response",
        item: &'a RawValue = "item",
        item_id: Text<'a> = "item_id",
        part: &'a RawValue = "part",
        delta: &'a RawValue = "delta",
        output_index: i64 = "output_index",
        summary_index: i64 = "summary_index",
        error: &'a RawValue = "error",
    }
}

wire! {
    struct WireResponse<'a> {
        id: Text<'a> = "id",
        model: Text<'a> = "model",
        object: Text<'a> = "object",
        created_at: &'a RawValue = "created_at",
        status: Text<'a> = "status",
        output: Vec<&'a RawValue> = "output",
        usage: &'a RawValue = "usage",
        error: &'a RawValue = "error",
        incomplete: WireIncomplete<'a> = "incomplete_details",
    }
}

wire! {
    struct WireIncomplete<'a> {
        reason: Text<'a> = "reason",
    }
}

wire! {
    struct WireUsage<'a> {
        input: u64 = "input_tokens" | "prompt_tokens",
        output: u64 = "output_tokens" | "completion_tokens",
        of_input: WireDetails<'a> = "input_tokens_details",
        of_output: WireDetails<'a> = "output_tokens_details",
    }
}

wire! {
    struct WireDetails<'a> {
        cached: u64 = "cached_tokens",
        written: u64 = "cache_write_tokens",
        reasoning: u64 = "reasoning_tokens",
    }
}

/// Decodes one answer.
#[derive(Debug)]
pub(super) struct ResponseDecoder {
    family: &'static str,
    seed: u64,
    has_started: bool,
    created: Option<u64>,
    items: Vec<Item>,
    calls: usize,
    cut_calls: Vec<ToolCall>,
    /// What items tell of themselves besides their content.
    of_items: Vec<Value>,
    extra: Kept,
    raw_usage: Option<String>,
}

/// What is known of an item of the answer.
#[derive(Debug, Default)]
struct Item {
    index: i64,
    /// Whether its text, its thinking, or its arguments have come piece by piece.
    is_told: bool,
    /// How many of its parts are noted.
    parts: usize,
    /// The place of its call.
    call: Option<usize>,
    is_whole: bool,
}

impl ResponseDecoder {
    pub(super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            has_started: false,
            created: None,
            items: Vec::new(),
            calls: 0,
            cut_calls: Vec::new(),
            of_items: Vec::new(),
            extra: Kept::default(),
            raw_usage: None,
        }
    }

    fn start(&mut self, response: &WireResponse<'_>, out: &mut VecDeque<ModelChunk>) {
        if !std::mem::replace(&mut self.has_started, true) {
            let owned = |text: &Option<Text<'_>>| filled(text.as_ref()).map(str::to_owned);
            out.push_back(ModelChunk::Started { id: owned(&response.id), model: owned(&response.model) });
        }
        self.created = self.created.or_else(|| response.created_at?.get().parse().ok());
        self.extra.take(&response.rest, &REPEATED);
    }

    /// Returns what is known of an item.
    fn item(&mut self, index: i64) -> Result<&mut Item> {
        let at = match self.items.iter().rposition(|item| item.index == index) {
            Some(at) => at,
            None if self.items.len() >= ITEMS_MAX => {
                return Err(Error::provider_unavailable(format!("the answer has more than {ITEMS_MAX} items")));
            }
            None => {
                self.items.push(Item { index, ..Item::default() });
                self.items.len() - 1
            }
        };
        self.items.get_mut(at).ok_or_else(|| fault::nonsense("an item without a place"))
    }

    /// Takes a piece of an item: text, thinking, or arguments.
    fn piece(&mut self, kind: &str, event: &WireEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let Some(text) = event.delta.map(raw_text).filter(|text| !text.is_empty()) else { return Ok(()) };
        let item = self.item(event.output_index.unwrap_or(0))?;
        item.is_told = true;
        let text = text.into_owned();
        out.push_back(match kind {
            "response.output_text.delta" => ModelChunk::Text { text },
            "response.refusal.delta" => ModelChunk::Refusal { text },
            "response.function_call_arguments.delta" => {
                let index = u32::try_from(item.call.unwrap_or(0)).unwrap_or(u32::MAX);
                ModelChunk::ToolCallDelta { index, name: None, arguments: text }
            }
            _ => ModelChunk::ThinkingDelta { text },
        });
        Ok(())
    }

    /// Takes the beginning of an item: a call's name shows at once.
    fn begin(&mut self, index: i64, raw: &RawValue, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let item = raw_json(raw);
        let next = self.calls;
        let known = self.item(index)?;
        if item.get("type").is_some_and(|kind| kind == "function_call") {
            known.call = Some(next);
            self.calls += 1;
            let name = item.get("name").and_then(Value::as_str).map(str::to_owned);
            let index = u32::try_from(next).unwrap_or(u32::MAX);
            out.push_back(ModelChunk::ToolCallDelta { index, name, arguments: String::new() });
        }
        Ok(())
    }

    /// Takes a whole item.
    fn end(&mut self, index: i64, raw: &RawValue, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        if std::mem::replace(&mut self.item(index)?.is_whole, true) {
            return Ok(());
        }
        let Value::Object(mut fields) = raw_json(raw) else { return Err(fault::nonsense("an item that is no object")) };
        let kind = take_text(&mut fields, "type").unwrap_or_default();
        match kind.as_str() {
            "message" => self.message(index, fields, out),
            "reasoning" => self.reasoning(index, fields, out),
            "function_call" => self.call(index, fields, out),
            _ => {
                let foreign = Foreign { family: self.family.to_owned(), kind, value: fields.into(), notes: None };
                out.push_back(ModelChunk::Whole { part: Part::Foreign(foreign) });
                Ok(())
            }
        }
    }

    fn message(&mut self, index: i64, mut fields: Extra, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let id = take_text(&mut fields, "id");
        let (is_told, parts) = {
            let item = self.item(index)?;
            (item.is_told, item.parts)
        };
        for part in take_list(&mut fields, "content").into_iter().skip(parts) {
            self.part(part, id.as_deref(), is_told, out);
        }
        fields.shift_remove("role");
        self.note_item(id, fields);
        Ok(())
    }

    /// Takes one part of a message. Its text may have come before.
    fn part(&self, value: Value, id: Option<&str>, is_told: bool, out: &mut VecDeque<ModelChunk>) {
        let Value::Object(mut fields) = value else { return };
        let kind = take_text(&mut fields, "type").unwrap_or_default();
        match kind.as_str() {
            "output_text" | "text" => {
                let text = take_text(&mut fields, "text").unwrap_or_default();
                if !is_told && !text.is_empty() {
                    out.push_back(ModelChunk::Text { text });
                }
            }
            "refusal" => {
                let text = take_text(&mut fields, "refusal").unwrap_or_default();
                if !is_told && !text.is_empty() {
                    out.push_back(ModelChunk::Refusal { text });
                }
            }
            _ => {
                let foreign = Foreign { family: self.family.to_owned(), kind, value: fields.into(), notes: None };
                out.push_back(ModelChunk::Whole { part: Part::Foreign(foreign) });
                return;
            }
        }
        let citations = take_list(&mut fields, "annotations").into_iter().map(citation).collect();
        fields.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
        let notes = PartNotes { id: id.map(str::to_owned), citations, extra: fields, ..PartNotes::of(self.family) };
        out.extend(notes.boxed().map(ModelChunk::PartNotes));
    }

    fn reasoning(&mut self, index: i64, mut fields: Extra, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let id = take_text(&mut fields, "id");
        let signature = take_text(&mut fields, "encrypted_content");
        let text = thought(&mut fields);
        if !self.item(index)?.is_told && !text.is_empty() {
            out.push_back(ModelChunk::ThinkingDelta { text: text.clone() });
        }
        settle(&mut fields);
        let notes = PartNotes { id, extra: fields, ..PartNotes::of(self.family) }.boxed();
        out.push_back(ModelChunk::Thinking(Thinking { signature, notes, ..Thinking::new(text, self.family) }));
        Ok(())
    }

    fn call(&mut self, index: i64, mut fields: Extra, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let Some(name) = take_text(&mut fields, "name").filter(|name| !name.is_empty()) else {
            return Err(fault::nonsense("a tool call without a name"));
        };
        let next = self.calls;
        let item = self.item(index)?;
        let (at, is_told) = (item.call.unwrap_or(next), item.is_told);
        let is_new = item.call.is_none();
        item.call = Some(at);
        self.calls += usize::from(is_new);
        let call_id = take_text(&mut fields, "call_id").filter(|id| !id.is_empty());
        let call_id = call_id.unwrap_or_else(|| format!("call_{:016x}_{at}", self.seed));
        let arguments = take_text(&mut fields, "arguments").filter(|text| !text.is_empty());
        let arguments = arguments.unwrap_or_else(|| "{}".to_owned());
        if !is_told {
            let index = u32::try_from(at).unwrap_or(u32::MAX);
            let name = is_new.then(|| name.clone());
            out.push_back(ModelChunk::ToolCallDelta { index, name, arguments: arguments.clone() });
        }
        let id = take_text(&mut fields, "id");
        let is_cut = fields.get("status").is_some_and(|status| status == "incomplete");
        settle(&mut fields);
        let notes = PartNotes { id, extra: fields, ..PartNotes::of(self.family) }.boxed();
        let call = ToolCall { notes, ..ToolCall::new(call_id, name, arguments) };
        if is_cut {
            self.cut_calls.push(call);
        } else {
            out.push_back(ModelChunk::ToolCall(call));
        }
        Ok(())
    }

    /// Keeps what an item tells besides its content.
    fn note_item(&mut self, id: Option<String>, mut fields: Extra) {
        settle(&mut fields);
        if !fields.is_empty() {
            fields.extend(id.map(|id| ("id".to_owned(), Value::from(id))));
            self.of_items.push(Value::Object(fields));
        }
    }

    fn usage(&mut self, raw: &RawValue, out: &mut VecDeque<ModelChunk>) {
        let Ok(usage) = serde_json::from_str::<WireUsage<'_>>(raw.get()) else { return };
        let (of_input, of_output) = (usage.of_input.as_ref(), usage.of_output.as_ref());
        out.push_back(ModelChunk::Usage(Usage {
            input_tokens: usage.input.unwrap_or_default(),
            output_tokens: usage.output.unwrap_or_default(),
            cached_tokens: of_input.and_then(|details| details.cached).unwrap_or_default(),
            cache_write_tokens: of_input.and_then(|details| details.written).unwrap_or_default(),
            reasoning_tokens: of_output.and_then(|details| details.reasoning).unwrap_or_default(),
        }));
        self.raw_usage = Some(raw.get().to_owned());
    }

    /// Takes the whole response: items that were not told before, and why it ends.
    fn finish(&mut self, response: &WireResponse<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.start(response, out);
        if let Some(error) = response.error {
            return Err(VendorError::parse(error.get().as_bytes()).into_stream_error());
        }
        for (at, item) in response.output.iter().flatten().enumerate() {
            self.end(i64::try_from(at).unwrap_or(i64::MAX), item, out)?;
        }
        if let Some(usage) = response.usage {
            self.usage(usage, out);
        }
        let status = filled(response.status.as_ref()).unwrap_or("completed");
        let why = response.incomplete.as_ref().and_then(|incomplete| filled(incomplete.reason.as_ref()));
        let reason = match (status, why) {
            ("completed", _) if self.calls > self.cut_calls.len() => FinishReason::ToolCalls,
            ("completed", _) => FinishReason::Stop,
            ("incomplete", Some("max_output_tokens" | "max_tokens")) => FinishReason::Length,
            ("incomplete", Some("content_filter")) => FinishReason::ContentFilter,
            ("failed", _) => return Err(Error::provider_unavailable("the vendor's response failed")),
            ("in_progress" | "queued", _) => return Err(fault::half()),
            (_, why) => FinishReason::Other(why.unwrap_or(status).to_owned()),
        };
        let mut extra = self.extra.finish();
        let of_items = std::mem::take(&mut self.of_items);
        if !of_items.is_empty() {
            extra.insert("items".to_owned(), Value::Array(of_items));
        }
        let notes = AnswerNotes {
            created: self.created,
            finish_word: Some(why.unwrap_or(status).to_owned()),
            cut_calls: std::mem::take(&mut self.cut_calls),
            family: self.family.to_owned(),
            extra,
        };
        out.push_back(ModelChunk::AnswerNotes(Box::new(notes)));
        let raw_usage = self.raw_usage.take().as_deref().and_then(raw_value);
        out.push_back(ModelChunk::Finished { reason, raw_usage });
        Ok(())
    }
}

impl Decode for ResponseDecoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let data = event.data.trim();
        if data.is_empty() || data == DONE {
            return Ok(());
        }
        let wire: WireEvent<'_> = serde_json::from_str(data).map_err(|error| fault::garbage(&error))?;
        let kind = filled(wire.kind.as_ref()).unwrap_or_else(|| event.event.as_ref());
        if let Some(error) = wire.error {
            return Err(VendorError::parse(error.get().as_bytes()).into_stream_error());
        }
        let index = wire.output_index.unwrap_or(0);
        match (kind, &wire.response, wire.item, wire.part) {
            ("error", ..) => return Err(VendorError::parse(data.as_bytes()).into_stream_error()),
            (
                "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled",
                Some(response),
                ..,
            ) => {
                return self.finish(response, out);
            }
            (_, Some(response), ..) => self.start(response, out),
            ("response.output_item.added", _, Some(item), _) => self.begin(index, item, out)?,
            ("response.output_item.done", _, Some(item), _) => self.end(index, item, out)?,
            ("response.content_part.done", _, _, Some(part)) => {
                let item = self.item(index)?;
                item.parts += 1;
                let is_told = item.is_told;
                self.part(raw_json(part), filled(wire.item_id.as_ref()), is_told, out);
            }
            ("response.reasoning_summary_part.added", ..) if wire.summary_index.is_some_and(|index| index > 0) => {
                out.push_back(ModelChunk::ThinkingDelta { text: PARAGRAPH.to_owned() });
            }
            (
                "response.output_text.delta"
                | "response.refusal.delta"
                | "response.function_call_arguments.delta"
                | "response.reasoning_summary_text.delta"
                | "response.reasoning_text.delta",
                ..,
            ) => self.piece(kind, &wire, out)?,
            // What is told again when it is whole, and events of later versions.
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        let response: WireResponse<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        if response.output.is_none() && response.error.is_none() {
            return Err(fault::nonsense("a response without an output"));
        }
        self.finish(&response, out)
    }

    fn end(&mut self, _out: &mut VecDeque<ModelChunk>) -> Result<()> {
        Err(fault::half())
    }
}

/// Takes the text of a train of thought. What its lists say besides texts stays.
pub(super) fn thought(fields: &mut Extra) -> String {
    let text_of = |list: &Value, kind: &str| -> Option<Vec<String>> {
        let texts = list.as_array()?.iter().map(|part| {
            let is_plain = part.as_object()?.len() == 2 && part.get("type")? == kind;
            is_plain.then(|| part.get("text")?.as_str().map(str::to_owned))?
        });
        texts.collect()
    };
    let summary = fields.get("summary").and_then(|list| text_of(list, "summary_text"));
    let content = fields.get("content").and_then(|list| text_of(list, "reasoning_text"));
    // One text alone says all; several are put together, and kept apart beside it.
    if summary.as_ref().is_some_and(|texts| texts.len() <= 1) {
        fields.shift_remove("summary");
    }
    let told = summary.filter(|texts| !texts.is_empty()).or(content).unwrap_or_default();
    told.join(PARAGRAPH)
}

/// Leaves out what says nothing: an item that is there is whole.
fn settle(fields: &mut Extra) {
    if fields.get("status").is_some_and(|status| status == "completed") {
        fields.shift_remove("status");
    }
    fields.retain(|_, value| !value.is_null());
}
