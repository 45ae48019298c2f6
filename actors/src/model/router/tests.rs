use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use beluga_core::{
    CallContext, ChatMessage, ChatModel, Code, Error, GenerateOptions, Media, MediaSource, ModelChunk, ModelInfo,
    ModelRequest, Part, Price, ResponseFormat, Result, Role,
};
use beluga_runtime::{SystemRandom, testkit, time};
use futures_util::StreamExt;
use parking_lot::Mutex;

use super::*;
use crate::model::{ModelPolicy, Models};
use crate::testkit::{Answer, FunctionModel};

/// What the models of a test were asked, by name.
type Asked = Arc<Mutex<Vec<&'static str>>>;

/// A model that notes its name and answers it after a time.
fn timed(name: &'static str, asked: &Asked, wait: impl Fn() -> Duration + Send + Sync + 'static) -> FunctionModel {
    let asked = Arc::clone(asked);
    FunctionModel::new(move |_| {
        asked.lock().push(name);
        Answer::text(name).after(wait())
    })
}

fn named(name: &'static str, asked: &Asked) -> FunctionModel {
    timed(name, asked, || Duration::ZERO)
}

fn failing(name: &'static str, asked: &Asked, error: fn() -> Error) -> FunctionModel {
    let asked = Arc::clone(asked);
    FunctionModel::new(move |_| {
        asked.lock().push(name);
        Answer::error(error())
    })
}

fn down() -> Error {
    Error::provider_unavailable("down")
}

fn router(strategy: impl RouterStrategy, routes: Vec<Route>) -> Router {
    Router::new(routes, RouterSettings { strategy: Arc::new(strategy), ..RouterSettings::default() }).unwrap()
}

async fn ask(model: &impl ChatModel) -> Result<String> {
    let answer = model.generate(Arc::default(), CallContext::new()).await?;
    Ok(answer.message.text())
}

fn take(asked: &Asked) -> Vec<&'static str> {
    std::mem::take(&mut *asked.lock())
}

