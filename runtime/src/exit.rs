//! How an incarnation ended, and what its supervisor made of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{Error, ErrorRecord};

use crate::address::Address;

/// How an incarnation ended. Cheap to clone.
///
/// See [`ChildExit`] for an example.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ExitReason {
    /// It stopped in order, on its own or on request.
    Stopped,
    /// It could not be built or started.
    StartFailed(Arc<ErrorRecord>),
    /// It gave itself up ([`Cx::fail`](crate::Cx::fail)), a child escalated, or its handler ignored a cancellation.
    Failed(Arc<ErrorRecord>),
    /// A handler panicked; the text, and the name of the poison message if it was one.
    Panicked {
        /// The panic's text.
        text: Arc<str>,
        /// The message's name; `None` for a life-cycle method.
        message: Option<&'static str>,
    },
    /// It was killed, or the runtime dropped it.
    Killed,
}

impl ExitReason {
    pub(crate) fn failed(error: &Error) -> Self {
        Self::Failed(Arc::new(ErrorRecord::from(error)))
    }

    pub(crate) fn start_failed(error: &Error) -> Self {
        Self::StartFailed(Arc::new(ErrorRecord::from(error)))
    }

    /// Returns whether it counts as a failure: everything but an orderly stop.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Stopped)
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::StartFailed(error) => write!(f, "start failed: {}: {}", error.code, error.message),
            Self::Failed(error) => write!(f, "failed: {}: {}", error.code, error.message),
            Self::Panicked { text, message: Some(message) } => write!(f, "panicked on {message}: {text}"),
            Self::Panicked { text, message: None } => write!(f, "panicked: {text}"),
            Self::Killed => f.write_str("killed"),
        }
    }
}

/// What the kernel did about the exit of a child.
///
/// See [`ChildExit`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is built anew after this long; zero means at once.
    Restart {
        /// The back-off.
        after: Duration,
    },
    /// It is gone for good.
    Gone,
    /// Its restarts are used up: the gate is open and callers get `unavailable` for this long.
    GateOpened {
        /// When one new try is made.
        retry_after: Duration,
    },
    /// Its restarts are used up and the supervisor fails with it.
    Escalated,
}

/// The exit of a child, as [`Actor::child_exited`](crate::Actor::child_exited) gets it.
///
/// ```
/// # use std::sync::{Arc, Mutex};
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, ChildExit, Cx, ExitReason, Restart, Silent, Spec, Verdict, testkit, time};
/// # struct Child;
/// # impl Actor for Child { type Protocol = Silent; const KIND: &'static str = "child"; }
/// struct Parent { seen: Arc<Mutex<Vec<ChildExit>>> }
///
/// impl Actor for Parent {
///     type Protocol = Silent;
///     const KIND: &'static str = "parent";
///
///     async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
///         cx.spawn_with(Spec::new("child", || Child).restart(Restart::Temporary)).await.map(drop)
///     }
///
///     async fn child_exited(&mut self, exit: ChildExit, _cx: &mut Cx<Self>) {
///         self.seen.lock().unwrap().push(exit);
///     }
/// }
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// # let exits = Arc::clone(&seen);
/// system.spawn("parent", move || Parent { seen: Arc::clone(&seen) }).await?;
/// testkit::kill(&system, "parent/child");
/// # time::sleep(std::time::Duration::from_secs(1)).await;
/// # let exits = exits.lock().unwrap().clone();
/// assert_eq!((exits[0].address.name(), exits[0].verdict), ("parent/child", Verdict::Gone));
/// assert!(matches!(exits[0].reason, ExitReason::Killed) && exits[0].reason.is_failure());
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct ChildExit {
    /// Which child.
    pub address: Address,
    /// How it ended.
    pub reason: ExitReason,
    /// What the kernel did.
    pub verdict: Verdict,
    /// How often it was built anew so far.
    pub restarts: u32,
}
