use futures_util::{FutureExt, StreamExt};

use super::*;
use crate::service::testing::{Item, Script, fails, hang, items, weighs};

type Shared = SharedService<(), Item>;

fn requests(per_minute: u32) -> RateLimitConfig {
    RateLimitConfig { requests_per_minute: Some(per_minute), ..RateLimitConfig::default() }
}

fn tokens(per_minute: u64) -> RateLimitConfig {
    RateLimitConfig { tokens_per_minute: Some(per_minute), ..RateLimitConfig::default() }
}

async fn call(service: &Shared) -> Result<()> {
    call_in(service, CallContext::new()).await
}

async fn call_in(service: &Shared, context: CallContext) -> Result<()> {
    let mut stream = service.call((), context);
    while let Some(item) = stream.next().await {
        item?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_minutes_worth_passes_at_once_and_the_rest_evenly_in_order() {
    let service = rate_limit(Script::repeat(|| items([1])).service(), RateLimiter::new(requests(60)));
    let started = time::now();
    let calls = (0..63).map(|_| async {
        call(&service).await.unwrap();
        (time::now() - started).as_secs()
    });
    let ended = futures_util::future::join_all(calls).await;
    assert!(ended[..60].iter().all(|second| *second == 0));
    assert_eq!(ended[60..], [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_wait_past_its_deadline_is_refused_at_once() {
    let service = rate_limit(Script::repeat(|| items([1])).service(), RateLimiter::new(requests(1)));
    call(&service).await.unwrap();
    let context = CallContext::new().with_timeout(time::now(), Duration::from_secs(10));
    let started = time::now();
    let error = call_in(&service, context).await.unwrap_err();
    assert_eq!((error.code(), error.retry()), (Code::RateLimit, Retry::After(Duration::from_secs(60))));
    assert_eq!(time::now(), started);
    call(&service).await.unwrap();
    assert_eq!(time::now() - started, Duration::from_secs(60), "the refused call took no place");
}

#[tokio::test(start_paused = true)]
async fn waiters_are_bounded_and_a_waiter_that_leaves_gives_its_place_back() {
    let limiter = RateLimiter::new(RateLimitConfig { waiting_max: 1, ..requests(1) });
    let service = rate_limit(Script::repeat(|| items([1])).service(), Arc::clone(&limiter));
    call(&service).await.unwrap();
    let context = CallContext::new();
    let mut waiting = service.call((), context.clone());
    assert!(waiting.next().now_or_never().is_none());
    assert_eq!(limiter.waiting(), 1);
    assert_eq!(call(&service).await.unwrap_err().code(), Code::RateLimit);
    context.cancel_token().cancel();
    assert!(waiting.next().await.unwrap().unwrap_err().is_cancelled());
    assert_eq!(limiter.waiting(), 0);
    let started = time::now();
    call(&service).await.unwrap();
    assert_eq!(time::now() - started, Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_takes_nothing() {
    let limiter = RateLimiter::new(requests(60));
    let service = rate_limit(Script::repeat(|| items([1])).service(), Arc::clone(&limiter));
    for _ in 0..60 {
        call(&service).await.unwrap();
    }
    for _ in 0..30 {
        assert!(service.call((), CallContext::new()).next().now_or_never().is_none());
    }
    let started = time::now();
    call(&service).await.unwrap();
    assert_eq!((time::now() - started, limiter.waiting()), (Duration::from_secs(1), 0));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_settled_by_what_was_really_used() {
    let service = rate_limit(Script::repeat(|| weighs(600)).service(), RateLimiter::new(tokens(1_000)));
    let started = time::now();
    call(&service).await.unwrap();
    call(&service).await.unwrap();
    assert_eq!(time::now(), started, "there was something left when the second came");
    call(&service).await.unwrap();
    assert_eq!((time::now() - started).as_secs(), 12, "a debt of 200 at 1,000 per minute");
}

#[tokio::test(start_paused = true)]
async fn a_call_heavier_than_the_limit_passes_and_delays_the_next() {
    let config = RateLimitConfig { wait_max: Duration::from_secs(600), ..tokens(1_000) };
    let service = rate_limit(Script::repeat(|| weighs(5_000)).service(), RateLimiter::new(config));
    let started = time::now();
    call(&service).await.unwrap();
    call(&service).await.unwrap();
    assert_eq!((time::now() - started).as_secs(), 240);
}

#[tokio::test(start_paused = true)]
async fn a_rush_is_held_back_by_the_estimate_before_any_call_has_told_its_weight() {
    let script = Script::repeat(hang);
    let service = rate_limit(script.service(), RateLimiter::new(tokens(1_000)));
    let mut streams: Vec<_> = (0..15).map(|_| service.call((), CallContext::new())).collect();
    for stream in &mut streams {
        assert!(stream.next().now_or_never().is_none());
    }
    assert_eq!(script.live(), 10, "a tenth of the limit each");
    let refunded = RateLimiter::new(tokens(1_000));
    let service = rate_limit(Script::repeat(|| fails(Error::timeout("late"))).service(), refunded);
    for _ in 0..50 {
        assert_eq!(call(&service).await.unwrap_err().code(), Code::Timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendors_429_pauses_everybody_including_those_who_wait_already() {
    let limited = Error::new(Code::RateLimit, "429").with_retry(Retry::After(Duration::from_secs(20)));
    let script = Script::new(vec![items([1]), fails(limited), items([1]), items([1])]);
    let service = rate_limit(script.service(), RateLimiter::new(requests(2)));
    let started = time::now();
    call(&service).await.unwrap();
    call(&service).await.unwrap_err();
    time::sleep(Duration::from_secs(15)).await;
    call(&service).await.unwrap();
    assert_eq!((time::now() - started).as_secs(), 30, "the bucket asked for more than the pause");
    let late_refusal = futures_util::stream::once(async {
        time::sleep(Duration::from_secs(1)).await;
        Err(Error::new(Code::RateLimit, "429").with_retry(Retry::After(Duration::from_secs(40))))
    });
    let script = Script::new(vec![items([1]), late_refusal.boxed(), items([1])]);
    let service = rate_limit(script.service(), RateLimiter::new(requests(2)));
    let started = time::now();
    call(&service).await.unwrap();
    let (refused, waited) = tokio::join!(call(&service), call(&service));
    refused.unwrap_err();
    waited.unwrap();
    assert_eq!((time::now() - started).as_secs(), 41, "the pause was longer than the wait it met");
}

#[tokio::test(start_paused = true)]
async fn one_tenants_rush_leaves_the_others_alone() {
    let limits = TenantLimits::new(RateLimitConfig { waiting_max: 3, ..requests(5) });
    let service = tenant_rate_limit(Script::repeat(|| items([1])).service(), limits);
    let of = |name: &str| CallContext::new().with_tenant(beluga_core::TenantId::parse(name).unwrap());
    let started = time::now();
    let mut rush: Vec<_> = (0..10).map(|_| service.call((), of("loud"))).collect();
    let mut outcomes: Vec<_> = rush.iter_mut().map(|stream| stream.next().now_or_never()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_none()).count(), 3);
    assert_eq!(outcomes.iter_mut().filter(|outcome| matches!(outcome, Some(Some(Err(_))))).count(), 2);
    for _ in 0..5 {
        call_in(&service, of("quiet")).await.unwrap();
    }
    assert_eq!(time::now(), started);
}

#[tokio::test(start_paused = true)]
async fn untouched_tenants_make_room_and_busy_ones_do_not() {
    let limits = TenantLimits::with_bound(requests(60), 2);
    let service = tenant_rate_limit(Script::repeat(|| items([1])).service(), Arc::clone(&limits));
    let of = |name: &str| CallContext::new().with_tenant(beluga_core::TenantId::parse(name).unwrap());
    call_in(&service, of("a")).await.unwrap();
    call_in(&service, of("b")).await.unwrap();
    assert_eq!(call_in(&service, of("c")).await.unwrap_err().code(), Code::Overloaded);
    time::sleep(Duration::from_secs(1)).await;
    call_in(&service, of("c")).await.unwrap();
    assert_eq!(limits.tenants(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_tenant_has_the_limits_of_its_tier() {
    let now = |per_minute| RateLimitConfig { wait_max: Duration::ZERO, ..requests(per_minute) };
    let tiers = [("gold".to_owned(), now(3)), ("free".to_owned(), RateLimitConfig::default())].into();
    let limits = TenantLimits::tiered(now(1), tiers);
    let service = tenant_rate_limit(Script::repeat(|| items([1])).service(), Arc::clone(&limits));
    let of = |name: &str| CallContext::new().with_tenant(beluga_core::TenantId::parse(name).unwrap());
    for (name, tier, allowed) in [("a", Some("gold"), 3), ("b", Some("gold"), 3), ("c", None, 1), ("d", Some("odd"), 1)]
    {
        let context = tier.map_or_else(|| of(name), |tier| of(name).with_tier(tier));
        for _ in 0..allowed {
            call_in(&service, context.clone()).await.unwrap();
        }
        assert_eq!(call_in(&service, context).await.unwrap_err().code(), Code::RateLimit, "{name}");
    }
    for _ in 0..100 {
        call_in(&service, of("e").with_tier("free")).await.unwrap();
    }
    assert_eq!(limits.tenants(), 4, "who has no limits is not remembered");
    call_in(&service, of("c").with_tier("gold")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_known_to_be_heavy_takes_its_weight_before_it_is_made() {
    for (weigh, at_once) in [(false, 10), (true, 2)] {
        let config = RateLimitConfig { tokens_per_minute: Some(1_000), ..RateLimitConfig::default() };
        let script = Script::repeat(hang);
        let weigh: Option<crate::service::Weigh<()>> = weigh.then(|| Arc::new(|(): &()| 900_u64) as _);
        let service = crate::service::gate::weighed(script.service(), RateLimiter::new(config), weigh);
        let mut calls: Vec<_> = (0..20).map(|_| service.call((), CallContext::new())).collect();
        for call in &mut calls {
            // Those in the debt wait, or are refused because they would for too long.
            let _ = futures_util::poll!(call.next());
        }
        assert_eq!(script.calls(), at_once, "until the bucket is in debt");
    }
}
