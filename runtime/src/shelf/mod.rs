//! Boxes that a thread keeps for the next thing of the same layout.
//!
//! A message is one box and an ask is two, each alive for microseconds. An allocator has a handful of freed pieces of a size
//! at hand; a burst of messages frees hundreds at once, and pieces that another thread allocated cost it more still. Who is
//! done with such a box lays it on the shelf of its thread, and who needs one of the very same layout takes it from there.
//!
//! A thread keeps at most [`BOXES_MAX`] boxes of a layout, of those up to [`SIZE_MAX`] bytes, and gives them back when it
//! ends. What it has too many of it leaves at a depot, in bundles, for threads that have none.
//!
//! Reason for unsafe: a box whose value is gone is memory, and no type of the standard library owns such of any layout.
#![allow(unsafe_code)]

mod depot;

use std::alloc::{Layout, dealloc};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use self::depot::Depot;

/// How many boxes of a layout a thread keeps: what a drain handles before it lets others run, twice.
const BOXES_MAX: usize = 256;

/// The largest box that is kept, in bytes.
const SIZE_MAX: usize = 192;

/// The alignment of what is kept; messages have hardly another.
const ALIGN: usize = align_of::<u64>();

const LAYOUTS: usize = SIZE_MAX / ALIGN + 1;

static DEPOTS: [Depot; LAYOUTS] = [const { Depot::new() }; LAYOUTS];

thread_local! {
    static SHELF: Shelf = const { Shelf([const { UnsafeCell::new(Vec::new()) }; LAYOUTS]) };
}

/// The boxes of a thread, by their size in words.
///
/// Lists of their places, and no chains through them: whoever takes a box writes into memory that may be far from this
/// processor, and need not wait for what stands there.
struct Shelf([UnsafeCell<Vec<NonNull<u64>>>; LAYOUTS]);

impl Shelf {
    #[inline]
    fn pop(&self, layout: usize) -> Option<NonNull<u64>> {
        // SAFETY: the list is one thread's, and nothing that is called here comes back to it: an allocator does not.
        let boxes = unsafe { &mut *self.0.get(layout)?.get() };
        if boxes.is_empty() {
            DEPOTS.get(layout)?.fetch(boxes);
        }
        boxes.pop()
    }

    /// Takes memory in, unless there is enough of it. Whoever gives it gives it away if this returns true.
    #[inline]
    fn push(&self, layout: usize, memory: NonNull<u64>) -> bool {
        let (Some(boxes), Some(depot)) = (self.0.get(layout), DEPOTS.get(layout)) else { return false };
        // SAFETY: as in `pop`.
        let boxes = unsafe { &mut *boxes.get() };
        if boxes.len() >= BOXES_MAX && !depot.leave(boxes) {
            return false;
        }
        boxes.push(memory);
        true
    }

