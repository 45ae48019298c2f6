//! How the budgets of a node react: they take settings, ask for larger shares one at a time, and give back what is left.

use std::sync::Arc;

use beluga_core::{Code, Error, Result, Spend};
use beluga_runtime::{Actor, Cx, Handler, StatusSource, StopReason};
use serde_json::json;

use super::ledger::Ledger;
use super::message::{BudgetProtocol, Configure, Refill, Reserved};
use super::report::UsageQuery;

/// The actor of a node's budgets. What is reserved and spent stands in the ledger, which outlives it.
pub(crate) struct BudgetActor {
    ledger: Arc<Ledger>,
}

impl BudgetActor {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

impl Actor for BudgetActor {
    type Protocol = BudgetProtocol;
    const KIND: &'static str = "budget";

    async fn stopping(&mut self, _cx: &mut Cx<Self>, reason: StopReason) {
        if !matches!(reason, StopReason::Shutdown | StopReason::Requested) {
            return;
        }
        let Some(source) = self.ledger.settings().source.clone() else { return };
        let unused = self.ledger.node().take_unused();
        if unused != Spend::ZERO
            && let Err(error) = source.give_back(unused).await
        {
            tracing::warn!(%error, "what is left of the node's budget was not taken back");
        }
    }

    fn status(&self) -> Option<StatusSource> {
        let ledger = Arc::clone(&self.ledger);
        Some(StatusSource::new(move || {
            let report = ledger.report(&UsageQuery::default());
            json!({ "total": report.total, "node": ledger.node().status(), "rows": report.usage.len() })
        }))
    }
}

impl Handler<Configure> for BudgetActor {
    async fn handle(&mut self, Configure(settings): Configure, _cx: &mut Cx<Self>) -> Result<()> {
        self.ledger.configure(*settings);
        Ok(())
    }
}

impl Handler<Refill> for BudgetActor {
    /// One question at a time: whoever waited behind another may find that one's grant large enough for both.
    async fn handle(&mut self, Refill { budget, want }: Refill, _cx: &mut Cx<Self>) -> Result<Reserved> {
        let settings = self.ledger.settings();
        let mut asked = 0;
        loop {
            let error = match budget.reserve(want) {
                Ok(amount) => return Ok(Reserved::new(budget, amount)),
                Err(error) => error,
            };
            let Some(source) = settings.source.as_ref().filter(|_| is_nodes(&error) && asked < GRANTS_MAX) else {
                return Err(error);
            };
            let granted = source.grant(at_least(want, settings.grant)).await?;
            if granted == Spend::ZERO {
                return Err(error);
            }
            asked += 1;
            self.ledger.node().raise(granted);
        }
    }
}

/// How often the source is asked for one call. Others, which need not ask, may take what it was granted.
const GRANTS_MAX: u32 = 4;

/// Returns whether it is the node's own budget that refused.
pub(super) fn is_nodes(refusal: &Error) -> bool {
    refusal.code() == Code::BudgetExhausted && refusal.get("budget") == Some("node")
}

fn at_least(want: Spend, least: Spend) -> Spend {
    Spend {
        requests: want.requests.max(least.requests),
        tokens: want.tokens.max(least.tokens),
        cost_micro_usd: want.cost_micro_usd.max(least.cost_micro_usd),
        time_ms: want.time_ms.max(least.time_ms),
    }
}
