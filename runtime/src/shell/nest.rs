//! A reusable place for the futures of one actor's handlers, so that a message costs no allocation for its handler.
//!
//! Reason for unsafe: a borrowing future cannot be stored in a reusable allocation by safe code (its type differs per
//! message and its lifetime ends with the borrow of the actor). Kept to this file: one write, one poll, one drop.
#![allow(unsafe_code)]

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{MaybeUninit, align_of, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// The largest future that lies in the nest, in bytes; larger ones get a box each.
const NEST_BYTES: usize = 384;
const UNIT_BYTES: usize = 16;
/// The least room a nest has, once it has any: most handlers have a small future, and most actors are many.
const ROOM_MIN_UNITS: usize = 6;
const ROOM_MAX_UNITS: usize = NEST_BYTES / UNIT_BYTES;

#[repr(align(16))]
#[derive(Clone, Copy)]
struct Unit {
    _bytes: [MaybeUninit<u8>; UNIT_BYTES],
}

/// The place itself; allocated with the first future, and anew for a larger one.
#[derive(Default)]
pub struct Nest {
    memory: Box<[MaybeUninit<Unit>]>,
}

/// A future in its place. Borrows the nest, so there is one at a time.
pub struct Placed<'a> {
    future: NonNull<dyn Future<Output = ()> + Send + 'a>,
    boxed: bool,
    nest: PhantomData<&'a mut Nest>,
}

/// What the first poll of a future gave.
#[derive(Debug)]
pub enum Polled<'a> {
    /// It is over, and was dropped.
    Done,
    /// It awaits something.
    Pending(Placed<'a>),
}

// SAFETY: `Placed` owns a future that is `Send` and, through the borrow, exclusive use of the memory it lies in. The
// pointer is given to nobody else.
unsafe impl Send for Placed<'_> {}

impl Nest {
    /// Puts a future into its place.
    pub fn place<'a, F>(&'a mut self, future: F) -> Placed<'a>
    where
        F: Future<Output = ()> + Send + 'a,
    {
        self.place_with(|| future)
    }

    /// Puts a future into its place that is made there: it need not be copied.
    #[inline]
    pub fn place_with<'a, F>(&'a mut self, make: impl FnOnce() -> F) -> Placed<'a>
    where
        F: Future<Output = ()> + Send + 'a,
    {
        if size_of::<F>() > NEST_BYTES || align_of::<F>() > align_of::<Unit>() {
            let pointer: *mut (dyn Future<Output = ()> + Send + 'a) = Box::into_raw(Box::new(make()));
            // SAFETY: a pointer from a box is not null.
            return Placed { future: unsafe { NonNull::new_unchecked(pointer) }, boxed: true, nest: PhantomData };
        }
        let units = size_of::<F>().div_ceil(UNIT_BYTES);
        if self.memory.len() < units {
            self.make_room(units);
        }
        let pointer = self.memory.as_mut_ptr().cast::<F>();
        // SAFETY: the memory is large and aligned enough for an `F` (seen to above), lives in a box (so it does not
        // move with the nest) and is empty: the only other `Placed` over this nest would still borrow it. `Placed`
        // drops the future before the borrow ends. Nothing is written if `make` panics.
        unsafe { pointer.write(make()) };
        let pointer: *mut (dyn Future<Output = ()> + Send + 'a) = pointer;
        // SAFETY: it points into a box.
        Placed { future: unsafe { NonNull::new_unchecked(pointer) }, boxed: false, nest: PhantomData }
    }
}

impl Nest {
    /// Takes larger memory for that of before, which is empty as long as the nest is not borrowed.
    #[cold]
    fn make_room(&mut self, units: usize) {
        let units =
            if units <= ROOM_MIN_UNITS { ROOM_MIN_UNITS } else { units.next_power_of_two().min(ROOM_MAX_UNITS) };
        self.memory = Box::new_uninit_slice(units);
    }
}

impl<'a> Placed<'a> {
    /// Polls the future for the first time, and drops it if that was the last one. A panic in it is not caught.
    ///
    /// Where the future was just placed its type is known, and its code inlined.
    #[inline]
    pub fn poll_once(mut self, cx: &mut Context<'_>) -> Polled<'a> {
        match self.poll_raw(cx) {
            Poll::Ready(()) => Polled::Done,
            Poll::Pending => Polled::Pending(self),
        }
    }

    /// Polls the future; a panic in it is caught. Must not be called again after it was ready or panicked.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<dyn Any + Send>>> {
        match catch_unwind(AssertUnwindSafe(|| self.poll_raw(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }

    /// Polls the future without catching its panic. Must not be called again after it was ready or panicked.
    #[inline]
    pub fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the future is alive until `drop` and never moves: it lies in a box and is only dropped in place.
        let future = unsafe { Pin::new_unchecked(self.future.as_mut()) };
        future.poll(cx)
    }
}

impl Drop for Placed<'_> {
    #[inline]
    fn drop(&mut self) {
        let (future, boxed) = (self.future.as_ptr(), self.boxed);
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            if boxed {
                // SAFETY: it came from `Box::into_raw` and is released once.
                drop(unsafe { Box::from_raw(future) });
            } else {
                // SAFETY: written by `place`, dropped once, and not touched afterwards.
                unsafe { std::ptr::drop_in_place(future) };
            }
        }));
        if let Err(panic) = dropped {
            tracing::error!(panic = crate::task::panic_text(panic.as_ref()), "dropping a handler panicked");
        }
    }
}

