//! The supervisor of all faces of a node.

use beluga_core::Result;
use beluga_runtime::{Actor, Address, Silent, System};

/// Its path: what operates a node keeps its hands off the faces it is operated through.
pub(crate) const FACES: &str = "faces";

struct Faces;

impl Actor for Faces {
    type Protocol = Silent;
    const KIND: &'static str = "faces";
}

/// Returns the supervisor of this system's faces; the first face starts it.
///
/// # Errors
/// `unavailable` if the system is ending.
pub(crate) async fn supervisor(system: &System) -> Result<Address> {
    if let Some(faces) = system.find(FACES) {
        return Ok(faces);
    }
    match system.spawn(FACES, || Faces).await {
        Ok(faces) => faces.address(),
        // Another face was faster.
        Err(error) => system.find(FACES).ok_or(error),
    }
}
