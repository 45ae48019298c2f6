//! The layer before a model: what a try may cost is reserved, and what it did cost is settled.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::{
    BoxFuture, BoxStream, Budget, CallContext, Code, Error, ModelChunk, ModelInfo, ModelRequest, Price, Result, Role,
    Spend, Tokenizer, prompt_tokens,
};
use beluga_runtime::service::{Service, SharedService};
use beluga_runtime::time::{self, Sleep};
use futures_core::Stream;
use futures_util::StreamExt;

use super::handle::Budgets;
use super::hold::Hold;
use super::ledger::RowKey;
use super::message::Reserved;

/// What the layers of one model share.
pub(crate) struct Meter {
    budgets: Budgets,
    provider: Arc<str>,
    model: Arc<str>,
    /// The most time one try may take: what is reserved of a limited time.
    try_time: Duration,
}

impl Meter {
    pub(crate) fn new(budgets: Budgets, info: &ModelInfo, try_time: Duration) -> Arc<Self> {
        Arc::new(Self { budgets, provider: info.provider.as_str().into(), model: info.model.as_str().into(), try_time })
    }

    /// Puts the meter before a model.
    pub(crate) fn before(
        self: &Arc<Self>,
        inner: SharedService<Arc<ModelRequest>, ModelChunk>,
    ) -> SharedService<Arc<ModelRequest>, ModelChunk> {
        Arc::new(Metered { meter: Arc::clone(self), inner })
    }

    /// Works out what a try may cost at most, as far as anybody limits it.
    ///
    /// # Errors
    /// `budget_exhausted` if a cost is limited and unknown: then no limit could be kept.
    fn quote(&self, request: &Arc<ModelRequest>, context: &CallContext) -> Result<Quote> {
        let ledger = self.budgets.ledger();
        let budget = match context.budget() {
            Some(budget) => Arc::clone(budget),
            None => ledger.tenant(context)? as Arc<dyn Budget>,
        };
        let model = request.options.model.as_deref().unwrap_or(&self.model);
        let (limits, price) = (budget.limits(), ledger.price(&self.provider, model));
        if limits.cost_micro_usd.is_some() && price.is_none() {
            let why = "a cost is limited, and the price of the model is not known; set it in [prices]";
            return Err(Error::new(Code::BudgetExhausted, why)
                .with_op("budget.reserve")
                .with("limited", "cost_micro_usd")
                .with("provider", &self.provider)
                .with("model", model));
        }
        let mut want = Spend { requests: 1, ..Spend::ZERO };
        let mut prompt = None;
        if limits.tokens.is_some() || limits.cost_micro_usd.is_some() {
            let settings = ledger.settings();
            let counted = prompt_at_most(&*settings.tokenizer, request);
            let answers = u64::from(request.options.candidates.unwrap_or(1).max(1));
            let output = request.options.max_tokens.map_or(settings.output_tokens, u64::from).saturating_mul(answers);
            want.tokens = counted.saturating_add(output);
            want.cost_micro_usd = price.map_or(0, |price| price.most_micro_usd(counted, output));
            prompt = Some(counted);
        }
        if limits.time_ms.is_some() {
            want.time_ms = u64::try_from(self.try_time.as_millis()).unwrap_or(u64::MAX);
        }
        Ok(Quote { key: RowKey::of(context, &self.provider, model), budget, price, prompt, want })
    }
}

/// Returns how many tokens a prompt has, rather more than fewer: what is counted, or what the vendor told of the same
/// conversation with what came after it, whichever is more.
fn prompt_at_most(tokenizer: &dyn Tokenizer, request: &ModelRequest) -> u64 {
    let counted = prompt_tokens(tokenizer, request);
    let told = request.messages.iter().enumerate().rev().find_map(|(place, message)| {
        let usage = message.usage.filter(|usage| usage.input_tokens > 0)?;
        (message.role == Role::Assistant).then(|| (place, usage.total_tokens()))
    });
    let Some((place, told)) = told else { return counted };
    let after = request.messages.get(place + 1..).unwrap_or_default();
    counted.max(told.saturating_add(tokenizer.count_messages(after)))
}

/// What a try may cost, and to whom.
pub(super) struct Quote {
    pub(super) key: RowKey,
    pub(super) budget: Arc<dyn Budget>,
    pub(super) price: Option<Price>,
    /// The tokens of the prompt, if anybody needs to know.
    pub(super) prompt: Option<u64>,
    want: Spend,
}

