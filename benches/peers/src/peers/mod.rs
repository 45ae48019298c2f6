//! The systems Beluga is compared with, one per file.

mod actix;
mod kameo;
mod mpsc;
mod ractor;

pub(crate) use actix::Actix;
pub(crate) use kameo::Kameo;
pub(crate) use mpsc::{Bounded, Mpsc, Unbounded};
pub(crate) use ractor::Ractor;
