//! A system dropped with live actors fails the test.

use std::ops::Deref;

use crate::system::System;

/// A system that panics when it drops with live actors: end a test with [`System::shutdown`].
///
/// See [`system`] for an example.
#[derive(Debug)]
pub struct TestSystem {
    system: System,
    seed: u64,
}

/// Builds a system for one test.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_runtime::testkit;
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
/// # #[derive(Message)]
/// # #[message(name = "counter.add", reply = u64)]
/// # struct Add(u64);
/// # protocol!(CounterProtocol: Add);
/// # #[derive(Default)]
/// # struct Counter { total: u64 }
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
/// #         self.total += n;
/// #         Ok(self.total)
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = testkit::system("counting", 7);
/// let counter = system.spawn("counter", Counter::default).await?;
/// assert_eq!(system.live(), ["counter"]);
/// system.shutdown(Duration::from_secs(5)).await?; // Left out, the test fails.
/// assert!(system.live().is_empty());
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside a tokio runtime, or for a malformed name.
#[must_use]
pub fn system(name: &str, seed: u64) -> TestSystem {
    let built = System::builder(name).seed(seed).build();
    #[allow(clippy::expect_used)] // A test cannot go on without its system.
    let system = built.expect("a test builds its system inside a runtime");
    TestSystem { system, seed }
}

impl TestSystem {
    /// Returns the paths of the actors that live.
    #[must_use]
    pub fn live(&self) -> Vec<String> {
        self.system.names().iter().map(ToString::to_string).collect()
    }
}

impl Deref for TestSystem {
    type Target = System;

    fn deref(&self) -> &System {
        &self.system
    }
}

impl Drop for TestSystem {
    #[allow(clippy::panic)] // Failing the test is what it is for.
    fn drop(&mut self) {
        let live = self.live();
        if !live.is_empty() && !std::thread::panicking() {
            panic!("the system was dropped with live actors (seed {}): {}", self.seed, live.join(", "));
        }
    }
}

/// Runs one test on its own single-threaded runtime with paused time, and its own system.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_runtime::{testkit, time};
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
/// # #[derive(Message)]
/// # #[message(name = "counter.add", reply = u64)]
/// # struct Add(u64);
/// # protocol!(CounterProtocol: Add);
/// # #[derive(Default)]
/// # struct Counter { total: u64 }
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
/// #         self.total += n;
/// #         Ok(self.total)
/// #     }
/// # }
/// testkit::run(7, |system| async move {
///     let counter = system.spawn("counter", Counter::default).await?;
///     time::sleep(Duration::from_secs(3600)).await; // Takes no time.
///     assert_eq!(counter.ask(Add(3)).await?, 3);
///     system.shutdown_gracefully().await
/// })
/// # .unwrap();
/// ```
///
/// # Panics
/// If the test leaves live actors behind.
#[cfg(feature = "testkit")]
#[allow(clippy::expect_used)] // A test cannot go on without its runtime.
pub fn run<F, Fut>(seed: u64, test: F) -> Fut::Output
where
    F: FnOnce(System) -> Fut,
    Fut: Future,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a test has its own runtime");
    runtime.block_on(async {
        let system = system("test", seed);
        test(system.system.clone()).await
    })
}
