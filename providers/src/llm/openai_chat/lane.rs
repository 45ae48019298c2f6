//! One of the answers of a body: the first goes out as it comes, the others are collected.

use std::borrow::Cow;
use std::collections::VecDeque;

use beluga_core::{
    Citation, Extra, FinishReason, Foreign, Media, ModelChunk, Part, PartNotes, Result, Thinking, ToolCall,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::json::{Text, filled};
use super::super::media::data_url;
use super::super::wire::{Kept, raw_json, raw_text};
use super::assembler::{Assembler, CallDelta};
use super::body::{WireAudio, WireCall, WireChoice, WireDelta, WireSaid};
use super::citation::citation;
use super::details::Details;

/// What says nothing, in a choice and in what it says: padding against eavesdroppers, and text that repeats the content.
pub(super) const NOISE: [&str; 5] = ["obfuscation", "p", "padding", "token_id", "text"];

/// One answer in the making.
#[derive(Debug, Default)]
pub(super) struct Lane {
    family: &'static str,
    /// Thinking whose block has not ended.
    thinking: String,
    details: Details,
    citations: Vec<Citation>,
    /// Spoken words, put together.
    audio: Option<(Media, String)>,
    calls: Assembler,
    reason: Option<String>,
    /// Log probabilities of every token, by what they are of.
    logprobs: Map<String, Value>,
    /// What is told of words that are not spoken.
    of_audio: Kept,
    of_choice: Kept,
    of_message: Kept,
}

/// What a lane ended with.
pub(super) struct LaneEnd {
    pub(super) reason: FinishReason,
    pub(super) word: Option<String>,
    pub(super) cut_calls: Vec<ToolCall>,
    pub(super) extra: Extra,
}

impl Lane {
    pub(super) fn new(family: &'static str) -> Self {
        Self { family, ..Self::default() }
    }

    /// Returns whether the vendor has said why the answer ends.
    pub(super) fn has_reason(&self) -> bool {
        self.reason.is_some()
    }

    /// Takes what one event says of this answer.
    pub(super) fn take(
        &mut self,
        choice: &WireChoice<'_>,
        is_whole: bool,
        out: &mut VecDeque<ModelChunk>,
    ) -> Result<()> {
        // Perplexity has both in every answer: the message is all that was said so far, the delta what is new.
        let (first, second) = (choice.delta.as_ref(), choice.message.as_ref());
        let (first, second) = if is_whole { (second, first) } else { (first, second) };
        if let Some(delta) = first.or(second) {
            self.said(delta, out)?;
        }
        if let Some(logprobs) = choice.logprobs {
            self.weigh(logprobs);
        }
        if !choice.rest.is_empty() {
            self.of_choice.take(&choice.rest, &NOISE);
        }
        if let Some(reason) = filled(choice.finish_reason.as_ref()) {
            self.reason = Some(reason.to_owned());
        }
        Ok(())
    }

    fn said(&mut self, delta: &WireDelta<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let thinking = filled(delta.reasoning_content.as_ref()).or_else(|| filled(delta.reasoning.as_ref()));
        if let Some(text) = thinking {
            self.think(text, out);
        }
        for detail in delta.reasoning_details.iter().flatten() {
            // Some models tell their thinking in the details alone.
            if let Some(text) = self.details.push(detail).filter(|_| thinking.is_none()) {
                out.push_back(ModelChunk::ThinkingDelta { text: text.to_owned() });
            }
        }
        match &delta.content {
            Some(WireSaid::Text(text)) => self.say(text.0.as_ref(), out),
            Some(WireSaid::Parts(parts)) => parts.iter().for_each(|part| self.part(part, out)),
            None => {}
        }
        if let Some(text) = filled(delta.refusal.as_ref()) {
            self.end_thinking(out);
            out.push_back(ModelChunk::Refusal { text: text.to_owned() });
        }
        self.citations.extend(delta.annotations.iter().flatten().map(|raw| citation(raw_json(raw))));
        if let Some(audio) = &delta.audio {
            self.hear(audio);
        }
        for image in delta.images.iter().flatten() {
            self.end_thinking(out);
            out.push_back(ModelChunk::Whole { part: self.image(image) });
        }
        for call in delta.tool_calls.iter().flatten() {
            self.end_thinking(out);
            self.call(call, out)?;
        }
        if !delta.rest.is_empty() {
            self.of_message.take(&delta.rest, &NOISE);
        }
        Ok(())
    }

    /// Takes log probabilities: each event tells those of its own tokens.
    fn weigh(&mut self, raw: &RawValue) {
        let Value::Object(fields) = raw_json(raw) else { return };
        for (name, value) in fields {
            match (self.logprobs.get_mut(&name), value) {
                (_, Value::Null) => {}
                (Some(Value::Array(have)), Value::Array(more)) => have.extend(more),
                (_, value) => drop(self.logprobs.insert(name, value)),
            }
        }
    }

    fn think(&mut self, text: &str, out: &mut VecDeque<ModelChunk>) {
        self.thinking.push_str(text);
        out.push_back(ModelChunk::ThinkingDelta { text: text.to_owned() });
    }

    fn say(&mut self, text: &str, out: &mut VecDeque<ModelChunk>) {
        if !text.is_empty() {
            self.end_thinking(out);
            out.push_back(ModelChunk::Text { text: text.to_owned() });
        }
    }

    /// Takes one of a list of content parts.
    fn part(&mut self, raw: &RawValue, out: &mut VecDeque<ModelChunk>) {
        let mut value = raw_json(raw);
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let text = value.get("text").and_then(Value::as_str);
        let thoughts = if kind == "thinking" { thoughts(&value) } else { None };
        match (kind.as_str(), text, thoughts) {
            ("text" | "output_text", Some(text), _) => self.say(text, out),
            ("refusal", _, _) => {
                let text = value.get("refusal").and_then(Value::as_str).unwrap_or_default().to_owned();
                out.push_back(ModelChunk::Refusal { text });
            }
            (_, _, Some(thoughts)) => {
                thoughts.into_iter().filter(|text| !text.is_empty()).for_each(|text| self.think(text, out));
            }
            _ => {
                self.end_thinking(out);
                if let Value::Object(fields) = &mut value {
                    fields.shift_remove("type");
                }
                let foreign = Foreign { family: self.family.to_owned(), kind, value, notes: None };
                out.push_back(ModelChunk::Whole { part: Part::Foreign(foreign) });
            }
        }
    }

    fn image(&self, raw: &RawValue) -> Part {
        let mut value = raw_json(raw);
        let url = value.pointer("/image_url/url").and_then(Value::as_str).map(data_url);
        match url {
            Some(media) => Part::Image(media),
            None => {
                let kind = value.get("type").and_then(Value::as_str).unwrap_or("image").to_owned();
                if let Value::Object(fields) = &mut value {
                    fields.shift_remove("type");
                }
                Part::Foreign(Foreign { family: self.family.to_owned(), kind, value, notes: None })
            }
        }
    }

    fn hear(&mut self, audio: &WireAudio<'_>) {
        let text = |text: &Option<Text<'_>>| filled(text.as_ref()).map(str::to_owned);
        let (id, data, transcript) = (text(&audio.id), text(&audio.data), text(&audio.transcript));
        if id.is_none() && data.is_none() && transcript.is_none() {
            // Some servers always write the object.
            for (name, value) in audio.rest.iter() {
                self.of_audio.put(name, value.get());
            }
            return;
        }
        let family = self.family;
        let (media, heard) = self.audio.get_or_insert_with(|| (Media::base64("", ""), String::new()));
        heard.push_str(data.as_deref().unwrap_or_default());
        let notes = media.notes.get_or_insert_with(|| Box::new(PartNotes::of(family)));
        notes.id = notes.id.take().or(id);
        if let Some(piece) = transcript {
            match notes.extra.get_mut("transcript") {
                Some(Value::String(have)) => have.push_str(&piece),
                _ => drop(notes.extra.insert("transcript".to_owned(), Value::String(piece))),
            }
        }
        notes.extra.extend(audio.rest.to_extra());
    }

    fn call(&mut self, call: &WireCall<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let function = call.function.as_ref().or(call.custom.as_ref());
        // Text by the book; some servers send the object itself.
        let arguments: Cow<'_, str> =
            function.and_then(|function| function.arguments).map(raw_text).unwrap_or(Cow::Borrowed(""));
        let delta = CallDelta {
            index: call.index,
            id: filled(call.id.as_ref()).unwrap_or_default(),
            name: function.and_then(|function| filled(function.name.as_ref())).unwrap_or_default(),
            arguments: &arguments,
        };
        let at = self.calls.push(delta, out)?;
        let kind = filled(call.kind.as_ref()).filter(|kind| *kind != "function");
        if kind.is_some() || !call.rest.is_empty() {
            self.calls.note(at, kind, &call.rest);
        }
        Ok(())
    }

    /// Hands on the thinking that has come to its end. Details with text of their own stand in its place.
    fn end_thinking(&mut self, out: &mut VecDeque<ModelChunk>) {
        let text = std::mem::take(&mut self.thinking);
        if !text.is_empty() && !self.details.tell_text() {
            out.push_back(ModelChunk::Thinking(Thinking::new(text, self.family)));
        }
        out.extend(self.details.finish(self.family).map(ModelChunk::Thinking));
    }

    /// Ends the answer: everything that had to wait goes out.
    pub(super) fn finish(&mut self, seed: u64, out: &mut VecDeque<ModelChunk>) -> Result<LaneEnd> {
        self.end_thinking(out);
        let citations = std::mem::take(&mut self.citations);
        if !citations.is_empty() {
            let notes = PartNotes { citations, ..PartNotes::of(self.family) };
            out.push_back(ModelChunk::PartNotes(Box::new(notes)));
        }
        if let Some((mut media, data)) = self.audio.take() {
            media.source = beluga_core::MediaSource::Base64(data.into());
            out.push_back(ModelChunk::Whole { part: Part::Audio(media) });
        }
        let word = self.reason.take();
        let reason = word.as_deref().map_or(FinishReason::Stop, finish_reason);
        // A forced call ends with "stop" at OpenAI; whoever runs tools wants to be told of them.
        let reason =
            if reason == FinishReason::Stop && !self.calls.is_empty() { FinishReason::ToolCalls } else { reason };
        let cut_calls = self.calls.finish(&reason, seed, self.family, out)?;
        let mut of_choice = self.of_choice.finish();
        let logprobs = std::mem::take(&mut self.logprobs);
        if !logprobs.is_empty() {
            of_choice.insert("logprobs".to_owned(), Value::Object(logprobs));
        }
        let mut extra = Map::new();
        for (name, fields) in
            [("choice", of_choice), ("message", self.of_message.finish()), ("audio", self.of_audio.finish())]
        {
            if !fields.is_empty() {
                extra.insert(name.to_owned(), Value::Object(fields));
            }
        }
        Ok(LaneEnd { reason, word, cut_calls, extra })
    }
}

/// Returns the texts a chunk of thinking is made of, if it is made of nothing else.
fn thoughts(value: &Value) -> Option<Vec<&str>> {
    let texts = value.get("thinking")?.as_array()?.iter();
    texts.map(|chunk| (chunk.get("type")? == "text").then(|| chunk.get("text")?.as_str())?).collect()
}

fn finish_reason(text: &str) -> FinishReason {
    match text {
        "stop" | "eos" => FinishReason::Stop,
        // Mistral tells whose limit it was.
        "length" | "model_length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}
