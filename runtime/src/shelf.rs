//! Boxes that a thread keeps for the next thing of the same layout.
//!
//! A message is one box and an ask is two, each alive for microseconds. An allocator has a handful of freed pieces of a size
//! at hand; a burst of messages frees hundreds at once, and pieces that another thread allocated cost it more still. Who is
//! done with such a box lays it on the shelf of its thread, and who needs one of the very same layout takes it from there.
//!
//! A thread keeps at most [`BOXES_MAX`] boxes of a layout, of those up to [`SIZE_MAX`] bytes, and gives them back when it
//! ends.
//!
//! Reason for unsafe: a box whose value is gone is memory, and no type of the standard library owns such of any layout.
#![allow(unsafe_code)]

use std::alloc::{Layout, dealloc};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

/// How many boxes of a layout a thread keeps: what a drain handles before it lets others run, twice.
const BOXES_MAX: usize = 256;

/// The largest box that is kept, in bytes.
const SIZE_MAX: usize = 192;

/// The alignment of what is kept; messages have hardly another.
const ALIGN: usize = align_of::<u64>();

const STACKS: usize = SIZE_MAX / ALIGN + 1;

thread_local! {
    static SHELF: Shelf = const { Shelf([const { Stack::new() }; STACKS]) };
}

/// The boxes of a thread, by their size in words.
struct Shelf([Stack; STACKS]);

/// Boxes of one layout.
///
/// A list of their places, and no chain through them: whoever takes one writes into memory that may be far from this
/// processor, and need not wait for what stands there.
struct Stack(UnsafeCell<Vec<NonNull<u64>>>);

impl Stack {
    const fn new() -> Self {
        Self(UnsafeCell::new(Vec::new()))
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<u64>> {
        // SAFETY: the stack is one thread's, and nothing that is called here comes back to it.
        unsafe { (*self.0.get()).pop() }
    }

    /// Takes memory in, unless there is enough of it. Whoever gives it gives it away if this returns true.
    #[inline]
    fn push(&self, memory: NonNull<u64>) -> bool {
        // SAFETY: as in `pop`; an allocator does not come back either.
        let stack = unsafe { &mut *self.0.get() };
        if stack.len() >= BOXES_MAX {
            return false;
        }
        stack.push(memory);
        true
    }
}

impl Shelf {
    fn clear(&self) {
        for (words, stack) in self.0.iter().enumerate() {
            let Ok(layout) = Layout::from_size_align(words * ALIGN, ALIGN) else { continue };
            while let Some(memory) = stack.pop() {
                // SAFETY: it was a box of this layout, and nobody else has it.
                unsafe { dealloc(memory.cast().as_ptr(), layout) };
            }
            // SAFETY: as in `pop`.
            unsafe { (*stack.0.get()).shrink_to_fit() };
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Gives back what this thread keeps for the messages to come, so that what is held can be told from what is kept.
pub fn clear() {
    // A thread that ends has given it back.
    let _ = SHELF.try_with(Shelf::clear);
}

/// Returns which stack keeps boxes of a layout.
#[inline]
const fn stack_of(layout: Layout) -> Option<usize> {
    let fits = layout.align() == ALIGN && layout.size() > 0 && layout.size() <= SIZE_MAX;
    if fits { Some(layout.size() / ALIGN) } else { None }
}

/// Returns a box to write a value into, used or new.
#[inline]
pub(crate) fn take<T>() -> Box<MaybeUninit<T>> {
    let kept = const { stack_of(Layout::new::<T>()) }
        .and_then(|stack| SHELF.try_with(|shelf| shelf.0.get(stack)?.pop()).ok().flatten());
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
    let Some(stack) = stack_of(layout) else { return drop(value) };
    let value = Box::into_raw(value);
    // Before the value goes: it may panic as it does.
    let _room = Room { memory: value.cast(), layout, stack };
    // SAFETY: it was a box, and nobody uses the value after this.
    unsafe { ptr::drop_in_place(value) };
}

/// The memory of a box whose value is about to go.
struct Room {
    memory: *mut u64,
    layout: Layout,
    stack: usize,
}

impl Drop for Room {
    #[inline]
    fn drop(&mut self) {
        let Some(memory) = NonNull::new(self.memory) else { return };
        let lay = |shelf: &Shelf| shelf.0.get(self.stack).is_some_and(|stack| stack.push(memory));
        // A thread that ends has no shelf any more.
        if !SHELF.try_with(lay).unwrap_or(false) {
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
        SHELF.with(|shelf| unsafe { (*shelf.0[size / ALIGN].0.get()).len() })
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

    #[test]
    fn what_is_kept_is_bounded() {
        let boxes: Vec<Box<[u64; 5]>> = (0..=BOXES_MAX).map(|_| Box::write(take(), [0; 5])).collect();
        boxes.into_iter().for_each(put_away);
        assert_eq!(kept(40), BOXES_MAX);
        put_away(Box::new([0_u64; SIZE_MAX / ALIGN + 1]));
        put_away(Box::new([0_u8; 16]));
        put_away(Box::new(()));
        assert_eq!(kept(16) + kept(0), 0, "neither too large, nor of another alignment, nor nothing at all");
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
