//! One question to the model: what it says is shown as it comes, with numbers a cursor can rest on.

use beluga_core::{
    AnswerDraft, BoxFuture, CallContext, Code, Error, Event, ModelAnswer, ModelChunk, ModelRequest, Numbered, Result,
};
use beluga_runtime::time;
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::sync::Arc;

use super::Turn;
use crate::agent::ModelPort;
use crate::session::record::Shown;

/// The most bytes of text, thinking and arguments one answer may have; more ends the turn with `budget_exhausted`.
///
/// A group holds an answer up to three times, so this keeps plain text below the journal's bound.
pub(super) const ANSWER_MAX_BYTES: usize = 5 * 1024 * 1024 / 2;

/// The model as the planner of a turn sees it.
pub(super) struct Port<'a> {
    turn: &'a Turn,
    context: CallContext,
    shown: Mutex<Vec<Shown>>,
    journal_failure: Mutex<Option<Error>>,
}

impl<'a> Port<'a> {
    /// Makes a port whose calls are made in a context of the turn's.
    pub(super) fn new(turn: &'a Turn, context: CallContext) -> Self {
        Self::of(turn, context, Vec::new())
    }

    /// Makes a port that goes on after what was shown.
    pub(super) fn of(turn: &'a Turn, context: CallContext, shown: Vec<Shown>) -> Self {
        Self { turn, context, shown: Mutex::new(shown), journal_failure: Mutex::default() }
    }

    /// Returns what was shown, and the error if the journal failed meanwhile.
    pub(super) fn finish(self) -> (Vec<Shown>, Option<Error>) {
        (self.shown.into_inner(), self.journal_failure.into_inner())
    }

    pub(super) async fn show(&self, text: &str, thinking: bool) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let turn = self.turn;
        let number = match turn.log.number(&turn.turn, &turn.agent).await {
            Ok(number) => number,
            Err(error) => {
                *self.journal_failure.lock() = Some(error.duplicate());
                return Err(error);
            }
        };
        let at_ms = self.mark(text, thinking, number);
        let text = text.to_owned();
        let event = if thinking { Event::Thinking { text } } else { Event::Text { text } };
        turn.log.hub().publish(Numbered {
            number,
            turn: turn.turn.clone(),
            agent: turn.agent.clone(),
            at_ms,
            meta: turn.beginning.meta_at(at_ms),
            event,
        });
        Ok(())
    }

    /// Notes a piece and returns the time of its stretch.
    fn mark(&self, text: &str, thinking: bool, number: u64) -> u64 {
        let mut shown = self.shown.lock();
        if shown.last().is_none_or(|last| last.thinking != thinking) {
            let at_ms = self.turn.log.now_ms();
            shown.push(Shown { thinking, text: String::new(), at_ms, marks: Vec::new() });
        }
        let Some(last) = shown.last_mut() else { return 0 };
        last.text.push_str(text);
        last.marks.push((number, last.text.len()));
        last.at_ms
    }

    async fn ask(&self, request: Arc<ModelRequest>, context: CallContext) -> Result<ModelAnswer> {
        let mut stream = self.turn.spec.model.stream(request, context);
        let mut draft = AnswerDraft::default();
        let mut bytes = 0_usize;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            bytes = bytes.saturating_add(weight(&chunk));
            if bytes > ANSWER_MAX_BYTES {
                return Err(Error::new(Code::BudgetExhausted, "the model's answer is too long")
                    .with("answer_max_bytes", ANSWER_MAX_BYTES));
            }
            match &chunk {
                ModelChunk::Text { text } | ModelChunk::Refusal { text } => self.show(text, false).await?,
                ModelChunk::ThinkingDelta { text } => self.show(text, true).await?,
                _ => {}
            }
            draft.push(chunk);
        }
        draft.finish()
    }
}

/// Returns the bytes of a chunk that are kept.
fn weight(chunk: &ModelChunk) -> usize {
    match chunk {
        ModelChunk::Text { text } | ModelChunk::Refusal { text } | ModelChunk::ThinkingDelta { text } => text.len(),
        ModelChunk::Whole { part } => part.size_bytes(),
        ModelChunk::Thinking(thinking) => thinking.signature.as_ref().map_or(0, String::len),
        ModelChunk::ToolCall(call) => call.arguments.len(),
        _ => 0,
    }
}

impl ModelPort for Port<'_> {
    fn generate(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelAnswer>> {
        // Shared before there is a future, which would keep room for it.
        let request = Arc::new(request);
        Box::pin(async move {
            let share = self.turn.model_context(&self.context);
            let answered = time::within(&share, self.ask(request, share.clone())).await.and_then(|answer| answer);
            self.turn.told_of_share(answered, &share)
        })
    }
}
