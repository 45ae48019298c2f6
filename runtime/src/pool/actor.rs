//! How a pool reacts: it passes envelopes on, and learns from its supervision who works.

use std::sync::Arc;
use std::task::Context;

use beluga_core::Result;

use crate::actor::{Actor, StatusSource};
use crate::cx::Cx;
use crate::envelope::Envelope;
use crate::exit::{ChildExit, Verdict};
use crate::protocol::Protocol;
use crate::shell::{Dispatch, Nest, Polled};
use crate::spec::Spec;
use crate::time;

use super::crew::Crew;
use super::handle::start_workers;

/// The most messages a protocol has.
const MESSAGES_MAX: usize = 32;

/// The actor in front of the workers.
pub(super) struct PoolActor<P> {
    crew: Arc<Crew>,
    template: Spec<P>,
    workers: usize,
}

impl<P: Protocol> PoolActor<P> {
    /// Every message goes the same way, whatever its type.
    pub(super) const TABLE: &'static [Dispatch<Self>] = &[pass_on::<P> as Dispatch<Self>; MESSAGES_MAX];

    pub(super) fn new(crew: Arc<Crew>, template: Spec<P>, workers: usize) -> Self {
        Self { crew, template, workers }
    }

    /// Starts a job for each worker that is down and that nobody waits for.
    fn await_workers(&self, cx: &Cx<Self>, anew: bool) {
        for (number, slot) in self.crew.watch_down(anew) {
            let crew = Arc::clone(&self.crew);
            drop(cx.job("recovery", format!("recovery-{number}"), cx.own_context(), move |_| async move {
                crew.await_worker(slot).await;
                Ok(())
            }));
        }
    }
}

impl<P: Protocol> Actor for PoolActor<P> {
    type Protocol = P;
    const KIND: &'static str = "pool";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        let slot = &cx.incarnation.slot;
        self.crew.begin(slot);
        if self.crew.is_new() {
            let numbers = self.crew.plan(self.workers);
            start_workers(&self.crew, &self.template, slot, Some(cx.incarnation()), numbers).await?;
        }
        // The workers of an earlier incarnation are built anew when this has started.
        self.await_workers(cx, true);
        self.crew.settle();
        Ok(())
    }

    async fn child_exited(&mut self, exit: ChildExit, cx: &mut Cx<Self>) {
        let worker = &exit.address.0;
        match exit.verdict {
            Verdict::Gone => self.crew.lost(worker),
            Verdict::GateOpened { retry_after } => self.crew.down(worker, Some(time::now() + retry_after)),
            _ => self.crew.down(worker, None),
        }
        self.await_workers(cx, false);
    }

    fn status(&self) -> Option<StatusSource> {
        let crew = Arc::clone(&self.crew);
        Some(StatusSource::new(move || crew.shown()))
    }
}

fn pass_on<'a, P: Protocol>(
    pool: &'a mut PoolActor<P>,
    hand: &mut Option<Envelope>,
    cx: &'a mut Cx<PoolActor<P>>,
    _nest: &'a mut Nest,
    _task: &mut Context<'_>,
) -> Option<Polled<'a>> {
    let mut envelope = hand.take()?;
    // The drain keeps what the message carried for the one in its hand; the worker needs it as well.
    envelope.head_mut().carried = cx.incarnation.errand.carried().clone();
    pool.crew.forward(envelope);
    Some(Polled::Done)
}
