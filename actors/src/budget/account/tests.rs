use beluga_runtime::SystemRandom;

use super::*;

fn tokens(tokens: u64) -> Spend {
    Spend { requests: 1, tokens, ..Spend::ZERO }
}

fn account(level: Level, limit: u64, above: Option<&Arc<Account>>) -> Arc<Account> {
    let limits = SpendLimits { tokens: Some(limit), ..SpendLimits::NONE };
    let above = above.map(|above| Arc::clone(above) as Arc<dyn Budget>);
    Arc::new(Account::new(level, level.to_string(), limits, None, above))
}

#[test]
fn a_refused_amount_is_taken_nowhere() {
    let node = account(Level::Node, 100, None);
    let tenant = account(Level::Tenant, 1_000, Some(&node));
    let run = account(Level::Run, 60, Some(&tenant));
    run.reserve(tokens(50)).unwrap();
    let error = run.reserve(tokens(11)).unwrap_err();
    let keys = ["budget", "limited", "limit", "spent", "reserved", "wanted"].map(|key| error.get(key).unwrap());
    assert_eq!((error.code(), keys), (Code::BudgetExhausted, ["run", "tokens", "60", "0", "50", "11"]));
    tenant.reserve(tokens(50)).unwrap();
    assert_eq!(run.reserve(tokens(1)).unwrap_err().get("budget"), Some("node"));
    let reserved = [&run, &tenant, &node].map(|account| account.status().reserved.tokens);
    assert_eq!(reserved, [50, 100, 100]);
}

#[test]
fn a_reservation_is_settled_by_what_was_used() {
    let node = account(Level::Node, 100, None);
    let run = account(Level::Run, 100, Some(&node));
    let reserved = run.reserve(tokens(80)).unwrap();
    run.settle(reserved, tokens(30));
    let status = node.status();
    assert_eq!((status.spent.tokens, status.reserved.tokens, status.over.tokens), (30, 0, 0));
    let reserved = run.reserve(tokens(70)).unwrap();
    run.settle(reserved, tokens(90));
    let status = run.status();
    assert_eq!((status.spent.tokens, status.over.tokens), (120, 20), "used minus reserved, and no more");
    assert!(run.reserve(tokens(1)).is_err());
}

#[test]
fn a_call_gets_the_time_that_is_left() {
    let limits = SpendLimits { time_ms: Some(1_000), ..SpendLimits::NONE };
    let run = Account::new(Level::Run, "run", limits, None, None);
    let want = Spend { time_ms: 600, ..Spend::ZERO };
    assert_eq!(run.reserve(want).unwrap().time_ms, 600);
    assert_eq!(run.reserve(want).unwrap().time_ms, 400);
    assert_eq!(run.reserve(want).unwrap_err().get("limited"), Some("time_ms"));
    run.settle(Spend { time_ms: 400, ..Spend::ZERO }, Spend { time_ms: 100, ..Spend::ZERO });
    assert_eq!(run.reserve(want).unwrap().time_ms, 300);
}

#[tokio::test(start_paused = true)]
async fn a_window_begins_anew_on_time_and_keeps_its_rhythm() {
    let limits = SpendLimits { tokens: Some(10), ..SpendLimits::NONE };
    let tenant = Account::new(Level::Tenant, "acme", limits, Some(Duration::from_secs(60)), None);
    let reserved = tenant.reserve(tokens(10)).unwrap();
    tenant.settle(reserved, tokens(10));
    time::sleep(Duration::from_secs(59)).await;
    assert!(tenant.reserve(tokens(1)).is_err());
    time::sleep(Duration::from_secs(100)).await;
    let late = tenant.reserve(tokens(10)).unwrap();
    assert_eq!(tenant.status().resets_in_ms, Some(21_000), "159 s are two windows and 39 s");
    time::sleep(Duration::from_secs(21)).await;
    assert!(tenant.reserve(tokens(1)).is_err(), "a call that runs into the next window holds its place there");
    tenant.settle(late, tokens(4));
    assert_eq!(tenant.status().spent.tokens, 4);
}

/// Whatever happens in whatever order on however many threads, no account is ever above its limit by more than its calls
/// used beyond their reservations.
#[test]
fn spent_and_reserved_stay_within_the_limit_on_eight_threads() {
    let node = account(Level::Node, 5_000, None);
    let tenants = [account(Level::Tenant, 3_000, Some(&node)), account(Level::Tenant, 4_000, Some(&node))];
    let over: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8_u64)
            .map(|seed| {
                let (node, tenant) = (&node, &tenants[usize::try_from(seed % 2).unwrap()]);
                scope.spawn(move || {
                    let (random, mut over) = (SystemRandom::seeded(seed), 0);
                    let run = account(Level::Run, 2_000, Some(tenant));
                    for _ in 0..2_000 {
                        let want = tokens(1 + random.below(40));
                        let Ok(reserved) = run.reserve(want) else { continue };
                        for account in [&run, tenant, node] {
                            let status = account.status();
                            let taken = status.spent.plus(status.reserved).tokens;
                            assert!(taken <= status.limits.tokens.unwrap() + status.over.tokens, "{status:?}");
                        }
                        let used = tokens(random.below(want.tokens + 3));
                        over += used.tokens.saturating_sub(reserved.tokens);
                        run.settle(reserved, used);
                    }
                    over
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let status = node.status();
    assert_eq!((status.reserved, status.over.tokens), (Spend::ZERO, over));
    assert!(status.spent.tokens <= 5_000 + over && status.spent.tokens > 4_900, "{status:?}");
}
