//! Building a system.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{Error, Result};

use super::{Root, System};
use crate::dead_letter::{DEAD_LETTER_CAPACITY, DeadLetters};
use crate::ground::{Ground, GroundSettings};
use crate::naming::check_name;
use crate::random::SystemRandom;
use crate::slot::Slot;
use crate::spec::Spec;
use crate::watchdog::WatchdogSettings;

/// The deadline of an ask that sets none.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// The grace of [`System::shutdown_gracefully`] unless told otherwise.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

/// Describes a system.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::System;
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let system = System::builder("orders").seed(7).ask_timeout(Duration::from_secs(5)).build()?;
/// assert_eq!((system.name(), system.random().seed()), ("orders", 7));
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct SystemBuilder {
    name: String,
    seed: Option<u64>,
    settings: GroundSettings,
    dead_letters: usize,
}

impl SystemBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            seed: None,
            settings: GroundSettings {
                ask_timeout: ASK_TIMEOUT,
                shutdown_grace: SHUTDOWN_GRACE,
                watchdog: WatchdogSettings::OFF,
            },
            dead_letters: DEAD_LETTER_CAPACITY,
        }
    }

    /// Sets the seed of everything random, for runs that can be repeated. Without it the operating system gives one.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the deadline of asks that set none; 30 s.
    pub fn ask_timeout(mut self, limit: Duration) -> Self {
        self.settings.ask_timeout = limit;
        self
    }

    /// Sets how many recent dead letters are kept; 1024. Counters go on in any case.
    pub fn dead_letter_capacity(mut self, letters: usize) -> Self {
        self.dead_letters = letters;
        self
    }

    /// Sets the grace of [`System::shutdown_gracefully`]; 30 s.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.settings.shutdown_grace = grace;
        self
    }

    /// Sets when a handler is stuck and a thread blocked, and starts a thread that looks for them; see
    /// [`System::troubles`]. Without it the limits are the defaults, and nobody looks by itself.
    ///
    /// A period goes by in real time: on a paused clock leave the thread out (`period: None`).
    pub fn watchdog(mut self, settings: WatchdogSettings) -> Self {
        self.settings.watchdog = settings;
        self
    }

    /// Starts the system.
    ///
    /// # Errors
    /// `invalid_input` for a malformed name, `internal` outside a tokio runtime or without a thread for the watchdog.
    pub fn build(self) -> Result<System> {
        check_name(&self.name)?;
        tokio::runtime::Handle::try_current()
            .map_err(|error| Error::internal("a system is built inside a tokio runtime").with_source(error))?;
        let random = self.seed.map_or_else(SystemRandom::from_entropy, SystemRandom::seeded);
        let letters = DeadLetters::new(self.dead_letters);
        let ground = Ground::new(Arc::from(self.name), self.settings, random, letters);
        let spec = Spec::new("system", || Root);
        let root = Slot::new(&ground, None, Arc::clone(&ground.name), spec.recipe, spec.settings, None);
        drop(ground.root.set(Arc::downgrade(&root)));
        ground.watchdog.start(&ground)?;
        root.launch(false);
        Ok(System { ground })
    }
}