    /// Gives all of it back to the allocator.
    fn clear(&self) {
        for (words, boxes) in self.0.iter().enumerate() {
            let Ok(layout) = Layout::from_size_align(words * ALIGN, ALIGN) else { continue };
            // SAFETY: as in `pop`.
            for memory in std::mem::take(unsafe { &mut *boxes.get() }) {
                // SAFETY: it was a box of this layout, and nobody else has it.
                unsafe { dealloc(memory.cast().as_ptr(), layout) };
            }
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Gives back what this thread, and threads for each other, keep for the messages to come, so that what is held can be told
/// from what is kept.
pub fn clear() {
    // A thread that ends has given it back.
    let _ = SHELF.try_with(|shelf| {
        shelf.clear();
        for (depot, boxes) in DEPOTS.iter().zip(&shelf.0) {
            while depot.has_some() {
                // SAFETY: as in `pop`.
                depot.fetch(unsafe { &mut *boxes.get() });
            }
        }
        shelf.clear();
    });
}

/// Returns which list keeps boxes of a layout.
#[inline]
const fn list_of(layout: Layout) -> Option<usize> {
    let fits = layout.align() == ALIGN && layout.size() > 0 && layout.size() <= SIZE_MAX;
    if fits { Some(layout.size() / ALIGN) } else { None }
}

/// Returns a box to write a value into, used or new.
#[inline]
pub(crate) fn take<T>() -> Box<MaybeUninit<T>> {
    let kept =
        const { list_of(Layout::new::<T>()) }.and_then(|list| SHELF.try_with(|shelf| shelf.pop(list)).ok().flatten());
    match kept {
        // SAFETY: it was a box of this layout, whose memory is nobody's now.
        Some(memory) => unsafe { Box::from_raw(memory.cast::<MaybeUninit<T>>().as_ptr()) },
        None => Box::new_uninit(),
    }
}

/// Drops a value and keeps its box.
#[inline]
pub(crate) fn put_away<T: ?Sized>(value: Box<T>) {
    let layout = Layout::for_value(&*value);
    let Some(list) = list_of(layout) else { return drop(value) };
    let value = Box::into_raw(value);
    // Before the value goes: it may panic as it does.
    let _room = Room { memory: value.cast(), layout, list };
    // SAFETY: it was a box, and nobody uses the value after this.
    unsafe { ptr::drop_in_place(value) };
}

/// The memory of a box whose value is about to go.
struct Room {
    memory: *mut u64,
    layout: Layout,
    list: usize,
}

impl Drop for Room {
    #[inline]
    fn drop(&mut self) {
        let Some(memory) = NonNull::new(self.memory) else { return };
        // A thread that ends has no shelf any more.
        if !SHELF.try_with(|shelf| shelf.push(self.list, memory)).unwrap_or(false) {
            // SAFETY: it was a box of this layout, and nobody has it.
            unsafe { dealloc(memory.cast().as_ptr(), self.layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::*;

    fn kept(size: usize) -> usize {
        // SAFETY: nobody else looks at it now.
        SHELF.with(|shelf| unsafe { (*shelf.0[size / ALIGN].get()).len() })
    }

    #[test]
    fn a_box_is_used_again_by_another_type_of_its_layout() {
        let first: Box<[u64; 3]> = Box::write(take(), [1, 2, 3]);
        let place = ptr::from_ref(&*first).addr();
        let first: Box<dyn Any> = first;
        put_away(first);
        assert_eq!(kept(24), 1);
        let other: Box<[u64; 4]> = Box::write(take(), [0; 4]);
        let second: Box<(u64, [i64; 2])> = Box::write(take(), (7, [8, 9]));
        assert_eq!((ptr::from_ref(&*second).addr(), kept(24)), (place, 0));
        assert_eq!((*second, *other), ((7, [8, 9]), [0; 4]));
    }

    /// Makes so many boxes and puts them away. Each test has a size of its own: the depots are of the process.
    fn put_away_many<const WORDS: usize>(count: usize) {
        let boxes: Vec<Box<[u64; WORDS]>> = (0..count).map(|_| Box::write(take(), [0; WORDS])).collect();
        boxes.into_iter().for_each(put_away);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        put_away_many::<5>(BOXES_MAX);
        assert_eq!(kept(40), BOXES_MAX);
        put_away_many::<6>(100_000);
        assert_eq!(kept(48), BOXES_MAX);
        put_away(Box::new([0_u64; SIZE_MAX / ALIGN + 1]));
        put_away(Box::new([0_u8; 16]));
        put_away(Box::new(()));
        assert_eq!(kept(16) + kept(0), 0, "neither too large, nor of another alignment, nor nothing at all");
    }

    #[test]
    fn what_one_thread_has_too_many_of_another_takes() {
        put_away_many::<7>(2 * BOXES_MAX);
        let (tell, told) = std::sync::mpsc::channel();
        let other = crate::task::spawn_thread("other", move || {
            let first: Box<[u64; 7]> = Box::write(take(), [0; 7]);
            let fetched = kept(56);
            put_away(first);
            clear();
            tell.send((fetched, kept(56))).unwrap();
        });
        other.unwrap().join().unwrap();
        assert_eq!(told.recv().unwrap(), (BOXES_MAX / 2 - 1, 0));
    }

    #[test]
    fn a_value_is_dropped_once_whatever_happens() {
        struct Bomb(Rc<()>);
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert_ne!(Rc::strong_count(&self.0), 3, "the bomb");
            }
        }
        let rc = Rc::new(());
        let bomb = Box::new((Bomb(Rc::clone(&rc)), Rc::clone(&rc)));
        assert!(catch_unwind(AssertUnwindSafe(|| put_away(bomb))).is_err());
        assert_eq!((Rc::strong_count(&rc), kept(16)), (1, 1));
    }
}
