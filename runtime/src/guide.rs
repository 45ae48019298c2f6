//! Guides: how to think about the kernel, with programs that run as they stand.
//!
//! - [`supervision`]: what happens when an actor fails, in ten minutes;
//! - [`coming_from`]: your words and ours, if you know ractor, kameo, actix or an agent framework;
//! - [`mistakes`]: what the compiler says about the usual ones, and the mend.

#[doc = include_str!("../docs/supervision.md")]
pub mod supervision {}

#[doc = include_str!("../docs/coming-from.md")]
pub mod coming_from {}

#[doc = include_str!("../docs/mistakes.md")]
pub mod mistakes {}
