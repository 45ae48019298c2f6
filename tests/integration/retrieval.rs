//! Embedders and rerankers as supervised actors: tries, breakers, limits, crashes, hooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use beluga::config::{Config, Environment, Sources};
use beluga::node::{Claim, DataDir, Node};
use beluga_actors::model::Models;
use beluga_actors::retrieval::{
    CallPolicy, EmbedderHooks, EmbedderRef, HookedEmbedder, HookedReranker, RerankerHooks, Retrievals,
};
use beluga_actors::testkit::{FunctionEmbedder, FunctionReranker};
use beluga_core::{
    BoxFuture, CallContext, CancelToken, Code, EmbedKind, EmbedRequest, Embedder, EmbedderInfo, Embeddings, Error,
    Ranking, RerankRequest, Reranker, Result, Retry,
};
use beluga_runtime::service::{RateLimitConfig, RetryConfig};
use beluga_runtime::{System, time};

use crate::kit::Notes;

async fn start(embedder: impl Embedder, policy: CallPolicy) -> (System, EmbedderRef) {
    let system = System::builder("test").seed(7).build().unwrap();
    let retrievals = Retrievals::new(&Models::start(&system).await.unwrap());
    let embedder = retrievals.embedder("e", Arc::new(embedder), policy).await.unwrap();
    (system, embedder)
}

async fn stop(system: System) {
    system.shutdown(Duration::from_secs(10)).await.unwrap();
}

/// Fails this often, then gives the length of a text.
fn failing(times: usize, error: fn() -> Error) -> FunctionEmbedder {
    let failed = AtomicUsize::new(0);
    FunctionEmbedder::new(move |text| {
        if failed.fetch_add(1, Ordering::SeqCst) < times { Err(error()) } else { Ok(vec![text.len() as f32]) }
    })
}