struct Metered {
    meter: Arc<Meter>,
    inner: SharedService<Arc<ModelRequest>, ModelChunk>,
}

impl Service<Arc<ModelRequest>> for Metered {
    type Item = ModelChunk;

    fn call(&self, request: Arc<ModelRequest>, context: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        let (meter, inner) = (Arc::clone(&self.meter), Arc::clone(&self.inner));
        Box::pin(MeteredStream { meter, inner, context, state: State::Start(request) })
    }
}

struct MeteredStream {
    meter: Arc<Meter>,
    inner: SharedService<Arc<ModelRequest>, ModelChunk>,
    context: CallContext,
    state: State,
}

enum State {
    Start(Arc<ModelRequest>),
    /// The node's share is used up, and whoever gave it is asked for more.
    Asking(Box<(Quote, Error)>, Arc<ModelRequest>, BoxFuture<'static, Result<Reserved>>),
    Running(Box<Running>),
    Done,
}

/// The fields drop in this order: what was asked ends before it is settled.
struct Running {
    stream: BoxStream<'static, Result<ModelChunk>>,
    /// When the budget's time is over.
    end: Option<Pin<Box<Sleep>>>,
    hold: Hold,
}

impl MeteredStream {
    fn reserve(&mut self, request: Arc<ModelRequest>) -> Result<()> {
        let quote = self.meter.quote(&request, &self.context)?;
        match quote.budget.reserve(quote.want) {
            Ok(reserved) => self.start(quote, reserved, request),
            Err(error) => {
                let Some(asking) = self.meter.budgets.refill(&error, &quote.budget, quote.want) else {
                    return Err(error);
                };
                self.state = State::Asking(Box::new((quote, error)), request, asking);
            }
        }
        Ok(())
    }

    fn start(&mut self, quote: Quote, reserved: Spend, request: Arc<ModelRequest>) {
        let limited = quote.want.time_ms > 0;
        let end = limited.then(|| Box::pin(time::sleep(Duration::from_millis(reserved.time_ms))));
        let ledger = Arc::clone(self.meter.budgets.ledger());
        let hold = Hold::new(ledger, quote, reserved, Arc::clone(&request));
        let stream = self.inner.call(request, self.context.clone());
        self.state = State::Running(Box::new(Running { stream, end, hold }));
    }
}

impl Stream for MeteredStream {
    type Item = Result<ModelChunk>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            // Taken out while it is worked on: whatever leaves the loop without putting it back has dropped the rest.
            match std::mem::replace(&mut this.state, State::Done) {
                State::Start(request) => {
                    if let Err(error) = this.reserve(request) {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                State::Asking(refused, request, mut asking) => match asking.as_mut().poll(cx) {
                    Poll::Pending => {
                        this.state = State::Asking(refused, request, asking);
                        return Poll::Pending;
                    }
                    Poll::Ready(answer) => {
                        let (quote, refusal) = *refused;
                        match answer {
                            Ok(reserved) => this.start(quote, reserved.take(), request),
                            Err(error) if error.code() == Code::BudgetExhausted => {
                                return Poll::Ready(Some(Err(error)));
                            }
                            Err(error) => {
                                tracing::warn!(%error, "the source of the node's budget does not answer");
                                return Poll::Ready(Some(Err(refusal)));
                            }
                        }
                    }
                },
                State::Running(mut running) => {
                    let item = match running.stream.poll_next_unpin(cx) {
                        Poll::Ready(item) => item,
                        Poll::Pending => {
                            let Some(end) = &mut running.end else {
                                this.state = State::Running(running);
                                return Poll::Pending;
                            };
                            if end.as_mut().poll(cx).is_pending() {
                                this.state = State::Running(running);
                                return Poll::Pending;
                            }
                            let error = Error::new(Code::BudgetExhausted, "the time of the budget is used up");
                            let error = error.with_op("model.generate").with("limited", "time_ms");
                            return Poll::Ready(Some(Err(error)));
                        }
                    };
                    match &item {
                        Some(Ok(chunk)) => {
                            running.hold.see(chunk);
                            this.state = State::Running(running);
                        }
                        Some(Err(error)) => running.hold.failed(error.code()),
                        None => running.hold.ended(),
                    }
                    return Poll::Ready(item);
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }
}
