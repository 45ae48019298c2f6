//! What a key costs that has no actor but is referred to, counted at the allocator.
#![allow(clippy::unwrap_used)]
// Counting bytes takes an allocator, and that is an unsafe trait; this one only counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System as SystemAllocator};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beluga_core::{BoxFuture, Result};
use beluga_runtime::{
    Activation, Activator, Actor, Address, Cx, FamilyOptions, Handler, Message, Silent, Spec, VirtualRef, protocol,
    testkit, time,
};

/// How many keys there are, and how many of them may be active.
const KEYS: usize = 5_000;
const ACTIVE: usize = 50;
/// The most bytes of a key without an actor, all included.
const KEY_MAX_BYTES: usize = 300;
/// What tables that grew may keep of their room, per key that is forgotten.
const FORGOTTEN_MAX_BYTES: usize = 8;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LIVE.try_with(|live| live.set(live.get().wrapping_add(layout.size())));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { SystemAllocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = LIVE.try_with(|live| live.set(live.get().wrapping_sub(layout.size())));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { SystemAllocator.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Asks for the key.
#[derive(Message)]
#[message(name = "leaf.name", reply = String)]
struct Name;

protocol!(LeafProtocol: Name);

struct Leaf {
    key: String,
    dropped: Arc<AtomicU64>,
}

impl Drop for Leaf {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Actor for Leaf {
    type Protocol = LeafProtocol;
    const KIND: &'static str = "leaf";
}

impl Handler<Name> for Leaf {
    async fn handle(&mut self, _: Name, _cx: &mut Cx<Self>) -> Result<String> {
        Ok(self.key.clone())
    }
}

struct Tree;

impl Actor for Tree {
    type Protocol = Silent;
    const KIND: &'static str = "tree";
}

struct Leaves {
    tree: Address,
    dropped: Arc<AtomicU64>,
}

impl Activator<LeafProtocol> for Leaves {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<LeafProtocol>>> {
        let (key, dropped) = (key.to_owned(), Arc::clone(&self.dropped));
        let spec = Spec::new(key.clone(), move || Leaf { key: key.clone(), dropped: Arc::clone(&dropped) });
        let supervisor = self.tree.clone();
        Box::pin(async move { Ok(Activation { supervisor, spec }) })
    }
}

#[test]
fn a_key_without_an_actor_costs_at_most_300_bytes_and_a_forgotten_one_nothing() {
    testkit::run(6, |system| async move {
        let tree = system.spawn("tree", || Tree).await.unwrap().address().unwrap();
        let dropped = Arc::new(AtomicU64::new(0));
        let leaves: Arc<dyn Activator<LeafProtocol>> = Arc::new(Leaves { tree, dropped: Arc::clone(&dropped) });
        let options = FamilyOptions { idle_after: Duration::from_secs(60), max_active: ACTIVE };
        let family = system.family("leaf", options);
        let key = |number: usize| format!("leaf-{number:012}");

        // What a system keeps of its first actors for the next ones is no key's.
        for number in 0..ACTIVE {
            let early = family.resolve(format!("early-{number}"), Arc::clone(&leaves));
            assert_eq!(early.ask(Name).await.unwrap(), format!("early-{number}"));
        }
        time::sleep(Duration::from_secs(61)).await;
        assert!(family.is_empty());
        dropped.store(0, Ordering::Relaxed);

        let mut refs: Vec<VirtualRef<LeafProtocol>> = Vec::with_capacity(KEYS);
        let before = LIVE.get();
        for number in 0..KEYS {
            let leaf = family.resolve(key(number), Arc::clone(&leaves));
            // Asked twice, so that the ref has met its actor and remembers what it remembers.
            for _ in 0..2 {
                assert_eq!(leaf.ask(Name).await.unwrap(), key(number));
            }
            refs.push(leaf);
        }
        assert_eq!(family.len(), ACTIVE);
        time::sleep(Duration::from_secs(61)).await;
        assert!(family.is_empty());
        assert_eq!(dropped.load(Ordering::Relaxed), KEYS as u64, "every value is dropped");

        let each = size_of::<VirtualRef<LeafProtocol>>() + LIVE.get().saturating_sub(before) / KEYS;
        println!("a key without an actor: {each} bytes");
        assert!(each <= KEY_MAX_BYTES, "{each} bytes");
        assert_eq!(refs[KEYS / 2].ask(Name).await.unwrap(), key(KEYS / 2), "it comes back");

        time::sleep(Duration::from_secs(61)).await;
        refs.clear();
        let left = LIVE.get().saturating_sub(before) / KEYS;
        assert!(left <= FORGOTTEN_MAX_BYTES, "{left} bytes per key are left");
        system.shutdown(Duration::from_secs(60)).await.unwrap();
    });
}
