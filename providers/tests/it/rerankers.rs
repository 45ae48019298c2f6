//! The laws of `Reranker`, over every vendor, against servers that behave well and badly.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Uri};
use beluga_core::{
    CancelToken, Code, Error, ProviderConfig, RERANK_DOCUMENTS_MAX, Ranking, Registry, RerankRequest, Reranker,
    RerankerRegistry, Retry, SecretString,
};
use beluga_providers::http::{HttpClient, Network};
use beluga_providers::rerank::{RERANK_PROFILES, RerankProfile};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::embedders::silent;
use crate::support::{context, host};

/// What a server was asked: path, headers, body.
type Asked = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

pub(crate) fn registry(client: &HttpClient) -> RerankerRegistry {
    let mut registry: RerankerRegistry = Registry::new("reranker kind");
    beluga_providers::rerank::register_with(&mut registry, client).unwrap();
    registry
}

fn reranker(kind: &str, base: &str) -> Arc<dyn Reranker> {
    let mut config = ProviderConfig::new(kind);
    config.base_url = Some(base.to_owned());
    config.model = Some("test-model".to_owned());
    config.api_key = Some(SecretString::from("key-of-the-test".to_owned()));
    registry(&HttpClient::new(Network::LoopbackOnly).unwrap()).get(kind).unwrap().build(&config, host()).unwrap()
}

fn request() -> RerankRequest {
    RerankRequest::new("what is a panda?", ["hi", "it is a bear", "The giant panda is a bear."])
}

async fn failure(reranker: &Arc<dyn Reranker>, request: RerankRequest) -> Error {
    reranker.rerank(Arc::new(request), context()).await.unwrap_err()
}

fn places(ranking: &Ranking) -> Vec<usize> {
    ranking.ranked.iter().map(|ranked| ranked.index).collect()
}

/// Scores a document by its length, worst first, in a vendor's form.
pub(crate) fn answer(profile: &RerankProfile, body: &Value) -> Value {
    let documents = body["documents"].as_array().unwrap();
    let mut scored: Vec<(usize, usize)> =
        documents.iter().map(|document| document.as_str().unwrap().len()).enumerate().collect();
    scored.sort_by_key(|(_, length)| *length);
    if let Some(top) = body.get(profile.top_field).and_then(Value::as_u64) {
        scored.drain(..scored.len() - usize::try_from(top).unwrap());
    }
    let results: Vec<Value> = scored
        .iter()
        .map(|(index, length)| json!({"index": index, "relevance_score": *length as f64 / 100.0 - 0.2}))
        .collect();
    match profile.name {
        "voyage" => json!({"object": "list", "data": results, "model": "m1", "usage": {"total_tokens": 26}}),
        "cohere" => json!({"id": "r1", "results": results, "meta": {"billed_units": {"search_units": 1}}}),
        _ => json!({"model": "m1", "object": "list", "results": results, "usage": {"total_tokens": 26}}),
    }
}

#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn listen(profile: &'static RerankProfile) -> (String, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let respond = move |uri: Uri, headers: HeaderMap, body: axum::Json<Value>| {
        let answer = answer(profile, &body.0);
        seen.lock().push((uri.path().to_owned(), headers, body.0));
        async move { axum::Json(answer) }
    };
    (serve(Router::new().fallback(respond)).await, asked)
}

async fn answering(status: u16, body: &'static str) -> String {
    let respond = move || async move {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "3".parse().unwrap());
        (axum::http::StatusCode::from_u16(status).unwrap(), headers, body)
    };
    serve(Router::new().fallback(respond)).await
}

#[tokio::test]
async fn best_first_each_document_once_and_top_n_is_kept() {
    for profile in RERANK_PROFILES {
        let (base, asked) = listen(profile).await;
        let reranker = reranker(profile.name, &base);
        let all = reranker.rerank(Arc::new(request()), context()).await.unwrap();
        assert_eq!(places(&all), [2, 1, 0], "{}", profile.name);
        assert!(all.ranked.is_sorted_by(|one, other| one.score >= other.score));
        let best = |top| Arc::new(RerankRequest { top_n: Some(top), ..request() });
        assert_eq!(places(&reranker.rerank(best(1), context()).await.unwrap()), [2], "{}", profile.name);
        assert_eq!(places(&reranker.rerank(best(9), context()).await.unwrap()), [2, 1, 0], "{}", profile.name);
        let asked = asked.lock();
        let (path, headers, body) = &asked[1];
        assert_eq!(
            (path.as_str(), &headers["authorization"]),
            (profile.path, &"Bearer key-of-the-test".parse().unwrap())
        );
        assert_eq!((&body["model"], &body[profile.top_field]), (&json!("test-model"), &json!(1)));
        assert_eq!(asked[2].2[profile.top_field], json!(3), "no more are asked for than there are");
        let told = if profile.name == "cohere" { 0 } else { 26 };
        assert_eq!(all.usage.input_tokens, told, "{}", profile.name);
        assert!(all.notes.raw_usage.is_some(), "{}", profile.name);
    }
}

