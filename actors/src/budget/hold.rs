//! What one try has reserved; settled when it is dropped, however the try ended.

use std::sync::Arc;
use std::time::Instant;

use beluga_core::{Code, Content, ModelChunk, ModelRequest, Spend, Usage, prompt_tokens};
use beluga_runtime::time;

use super::ledger::Ledger;
use super::meter::Quote;
use super::report::UsageRow;

/// The reservation of one try.
pub(super) struct Hold {
    ledger: Arc<Ledger>,
    quote: Quote,
    reserved: Spend,
    request: Arc<ModelRequest>,
    began: Instant,
    /// What the vendor told last.
    told: Option<Usage>,
    /// What the answer so far has, estimated piece by piece.
    seen_tokens: u64,
    has_content: bool,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was left while it ran.
    Left,
    Well,
    Failed(Code),
}

impl Hold {
    pub(super) fn new(ledger: Arc<Ledger>, quote: Quote, reserved: Spend, request: Arc<ModelRequest>) -> Self {
        ledger.note(&quote.key, |row| {
            row.reserved_tokens = row.reserved_tokens.saturating_add(reserved.tokens);
            row.reserved_cost_micro_usd = row.reserved_cost_micro_usd.saturating_add(reserved.cost_micro_usd);
        });
        Self {
            ledger,
            quote,
            reserved,
            request,
            began: time::now(),
            told: None,
            seen_tokens: 0,
            has_content: false,
            end: End::Left,
        }
    }

    pub(super) fn see(&mut self, chunk: &ModelChunk) {
        self.has_content |= chunk.is_content();
        match chunk {
            ModelChunk::Usage(usage) => self.told = Some(*usage),
            ModelChunk::Text { text } | ModelChunk::Refusal { text } | ModelChunk::ThinkingDelta { text } => {
                self.count(text);
            }
            ModelChunk::ToolCall(call) => self.count(&call.arguments),
            _ => {}
        }
    }

    fn count(&mut self, text: &str) {
        let tokens = self.ledger.settings().tokenizer.count(text);
        self.seen_tokens = self.seen_tokens.saturating_add(tokens);
    }

    pub(super) fn ended(&mut self) {
        self.end = End::Well;
    }

    pub(super) fn failed(&mut self, code: Code) {
        self.end = End::Failed(code);
    }

    /// Returns what the try used, and whether that is estimated.
    ///
    /// A try that failed before it said anything is not billed. One that was left, took too long, broke off, or whose
    /// vendor tells nothing, is taken to have cost its prompt and what was seen of its answer.
    fn used(&self) -> (Usage, bool) {
        match (self.told, self.end) {
            (Some(told), End::Well) => (told, false),
            (None, End::Failed(code)) if !self.has_content && !may_be_billed(code) => (Usage::default(), false),
            (told, _) => {
                let told = told.unwrap_or_default();
                let input_tokens = if told.input_tokens > 0 { told.input_tokens } else { self.prompt() };
                let output_tokens = told.output_tokens.max(self.seen_tokens);
                (Usage { input_tokens, output_tokens, ..told }, true)
            }
        }
    }

    fn prompt(&self) -> u64 {
        let count = || prompt_tokens(&*self.ledger.settings().tokenizer, &self.request);
        self.quote.prompt.unwrap_or_else(count)
    }

    /// Returns whether the try counts as a request: whatever was not refused before it reached the model.
    fn was_sent(&self) -> bool {
        self.has_content
            || !matches!(self.end, End::Failed(Code::Overloaded | Code::RateLimit | Code::NotSent | Code::CircuitOpen))
    }
}

/// Returns whether a vendor may have begun to work on a try that ended so.
fn may_be_billed(code: Code) -> bool {
    matches!(code, Code::Cancelled | Code::Timeout | Code::UnknownOutcome)
}

impl Drop for Hold {
    fn drop(&mut self) {
        let (usage, estimated) = self.used();
        let requests = u64::from(self.was_sent());
        let cost_micro_usd = self.quote.price.map_or(0, |price| price.cost_micro_usd(&usage));
        let took = time::now().saturating_duration_since(self.began);
        let used = Spend {
            requests,
            tokens: usage.total_tokens(),
            cost_micro_usd,
            time_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        self.quote.budget.settle(self.reserved, used);
        let row = UsageRow {
            requests,
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_tokens: usage.cached_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            cost_micro_usd,
            unpriced_requests: if self.quote.price.is_none() { requests } else { 0 },
            estimated_requests: if estimated { requests } else { 0 },
            ..UsageRow::default()
        };
        self.ledger.note(&self.quote.key, |total| {
            total.reserved_tokens = total.reserved_tokens.saturating_sub(self.reserved.tokens);
            total.reserved_cost_micro_usd = total.reserved_cost_micro_usd.saturating_sub(self.reserved.cost_micro_usd);
            total.add(&row);
        });
    }
}
