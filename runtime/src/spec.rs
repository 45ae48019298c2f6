//! What an actor is started from: its name, its factory and how it is supervised.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::Serialize;

use crate::backoff::Backoff;
use crate::breaker::BreakerConfig;
use crate::intensity::Intensity;
use crate::mailbox::{Lanes, Overflow};
use crate::message::Lane;
use crate::protocol::Protocol;
use crate::shell::{Incarnate, Recipe, Serves};
use crate::watchdog::Patience;

/// The default of [`Spec::start_timeout`].
pub const START_TIMEOUT: Duration = Duration::from_secs(5);
/// The default of [`Spec::stop_grace`].
pub const STOP_GRACE: Duration = Duration::from_secs(5);
/// The default of [`Spec::cancel_grace`].
pub const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// When an ended child is built anew.
///
/// See [`Spec`] for an example and [the guide](crate::guide::supervision) for what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Always, unless it was stopped on request.
    #[default]
    Permanent,
    /// After a failure only.
    Transient,
    /// Never, also not together with its group.
    Temporary,
}

/// Whom the failure of one child takes along, as in OTP. Temporary ones are only stopped.
///
/// See [`Spec`] for an example and [the guide](crate::guide::supervision) for what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Nobody.
    #[default]
    OneForOne,
    /// All children: stopped in reverse order, started in order.
    OneForAll,
    /// Those started after it.
    RestForOne,
}

/// What happens when the restarts of a child are used up.
///
/// See [`Spec`] for an example and [the guide](crate::guide::supervision) for what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExhausted {
    /// The supervisor fails in turn.
    Escalate,
    /// Callers get `unavailable` with a retry-after; then one new try is made. What was accepted keeps waiting.
    OpenGate {
        /// How long the gate stays open.
        reset_after: Duration,
    },
}

impl Default for OnExhausted {
    /// Returns a gate of 30 s.
    fn default() -> Self {
        Self::OpenGate { reset_after: Duration::from_secs(30) }
    }
}

/// The settings of a spec, shared with the slots that are made of it. One that changes nothing holds none of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings(Option<Arc<SpecSettings>>);

static DEFAULTS: LazyLock<SpecSettings> = LazyLock::new(SpecSettings::default);

impl Deref for Settings {
    type Target = SpecSettings;

    fn deref(&self) -> &SpecSettings {
        self.0.as_deref().unwrap_or(&DEFAULTS)
    }
}