#[tokio::test(start_paused = true)]
async fn round_robin_gives_each_route_its_turn() {
    let asked = Asked::default();
    let routes = ["a", "b", "c"].map(|name| Route::new(name, named(name, &asked)));
    let router = router(RoundRobin::default(), routes.into());
    for _ in 0..6 {
        ask(&router).await.unwrap();
    }
    assert_eq!(take(&asked), ["a", "b", "c", "a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_failover_chain_goes_on_to_the_next_and_names_who_failed() {
    let asked = Asked::default();
    let route = |name| Route::new(name, failing(name, &asked, down));
    let chain = router(Failover, vec![route("a"), route("b"), Route::new("c", named("c", &asked))]);
    assert_eq!(ask(&chain).await.unwrap(), "c");
    assert_eq!(take(&asked), ["a", "b", "c"]);
    let error = ask(&router(Failover, vec![route("a"), route("b")])).await.unwrap_err();
    assert_eq!((error.code(), error.get("fell_back_from")), (Code::ProviderUnavailable, Some("a")));
    take(&asked);
    let wrong = Route::new("wrong", failing("wrong", &asked, || Error::invalid_input("bad")));
    let error = ask(&router(Failover, vec![wrong, route("b")])).await.unwrap_err();
    assert_eq!((error.code(), take(&asked)), (Code::InvalidInput, vec!["wrong"]));
}

#[tokio::test(start_paused = true)]
async fn a_route_that_cannot_do_it_is_not_asked() {
    let asked = Asked::default();
    let plain = Abilities { tools: Some(false), vision: Some(false), json: Some(false), context_tokens: Some(1_000) };
    let routes = || {
        vec![
            Route::new("plain", named("plain", &asked)).with_abilities(plain),
            Route::new("json", named("json", &asked)).with_abilities(Abilities { json: Some(true), ..plain }),
            Route::new("all", named("all", &asked))
                .with_abilities(Abilities { context_tokens: Some(2_000), ..Abilities::default() }),
        ]
    };
    let router = router(Failover, routes());
    let options = GenerateOptions { max_tokens: Some(100), ..GenerateOptions::default() };
    let request = |messages: Vec<ChatMessage>, options: &GenerateOptions| ModelRequest {
        messages: messages.into_iter().map(Arc::new).collect(),
        options: options.clone(),
        ..ModelRequest::default()
    };
    let picture = Media {
        source: MediaSource::Url("https://x/y.png".into()),
        mime: String::new(),
        name: None,
        detail: None,
        notes: None,
    };
    let sees = ChatMessage::new(Role::User, vec![Part::Image(picture)]);
    let format = GenerateOptions { format: Some(ResponseFormat::JsonObject), ..options.clone() };
    let long = |words: usize| vec![ChatMessage::user("word ".repeat(words))];
    let cases = [
        (request(long(1), &options), Ok("plain")),
        (request(long(1), &format), Ok("json")),
        (request(long(950), &options), Ok("all")),
        (request(vec![sees], &GenerateOptions { max_tokens: Some(10), ..options.clone() }), Ok("all")),
        (request(long(1_950), &options), Err(Code::ContextLength)),
    ];
    for (request, expected) in cases {
        let answer = router.generate(Arc::new(request), CallContext::new()).await;
        let text = answer.map(|answer| answer.message.text()).map_err(|error| error.code());
        assert_eq!(text.as_deref().map_err(|code| *code), expected);
    }
    let none = Router::new(routes().into_iter().take(2).collect(), RouterSettings::default()).unwrap();
    let sees = request(
        vec![ChatMessage::new(
            Role::User,
            vec![Part::Image(Media {
                source: MediaSource::Base64("".into()),
                mime: String::new(),
                name: None,
                detail: None,
                notes: None,
            })],
        )],
        &GenerateOptions { max_tokens: Some(10), ..options },
    );
    let error = none.generate(Arc::new(sees), CallContext::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.get("lacking").unwrap().contains("vision"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_cheapest_comes_first_for_this_call_and_unknown_prices_last() {
    let asked = Asked::default();
    let price = |input, output| Price { input, output, ..Price::FREE };
    let routes = vec![
        Route::new("unknown", named("unknown", &asked)),
        Route::new("talks", failing("talks", &asked, down)).with_price(price(10, 1_000)),
        Route::new("reads", failing("reads", &asked, down)).with_price(price(1_000, 10)),
    ];
    let router = router(Cheapest, routes);
    let answer_of = |max_tokens, words: usize| {
        let options = GenerateOptions { max_tokens: Some(max_tokens), ..GenerateOptions::default() };
        let messages = vec![Arc::new(ChatMessage::user("word ".repeat(words)))];
        router.generate(Arc::new(ModelRequest { messages, options, ..ModelRequest::default() }), CallContext::new())
    };
    answer_of(10_000, 1).await.unwrap();
    assert_eq!(take(&asked), ["reads", "talks", "unknown"]);
    answer_of(1, 10_000).await.unwrap();
    assert_eq!(take(&asked), ["talks", "reads", "unknown"]);
}

#[tokio::test(start_paused = true)]
async fn the_least_capable_that_suffices_comes_first() {
    let asked = Asked::default();
    let able = |json, context_tokens| Abilities {
        json: Some(json),
        context_tokens: Some(context_tokens),
        ..Abilities::default()
    };
    let routes = vec![
        Route::new("large", named("large", &asked)).with_abilities(able(true, 1_000_000)),
        Route::new("wide", named("wide", &asked)).with_abilities(able(false, 200_000)),
        Route::new("small", named("small", &asked)).with_abilities(able(false, 8_000)),
    ];
    let router = router(LeastCapable, routes);
    assert_eq!(ask(&router).await.unwrap(), "small");
    let options = GenerateOptions { format: Some(ResponseFormat::JsonObject), ..GenerateOptions::default() };
    let request = ModelRequest { options, ..ModelRequest::default() };
    assert_eq!(router.generate(Arc::new(request), CallContext::new()).await.unwrap().message.text(), "large");
}

#[tokio::test(start_paused = true)]
async fn the_quickest_comes_first_and_a_slow_one_is_tried_again() {
    let asked = Asked::default();
    let slow_ms = Arc::new(AtomicUsize::new(800));
    let wait = {
        let slow_ms = Arc::clone(&slow_ms);
        move || Duration::from_millis(u64::try_from(slow_ms.load(Ordering::SeqCst)).unwrap())
    };
    let routes = vec![
        Route::new("slow", timed("slow", &asked, wait)),
        Route::new("quick", timed("quick", &asked, || Duration::from_millis(200))),
        Route::new("down", failing("down", &asked, down)),
    ];
    let strategy = Arc::new(LowestLatency::default());
    let settings = RouterSettings { strategy: Arc::clone(&strategy) as _, ..RouterSettings::default() };
    let router = Router::new(routes, settings).unwrap();
    for _ in 0..4 {
        ask(&router).await.unwrap();
    }
    assert_eq!(take(&asked), ["slow", "quick", "down", "quick", "quick"], "each is tried once, the quickest stays");
    assert!(strategy.mean(2).unwrap() >= Duration::from_secs(29), "a failure is worse than any answer");
    slow_ms.store(50, Ordering::SeqCst);
    let mut calls = 0;
    while ask(&router).await.unwrap() != "slow" {
        time::sleep(Duration::from_secs(5)).await;
        calls += 1;
        assert!(calls < 100, "it is tried again");
    }
    take(&asked);
    for _ in 0..3 {
        ask(&router).await.unwrap();
    }
    assert!(take(&asked).contains(&"slow"), "and kept, now that it is quick");
}

/// Returns how often each route was asked first in 500 calls.
async fn learned(router: &Router, asked: &Asked) -> [usize; 3] {
    let mut first = [0; 3];
    for _ in 0..500 {
        let _ = ask(router).await;
        let place = match take(asked).first() {
            Some(&"a") => 0,
            Some(&"b") => 1,
            _ => 2,
        };
        first[place] += 1;
    }
    first
}

/// Routes that work with a chance each, in a learned order.
fn bandit(seed: u64, chances: &Arc<Mutex<[f64; 3]>>, asked: &Asked) -> Router {
    let random = SystemRandom::seeded(seed);
    let routes = ["a", "b", "c"].into_iter().enumerate().map(|(place, name)| {
        let (chances, asked, random) = (Arc::clone(chances), Arc::clone(asked), random.fork());
        let model = FunctionModel::new(move |_| {
            asked.lock().push(name);
            let works = random.unit() < chances.lock()[place];
            if works { Answer::text(name) } else { Answer::error(down()) }
        });
        Route::new(name, model).with_price(Price::FREE)
    });
    router(Learned::new(LearnedSettings::default(), random.fork()), routes.collect())
}

#[tokio::test(start_paused = true)]
async fn a_learned_order_finds_the_best_route_notices_a_change_and_repeats_with_its_seed() {
    let run = async |seed| {
        let (asked, chances) = (Asked::default(), Arc::new(Mutex::new([0.3, 0.9, 0.5])));
        let router = bandit(seed, &chances, &asked);
        let before = learned(&router, &asked).await;
        *chances.lock() = [0.9, 0.2, 0.5];
        let after = learned(&router, &asked).await;
        (before, after)
    };
    for seed in 0..5 {
        let (before, after) = run(seed).await;
        assert!(before[1] > 300, "seed {seed}: {before:?}");
        assert!(after[0] > 250, "seed {seed}: {after:?}");
    }
    assert_eq!(run(3).await, run(3).await);
    assert_ne!(run(3).await, run(4).await);
}

#[test]
fn a_reward_is_for_answers_that_are_soon_and_cheap() {
    let settings = LearnedSettings::default();
    let error = down();
    let reward = |outcome, millis, cost_micro_usd| {
        let time = Duration::from_millis(millis);
        settings.reward(&RouteReport {
            place: 0,
            routes: &[],
            outcome,
            first_content: Some(time),
            took: time,
            cost_micro_usd,
        })
    };
    assert_eq!(reward(Outcome::Answered, 0, Some(0)), Some(1.0));
    let half = reward(Outcome::Answered, 2_000, Some(10_000)).unwrap();
    assert!((half - 0.75).abs() < 1e-9, "half of each weight: {half}");
    assert!(
        reward(Outcome::Answered, 0, None) < reward(Outcome::Answered, 0, Some(1)),
        "an unknown cost earns nothing"
    );
    assert_eq!(reward(Outcome::Failed(&error), 0, None), Some(0.0));
    let callers = Error::invalid_input("bad");
    assert_eq!((reward(Outcome::Failed(&callers), 0, None), reward(Outcome::Left, 0, None)), (None, None));
}

/// A model that counts its streams in being; each hangs, or gives one piece and hangs.
fn hanging(live: &Arc<AtomicUsize>, piece: Option<&'static str>) -> FunctionModel {
    struct Live(Arc<AtomicUsize>);
    impl Drop for Live {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let live = Arc::clone(live);
    FunctionModel::streaming(move |_, _| {
        live.fetch_add(1, Ordering::SeqCst);
        let guard = Live(Arc::clone(&live));
        let piece = piece.map(|text| Ok(ModelChunk::Text { text: text.into() }));
        futures_util::stream::iter(piece)
            .chain(futures_util::stream::pending())
            .map(move |chunk| {
                let _ = &guard;
                chunk
            })
            .boxed()
    })
}

#[test]
fn a_hedge_ends_the_slower_one_down_to_its_provider_and_asks_one_extra_at_most() {
    testkit::run(7, |system| async move {
        let (models, asked, live) = (Models::start(&system).await?, Asked::default(), Arc::new(AtomicUsize::new(0)));
        let slow = models.spawn("slow", Arc::new(hanging(&live, None)), ModelPolicy::default()).await?;
        let second = models.spawn("second", Arc::new(named("second", &asked)), ModelPolicy::default()).await?;
        let third = models.spawn("third", Arc::new(named("third", &asked)), ModelPolicy::default()).await?;
        let routes = vec![Route::new("slow", slow), Route::new("second", second), Route::new("third", third)];
        let settings = RouterSettings { hedge_after: Some(Duration::from_secs(2)), ..RouterSettings::default() };
        let router = Router::new(routes, settings)?;
        let router = models.spawn("router", Arc::new(router), ModelPolicy::router()).await?;
        let began = time::now();
        let mut stream = router.stream(Arc::default(), CallContext::new());
        time::timeout(Duration::from_secs(1), stream.next()).await.unwrap_err();
        assert_eq!(live.load(Ordering::SeqCst), 1);
        let texts: Vec<_> = stream
            .filter_map(async |chunk| match chunk.unwrap() {
                ModelChunk::Text { text } => Some(text),
                _ => None,
            })
            .collect()
            .await;
        assert_eq!((texts, time::now() - began), (vec!["second".to_owned()], Duration::from_secs(2)));
        time::sleep(Duration::from_millis(1)).await;
        assert_eq!((live.load(Ordering::SeqCst), take(&asked)), (0, vec!["second"]));
        system.shutdown(Duration::from_secs(1)).await?;
        Ok::<(), Error>(())
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_the_first_content_nothing_is_switched() {
    let (asked, live) = (Asked::default(), Arc::new(AtomicUsize::new(0)));
    let half = FunctionModel::new(|_| Answer::text("half").then_error(down()));
    let routes = vec![Route::new("half", half), Route::new("other", named("other", &asked))];
    let settings = RouterSettings { hedge_after: Some(Duration::from_secs(1)), ..RouterSettings::default() };
    let error = ask(&Router::new(routes, settings.clone()).unwrap()).await.unwrap_err();
    assert_eq!((error.code(), take(&asked).len()), (Code::ProviderUnavailable, 0));
    let routes = vec![Route::new("begins", hanging(&live, Some("well"))), Route::new("other", named("other", &asked))];
    let total = Some(Duration::from_secs(60));
    let error = ask(&Router::new(routes, RouterSettings { total, ..settings }).unwrap()).await.unwrap_err();
    assert_eq!((error.code(), take(&asked).len(), live.load(Ordering::SeqCst)), (Code::Timeout, 0, 0));
}

#[test]
fn a_supervised_router_keeps_what_it_learned_and_counts_no_token_twice() {
    testkit::run(7, |system| async move {
        let (models, asked) = (Models::start(&system).await?, Asked::default());
        let slow = timed("slow", &asked, || Duration::from_secs(3));
        let route = async |name: &str, model| {
            Ok::<_, Error>(Route::new(name, models.spawn(name, Arc::new(model), ModelPolicy::default()).await?))
        };
        let routes = vec![route("slow", slow).await?, route("quick", named("quick", &asked)).await?];
        let strategy = Arc::new(LowestLatency::default());
        let settings = RouterSettings { strategy, ..RouterSettings::default() };
        let router = Arc::new(Router::new(routes, settings)?);
        let router = models.spawn("router", router, ModelPolicy::router()).await?;
        for _ in 0..3 {
            ask(&router).await?;
        }
        assert!(testkit::kill(&system, "providers/router"));
        ask(&router).await?;
        assert_eq!(take(&asked), ["slow", "quick", "quick", "quick"]);
        let totals = models.totals();
        let tokens: Vec<_> =
            totals.iter().map(|total| (total.name.as_str(), total.answered, total.input_tokens)).collect();
        assert_eq!(tokens, [("quick", 3, 3), ("router", 4, 0), ("slow", 1, 1)]);
        system.shutdown(Duration::from_secs(1)).await?;
        Ok::<(), Error>(())
    })
    .unwrap();
}

#[test]
fn a_router_is_refused_without_routes_with_too_many_or_with_two_of_one_name() {
    let route = |name: String| Route::new(name, FunctionModel::new(|_| Answer::hang()));
    let many = (0..=ROUTES_MAX).map(|number| route(number.to_string())).collect();
    for routes in [vec![], many, vec![route("a".into()), route("a".into())]] {
        assert_eq!(Router::new(routes, RouterSettings::default()).unwrap_err().code(), Code::InvalidInput);
    }
}

#[test]
fn every_strategy_orders_exactly_the_able_routes() {
    let random = SystemRandom::seeded(1);
    let info = |number: u64| ModelInfo { model: number.to_string(), ..FunctionModel::new(|_| Answer::hang()).info() };
    let routes: Vec<Route> = (0..6_u64)
        .map(|number| {
            let model = FunctionModel::new(|_| Answer::hang()).with_info(info(number));
            let price = Price { input: random.below(100), output: random.below(100), ..Price::FREE };
            let route = Route::new(number.to_string(), model);
            if number % 2 == 0 { route.with_price(price) } else { route }
        })
        .collect();
    let strategies: [Box<dyn RouterStrategy>; 6] = [
        Box::new(RoundRobin::default()),
        Box::new(Failover),
        Box::new(Cheapest),
        Box::new(LeastCapable),
        Box::new(LowestLatency::default()),
        Box::new(Learned::new(LearnedSettings::default(), random.fork())),
    ];
    let request = ModelRequest::default();
    let failure = down();
    for _ in 0..500 {
        let able: Vec<usize> = (0..routes.len()).filter(|_| random.unit() < 0.6).collect();
        if able.is_empty() {
            continue;
        }
        for strategy in &strategies {
            let need =
                Need { prompt_tokens: random.below(1_000), output_tokens: random.below(1_000), ..Need::default() };
            let mut order = strategy.order(&RouteQuery { request: &request, need, routes: &routes, able: &able });
            let took = Duration::from_millis(random.below(5_000));
            let outcome = if random.unit() < 0.3 { Outcome::Failed(&failure) } else { Outcome::Answered };
            let cost_micro_usd = Some(random.below(1_000));
            let place = order[0];
            strategy.learn(&RouteReport { place, routes: &routes, outcome, first_content: None, took, cost_micro_usd });
            order.sort_unstable();
            assert_eq!(order, able, "{}", strategy.name());
        }
    }
}
