//! What an operator does with a running actor: pause it, build it anew, kill it, and wait for the effect.
//!
//! None of it needs the actor's protocol or its help. What changes whether an incarnation lives goes through the `life`
//! lock of its slot, as every other stop and start.

use std::sync::Arc;

use crate::actor::StopReason;
use crate::address::Address;
use crate::mailbox::Stop;
use crate::slot::{Fate, Slot};
use crate::spec::Restart;

impl Address {
    /// Holds the actor's messages back, of all lanes, until [`resume`](Self::resume). Returns false, and does nothing, if
    /// the actor is ending or gone for good.
    ///
    /// The message in hand goes on to its end, jobs go on, timers run, and new messages are accepted up to the bound of
    /// their lane; deadlines of waiting asks pass as ever. The kernel still reaches the actor: it learns of its children's
    /// ends and rebuilds them, and it can be stopped, restarted and killed. The pause belongs to the slot: the next
    /// incarnation starts and is paused as well. A [drain](Self::drain), and the system's shutdown, end the pause, because
    /// they handle what was accepted. A paused virtual actor does not leave memory.
    ///
    /// ```
    /// # use beluga_runtime::{Actor, Cx, Handler, Message, System, protocol};
    /// # use beluga_core::Result;
    /// # #[derive(Message)]
    /// # #[message(name = "counter.add", reply = u64)]
    /// # struct Add(u64);
    /// # protocol!(CounterProtocol: Add);
    /// # #[derive(Default)]
    /// # struct Counter { total: u64 }
    /// # impl Actor for Counter {
    /// #     type Protocol = CounterProtocol;
    /// #     const KIND: &'static str = "counter";
    /// # }
    /// # impl Handler<Add> for Counter {
    /// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
    /// #         self.total += n;
    /// #         Ok(self.total)
    /// #     }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let system = System::builder("example").build()?;
    /// let counter = system.spawn("counter", Counter::default).await?;
    /// let address = counter.address()?;
    /// assert!(address.pause() && address.is_paused());
    /// counter.tell(Add(3)).await?;
    /// assert!(address.restart(), "the queue is kept, and so is the pause");
    /// assert!(address.resume());
    /// assert_eq!(counter.ask(Add(4)).await?, 7);
    /// # system.shutdown(std::time::Duration::from_secs(5)).await
    /// # }).unwrap();
    /// ```
    pub fn pause(&self) -> bool {
        self.0.hold(true)
    }

    /// Lets a paused actor go on with what waits, in order. Returns false if it is ending or gone for good.
    pub fn resume(&self) -> bool {
        self.0.hold(false)
    }

    /// Returns whether the actor is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.mailbox.is_suspended()
    }

    /// Builds the actor anew on the same slot: its refs, its queue, its breaker and a pause are kept. Returns whether the
    /// next incarnation will come; false for the root, before the first start, for an actor that is ending or gone, and for
    /// one that is [never](crate::Restart::Temporary) built anew.
    ///
    /// The living incarnation ends in order: the awaits of the message in hand return `cancelled`, and a handler that
    /// goes on is dropped after the spec's `stop_grace`; then its children, the youngest first, its jobs, its goodbye with
    /// [`StopReason::Restart`]. The supervisor builds the next one at once, and takes siblings along as its
    /// strategy says. It is no failure: no restart of the intensity is used up. An actor that waits
    /// for its back-off or behind an open gate is built at once.
    ///
    /// Cancel safe in that nothing waits here: see [`ended`](Self::ended) and [`running`](Self::running). A handler that
    /// blocks its thread cannot be ended by anything.
    pub fn restart(&self) -> bool {
        self.0.request_restart()
    }

    /// Drops the living incarnation at its next await, without a goodbye: the message in hand is lost and answered
    /// `unknown_outcome`, its children and jobs end, what waits stays, and the supervisor decides as after any failure.
    /// Returns false if no incarnation lives. The kill of the root ends the system.
    pub fn kill(&self) -> bool {
        self.0.kill()
    }

    /// Returns the number of the latest incarnation: 1 for the first, 0 before it.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.0.life.lock().number
    }

    /// Waits until this incarnation has ended and its value is dropped; at once if it does not live. Cancel safe.
    pub async fn ended(&self, incarnation: u32) {
        self.0.wait_ended(incarnation).await;
    }

    /// Waits until an incarnation has started, or the actor is gone for good. Cancel safe.
    pub async fn running(&self) {
        self.0.wait_running().await;
    }
}

impl Slot {
    /// Has the supervisor build the next incarnation. Returns whether one will come.
    fn request_restart(self: &Arc<Self>) -> bool {
        let life = &mut *self.life.lock();
        let never = self.settings.restart == Restart::Temporary;
        if never || self.parent.is_none() || !life.proven || life.ended {
            return false;
        }
        match life.fate {
            Fate::Terminate => false,
            // A plan, or an earlier request, does it already; a plan must not be crossed.
            Fate::Recycle | Fate::Renew => true,
            Fate::Live => {
                let stop = Stop { reason: StopReason::Restart, drain: false, deadline: None };
                self.stop_locked(life, Fate::Renew, stop);
                true
            }
        }
    }

    /// Holds its messages back, or lets them go. False if it is to end: then nothing is held back.
    fn hold(&self, held: bool) -> bool {
        let life = self.life.lock();
        let may = !life.ended && life.fate != Fate::Terminate;
        if may {
            self.mailbox.set_suspended(held);
        }
        may
    }
}
