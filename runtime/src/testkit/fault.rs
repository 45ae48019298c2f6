//! Faults on purpose.

use std::sync::{Arc, Once};

use crate::ground;
use crate::slot::Slot;
use crate::system::System;

/// Kills an actor or a job by its path, wherever it is: the message in hand is lost, queued ones stay, the supervisor
/// decides. A job's awaiter gets `unknown_outcome`. Returns false if nothing of that path lives.
pub fn kill(system: &System, path: &str) -> bool {
    if let Some(slot) = system.ground().find(path) {
        return slot.kill();
    }
    owner(system, path).is_some_and(|slot| {
        let incarnation = slot.life.lock().incarnation.clone();
        incarnation.is_some_and(|incarnation| incarnation.jobs.kill(path))
    })
}

/// Holds an actor where it is, as if its thread hung: it takes no message, and its handler is not polled. It can be
/// killed. Returns false if nothing of that path lives.
pub fn pause(system: &System, path: &str) -> bool {
    hold(system, path, true)
}

/// Lets a paused actor go on.
pub fn resume(system: &System, path: &str) -> bool {
    hold(system, path, false)
}

fn hold(system: &System, path: &str, paused: bool) -> bool {
    let slot = system.ground().find(path);
    slot.map(|slot| slot.mailbox.set_paused(paused)).is_some()
}

/// Finds the actor below whose path a job's path lies.
fn owner(system: &System, path: &str) -> Option<Arc<Slot>> {
    let mut rest = path;
    while let Some((above, _)) = rest.rsplit_once('/') {
        if let Some(slot) = system.ground().find(above) {
            return Some(slot);
        }
        rest = above;
    }
    None
}

/// Keeps panics in actor code (which the kernel catches and names) off the test's output. For the whole process.
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if ground::current_actor() == 0 {
                loud(panic);
            }
        }));
    });
}
