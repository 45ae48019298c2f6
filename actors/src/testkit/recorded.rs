//! A model that records another one, or replays what was recorded.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use beluga_core::{
    BoxStream, CallContext, ChatModel, Code, Error, ErrorRecord, ModelChunk, ModelInfo, ModelRequest, Result,
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::lawful::Lawful;

/// What a [`RecordedModel`] heard: plain data, to be kept as a JSON file beside the test.
///
/// It holds prompts and answers in full; keys never reach it, since requests carry none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// What the model was.
    pub info: ModelInfo,
    /// The calls, in the order in which they ended.
    pub calls: Vec<RecordedCall>,
}

/// One recorded call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedCall {
    /// The SHA-256 of the request in canonical JSON, hexadecimal: the key of replay.
    pub hash: String,
    /// The request, for people who read the file.
    pub request: ModelRequest,
    /// The chunks, one by one.
    pub chunks: Vec<ModelChunk>,
    /// The error that ended the stream, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

/// A model that records another one, or replays a recording without it. Clones share the recording.
///
/// Replay is strict: a request that was not recorded fails with `not_found` and its hash, never with a guess. The same
/// request recorded twice replays its answers in order, and the last one for good.
///
/// ```
/// use beluga_actors::testkit::{Answer, RecordedModel, Recording, ScriptedModel};
/// use beluga_core::{CallContext, ChatMessage, ChatModel, Code, ModelRequest};
/// use std::sync::Arc;
///
/// # futures_util::FutureExt::now_or_never(async {
/// let ask = |text: &str| {
///     let messages = vec![Arc::new(ChatMessage::user(text))];
///     Arc::new(ModelRequest { messages, ..ModelRequest::default() })
/// };
/// let real = RecordedModel::record(ScriptedModel::new([Answer::pieces(["Hel", "lo"])]));
/// real.generate(ask("Hi"), CallContext::new()).await.unwrap();
/// let file = serde_json::to_string(&real.recording()).unwrap();
///
/// let recording: Recording = serde_json::from_str(&file).unwrap();
/// let replayed = RecordedModel::replay(recording);
/// assert_eq!(replayed.generate(ask("Hi"), CallContext::new()).await.unwrap().message.text(), "Hello");
/// let error = replayed.generate(ask("Bye"), CallContext::new()).await.unwrap_err();
/// assert_eq!(error.code(), Code::NotFound);
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct RecordedModel {
    mode: Mode,
}

#[derive(Debug, Clone)]
enum Mode {
    Record { model: Arc<dyn ChatModel>, recording: Arc<Mutex<Recording>> },
    Replay { recording: Arc<Recording>, replayed: Arc<Mutex<HashMap<String, usize>>> },
}

impl RecordedModel {
    /// Passes calls on to `model` and keeps every one whose stream was read to its end.
    #[must_use]
    pub fn record(model: impl ChatModel) -> Self {
        let recording = Recording { info: model.info(), calls: Vec::new() };
        Self { mode: Mode::Record { model: Arc::new(model), recording: Arc::new(Mutex::new(recording)) } }
    }

    /// Answers from a recording alone.
    #[must_use]
    pub fn replay(recording: Recording) -> Self {
        Self { mode: Mode::Replay { recording: Arc::new(recording), replayed: Arc::default() } }
    }

    /// Returns what is recorded so far.
    #[must_use]
    pub fn recording(&self) -> Recording {
        match &self.mode {
            Mode::Record { recording, .. } => recording.lock().clone(),
            Mode::Replay { recording, .. } => (**recording).clone(),
        }
    }
}

impl ChatModel for RecordedModel {
    fn info(&self) -> ModelInfo {
        match &self.mode {
            Mode::Record { model, .. } => model.info(),
            Mode::Replay { recording, .. } => recording.info.clone(),
        }
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        match &self.mode {
            Mode::Record { model, recording } => {
                let call =
                    RecordedCall { hash: String::new(), request: (*request).clone(), chunks: Vec::new(), error: None };
                listen(model.stream(request, cx), call, Arc::clone(recording))
            }
            Mode::Replay { recording, replayed } => {
                let (recording, replayed) = (Arc::clone(recording), Arc::clone(replayed));
                Lawful::stream(&cx, move || match find(&recording, &replayed, &request) {
                    Ok(call) => chunks_of(call),
                    Err(error) => stream::iter([Err(error)]).boxed(),
                })
            }
        }
    }
}

