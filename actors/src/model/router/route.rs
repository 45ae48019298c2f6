//! The router and its routes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    BoxStream, CallContext, ChatModel, Code, Error, ModelChunk, ModelInfo, ModelRequest, Price, Result, TokenEstimate,
    Tokenizer,
};
use beluga_runtime::service::{Named, SharedService, deadline, fallback, hedge, layered, service_fn};
use futures_util::{StreamExt, stream};

use super::ability::{Abilities, CONTEXT_TOKENS, Need};
use super::order::Failover;
use super::strategy::{RouteQuery, RouterStrategy};
use super::watch::Watched;
use crate::budget::OUTPUT_TOKENS_DEFAULT;
use crate::model::ModelLayer;

/// The most routes of one router.
pub const ROUTES_MAX: usize = 32;

/// One model a router may choose.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name, in logs and errors.
    pub name: String,
    /// The model; a supervised one brings its own limits, tries and breaker.
    pub model: Arc<dyn ChatModel>,
    /// What it can do.
    pub abilities: Abilities,
    /// What it costs, if that is known.
    pub price: Option<Price>,
}

impl Route {
    /// Makes a route of a model. Whether it takes tools is what the model says; nothing else is known.
    #[must_use]
    pub fn new(name: impl Into<String>, model: impl ChatModel) -> Self {
        let abilities = Abilities { tools: Some(model.info().supports_tools), ..Abilities::default() };
        Self { name: name.into(), model: Arc::new(model), abilities, price: None }
    }

    /// Sets what it can do.
    #[must_use]
    pub fn with_abilities(mut self, abilities: Abilities) -> Self {
        self.abilities = abilities;
        self
    }

    /// Sets what it costs.
    #[must_use]
    pub fn with_price(mut self, price: Price) -> Self {
        self.price = Some(price);
        self
    }
}

/// How a router chooses.
#[derive(Debug, Clone)]
pub struct RouterSettings {
    /// What decides the order. Default: [`Failover`], as the routes were given.
    pub strategy: Arc<dyn RouterStrategy>,
    /// Asks the second route too if the first has said nothing for so long. Default: never.
    pub hedge_after: Option<Duration>,
    /// The most time of a whole call. Default: what its context says.
    pub total: Option<Duration>,
    /// What goes round the choice and the routes, outermost first: guards, an exact cache. Default: nothing.
    pub layers: Vec<ModelLayer>,
    /// What counts a prompt. Default: an estimate.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// The answer a call without `max_tokens` is taken to have.
    pub output_tokens: u64,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            strategy: Arc::new(Failover),
            hedge_after: None,
            total: None,
            layers: Vec::new(),
            tokenizer: Arc::new(TokenEstimate),
            output_tokens: OUTPUT_TOKENS_DEFAULT,
        }
    }
}

/// Several models as one. See the [module](crate::model::router).
///
/// ```
/// use std::sync::Arc;
/// use beluga_actors::model::router::{RoundRobin, Route, Router, RouterSettings};
/// use beluga_actors::testkit::{Answer, FunctionModel};
/// use beluga_core::{CallContext, ChatModel, Error, ModelRequest};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let down = FunctionModel::new(|_| Answer::error(Error::provider_unavailable("down")));
/// let well = FunctionModel::new(|_| Answer::text("Hello."));
/// let settings = RouterSettings { strategy: Arc::new(RoundRobin::default()), ..RouterSettings::default() };
/// let router = Router::new(vec![Route::new("a", down), Route::new("b", well.clone())], settings)?;
/// for _ in 0..4 {
///     let answer = router.generate(Arc::new(ModelRequest::default()), CallContext::new()).await?;
///     assert_eq!(answer.message.text(), "Hello.");
/// }
/// assert_eq!(well.calls(), 4, "twice by turns, twice in place of the other");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub struct Router {
    info: ModelInfo,
    routing: Arc<Routing>,
    service: SharedService<Arc<ModelRequest>, ModelChunk>,
}

