//! The typed reference users hold: the budgets of a node.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    BoxFuture, Budget, CallContext, Error, ModelInfo, Result, SessionId, Spend, SpendLimits, TurnId, Usage,
};
use beluga_runtime::{Ref, Spec, System};

use super::actor::{BudgetActor, is_nodes};
use super::ledger::Ledger;
use super::message::{BudgetProtocol, Configure, Refill, Reserved};
use super::meter::Meter;
use super::report::{Level, UsageQuery, UsageReport};
use super::settings::BudgetSettings;
use crate::model::ModelLayer;

/// The most time a larger share of the cluster's budget is waited for.
const REFILL_WITHIN: Duration = Duration::from_secs(5);

/// The most time one try may take where no policy says so: what is reserved of a limited time.
pub(crate) const TRY_TIME_DEFAULT: Duration = Duration::from_secs(600);

/// The budgets of a node, and what was spent. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use beluga_actors::budget::{BudgetSettings, Budgets, UsageQuery, WindowLimits};
/// use beluga_actors::model::{LayeredModel, Models};
/// use beluga_actors::testkit::{Answer, FunctionModel};
/// use beluga_core::{CallContext, ChatModel, Code, ModelRequest, Result, SpendLimits};
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let limits = SpendLimits { requests: Some(2), ..SpendLimits::NONE };
/// let settings = BudgetSettings { tenant: WindowLimits { limits, every: None }, ..BudgetSettings::default() };
/// let budgets = Budgets::start(&system, settings).await?;
/// let model = FunctionModel::new(|_| Answer::text("Hello."));
/// let model = LayeredModel::new(model.clone(), &[budgets.layer(&model.info())]);
/// let ask = || model.generate(Arc::new(ModelRequest::default()), CallContext::new());
/// assert!(ask().await.is_ok() && ask().await.is_ok());
/// assert_eq!(ask().await.unwrap_err().code(), Code::BudgetExhausted);
/// let report = budgets.usage(&UsageQuery::default());
/// assert_eq!((report.total.requests, report.usage[0].model.as_str()), (2, "function"));
/// system.shutdown(std::time::Duration::from_secs(1)).await?;
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Budgets {
    ledger: Arc<Ledger>,
    actor: Ref<BudgetProtocol>,
}

impl Budgets {
    /// Starts the budgets of a system.
    ///
    /// # Errors
    /// `conflict` if the system has budgets already.
    pub async fn start(system: &System, settings: BudgetSettings) -> Result<Self> {
        let ledger = Ledger::new(settings);
        let state = Arc::clone(&ledger);
        let spec = Spec::new("budget", move || BudgetActor::new(Arc::clone(&state))).kept();
        let actor = system.spawn_under(&system.root_address()?, spec).await?;
        Ok(Self { ledger, actor })
    }

    /// Returns what was spent and reserved, and how much may be.
    #[must_use]
    pub fn usage(&self, query: &UsageQuery) -> UsageReport {
        self.ledger.report(query)
    }

    /// Puts other limits and prices in force, for the next reservation; what is spent stays spent. The limits of turns
    /// and sessions that run stay theirs.
    ///
    /// # Errors
    /// `unavailable`, `timeout`.
    pub async fn configure(&self, settings: BudgetSettings) -> Result<()> {
        self.actor.ask(Configure(Box::new(settings))).await
    }

    /// Returns the layer that meters a model which is not supervised. A supervised one has
    /// [`ModelPolicy::budgets`](crate::model::ModelPolicy::budgets).
    #[must_use]
    pub fn layer(&self, info: &ModelInfo) -> ModelLayer {
        self.layer_within(info, TRY_TIME_DEFAULT)
    }

    /// Returns the layer that meters a model whose tries end after a time.
    pub(crate) fn layer_within(&self, info: &ModelInfo, try_time: Duration) -> ModelLayer {
        let meter = Meter::new(self.clone(), info, try_time);
        ModelLayer::new(move |inner| meter.before(inner))
    }

    /// Makes the budget of a session, which has used this much before.
    ///
    /// # Errors
    /// `overloaded` if too many tenants have limits.
    pub(crate) fn session(&self, context: &CallContext, session: &SessionId, before: Spend) -> Result<Arc<dyn Budget>> {
        let limits = self.ledger.settings().session;
        Ok(Ledger::below(self.ledger.tenant(context)?, Level::Session, session.as_str(), limits, before))
    }

    /// Makes the budget of a turn within another, which has used this much before.
    pub(crate) fn run(
        &self,
        above: Arc<dyn Budget>,
        turn: &TurnId,
        own: SpendLimits,
        before: Spend,
    ) -> Arc<dyn Budget> {
        let limits = if own.is_none() { self.ledger.settings().run } else { own };
        Ledger::below(above, Level::Run, turn.as_str(), limits, before)
    }

    /// Returns what so many answers of a model came to.
    pub(crate) fn spend_of(&self, info: &ModelInfo, requests: u64, usage: &Usage) -> Spend {
        let cost_micro_usd = self.ledger.cost_micro_usd(info, usage);
        Spend { requests, tokens: usage.total_tokens(), cost_micro_usd, time_ms: 0 }
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Asks for a larger share of the node's budget, if that is what refused and there is somebody to ask.
    pub(super) fn refill(
        &self,
        refusal: &Error,
        budget: &Arc<dyn Budget>,
        want: Spend,
    ) -> Option<BoxFuture<'static, Result<Reserved>>> {
        if !is_nodes(refusal) || self.ledger.settings().source.is_none() {
            return None;
        }
        let asking = self.actor.ask(Refill { budget: Arc::clone(budget), want }).within(REFILL_WITHIN);
        Some(Box::pin(asking.into_future()))
    }
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgets").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
