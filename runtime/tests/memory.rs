//! What streams hold: a million items through a slow reader take as much memory as the first thousand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
// Counting what is allocated takes an allocator, and that is an unsafe trait; this one only counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System as Heap};
use std::cell::Cell;
use std::time::Duration;

use beluga_core::{BoxStream, Result};
use beluga_runtime::stream::{Broadcast, FAN_OUT_BUFFER, Heard, buffered, fan_out, merge};
use beluga_runtime::{Actor, Cx, Message, STREAM_WINDOW, Sink, StreamHandler, System, protocol, task};
use futures_util::{StreamExt, stream};

thread_local! {
    /// The bytes this thread has allocated and not freed, and the most of them since they were last looked at.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
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

const ITEMS: u64 = 1_000_000;
/// What a slow reader reads at a time: fewer than any buffer holds.
const FEW: u64 = FAN_OUT_BUFFER as u64 / 2;
/// After so many items everything has the size it is going to have.
const WARM: u64 = 1_000;
/// What may be held on top of that: less than a byte for a thousand items.
const SLACK_BYTES: isize = 1_000;
/// What may be held in all: a few hundred items.
const HELD_MAX_BYTES: isize = 32 * 1024;
/// An item's size, so that a forgotten one shows.
const ITEM_BYTES: usize = 64;

type Item = [u8; ITEM_BYTES];

fn item(number: u64) -> Item {
    let mut item = [0; ITEM_BYTES];
    item[..8].copy_from_slice(&number.to_le_bytes());
    item
}

fn number(item: &Item) -> u64 {
    u64::from_le_bytes(item[..8].try_into().unwrap())
}

/// What is held over the time of a test.
struct Watch {
    before: isize,
    /// The most bytes held while everything grew to its size.
    warm: isize,
}

impl Watch {
    fn new() -> Self {
        let (before, _) = HELD.get();
        HELD.set((before, before));
        Self { before, warm: 0 }
    }

    /// Looks at the numbers once everything has its size.
    fn seen(&mut self, items: u64) {
        if items == WARM {
            let (now, most) = HELD.get();
            self.warm = most;
            HELD.set((now, now));
        }
    }

    fn is_flat(&self) {
        let (_, most) = HELD.get();
        assert!(self.warm > 0 && self.warm - self.before <= HELD_MAX_BYTES, "{} bytes", self.warm - self.before);
        assert!(most <= self.warm + SLACK_BYTES, "{most} bytes, {} after the start", self.warm);
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test);
}

#[derive(Message)]
#[message(name = "source.count", stream = Item)]
struct Count(u64);

protocol!(SourceProtocol: ; stream Count);

struct Source;

impl Actor for Source {
    type Protocol = SourceProtocol;
    const KIND: &'static str = "source";
}

impl StreamHandler<Count> for Source {
    async fn handle(&mut self, Count(items): Count, sink: Sink<Item>, _cx: &mut Cx<Self>) -> Result<()> {
        for number in 0..items {
            sink.send(item(number)).await?;
        }
        sink.finish();
        Ok(())
    }
}

fn numbers() -> BoxStream<'static, Result<Item>> {
    stream::iter((0..ITEMS).map(|number| Ok(item(number)))).boxed()
}

/// Reads a few items and then lets everybody else go as far as they can: the reader never waits, and whatever is before
/// it is full again and again.
async fn read_slowly(mut items: BoxStream<'static, Result<Item>>) {
    let mut watch = Watch::new();
    let mut seen = 0;
    while let Some(item) = items.next().await {
        assert_eq!(number(&item.unwrap()), seen);
        seen += 1;
        watch.seen(seen);
        if seen % FEW == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(seen, ITEMS);
    watch.is_flat();
}

#[test]
fn a_million_items_through_a_window_keep_memory_flat() {
    run(async {
        let system = System::builder("memory").build().unwrap();
        let source = system.spawn("source", || Source).await.unwrap();
        read_slowly(source.stream(Count(ITEMS)).window(STREAM_WINDOW).open().boxed()).await;
        system.shutdown(Duration::from_secs(5)).await.unwrap();
    });
}

#[test]
fn a_million_items_through_a_buffer_keep_memory_flat() {
    run(async { read_slowly(buffered(numbers(), STREAM_WINDOW).0.boxed()).await });
}

#[test]
fn a_million_items_through_a_merge_keep_memory_flat() {
    run(read_slowly(merge([numbers()])));
}

#[test]
fn a_million_items_through_a_fan_out_keep_memory_flat() {
    run(async {
        let mut readers = fan_out(numbers(), 3);
        let slow = readers.pop().unwrap();
        let fast: Vec<_> = readers
            .into_iter()
            .map(|reader| task::spawn("fast", reader.filter(|item| std::future::ready(item.is_ok())).count()))
            .collect();
        read_slowly(slow).await;
        for fast in fast {
            assert_eq!(fast.await.unwrap() as u64, ITEMS);
        }
    });
}

#[test]
fn a_million_items_through_a_broadcast_keep_memory_flat_whoever_lags() {
    run(async {
        let broadcast = Broadcast::new(STREAM_WINDOW);
        let mut lagging = broadcast.subscribe();
        let (_never_reads, fast) = (broadcast.subscribe(), broadcast.subscribe());
        let fast = task::spawn(
            "fast",
            fast.filter(|heard| std::future::ready(matches!(heard, Ok(Heard::Item { .. })))).count(),
        );
        let mut watch = Watch::new();
        let (mut received, mut missed) = (0, 0);
        for sent in 0..ITEMS {
            broadcast.send(item(sent)).unwrap();
            watch.seen(sent);
            if sent % FEW == 0 {
                tokio::task::yield_now().await;
            }
            if sent % 100 == 0 {
                match lagging.next().await.unwrap().unwrap() {
                    Heard::Item { item, number: place } => {
                        assert_eq!(number(&item) + 1, place);
                        received += 1;
                    }
                    Heard::Gap(gap) => missed += gap.missed,
                }
            }
        }
        watch.is_flat();
        broadcast.finish();
        while let Some(heard) = lagging.next().await {
            match heard.unwrap() {
                Heard::Item { .. } => received += 1,
                Heard::Gap(gap) => missed += gap.missed,
            }
        }
        assert!(received < ITEMS / 50 && received + missed == ITEMS, "{received} received, {missed} missed");
        assert_eq!(fast.await.unwrap() as u64, ITEMS, "the fast one missed nothing");
    });
}

#[test]
fn a_ring_is_as_large_whether_one_reads_or_a_thousand() {
    let held = |readers: usize| {
        let before = HELD.get().0;
        let broadcast = Broadcast::new(STREAM_WINDOW);
        let readers: Vec<_> = (0..readers).map(|_| broadcast.subscribe()).collect();
        let subscribed = HELD.get().0;
        for sent in 0..ITEMS / 1_000 {
            broadcast.send(item(sent)).unwrap();
        }
        let filled = HELD.get().0;
        drop((readers, broadcast));
        assert_eq!(HELD.get().0, before, "nothing is left");
        filled - subscribed
    };
    assert_eq!(held(1), held(1_000));
}
