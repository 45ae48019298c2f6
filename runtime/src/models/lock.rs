//! The brief lock.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{check, join};
use crate::lock::Brief;

/// A count that only its lock protects; loom sees two that touch it together, or without what the other one wrote.
struct Guarded {
    lock: Brief,
    count: UnsafeCell<usize>,
}

impl Guarded {
    fn add_one(&self) {
        self.lock.take();
        // SAFETY: the lock is held, which is what the model checks.
        self.count.with_mut(|count| unsafe { *count += 1 });
        self.lock.give_back();
    }
}

#[test]
fn nobody_is_inside_together_and_everybody_gets_in() {
    check(|| {
        let guarded = Arc::new(Guarded { lock: Brief::new(), count: UnsafeCell::new(0) });
        let other = Arc::clone(&guarded);
        let mut others = vec![thread::spawn(move || (0..2).for_each(|_| other.add_one()))];
        (0..2).for_each(|_| guarded.add_one());
        join(&mut others);
        // SAFETY: the other thread is gone.
        assert_eq!(guarded.count.with(|count| unsafe { *count }), 4);
    });
}
