//! What the threads of one runtime hold, in bytes, apart from whatever else runs in the process.
// Counting what is allocated takes an allocator, and that is an unsafe trait; this one only counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System as Heap};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// The bytes allocated and not freed by counted threads.
static HELD: AtomicIsize = AtomicIsize::new(0);

struct Counting;

fn count(bytes: isize) {
    if IS_COUNTED.try_with(Cell::get).unwrap_or(false) {
        HELD.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { Heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { Heap.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts this thread from now on.
pub(super) fn count_this_thread() {
    IS_COUNTED.set(true);
}

/// Returns what the counted threads hold.
pub(super) fn held_bytes() -> isize {
    HELD.load(Ordering::Relaxed)
}
