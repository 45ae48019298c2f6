//! What decides which route is asked first.

use std::fmt;
use std::time::Duration;

use beluga_core::{Error, ModelRequest};

use super::ability::Need;
use super::route::Route;

/// Puts the routes of a call in order, and learns from what they did.
///
/// Called once per call, on the way to the model: it must not block. State is its own, shared by all calls.
pub trait RouterStrategy: fmt::Debug + Send + Sync + 'static {
    /// Returns its name, as logs and the configuration know it.
    fn name(&self) -> &'static str;

    /// Returns the places of the routes in the order they are to be asked, the best first, out of
    /// [`RouteQuery::able`]. A place left out is not asked; one that is not among them is ignored.
    fn order(&self, query: &RouteQuery<'_>) -> Vec<usize>;

    /// Is told what a route did.
    fn learn(&self, _report: &RouteReport<'_>) {}
}

/// One call to be routed.
#[derive(Debug)]
pub struct RouteQuery<'a> {
    /// What is asked.
    pub request: &'a ModelRequest,
    /// What that needs.
    pub need: Need,
    /// All routes.
    pub routes: &'a [Route],
    /// The places of those that may answer, in the order they were given; never empty.
    pub able: &'a [usize],
}

/// What a route did with one call.
#[derive(Debug)]
pub struct RouteReport<'a> {
    /// Its place.
    pub place: usize,
    /// All routes.
    pub routes: &'a [Route],
    /// How it ended.
    pub outcome: Outcome<'a>,
    /// From the question to the first content; `None` if there was none.
    pub first_content: Option<Duration>,
    /// From the question to the end.
    pub took: Duration,
    /// The cost in millionths of a US dollar; `None` if it is unknown.
    pub cost_micro_usd: Option<u64>,
}

/// How a call of a route ended.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// With a whole answer.
    Answered,
    /// With an error; [`RouteReport::is_failure`] tells the route's own from the caller's.
    Failed(&'a Error),
    /// Its reader left: the caller, or a hedge that heard another first.
    Left,
}

impl RouteReport<'_> {
    /// Returns whether the route is to blame: neither a wrong request nor the caller's haste.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        use beluga_core::Code;
        match self.outcome {
            Outcome::Failed(error) => {
                let unavailable = matches!(
                    error.code(),
                    Code::CircuitOpen | Code::RateLimit | Code::Overloaded | Code::Unavailable | Code::AuthError
                );
                unavailable || beluga_runtime::failure_counts(error)
            }
            Outcome::Answered | Outcome::Left => false,
        }
    }
}
