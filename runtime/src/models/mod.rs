//! Models of what runs concurrently in the kernel: loom runs each through every order of its steps that matters.
//!
//! A model is a law and its name says it. It is small: two or three threads that do one thing or two. `scripts/models`
//! runs them all. Tasks sleep outside of what loom knows: where one would, the model waits for all other threads to end,
//! and then it must have been woken.
//!
//! What no model shows: a relaxed load that sees a store made later in the model's order, which loom does not know, and
//! the inside of types of other crates (`Arc`, the token of a call, tokio's `Notify`), whose calls are one step each.

#![allow(unsafe_code)] // loom hands out what a lock guards as a pointer.

mod ask;
mod breaker;
mod lock;
mod mailbox;
mod waits;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering::Relaxed};
use std::task::{Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::JoinHandle;

/// Runs a model through every order there is: no bound on interruptions is needed, they are that small.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(Count::new(0));
    let counted = Arc::clone(&orders);
    loom::model(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    println!("{} orders", orders.load(Relaxed));
}

/// Counts how often it was woken.
struct Bell(AtomicUsize);

impl Bell {
    fn new() -> (Arc<Self>, Waker) {
        let bell = Arc::new(Self(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&bell));
        (bell, waker)
    }

    /// Returns whether it was woken since it was asked last.
    fn rang(&self) -> bool {
        self.0.swap(0, Ordering::AcqRel) > 0
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A thread that sleeps wakes only when it is called: waits until the others are done, and then it must have been.
fn sleep<T>(bell: &Bell, others: &mut Vec<JoinHandle<T>>) -> Vec<T> {
    let results = join(others);
    assert!(bell.rang(), "it sleeps for ever");
    results
}

fn join<T>(others: &mut Vec<JoinHandle<T>>) -> Vec<T> {
    others.drain(..).map(|thread| thread.join().unwrap()).collect()
}

/// A value that counts how often it is dropped.
struct Dropped(Arc<Count>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}
