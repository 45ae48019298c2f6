//! A hop that says so when its work was dropped in the middle.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use beluga_core::{CallContext, CancelToken, Code, Error};

use super::hop::Hop;

/// A hop whose work must say how it ended: [`end`](Self::end) or [`fail`](Self::fail). One that is dropped before, because
/// its actor was killed, its caller left or it panicked, closes with an error, never as if all were well.
///
/// ```
/// use beluga_core::{CallContext, Error};
/// use beluga_runtime::telemetry::{HopKind, Sampler};
/// use beluga_runtime::{SystemRandom, hop};
///
/// let root = Sampler::new(1.0).start(None, &SystemRandom::seeded(1));
/// let (call, hop) = hop!(CallContext::new(), root, HopKind::Internal, "work");
/// let guard = hop.guard(&call); // Dropped before its end is said, it closes with an error.
/// assert!(guard.is_recording());
/// let outcome: Result<u32, Error> = Ok(7);
/// guard.settle(&outcome);
/// ```
#[derive(Debug)]
pub struct HopGuard {
    hop: Hop,
    /// Of the call; `None` once the end is said, or if nothing is recorded.
    call: Option<CancelToken>,
    ended: AtomicBool,
    panics_as: Code,
}

impl Hop {
    /// Makes the hop close with an error unless its end is said. `call` tells whether it was cancelled.
    #[must_use]
    pub fn guard(self, call: &CallContext) -> HopGuard {
        let call = self.is_recording().then(|| call.cancel_token().clone());
        HopGuard { hop: self, call, ended: AtomicBool::new(false), panics_as: Code::Internal }
    }
}

impl HopGuard {
    /// Says what a panic counts as; `internal` otherwise.
    #[must_use]
    pub fn panics_as(mut self, code: Code) -> Self {
        self.panics_as = code;
        self
    }

    /// Says that the work ended well.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Says that the work failed.
    pub fn fail(&self, error: &Error) {
        self.end();
        self.hop.fail(error);
    }

    /// Says how the work ended.
    pub fn settle<T>(&self, outcome: &Result<T, Error>) {
        match outcome {
            Ok(_) => self.end(),
            Err(error) => self.fail(error),
        }
    }
}

impl Deref for HopGuard {
    type Target = Hop;

    fn deref(&self) -> &Hop {
        &self.hop
    }
}

impl Drop for HopGuard {
    fn drop(&mut self) {
        let Some(call) = self.call.take().filter(|_| !self.ended.load(Ordering::Relaxed)) else { return };
        self.hop.fail(&if std::thread::panicking() {
            Error::new(self.panics_as, "it panicked")
        } else if call.is_cancelled() {
            Error::cancelled("the call was cancelled")
        } else {
            Error::unknown_outcome("it was dropped before its end")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hop;
    use crate::random::SystemRandom;
    use crate::telemetry::tests::Spans;
    use crate::telemetry::{HopKind, Sampler};
    use crate::testkit::quiet_panics;

    #[test]
    fn what_is_dropped_before_its_end_never_looks_well() {
        quiet_panics();
        let (spans, random) = (Spans::default(), SystemRandom::seeded(1));
        tracing::subscriber::with_default(spans.clone(), || {
            let open = || {
                let identity = Sampler::new(1.0).start(None, &random);
                let (call, hop) = hop!(CallContext::new(), identity, HopKind::Internal, "work");
                (hop.guard(&call), call)
            };
            open().0.end();
            open().0.fail(&Error::timeout("late"));
            drop(open());
            let (guard, call) = open();
            call.cancel_token().cancel();
            drop(guard);
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _guard = open().0;
                panic!("boom");
            }));
            panicked.unwrap_err();
            open().0.settle::<()>(&Err(Error::not_found("gone")));
            drop(Hop::none().guard(&call));
        });
        let ends: Vec<Option<String>> = spans.all().iter().map(|span| span.get("error.type").cloned()).collect();
        let expected = ["", "timeout", "unknown_outcome", "cancelled", "internal", "not_found"];
        assert_eq!(ends.iter().map(|end| end.as_deref().unwrap_or_default()).collect::<Vec<_>>(), expected);
    }
}