impl std::fmt::Debug for Nest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nest").field("bytes", &size_of_val(&*self.memory)).finish()
    }
}

impl std::fmt::Debug for Placed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Placed").field("boxed", &self.boxed).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::task::noop_waker;

    use super::*;

    fn poll(placed: &mut Placed<'_>) -> Poll<Result<(), Box<dyn Any + Send>>> {
        placed.poll(&mut Context::from_waker(&noop_waker()))
    }

    #[test]
    fn a_future_is_dropped_once_whether_it_ended_or_not() {
        let alive = Arc::new(());
        let mut nest = Nest::default();
        for ends in [true, false] {
            let (held, wide) = (Arc::clone(&alive), [0_u8; 1024]);
            let mut small = nest.place(async move {
                if !ends {
                    std::future::pending::<()>().await;
                }
                drop(held);
            });
            assert_eq!(poll(&mut small).is_ready(), ends);
            drop(small);
            let held = Arc::clone(&alive);
            let mut large = nest.place(async move {
                let wide = wide;
                if !ends {
                    std::future::pending::<()>().await;
                }
                assert_eq!(wide.len(), 1024);
                drop(held);
            });
            assert_eq!(poll(&mut large).is_ready(), ends);
        }
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[test]
    fn a_nest_grows_with_what_is_placed_and_an_empty_future_needs_none() {
        let mut nest = Nest::default();
        assert!(poll(&mut nest.place(std::future::poll_fn(|_| Poll::Ready(())))).is_ready());
        assert_eq!(nest.memory.len(), 0);
        assert!(poll(&mut nest.place(wide::<16>())).is_ready());
        assert_eq!(nest.memory.len(), ROOM_MIN_UNITS);
        assert!(poll(&mut nest.place(wide::<200>())).is_ready());
        assert_eq!(nest.memory.len(), 16);
        assert!(poll(&mut nest.place(wide::<16>())).is_ready());
        assert!(poll(&mut nest.place(wide::<360>())).is_ready());
        assert_eq!(nest.memory.len(), ROOM_MAX_UNITS);
    }

    /// Makes a future of about so many bytes, which looks at all of them.
    async fn wide<const BYTES: usize>() {
        let bytes = [1_u8; BYTES];
        std::future::ready(()).await;
        assert!(bytes.iter().all(|byte| *byte == 1));
    }

    #[test]
    fn a_panic_is_caught_in_the_poll_and_in_the_drop() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        let mut nest = Nest::default();
        let mut placed = nest.place(async { panic!("in poll") });
        let Poll::Ready(Err(panic)) = poll(&mut placed) else { panic!("the panic was not caught") };
        assert_eq!(crate::task::panic_text(panic.as_ref()), "in poll");
        drop(placed);
        let mut placed = nest.place(async {
            let _bomb = Bomb;
            std::future::pending::<()>().await;
        });
        assert!(poll(&mut placed).is_pending());
        drop(placed);
        let mut placed = nest.place(async {});
        assert!(poll(&mut placed).is_ready());
    }
}
