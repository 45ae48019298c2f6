//! The one place that touches ractor: a non-generic actor that carries incarnations, one after the other.
//!
//! Such a *carrier* gives the task, the kill signal and a last panic backstop. An incarnation is a *resident* future, which
//! drains the slot until it ends, and the carrier's `post_start` awaits it: there the kill signal is watched and nothing
//! else, and no message has to be sent or waited for. Used of ractor: spawn and kill. Messages, links, monitors, stop, drain,
//! timers, the global registry and groups are not used: they leak, drop queues or know one world only.
//!
//! Making a carrier costs three times what a bare task costs, so one whose resident is over waits in its [berth](berth) for
//! the next. A system keeps a few of them ([`CARRIERS_KEPT_MAX`]); one that was killed, or met a panic, is not used again.

mod berth;
mod carriers;
#[cfg(test)]
mod tests;

use std::fmt;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use berth::Manned;

pub(crate) use berth::Cell;
pub(crate) use carriers::Carriers;

/// The most carriers without a resident that a system keeps; each holds some 7 KB.
pub(crate) const CARRIERS_KEPT_MAX: usize = 16;

struct Carrier;

/// What ractor calls a message; none is ever sent.
enum Nothing {}

#[cfg(feature = "ractor-cluster")]
impl ractor::Message for Nothing {}

/// Ends the carrier: no resident will come any more.
#[derive(Debug)]
struct Over;

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the carrier is not needed any more")
    }
}

impl std::error::Error for Over {}

#[cfg_attr(feature = "ractor-async-trait", ractor::async_trait)]
impl Actor for Carrier {
    type Msg = Nothing;
    type State = Manned;
    type Arguments = Manned;

    async fn pre_start(&self, myself: ActorRef<Nothing>, berth: Manned) -> Result<Manned, ActorProcessingErr> {
        berth.man(myself.get_cell());
        Ok(berth)
    }

    async fn post_start(&self, _myself: ActorRef<Nothing>, berth: &mut Manned) -> Result<(), ActorProcessingErr> {
        berth.carry().await;
        // Allocates nothing: the error has no size.
        Err(Box::new(Over))
    }
}
