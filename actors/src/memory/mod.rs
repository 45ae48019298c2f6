//! Memory: what an agent keeps between turns, in tiers.
//!
//! - [`CoreMemory`]: two small blocks of text (persona, human) that always stand in the prompt and that the agent edits
//!   itself;
//! - [`RecallMemory`]: everything said in any session, found by words.
//!
//! Each tier is one virtual actor per owner (tenant and agent), supervised by `memory`; activated on demand, gone when
//! idle. What must survive is in the stores; an actor holds a cache at most. [`hooks`] lets an application observe or
//! alter any tier.

pub mod core;
pub mod hooks;
mod observe;
pub mod recall;

use beluga_core::Result;
use beluga_runtime::{Actor, Address, Silent, System};

pub use self::core::{BLOCK_MAX_CHARS, CoreMemory};
pub use hooks::{HookedMemory, MemoryHooks};
pub use recall::RecallMemory;

/// The supervisor of all memory actors of a node.
struct MemoryActor;

impl Actor for MemoryActor {
    type Protocol = Silent;
    const KIND: &'static str = "memory";
}

/// Returns the supervisor of a system's memory, started on first use.
pub(crate) async fn supervisor(system: &System) -> Result<Address> {
    match system.spawn("memory", || MemoryActor).await {
        Ok(actor) => actor.address(),
        Err(error) => system.get::<Silent>("memory").ok_or(error)?.address(),
    }
}
