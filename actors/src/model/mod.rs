//! Models as supervised actors.
//!
//! One actor per provider and credential, supervised by `providers`. It admits and accounts; it never serialises calls:
//! each call is a job child whose chunks go to the caller by credit. Its breaker lives with its supervisor and survives
//! restarts; so do its limits, which all agents of the credential share. With a pool ([`ModelPolicy::pool`]) the actor is
//! a pool of workers, each of which makes one call at a time. A [`ModelRef`] is a [`ChatModel`]: code cannot
//! tell it from a bare provider. [`FallbackModel`] tries one model after the other, a [`Router`](router::Router) chooses among
//! several anew for each call, an [`ExactCache`](cache::ExactCache) keeps whole answers, and
//! [`structured`] makes answers of a type.
//!
//! The order of the layers is written once, in `beluga_runtime::service`. Limits: [`ModelPolicy`]. An application's own
//! middleware ([`ModelLayer`]) and [`ModelHooks`] go round a supervised model by its policy, round any other model by
//! [`LayeredModel`] and [`HookedModel`].
//!
//! [`ChatModel`]: beluga_core::ChatModel

mod actor;
mod again;
pub mod cache;
mod fallback;
mod handle;
mod hooks;
mod layered;
mod message;
mod observe;
mod policy;
pub mod router;
pub mod structured;

pub use actor::ModelTotals;
pub(crate) use again::Again;
pub use fallback::FallbackModel;
pub use handle::{ModelRef, Models};
pub use hooks::{HookedModel, ModelHooks};
pub use layered::LayeredModel;
pub use policy::{ModelLayer, ModelPolicy};
