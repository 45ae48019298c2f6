//! Answers of the chat completions dialect, streamed and whole.

use std::collections::VecDeque;

use beluga_core::{AnswerDraft, AnswerNotes, Error, ModelChunk, Result, Usage};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::answer::Decode;
use super::super::fault::{self, VendorError};
use super::super::json::{Text, filled, raw_value};
use super::super::profile::Profile;
use super::super::wire::Kept;
use super::body::{Count, WireChoice, WireChunk, WireUsage};
use super::lane::{Lane, NOISE};
use crate::http::SseEvent;

/// The data of the event that ends a stream.
const DONE: &str = "[DONE]";

/// The most answers to one request.
const ANSWERS_MAX: usize = 128;

/// Decodes one answer, and those beside it.
#[derive(Debug)]
pub(super) struct ChatDecoder {
    family: &'static str,
    seed: u64,
    has_started: bool,
    first: Lane,
    others: Vec<Other>,
    created: Option<u64>,
    kept: Kept,
    raw_usage: Option<String>,
}

/// Another answer to the same request: collected, for nobody watches it come.
#[derive(Debug)]
struct Other {
    index: i64,
    lane: Lane,
    chunks: VecDeque<ModelChunk>,
    draft: AnswerDraft,
}

impl ChatDecoder {
    pub(super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            has_started: false,
            first: Lane::new(profile.name),
            others: Vec::new(),
            created: None,
            kept: Kept::default(),
            raw_usage: None,
        }
    }

    /// Takes a chunk of a stream, or a whole answer: they differ in one field's name.
    fn take(&mut self, text: &str, is_whole: bool, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let chunk: WireChunk<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        let is_error = filled(chunk.object.as_ref()) == Some("error");
        if let Some(error) = chunk.error.map(RawValue::get).or(is_error.then_some(text)) {
            return Err(VendorError::parse(error.as_bytes()).into_stream_error());
        }
        // Azure's first chunk holds a verdict on the prompt and neither id nor model.
        let has_begun = chunk.choices.as_ref().is_some_and(|choices| !choices.is_empty());
        if !self.has_started && (has_begun || filled(chunk.id.as_ref()).is_some()) {
            self.has_started = true;
            let owned = |text: &Option<Text<'_>>| filled(text.as_ref()).map(str::to_owned);
            out.push_back(ModelChunk::Started { id: owned(&chunk.id), model: owned(&chunk.model) });
        }
        if let Some(created) = chunk.created.filter(|_| self.created.is_none()) {
            // Azure's first chunk tells none of an answer.
            self.created = created.get().parse().ok().filter(|created| *created != 0);
        }
        if !chunk.rest.is_empty() {
            self.kept.take(&chunk.rest, &NOISE);
        }
        let groq = chunk.x_groq.map(|groq| {
            self.kept.put("x_groq", groq.get());
            serde_json::from_str::<WireGroq<'_>>(groq.get()).ok()
        });
        for choice in chunk.choices.into_iter().flatten() {
            match choice.index.unwrap_or(0) {
                0 => self.first.take(&choice, is_whole, out)?,
                index => self.other(index)?.take(&choice, is_whole)?,
            }
        }
        if let Some(usage) = chunk.usage.or(groq.flatten().and_then(|groq| groq.usage)) {
            self.usage(usage.get(), out);
        }
        Ok(())
    }

    fn other(&mut self, index: i64) -> Result<&mut Other> {
        let at = match self.others.iter().position(|other| other.index == index) {
            Some(at) => at,
            None if self.others.len() + 1 >= ANSWERS_MAX => {
                return Err(Error::provider_unavailable(format!("there are more than {ANSWERS_MAX} answers")));
            }
            None => {
                let lane = Lane::new(self.family);
                let draft = AnswerDraft::default();
                self.others.push(Other { index, lane, chunks: VecDeque::new(), draft });
                self.others.len() - 1
            }
        };
        self.others.get_mut(at).ok_or_else(|| fault::nonsense("an answer without a place"))
    }

    fn usage(&mut self, raw: &str, out: &mut VecDeque<ModelChunk>) {
        let Ok(usage) = serde_json::from_str::<WireUsage<'_>>(raw) else { return };
        let number = |count: Option<Count>| count.map_or(0, |count| count.0);
        let (input, output) = (usage.input.as_ref(), usage.output.as_ref());
        let reasoning_tokens = number(output.and_then(|details| details.reasoning).or(usage.reasoning));
        let (input_tokens, said) = (number(usage.prompt_tokens), number(usage.completion_tokens));
        // xAI counts thinking beside the answer; the sum tells.
        let is_beside =
            number(usage.total_tokens) == input_tokens.saturating_add(said).saturating_add(reasoning_tokens);
        out.push_back(ModelChunk::Usage(Usage {
            input_tokens,
            output_tokens: if is_beside { said.saturating_add(reasoning_tokens) } else { said },
            cached_tokens: number(input.and_then(|details| details.cached).or(usage.cached)),
            cache_write_tokens: number(input.and_then(|details| details.cache_write).or(usage.cache_write)),
            reasoning_tokens,
        }));
        match &mut self.raw_usage {
            Some(have) => raw.clone_into(have),
            have => *have = Some(raw.to_owned()),
        }
    }

    fn finish(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let end = self.first.finish(self.seed, out)?;
        for other in std::mem::take(&mut self.others) {
            out.push_back(other.finish(self.seed, self.family)?);
        }
        let mut extra = self.kept.finish();
        extra.extend(end.extra);
        let family = self.family.to_owned();
        let notes =
            AnswerNotes { created: self.created, finish_word: end.word, cut_calls: end.cut_calls, family, extra };
        if !notes.is_empty() {
            out.push_back(ModelChunk::AnswerNotes(Box::new(notes)));
        }
        let raw_usage: Option<Value> = self.raw_usage.take().as_deref().and_then(raw_value);
        out.push_back(ModelChunk::Finished { reason: end.reason, raw_usage });
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct WireGroq<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl Other {
    fn take(&mut self, choice: &WireChoice<'_>, is_whole: bool) -> Result<()> {
        self.lane.take(choice, is_whole, &mut self.chunks)?;
        self.chunks.drain(..).for_each(|chunk| self.draft.push(chunk));
        Ok(())
    }

    fn finish(mut self, seed: u64, family: &str) -> Result<ModelChunk> {
        // Ids made up for calls must differ between the answers.
        let seed = seed.wrapping_add(self.index.unsigned_abs());
        let end = self.lane.finish(seed, &mut self.chunks)?;
        self.chunks.drain(..).for_each(|chunk| self.draft.push(chunk));
        let family = family.to_owned();
        let (finish_word, cut_calls, extra) = (end.word, end.cut_calls, end.extra);
        let notes = AnswerNotes { created: None, finish_word, cut_calls, family, extra };
        if !notes.is_empty() {
            self.draft.push(ModelChunk::AnswerNotes(Box::new(notes)));
        }
        self.draft.push(ModelChunk::Finished { reason: end.reason, raw_usage: None });
        Ok(ModelChunk::Alternative { answer: Box::new(self.draft.finish()?) })
    }
}

impl Decode for ChatDecoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(());
        }
        if data != DONE {
            return self.take(data, false, out);
        }
        // Some servers never name a reason; their explicit end is one.
        if self.first.has_reason() || self.has_started { self.finish(out) } else { Err(fault::half()) }
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        let before = out.len();
        self.take(text, true, out)?;
        if !self.first.has_reason() && out.len() <= before + 1 {
            return Err(fault::nonsense("an answer without a choice"));
        }
        self.finish(out)
    }

    fn end(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        if self.first.has_reason() { self.finish(out) } else { Err(fault::half()) }
    }
}
