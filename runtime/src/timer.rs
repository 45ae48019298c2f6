//! Timers of one incarnation. Their messages are stamped with it and never reach a later one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{Error, Result};
use futures_util::future::{AbortHandle, Abortable};
use parking_lot::Mutex;

use crate::call::{CallPacket, Carried};
use crate::delivery::{Delivery, Route};
use crate::incarnation::Incarnation;
use crate::message::Message;
use crate::{task, time};

/// The most timers one actor may have at a time.
pub const TIMERS_MAX: usize = 4096;

/// Names a timer of the living incarnation.
///
/// See [`Cx::after`](crate::Cx::after) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerKey(u64);

#[derive(Default)]
pub(crate) struct Timers(Mutex<Table>);

#[derive(Default)]
struct Table {
    closed: bool,
    next: u64,
    live: BTreeMap<u64, AbortHandle>,
}

impl Timers {
    fn open(&self) -> Result<(u64, futures_util::future::AbortRegistration)> {
        let mut table = self.0.lock();
        if table.closed {
            return Err(Error::not_sent("the actor is ending, so the timer was not set"));
        }
        if table.live.len() >= TIMERS_MAX {
            return Err(Error::overloaded(format!("an actor has at most {TIMERS_MAX} timers")));
        }
        table.next += 1;
        let key = table.next;
        let (abort, registration) = AbortHandle::new_pair();
        table.live.insert(key, abort);
        Ok((key, registration))
    }

    pub(crate) fn cancel(&self, key: TimerKey) -> bool {
        self.0.lock().live.remove(&key.0).map(|abort| abort.abort()).is_some()
    }

    fn forget(&self, key: u64) {
        self.0.lock().live.remove(&key);
    }

    /// Ends all timers and takes no new ones.
    pub(crate) fn clear(&self) {
        let mut table = self.0.lock();
        table.closed = true;
        if !table.live.is_empty() {
            std::mem::take(&mut table.live).into_values().for_each(|abort| abort.abort());
        }
    }
}

/// Sends one message to the incarnation itself after a while.
pub(crate) fn after<M: Message>(
    incarnation: &Arc<Incarnation>,
    index: usize,
    delay: Duration,
    message: M,
) -> Result<TimerKey> {
    let (key, registration) = incarnation.timers.open()?;
    let own = Arc::clone(incarnation);
    let run = async move {
        time::sleep(delay).await;
        deliver(&own, index, message).await;
        own.timers.forget(key);
    };
    drop(task::spawn("timer", Abortable::new(run, registration)));
    Ok(TimerKey(key))
}

/// Sends a fresh message to the incarnation itself at each tick. A tick that meets a full lane waits for a place.
pub(crate) fn every<M: Message>(
    incarnation: &Arc<Incarnation>,
    index: usize,
    period: Duration,
    mut make: impl FnMut() -> M + Send + 'static,
) -> Result<TimerKey> {
    let (key, registration) = incarnation.timers.open()?;
    let own = Arc::clone(incarnation);
    let run = async move {
        let mut ticker = time::interval(period);
        loop {
            ticker.tick().await;
            deliver(&own, index, make()).await;
        }
    };
    drop(task::spawn("timer", Abortable::new(run, registration)));
    Ok(TimerKey(key))
}

async fn deliver<M: Message>(incarnation: &Arc<Incarnation>, index: usize, message: M) {
    let mut envelope = CallPacket::told(index, message, Carried::Nothing);
    envelope.head_mut().incarnation = incarnation.number;
    envelope.head_mut().sender = incarnation.slot.id();
    if let Err(error) = Delivery::new(Route::Slot(Arc::clone(&incarnation.slot)), envelope).await {
        tracing::debug!(actor = %incarnation.slot.name(), %error, "a timer's message was refused");
    }
}
