//! Faults on purpose.

use std::sync::{Arc, Once};

use crate::ground;
use crate::slot::Slot;
use crate::system::System;

/// Kills an actor or a job by its path, wherever it is: the message in hand is lost, queued ones stay, the supervisor
/// decides. A job's awaiter gets `unknown_outcome`. Returns false if nothing of that path lives.
///
/// ```
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
/// testkit::run(1, |system| async move {
///     let counter = system.spawn("counter", Counter::default).await?;
///     counter.ask(Add(3)).await?;
///     assert!(testkit::kill(&system, "counter"));
///     assert_eq!(counter.ask(Add(1)).await?, 1, "a new incarnation");
///     assert!(!testkit::kill(&system, "nobody"));
///     system.shutdown_gracefully().await
/// })
/// # .unwrap();
/// ```
pub fn kill(system: &System, path: &str) -> bool {
    if let Some(slot) = system.ground().find(path) {
        return slot.kill();
    }
    owner(system, path).is_some_and(|slot| {
        let incarnation = slot.life.lock().incarnation.clone();
        incarnation.is_some_and(|incarnation| incarnation.jobs.kill(path))
    })
}

/// Holds an actor where it is, as if its thread hung: it takes no message, and its handler is not polled. It can be
/// killed. Returns false if nothing of that path lives.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_core::Code;
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
/// testkit::run(1, |system| async move {
///     let counter = system.spawn("counter", Counter::default).await?;
///     assert!(testkit::pause(&system, "counter"));
///     let late = counter.ask(Add(3)).within(Duration::from_secs(5)).await.unwrap_err();
///     assert_eq!(late.code(), Code::Timeout);
///     assert!(testkit::resume(&system, "counter"));
///     assert_eq!(counter.ask(Add(1)).await?, 1, "what nobody waits for any more never runs");
///     system.shutdown_gracefully().await
/// })
/// # .unwrap();
/// ```
pub fn pause(system: &System, path: &str) -> bool {
    hold(system, path, true)
}

/// Lets a paused actor go on.
///
/// See [`pause`] for an example.
pub fn resume(system: &System, path: &str) -> bool {
    hold(system, path, false)
}

fn hold(system: &System, path: &str, paused: bool) -> bool {
    let slot = system.ground().find(path);
    slot.map(|slot| slot.mailbox.set_paused(paused)).is_some()
}

/// Finds the actor below whose path a job's path lies.
fn owner(system: &System, path: &str) -> Option<Arc<Slot>> {
    let mut rest = path;
    while let Some((above, _)) = rest.rsplit_once('/') {
        if let Some(slot) = system.ground().find(above) {
            return Some(slot);
        }
        rest = above;
    }
    None
}

/// Keeps panics in actor code (which the kernel catches and names) off the test's output. For the whole process.
///
/// ```
/// beluga_runtime::testkit::quiet_panics(); // The first line of a test in which an actor panics.
/// ```
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if ground::current_actor() == 0 {
                loud(panic);
            }
        }));
    });
}