/// Passes a stream on and keeps what it said once it ended.
fn listen(
    stream: BoxStream<'static, Result<ModelChunk>>,
    call: RecordedCall,
    recording: Arc<Mutex<Recording>>,
) -> BoxStream<'static, Result<ModelChunk>> {
    let state = Some((stream, call));
    stream::unfold(state, move |state| {
        let recording = Arc::clone(&recording);
        async move {
            let (mut stream, mut call) = state?;
            let item = stream.next().await;
            let ended = match &item {
                Some(Ok(chunk)) => {
                    call.chunks.push(chunk.clone());
                    matches!(chunk, ModelChunk::Finished { .. })
                }
                Some(Err(error)) => {
                    call.error = Some(ErrorRecord::from(error));
                    // Who gave up is no property of the model.
                    if error.is_cancelled() {
                        return item.map(|item| (item, None));
                    }
                    true
                }
                None => true,
            };
            if !ended {
                return item.map(|item| (item, Some((stream, call))));
            }
            match hash_of(&call.request) {
                Ok(hash) => recording.lock().calls.push(RecordedCall { hash, ..call }),
                Err(error) => return Some((Err(error), None)),
            }
            item.map(|item| (item, None))
        }
    })
    .boxed()
}

fn chunks_of(call: RecordedCall) -> BoxStream<'static, Result<ModelChunk>> {
    let error = call.error.map(|record| Err(Error::from(record)));
    stream::iter(call.chunks.into_iter().map(Ok).chain(error)).boxed()
}

fn find(
    recording: &Recording,
    replayed: &Mutex<HashMap<String, usize>>,
    request: &ModelRequest,
) -> Result<RecordedCall> {
    let hash = hash_of(request)?;
    let mut replayed = replayed.lock();
    let place = replayed.entry(hash.clone()).or_default();
    let mut matching = recording.calls.iter().filter(|call| call.hash == hash).skip(*place);
    let Some(call) = matching.next() else {
        let known = recording.calls.len();
        return Err(Error::new(Code::NotFound, "this request was not recorded")
            .with("hash", hash)
            .with("recorded", known));
    };
    if matching.next().is_some() {
        *place += 1;
    }
    Ok(call.clone())
}

fn hash_of(request: &ModelRequest) -> Result<String> {
    let value = serde_json::to_value(request)
        .map_err(|error| Error::internal("the request cannot be written as JSON").with_source(error))?;
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(canonical(value).to_string()) {
        // Writing to a string cannot fail.
        let _ = write!(hash, "{byte:02x}");
    }
    Ok(hash)
}

/// Sorts the keys of every object, so that equal requests have equal text.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<(String, Value)> = object.into_iter().collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(entries.into_iter().map(|(key, value)| (key, canonical(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{Answer, ScriptedModel};
    use beluga_core::ChatMessage;
    use futures_util::FutureExt;

    fn ask(model: &RecordedModel, text: &str) -> Result<String> {
        let messages = vec![Arc::new(ChatMessage::user(text))];
        let request = Arc::new(ModelRequest { messages, ..ModelRequest::default() });
        model.generate(request, CallContext::new()).now_or_never().unwrap().map(|answer| answer.message.text())
    }

    #[test]
    fn errors_and_repeated_requests_replay_in_order() {
        let real = RecordedModel::record(ScriptedModel::new([
            Answer::text("one"),
            Answer::error(Error::provider_unavailable("reset")),
            Answer::text("three"),
        ]));
        let heard: Vec<_> = (0..3).map(|_| ask(&real, "again").map_err(|error| error.code())).collect();
        let replayed = RecordedModel::replay(real.recording());
        let again: Vec<_> = (0..3).map(|_| ask(&replayed, "again").map_err(|error| error.code())).collect();
        assert_eq!(again, heard);
        assert_eq!(ask(&replayed, "again").unwrap(), "three", "the last answer stays");
    }

    #[test]
    fn a_stream_that_was_not_read_to_its_end_is_not_recorded() {
        let real = RecordedModel::record(ScriptedModel::new([Answer::pieces(["a", "b"])]));
        let mut stream = real.stream(Arc::new(ModelRequest::default()), CallContext::new());
        assert!(stream.next().now_or_never().is_some());
        drop(stream);
        assert_eq!(real.recording().calls, []);
    }

    #[test]
    fn the_order_of_keys_does_not_change_the_hash() {
        let left: Value = serde_json::from_str(r#"{"a": {"x": 1, "y": 2}, "b": 1}"#).unwrap();
        let right: Value = serde_json::from_str(r#"{"b": 1, "a": {"y": 2, "x": 1}}"#).unwrap();
        assert_eq!(canonical(left).to_string(), canonical(right).to_string());
    }
}
