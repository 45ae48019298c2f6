//! The systems Beluga is compared with, one per file.

#[cfg(feature = "actix")]
mod actix;
mod kameo;
mod mpsc;
mod ractor;

#[cfg(feature = "actix")]
pub(crate) use actix::Actix;
pub(crate) use kameo::Kameo;
pub(crate) use mpsc::{Bounded, Mpsc, Unbounded};
pub(crate) use ractor::Ractor;