impl DerefMut for Settings {
    /// Whoever shares them does not see the change.
    fn deref_mut(&mut self) -> &mut SpecSettings {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SpecSettings {
    pub(crate) restart: Restart,
    pub(crate) strategy: Strategy,
    pub(crate) intensity: Intensity,
    pub(crate) backoff: Backoff,
    pub(crate) on_exhausted: OnExhausted,
    pub(crate) graces: Graces,
    pub(crate) lanes: Lanes,
    pub(crate) breaker: Option<BreakerConfig>,
    pub(crate) cancel_safe: bool,
    /// How long a handler may await before it counts as stuck.
    pub(crate) patience: Patience,
    /// Whether the slot is to outlive its parent's incarnations; ask [`is_kept`](Self::is_kept).
    kept: bool,
    /// Whether it is a pool's worker, which shares the breaker of the pool.
    pub(crate) pooled: bool,
}

impl SpecSettings {
    /// Returns whether the slot outlives its parent's incarnations. One that is never built anew has no reason to.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept && self.restart != Restart::Temporary
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Graces {
    pub(crate) start: Duration,
    pub(crate) stop: Duration,
    pub(crate) cancel: Duration,
}

impl Default for Graces {
    fn default() -> Self {
        Self { start: START_TIMEOUT, stop: STOP_GRACE, cancel: CANCEL_GRACE }
    }
}

/// Says how to start and supervise one actor that speaks the protocol `P`.
///
/// The factory is called once per incarnation. Restarts are counted per child.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::{Actor, Intensity, OnExhausted, Restart, Silent, Spec};
///
/// struct Worker;
/// impl Actor for Worker { type Protocol = Silent; const KIND: &'static str = "worker"; }
///
/// let spec = Spec::new("worker-1", || Worker)
///     .restart(Restart::Transient)
///     .intensity(Intensity { max_restarts: 3, window: Duration::from_secs(10) })
///     .on_exhausted(OnExhausted::Escalate);
/// assert_eq!(spec.name(), "worker-1");
/// ```
pub struct Spec<P> {
    pub(crate) name: String,
    pub(crate) recipe: Arc<dyn Incarnate>,
    pub(crate) settings: Settings,
    protocol: PhantomData<fn(P)>,
}

/// A [`Spec`] as a supervisor calls it.
///
/// See [`Spec`] for an example.
pub type ChildSpec<P> = Spec<P>;

impl<P: Protocol> Spec<P> {
    /// Makes a spec with the defaults: permanent, 5 restarts in a minute, then a gate of 30 s.
    #[must_use]
    pub fn new<A, F>(name: impl Into<String>, factory: F) -> Self
    where
        A: Serves<Protocol = P>,
        F: Fn() -> A + Send + Sync + 'static,
    {
        Self::of_recipe(name.into(), Recipe::shared(factory, A::TABLE))
    }

    pub(crate) fn of_recipe(name: String, recipe: Arc<dyn Incarnate>) -> Self {
        Self { name, recipe, settings: Settings::default(), protocol: PhantomData }
    }

    /// Returns the name below the parent.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Replaces the name below the parent.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets when it is built anew.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.settings.restart = restart;
        self
    }

    /// Sets whom the failure of one of *its* children takes along.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.settings.strategy = strategy;
        self
    }

    /// Sets how many restarts are too many.
    #[must_use]
    pub fn intensity(mut self, intensity: Intensity) -> Self {
        self.settings.intensity = intensity;
        self
    }

    /// Sets the waits between restarts. The first restart of a window never waits.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// Sets what happens when the restarts are used up.
    #[must_use]
    pub fn on_exhausted(mut self, on_exhausted: OnExhausted) -> Self {
        self.settings.on_exhausted = on_exhausted;
        self
    }

    /// Bounds [`Actor::started`](crate::Actor::started); 5 s.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.settings.graces.start = limit;
        self
    }

    /// Bounds each step of a stop: the message in hand, the jobs, [`Actor::stopping`](crate::Actor::stopping); 5 s.
    #[must_use]
    pub fn stop_grace(mut self, limit: Duration) -> Self {
        self.settings.graces.stop = limit;
        self
    }

    /// Sets how long a handler may go on after its call was cancelled; 5 s. Then it is dropped and the incarnation
    /// ends, unless the actor is [`cancel_safe`](Self::cancel_safe).
    #[must_use]
    pub fn cancel_grace(mut self, limit: Duration) -> Self {
        self.settings.graces.cancel = limit;
        self
    }

    /// Sets how long a handler of this actor may await before it [counts as stuck](crate::System::troubles), in place of
    /// the system's limit; `None` for an actor whose handlers await long on purpose. Nothing else depends on it.
    #[must_use]
    pub fn stuck_after(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.patience = limit.into().map_or(Patience::Endless, Patience::Own);
        self
    }

    /// Says that dropping any handler at any await leaves the value in order.
    #[must_use]
    pub fn cancel_safe(mut self) -> Self {
        self.settings.cancel_safe = true;
        self
    }

    /// Keeps the slot when its parent fails: it ends with the parent's incarnation and is built anew once the next one
    /// runs, so its refs, queue and breaker survive. Otherwise it is gone for good, and the parent's `started` makes a new
    /// one. A temporary actor is never kept.
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.settings.kept = true;
        self
    }

    /// Sets bound and policy of one lane.
    #[must_use]
    pub fn lane(mut self, lane: Lane, capacity: usize, overflow: Overflow) -> Self {
        self.settings.lanes = self.settings.lanes.with(lane, capacity, overflow);
        self
    }

    /// Gives the slot a circuit breaker, which survives restarts: [`Cx::breaker`](crate::Cx::breaker).
    #[must_use]
    pub fn breaker(mut self, config: BreakerConfig) -> Self {
        self.settings.breaker = Some(config);
        self
    }
}

impl<P> Clone for Spec<P> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            recipe: Arc::clone(&self.recipe),
            settings: self.settings.clone(),
            protocol: PhantomData,
        }
    }
}

impl<P> fmt::Debug for Spec<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("name", &self.name)
            .field("kind", &self.recipe.kind())
            .field("settings", &*self.settings)
            .finish_non_exhaustive()
    }
}
