//! One ask as both its ends see it: the way back, on whose behalf it is made, and whether the caller is still there.
//!
//! It is one allocation. The context of the call, with its token of cancellation, is made only for a receiver that looks
//! at it or that awaits: most handlers answer at once and do neither.
//!
//! Two handles keep it alive: the caller's, and one of the receiver's, which is what the message carries and then the
//! handler's errand. The way back is [lent](Answers::lend) from that one: it is used up in the envelope, or by a handler
//! whose last act is the answer ([`Answering`]); only one that leaves the handler gets a handle of its own.

mod carried;
mod cell;
mod ends;
mod hold;
mod line;
mod packet;
mod purse;
#[cfg(test)]
mod tests;

pub(crate) use carried::{Carried, in_a_circle};
pub(crate) use ends::{Answered, Answering, Answers, Call, Waits};
pub(crate) use hold::Sleeper;
pub(crate) use line::NEVER_NS;
pub(crate) use packet::{CallPacket, open_call};
