//! What becomes of an actor's messages on purpose: crashes, delays, losses.
//!
//! An actor without faults looks at one bit per message. Faults belong to the slot and survive restarts; [`heal`] ends them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::envelope::{Envelope, Head};
use crate::slot::Slot;
use crate::system::System;

/// The most lost messages an actor's faults hold; the oldest is dropped for one more, and who waits for it learns it.
pub const LOST_MAX: usize = 1024;

/// The faults of one actor.
#[derive(Default)]
pub(crate) struct Injected {
    /// Crashes on the next message, or on the next of that name.
    crash: Option<Option<Arc<str>>>,
    delay: Duration,
    /// How many messages are lost from now on.
    lose: usize,
    /// The lost ones: nobody answers who waits for them.
    lost: VecDeque<Envelope>,
    /// Calls a drain that waits out a delay, because the delay is another now.
    changed: Arc<Notify>,
}

/// What becomes of one message.
pub(crate) enum Mishap {
    None,
    Lose,
    /// It is handled when the system's clock shows this, and not before, unless that is changed.
    NotBefore(u64, Arc<Notify>),
}

impl Injected {
    /// Decides about a message.
    pub(crate) fn befall(&mut self, head: &Head, now_ns: u64) -> Mishap {
        let due_ns = head.sent_ns.saturating_add(u64::try_from(self.delay.as_nanos()).unwrap_or(u64::MAX));
        if now_ns < due_ns {
            return Mishap::NotBefore(due_ns, Arc::clone(&self.changed));
        }
        if self.lose > 0 {
            self.lose -= 1;
            return Mishap::Lose;
        }
        Mishap::None
    }

    /// Returns whether the crash was meant for a message that is about to be handled; then it is over.
    fn crashes(&mut self, head: &Head) -> bool {
        self.crash.take_if(|name| name.as_deref().is_none_or(|name| name == head.name())).is_some()
    }

    /// Keeps a lost message, so that nobody answers it. Returns the one that has no place any more.
    pub(crate) fn keep(&mut self, envelope: Envelope) -> Option<Envelope> {
        self.lost.push_back(envelope);
        if self.lost.len() > LOST_MAX { self.lost.pop_front() } else { None }
    }
}

/// Lets an actor crash on its next message, or on its next message of a name, as if the handler had panicked. Once. Returns
/// false if nothing of that path lives.
///
/// ```
/// # use beluga_runtime::testkit;
/// # use beluga_core::{Code, Result};
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
///     assert!(testkit::crash(&system, "counter", Some("counter.add")));
///     assert_eq!(counter.ask(Add(1)).await.unwrap_err().code(), Code::UnknownOutcome);
///     assert_eq!(counter.ask(Add(1)).await?, 1, "it was built anew");
///     system.shutdown_gracefully().await
/// })
/// # .unwrap();
/// ```
pub fn crash(system: &System, path: &str, message: Option<&str>) -> bool {
    inject(system, path, |faults| faults.crash = Some(message.map(Arc::from)))
}

/// Lets an actor handle each message no earlier than `delay` after it was sent; their order stays. The kernel's word reaches it
/// meanwhile. Another delay, or [`heal`], also counts for what waits already. Returns false if nothing of that path lives.
pub fn delay(system: &System, path: &str, delay: Duration) -> bool {
    inject(system, path, |faults| faults.delay = delay)
}

/// Lets the next `count` messages to an actor get lost, as on a network: a dead letter names each, and nobody answers who waits,
/// so an ask ends in its time-out (or, with [`heal`] and with the actor itself, in `unknown_outcome`). Returns false if nothing
/// of that path lives.
pub fn lose(system: &System, path: &str, count: usize) -> bool {
    inject(system, path, |faults| faults.lose = count)
}

/// Ends the faults of an actor: [`crash`], [`delay`] and [`lose`]. Returns false if nothing of that path lives.
pub fn heal(system: &System, path: &str) -> bool {
    let Some(slot) = system.ground().find(path) else { return false };
    let ended = slot.attached(|attached| attached.faults.take()).flatten();
    slot.mailbox.set_faulty(false);
    if let Some(ended) = ended {
        ended.changed.notify_one();
    }
    true
}

fn inject(system: &System, path: &str, change: impl FnOnce(&mut Injected)) -> bool {
    let Some(slot) = system.ground().find(path) else { return false };
    let changed = slot.attach(|attached| {
        let faults = attached.faults.get_or_insert_default();
        change(faults);
        Arc::clone(&faults.changed)
    });
    slot.mailbox.set_faulty(true);
    changed.notify_one();
    true
}

/// Decides about a message of an actor with faults.
pub(crate) fn befall(slot: &Slot, head: &Head) -> Mishap {
    let now_ns = slot.ground.clock.read();
    let befall = |faults: &mut Injected| faults.befall(head, now_ns);
    slot.attached(|attached| attached.faults.as_mut().map(befall)).flatten().unwrap_or(Mishap::None)
}

/// Decides whether a message of an actor with faults, which is in hand, crashes.
pub(crate) fn crashes(slot: &Slot, head: &Head) -> bool {
    let crashes = |faults: &mut Injected| faults.crashes(head);
    slot.attached(|attached| attached.faults.as_mut().is_some_and(crashes)).unwrap_or(false)
}
