//! A model that answers from a list.

use std::collections::VecDeque;
use std::sync::Arc;

use beluga_core::{BoxStream, CallContext, ChatModel, Error, ModelChunk, ModelInfo, ModelRequest, Result};
use parking_lot::Mutex;

use super::answer::Answer;
use super::lawful::Lawful;

/// A model that gives the answers of a script, one per call, and keeps the requests. Clones share the script.
///
/// A call beyond the script fails with `internal`. Calls at the same time take the answers in the order in which their
/// streams are first polled.
///
/// ```
/// use beluga_actors::testkit::{Answer, ScriptedModel};
/// use beluga_core::{CallContext, ChatMessage, ChatModel, ModelRequest};
/// use std::sync::Arc;
///
/// # futures_util::FutureExt::now_or_never(async {
/// let model = ScriptedModel::new([
///     Answer::call("weather", serde_json::json!({"city": "Oslo"})),
///     Answer::text("It is 3 °C in Oslo."),
/// ]);
/// let request = Arc::new(ModelRequest {
///     messages: vec![Arc::new(ChatMessage::user("How warm is it in Oslo?"))],
///     ..ModelRequest::default()
/// });
/// let first = model.generate(Arc::clone(&request), CallContext::new()).await.unwrap();
/// assert_eq!(first.message.tool_calls().next().unwrap().name, "weather");
/// let second = model.generate(request, CallContext::new()).await.unwrap();
/// assert_eq!(second.message.text(), "It is 3 °C in Oslo.");
///
/// model.assert_exhausted();
/// assert_eq!(model.requests()[0].messages[0].text(), "How warm is it in Oslo?");
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct ScriptedModel {
    info: Arc<ModelInfo>,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug)]
struct Script {
    answers: VecDeque<Answer>,
    requests: Vec<Arc<ModelRequest>>,
}

impl ScriptedModel {
    /// Makes a model `scripted` of the provider `beluga.test`.
    #[must_use]
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let info = super::function::info("scripted");
        let script = Script { answers: answers.into_iter().collect(), requests: Vec::new() };
        Self { info: Arc::new(info), script: Arc::new(Mutex::new(script)) }
    }

    /// Replaces what the model says it is.
    #[must_use]
    pub fn with_info(mut self, info: ModelInfo) -> Self {
        self.info = Arc::new(info);
        self
    }

    /// Adds an answer at the end of the script.
    pub fn push(&self, answer: Answer) {
        self.script.lock().answers.push_back(answer);
    }

    /// Returns the requests whose streams were polled, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<ModelRequest>> {
        self.script.lock().requests.clone()
    }

    /// Returns how many answers are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.script.lock().answers.len()
    }

    /// Asserts that every answer was asked for.
    ///
    /// # Panics
    /// If answers are left.
    #[track_caller]
    pub fn assert_exhausted(&self) {
        let remaining = self.remaining();
        assert!(remaining == 0, "{remaining} scripted answers were never asked for");
    }

    fn next(&self, request: Arc<ModelRequest>) -> BoxStream<'static, Result<ModelChunk>> {
        let mut script = self.script.lock();
        script.requests.push(request);
        let number = script.requests.len();
        let answer = script.answers.pop_front().unwrap_or_else(|| {
            Answer::error(Error::internal(format!("the script has no answer for request {number}")))
        });
        answer.into_stream(&self.info.model, number)
    }
}

impl ChatModel for ScriptedModel {
    fn info(&self) -> ModelInfo {
        (*self.info).clone()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        let model = self.clone();
        Lawful::stream(&cx, move || model.next(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beluga_core::Code;
    use futures_util::{FutureExt, StreamExt};
    use std::time::Duration;

    fn request() -> Arc<ModelRequest> {
        Arc::new(ModelRequest::default())
    }

    #[test]
    fn nothing_is_asked_before_the_first_poll() {
        let model = ScriptedModel::new([Answer::text("a")]);
        let stream = model.stream(request(), CallContext::new());
        assert_eq!((model.remaining(), model.requests().len()), (1, 0));
        drop(stream);
        assert_eq!(model.remaining(), 1);
    }

    #[test]
    fn a_call_beyond_the_script_is_an_error() {
        let model = ScriptedModel::new([]);
        let error = model.generate(request(), CallContext::new()).now_or_never().unwrap().unwrap_err();
        assert!(error.message().contains("request 1"), "{error}");
    }

    #[test]
    fn a_hanging_answer_ends_when_the_call_is_cancelled() {
        let model = ScriptedModel::new([Answer::text("half").then_hang()]);
        let cx = CallContext::new();
        let mut stream = model.stream(request(), cx.clone());
        let shown: Vec<_> = std::iter::from_fn(|| stream.next().now_or_never()).collect();
        assert_eq!(shown.len(), 2, "started and one piece of text, then silence");
        cx.cancel_token().cancel();
        let error = stream.next().now_or_never().unwrap().unwrap().unwrap_err();
        assert_eq!(error.code(), Code::Cancelled);
        assert!(stream.next().now_or_never().unwrap().is_none(), "nothing follows an error");
    }

    #[test]
    fn a_broken_stream_is_a_broken_provider() {
        let answers = [Answer::chunks([]), Answer::text("half").then_error(Error::provider_unavailable("reset"))];
        let model = ScriptedModel::new(answers);
        for _ in 0..2 {
            let error = model.generate(request(), CallContext::new()).now_or_never().unwrap().unwrap_err();
            assert_eq!(error.code(), Code::ProviderUnavailable);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_passes_on_the_runtimes_clock() {
        let model = ScriptedModel::new([Answer::text("late").after(Duration::from_secs(3600))]);
        let before = beluga_runtime::time::now();
        let answer = model.generate(request(), CallContext::new()).await.unwrap();
        assert_eq!(answer.message.text(), "late");
        assert!(beluga_runtime::time::now() - before >= Duration::from_secs(3600));
    }
}