async fn one(embedder: &EmbedderRef) -> Result<Vec<f32>> {
    embedder.embed_one("panda", EmbedKind::Query, CallContext::new()).await
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_asks_for_time_gets_it_and_answers() {
    let limited = || Error::new(Code::RateLimit, "slow down").with_retry(Retry::After(Duration::from_secs(7)));
    let inner = failing(1, limited);
    let (system, embedder) = start(inner.clone(), CallPolicy::default()).await;
    let started = time::now();
    assert_eq!(one(&embedder).await.unwrap(), [5.0]);
    assert!(time::now() - started >= Duration::from_secs(7), "Retry-After is a floor");
    let totals = embedder.totals();
    assert_eq!((inner.requests().len(), totals.answered, totals.failed), (2, 1, 0));
    assert_eq!((embedder.name(), embedder.info().model.as_str()), ("providers/embedder.e", "function"));
    stop(system).await;
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_keeps_failing_is_left_alone_and_a_bad_request_is_no_failure() {
    let (system, embedder) = start(failing(6, || Error::provider_unavailable("down")), CallPolicy::default()).await;
    assert_eq!(one(&embedder).await.unwrap_err().retry(), Retry::Exhausted);
    assert_eq!(one(&embedder).await.unwrap_err().code(), Code::CircuitOpen, "the fifth failure opened it");
    stop(system).await;
    let (system, embedder) = start(failing(9, || Error::invalid_input("no")), CallPolicy::default()).await;
    for _ in 0..9 {
        assert_eq!(one(&embedder).await.unwrap_err().code(), Code::InvalidInput);
    }
    assert_eq!(one(&embedder).await.unwrap(), [5.0]);
    stop(system).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_is_a_failed_call_and_the_next_one_is_answered() {
    let inner = FunctionEmbedder::new(|text| {
        assert_ne!(text, "poison");
        Ok(vec![1.0])
    });
    let policy = CallPolicy { retry: None, ..CallPolicy::default() };
    let (system, embedder) = start(inner, policy).await;
    let error = embedder.embed_one("poison", EmbedKind::Query, CallContext::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::UnknownOutcome, "{error}");
    assert_eq!(one(&embedder).await.unwrap(), [1.0]);
    stop(system).await;
}

#[tokio::test(start_paused = true)]
async fn a_question_that_died_with_its_job_is_asked_again() {
    let died = AtomicUsize::new(0);
    let inner = FunctionEmbedder::new(move |_| {
        assert_ne!(died.fetch_add(1, Ordering::SeqCst), 0, "the first one dies");
        Ok(vec![1.0])
    });
    let (system, embedder) = start(inner.clone(), CallPolicy::default()).await;
    assert_eq!(one(&embedder).await.unwrap(), [1.0]);
    assert_eq!(inner.requests().len(), 2);
    stop(system).await;
}

/// Never answers, and tells when nobody waits any more.
#[derive(Debug)]
struct Silent(Arc<AtomicUsize>);

struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Embedder for Silent {
    fn info(&self) -> EmbedderInfo {
        EmbedderInfo { provider: "beluga.test".into(), model: "silent".into(), dimensions: Some(1) }
    }

    fn embed(&self, _request: Arc<EmbedRequest>, _cx: CallContext) -> BoxFuture<'static, Result<Embeddings>> {
        let waiting = Arc::clone(&self.0);
        Box::pin(async move {
            waiting.fetch_add(1, Ordering::SeqCst);
            let _waiting = Waiting(waiting);
            std::future::pending().await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn calls_end_by_cancellation_by_time_and_at_the_bound() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let policy =
        CallPolicy { admission: 1, retry: None, timeout: Some(Duration::from_secs(30)), ..CallPolicy::default() };
    let (system, embedder) = start(Silent(Arc::clone(&waiting)), policy).await;
    let cancel = CancelToken::new();
    let call = embedder.embed_one("a", EmbedKind::Query, CallContext::new().with_cancel(cancel.clone()));
    let second = async {
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!(waiting.load(Ordering::SeqCst), 1);
        let refused = one(&embedder).await.unwrap_err();
        cancel.cancel();
        refused
    };
    let (cancelled, refused) = futures_util::future::join(call, second).await;
    assert_eq!((cancelled.unwrap_err().code(), refused.code()), (Code::Cancelled, Code::Overloaded));
    let started = time::now();
    assert_eq!(one(&embedder).await.unwrap_err().code(), Code::Timeout);
    assert_eq!((time::now() - started).as_secs(), 30);
    assert_eq!(waiting.load(Ordering::SeqCst), 0, "nobody waits any more");
    stop(system).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_per_minute_is_shared_by_everybody_who_asks() {
    let rate = RateLimitConfig { requests_per_minute: Some(2), ..RateLimitConfig::default() };
    let policy = CallPolicy { rate: Some(rate), ..CallPolicy::default() };
    let (system, embedder) = start(failing(0, || Error::internal("never")), policy).await;
    let started = time::now();
    let other = embedder.clone();
    for embedder in [&embedder, &other, &embedder] {
        assert_eq!(one(embedder).await.unwrap(), [5.0]);
    }
    assert!(time::now() - started > Duration::from_secs(10), "the third call waited");
    stop(system).await;
}

impl EmbedderHooks for Notes {
    fn before_embed(&self, request: &mut EmbedRequest) -> Result<()> {
        self.add(format!("before {}", request.texts.join(",")));
        if request.texts.iter().any(|text| text == "forbidden") {
            return Err(Error::invalid_input("not this"));
        }
        request.texts.iter_mut().for_each(|text| text.insert_str(0, "query: "));
        Ok(())
    }

    fn after_embed(&self, request: &EmbedRequest, embeddings: &mut Embeddings) -> Result<()> {
        self.add(format!("after {} {}", request.texts.join(","), embeddings.vectors.len()));
        embeddings.vectors.iter_mut().for_each(|vector| vector.push(0.0));
        Ok(())
    }
}

impl RerankerHooks for Notes {
    fn before_rerank(&self, request: &mut RerankRequest) -> Result<()> {
        self.add(format!("before {}", request.query));
        request.top_n = Some(1);
        Ok(())
    }

    fn after_rerank(&self, _request: &RerankRequest, ranking: &mut Ranking) -> Result<()> {
        self.add(format!("after {}", ranking.ranked.len()));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_see_and_alter_what_is_embedded_and_ranked() {
    let notes = Notes::default();
    let inner = failing(0, || Error::internal("never"));
    let (system, embedder) = start(inner.clone(), CallPolicy::default()).await;
    let both: Vec<Arc<dyn EmbedderHooks>> = vec![Arc::new(notes.clone())];
    let hooked = HookedEmbedder::new(embedder, both);
    let vector = hooked.embed_one("a", EmbedKind::Query, CallContext::new()).await.unwrap();
    assert_eq!((vector, notes.take()), (vec![8.0, 0.0], vec!["before a".to_owned(), "after query: a 1".into()]));
    let refused = hooked.embed_one("forbidden", EmbedKind::Query, CallContext::new()).await.unwrap_err();
    assert_eq!((refused.code(), inner.requests().len()), (Code::InvalidInput, 1), "a refused call is not sent");
    notes.take();
    let reranker = HookedReranker::new(FunctionReranker::new(|_, text| Ok(text.len() as f64)), notes.clone());
    let request = Arc::new(RerankRequest::new("q", ["a", "bbb", "cc"]));
    let ranking = reranker.rerank(request, CallContext::new()).await.unwrap();
    assert_eq!((ranking.ranked.len(), ranking.ranked[0].index), (1, 1));
    assert_eq!(notes.take(), ["before q", "after 1"]);
    stop(system).await;
}

#[tokio::test(start_paused = true)]
async fn a_reranker_is_tried_again_and_counted() {
    let system = System::builder("test").seed(7).build().unwrap();
    let retrievals = Retrievals::new(&Models::start(&system).await.unwrap());
    let failed = AtomicUsize::new(0);
    let inner = FunctionReranker::new(move |_, text| match failed.fetch_add(1, Ordering::SeqCst) {
        0 => Err(Error::provider_unavailable("down")),
        _ => Ok(text.len() as f64),
    });
    let policy = CallPolicy { retry: Some(RetryConfig::default()), ..CallPolicy::default() };
    let reranker = retrievals.reranker("r", Arc::new(inner.clone()), policy.clone()).await.unwrap();
    let taken = retrievals.reranker("r", Arc::new(inner.clone()), policy).await.unwrap_err();
    assert_eq!(taken.code(), Code::Conflict);
    let request = Arc::new(RerankRequest::new("q", ["a", "bbb", "cc"]));
    let ranking = reranker.rerank(request, CallContext::new()).await.unwrap();
    assert_eq!(ranking.ranked.iter().map(|ranked| ranked.index).collect::<Vec<_>>(), [1, 2, 0]);
    assert_eq!((reranker.totals().answered, inner.requests().len()), (1, 2));
    stop(system).await;
}

#[tokio::test]
async fn a_node_hands_out_what_its_configuration_names() {
    let directory = tempfile::tempdir().unwrap();
    let toml = "[embedders.words]\nkind = \"local\"\noptions = { dimensions = 64 }\n";
    let environment = Environment::default();
    let config = Config::load(&Sources::new(environment.clone()).text("test", toml)).unwrap();
    let Claim::Ours(claimed) = DataDir::claim(directory.path()).unwrap() else { panic!("the directory is taken") };
    let node = Node::start(config, &environment, claimed, "test").await.unwrap();
    let words = node.embedder("words").unwrap();
    let vector = words.embed_one("panda", EmbedKind::Query, CallContext::new()).await.unwrap();
    assert_eq!((vector.len(), words.totals().answered), (64, 1));
    let error = node.embedder("wrods").unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("known: words"), "{error}");
    assert!(node.reranker("best").unwrap_err().message().contains("known: none"));
    node.shutdown().await.unwrap();
}