impl Router {
    /// Makes a router.
    ///
    /// # Errors
    /// `invalid_input` without a route, with more than [`ROUTES_MAX`], or with two of one name.
    pub fn new(routes: Vec<Route>, settings: RouterSettings) -> Result<Self> {
        let Some(first) = routes.first() else { return Err(Error::invalid_input("a router needs a route")) };
        if routes.len() > ROUTES_MAX {
            return Err(Error::invalid_input("a router has too many routes").with("routes_max", ROUTES_MAX));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = routes.iter().find(|route| !names.insert(route.name.as_str())) {
            return Err(Error::invalid_input("a router has two routes of one name").with("route", &twice.name));
        }
        let supports_tools = routes.iter().any(|route| route.abilities.tools != Some(false));
        let info = ModelInfo { supports_tools, ..first.model.info() };
        let RouterSettings { strategy, hedge_after, total, layers, tokenizer, output_tokens } = settings;
        let routing = Arc::new(Routing { routes, strategy, hedge_after, tokenizer, output_tokens });
        let choice = {
            let routing = Arc::clone(&routing);
            service_fn(move |request, context| routing.call(request, context))
        };
        let service = deadline(layered(choice, &layers), total);
        Ok(Self { info, routing, service })
    }

    /// Returns the routes.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routing.routes
    }
}

impl ChatModel for Router {
    /// Returns what the first route is, and whether any takes tools.
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        self.service.call(request, cx)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.routing.routes.iter().map(|route| route.name.as_str()).collect();
        f.debug_struct("Router").field("strategy", &self.routing.strategy.name()).field("routes", &names).finish()
    }
}

/// What all calls of a router share.
pub(super) struct Routing {
    routes: Vec<Route>,
    strategy: Arc<dyn RouterStrategy>,
    hedge_after: Option<Duration>,
    tokenizer: Arc<dyn Tokenizer>,
    output_tokens: u64,
}

impl Routing {
    pub(super) fn routes(&self) -> &[Route] {
        &self.routes
    }

    pub(super) fn strategy(&self) -> &dyn RouterStrategy {
        &*self.strategy
    }

    /// Chooses when the stream is first polled.
    fn call(
        self: &Arc<Self>,
        request: Arc<ModelRequest>,
        context: CallContext,
    ) -> BoxStream<'static, Result<ModelChunk>> {
        let routing = Arc::clone(self);
        let chosen = async move {
            match routing.chosen(&request) {
                Ok(service) => service.call(request, context),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(chosen).flatten().boxed()
    }

    /// Returns the services of the routes in order, as one.
    fn chosen(self: &Arc<Self>, request: &ModelRequest) -> Result<SharedService<Arc<ModelRequest>, ModelChunk>> {
        let mut order = self.order(request)?.into_iter().map(|(place, name)| self.named(place, name));
        let first = order.next().ok_or_else(|| Error::internal("a router chose no route"))?;
        let first = match (self.hedge_after, order.len()) {
            (Some(after), 1..) => {
                let second = order.next().ok_or_else(|| Error::internal("a router lost a route"))?;
                let name = format!("{}, {}", first.name, second.name);
                Named::new(name, hedge(first, second, after))
            }
            _ => first,
        };
        Ok(fallback(first, order.collect()))
    }

    fn named(self: &Arc<Self>, place: usize, name: &str) -> Named<Arc<ModelRequest>, ModelChunk> {
        Named::new(name, Arc::new(Watched { routing: Arc::clone(self), place }))
    }

    /// Returns the places and names of the routes to ask, the first one first.
    fn order(&self, request: &ModelRequest) -> Result<Vec<(usize, &str)>> {
        let need = Need::of(request, &*self.tokenizer, self.output_tokens);
        let (mut able, mut lacking) = (Vec::with_capacity(self.routes.len()), Vec::new());
        for (place, route) in self.routes.iter().enumerate() {
            match route.abilities.lacks(&need) {
                None => able.push(place),
                Some(what) => lacking.push((route.name.as_str(), what)),
            }
        }
        if able.is_empty() {
            let too_long = lacking.iter().all(|(_, what)| *what == CONTEXT_TOKENS);
            let code = if too_long { Code::ContextLength } else { Code::Unsupported };
            let lacking: Vec<String> = lacking.iter().map(|(name, what)| format!("{name}: {what}")).collect();
            return Err(Error::new(code, "no route can answer this call").with("lacking", lacking.join(", ")));
        }
        let order = self.strategy.order(&RouteQuery { request, need, routes: &self.routes, able: &able });
        let mut asked = BTreeSet::new();
        let known = order.into_iter().filter(|place| able.contains(place) && asked.insert(*place));
        let order: Vec<_> = known.filter_map(|place| Some((place, self.routes.get(place)?.name.as_str()))).collect();
        tracing::debug!(strategy = self.strategy.name(), route = order.first().map(|(_, name)| *name), "routed");
        Ok(order)
    }
}