#[tokio::test]
async fn nothing_is_free_and_too_much_is_refused() {
    for profile in RERANK_PROFILES {
        // Nobody listens there.
        let reranker = reranker(profile.name, "http://127.0.0.1:9");
        let none = RerankRequest::new("q", Vec::<String>::new());
        for request in [none, RerankRequest { top_n: Some(0), ..request() }] {
            assert_eq!(reranker.rerank(Arc::new(request), context()).await.unwrap(), Ranking::default());
        }
        for count in [profile.documents_max + 1, RERANK_DOCUMENTS_MAX + 1] {
            let error = failure(&reranker, RerankRequest::new("q", vec!["d"; count])).await;
            assert_eq!(error.code(), Code::InvalidInput, "{}: {error}", profile.name);
        }
    }
}

#[tokio::test]
async fn refusals_and_broken_rankings_are_translated() {
    for profile in RERANK_PROFILES {
        let error = failure(&reranker(profile.name, &answering(429, "{}").await), request()).await;
        assert_eq!((error.code(), error.retry()), (Code::RateLimit, Retry::After(Duration::from_secs(3))));
        assert_eq!((error.op(), error.get("provider")), ("reranker.rerank", Some(profile.otel_name)));
        for (body, code) in [
            ("{", Code::ProviderUnavailable),
            (r#"{"results":[{"index":0,"relevance_score":1}]}"#, Code::Decode),
            (r#"{"data":[{"index":7,"relevance_score":1}]}"#, Code::Decode),
            (r#"{"results":[{"index":0,"relevance_score":"high"}]}"#, Code::ProviderUnavailable),
        ] {
            let base = answering(200, body).await;
            assert_eq!(
                failure(&reranker(profile.name, &base), request()).await.code(),
                code,
                "{} {body}",
                profile.name
            );
        }
    }
}

#[tokio::test]
async fn cancel_ends_and_drop_cancels() {
    let (base, came, gone) = silent().await;
    let cancel = CancelToken::new();
    let ranking = reranker("jina", &base).rerank(Arc::new(request()), context().with_cancel(cancel.clone()));
    let (outcome, ()) = futures_util::future::join(ranking, async {
        came.notified().await;
        cancel.cancel();
    })
    .await;
    assert_eq!(outcome.unwrap_err().code(), Code::Cancelled);
    gone.notified().await;
    let (base, came, gone) = silent().await;
    let mut ranking = reranker("jina", &base).rerank(Arc::new(request()), context());
    futures_util::future::select(&mut ranking, std::pin::pin!(came.notified())).await;
    drop(ranking);
    gone.notified().await;
}

#[test]
fn wrong_settings_are_named() {
    let registry = registry(&HttpClient::new(Network::Forbidden).unwrap());
    let build = |kind: &str, change: &dyn Fn(&mut ProviderConfig)| {
        let mut config = ProviderConfig::new(kind);
        change(&mut config);
        registry.get(kind).unwrap().build(&config, host()).map(|reranker| reranker.info())
    };
    for (kind, variable) in [("cohere", "CO_API_KEY"), ("jina", "JINA_API_KEY"), ("voyage", "VOYAGE_API_KEY")] {
        assert_eq!(build(kind, &|_| ()).unwrap_err().get("variable"), Some(variable));
    }
    let key = |config: &mut ProviderConfig| config.api_key = Some(SecretString::from("k".to_owned()));
    assert_eq!(build("cohere", &key).unwrap().model, "rerank-v3.5");
    assert!(build("llama-cpp", &|_| ()).unwrap_err().message().contains("needs model"));
    let error = build("cohere", &|config| {
        key(config);
        config.options.insert("top".into(), json!(1));
    });
    assert!(error.unwrap_err().message().contains("no option \"top\""));
}
