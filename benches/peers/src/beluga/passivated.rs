//! What is left of a virtual actor that left memory.

use std::sync::Arc;

use beluga_core::{BoxFuture, Result};
use beluga_runtime::{Activation, Activator, Address, FamilyOptions, Spec};

use super::{Beluga, Counter, CounterProtocol, Total};
use crate::meter::resident_bytes;

/// Actors that come and go before memory is looked at.
const WARM_UP: usize = 1_000;

/// Actors whose refs are held.
const ACTORS: usize = 60_000;

struct Counters {
    supervisor: Address,
}

impl Activator<CounterProtocol> for Counters {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<CounterProtocol>>> {
        let spec = Spec::new(key, Counter::default);
        Box::pin(async move { Ok(Activation { supervisor: self.supervisor.clone(), spec }) })
    }
}

/// Returns the bytes each passivated actor holds while its ref is held.
///
/// The actors live and leave one after the other: what the allocator keeps of them is used again by the next, and does not
/// hide what stays.
pub(crate) async fn passivated_bytes() -> f64 {
    let Beluga { system } = Beluga::new();
    let family = system.family::<CounterProtocol>("counter", FamilyOptions::default());
    let activator: Arc<dyn Activator<_>> =
        Arc::new(Counters { supervisor: system.root_address().expect("a system has a root") });
    let resolve = |number: usize| family.resolve(format!("key-{number}"), Arc::clone(&activator));
    let mut held = Vec::new();
    held.resize_with(ACTORS, || None);
    let mut before = 0;
    for number in 0..WARM_UP + ACTORS {
        if number == WARM_UP {
            before = resident_bytes();
        }
        let counter = resolve(number);
        assert_eq!(counter.ask(Total).await.expect("it is activated"), 0);
        let active = counter.active().expect("it is active");
        family.passivate(&format!("key-{number}"));
        active.gone().await;
        drop(active);
        if let Some(place) = number.checked_sub(WARM_UP).and_then(|index| held.get_mut(index)) {
            *place = Some(counter);
        }
    }
    let grown = resident_bytes() - before;
    assert!(family.is_empty() && held.iter().flatten().all(|counter| counter.active().is_none()), "some did not leave");
    grown as f64 / ACTORS as f64
}
