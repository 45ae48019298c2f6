//! What the layers of a call cost in allocations: at most one each, none where a layer has nothing to do.
#![allow(clippy::unwrap_used)]
// Counting allocations takes an allocator, and that is an unsafe trait; this one only counts and passes on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxStream, CallContext, Result};
use beluga_runtime::service::{
    Admission, Concurrency, Content, Named, Observe, RateLimitConfig, RateLimiter, RetryConfig, SharedService,
    TenantLimits, TimeoutConfig, admission, breaker, concurrency, deadline, fallback, log, rate_limit, retry,
    service_fn, tenant_rate_limit, timeout, trace,
};
use beluga_runtime::telemetry::{Hop, HopKind, Identity};
use beluga_runtime::{Breaker, BreakerConfig, SystemRandom, hop};
use futures_util::{StreamExt, stream};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Item;

impl Content for Item {}

type Layered = SharedService<(), Item>;

struct Silent;

impl Observe<(), Item> for Silent {
    fn open(&self, (): &(), context: CallContext, identity: Identity) -> (CallContext, Hop) {
        hop!(context, identity, HopKind::Internal, "call")
    }
}

fn provider() -> Layered {
    service_fn(|(), _| -> BoxStream<'static, Result<Item>> { stream::iter([Ok(Item), Ok(Item)]).boxed() })
}

async fn cost(service: &Layered) -> usize {
    let context = CallContext::new();
    for _ in 0..2 {
        // The first call fills tables that stay.
        ALLOCATIONS.set(0);
        let mut stream = service.call((), context.clone());
        while let Some(item) = stream.next().await {
            item.unwrap();
        }
    }
    ALLOCATIONS.get()
}

#[tokio::test(start_paused = true)]
async fn each_layer_costs_at_most_one_allocation_per_call() {
    let base = cost(&provider()).await;
    let random = SystemRandom::seeded(1);
    let limits =
        RateLimitConfig { requests_per_minute: Some(1_000), tokens_per_minute: Some(1_000_000), ..Default::default() };
    let layers: [(&str, Layered, usize); 11] = [
        ("admission", admission(provider(), Admission::new(8)), 1),
        ("breaker", breaker(provider(), Breaker::new("test", BreakerConfig::default())), 1),
        ("concurrency", concurrency(provider(), Concurrency::new(8, 8)), 1),
        ("rate limit", rate_limit(provider(), RateLimiter::new(limits)), 1),
        ("tenant limit", tenant_rate_limit(provider(), TenantLimits::new(limits)), 1),
        ("deadline", deadline(provider(), None), 1),
        ("time-out", timeout(provider(), TimeoutConfig::default()), 1),
        ("retry", retry(provider(), RetryConfig::default(), random.clone()), 1),
        ("fallback", fallback(Named::new("a", provider()), vec![Named::new("b", provider())]), 1),
        ("log", log(provider(), "call"), 1),
        ("trace, unsampled", trace(provider(), Arc::new(Silent), random), 0),
    ];
    for (name, service, allowed) in layers {
        assert_eq!(cost(&service).await, base + allowed, "{name}");
    }
    let total = deadline(provider(), Some(Duration::from_secs(60)));
    assert_eq!(cost(&total).await, base + 2, "a deadline of its own is a new context");
}
