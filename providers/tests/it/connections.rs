//! Connections are used again: calls to one vendor share them, whatever the calls are for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{Uri, header};
use axum::response::IntoResponse;
use axum::serve::ListenerExt;
use beluga_core::{
    ChatModel, EmbedKind, EmbedRequest, Embedder, ModelRegistry, ProviderConfig, Registry, RerankRequest, Reranker,
    SecretString,
};
use beluga_providers::http::{HttpClient, Network};
use beluga_providers::rerank::COHERE;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::{context, hello, host};
use crate::{embedders, rerankers};

/// How many calls of each sort are made.
const CALLS: usize = 10;

const STREAM: &str = concat!(
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hello\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
);

/// Answers chats as streams, embeddings and rankings, and counts the connections it accepts.
#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
async fn vendor() -> (String, Arc<AtomicUsize>) {
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let listener = listener.tap_io(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let respond = |uri: Uri, body: axum::Json<Value>| async move {
        if uri.path().ends_with("/chat/completions") {
            return ([(header::CONTENT_TYPE, "text/event-stream")], STREAM).into_response();
        }
        if uri.path().ends_with("/rerank") {
            return axum::Json(rerankers::answer(&COHERE, &body.0)).into_response();
        }
        axum::Json(embedders::answer(&body.0)).into_response()
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(respond)).await });
    (base, accepted)
}

struct Callers {
    model: Arc<dyn ChatModel>,
    embedder: Arc<dyn Embedder>,
    reranker: Arc<dyn Reranker>,
}

fn callers(base: &str) -> Callers {
    let client = HttpClient::new(Network::LoopbackOnly).unwrap();
    let mut models: ModelRegistry = Registry::new("provider kind");
    beluga_providers::llm::register_with(&mut models, &client).unwrap();
    let config = |kind: &str| ProviderConfig {
        base_url: Some(base.to_owned()),
        model: Some("test-model".to_owned()),
        api_key: Some(SecretString::from("key-of-the-test".to_owned())),
        ..ProviderConfig::new(kind)
    };
    Callers {
        model: models.get("openai").unwrap().build(&config("openai"), host()).unwrap(),
        embedder: embedders::registry(&client).get("openai").unwrap().build(&config("openai"), host()).unwrap(),
        reranker: rerankers::registry(&client).get("cohere").unwrap().build(&config("cohere"), host()).unwrap(),
    }
}

#[tokio::test]
async fn calls_to_one_vendor_use_one_connection_one_after_another() {
    let (base, accepted) = vendor().await;
    let callers = callers(&base);
    for _ in 0..CALLS {
        let answer = callers.model.generate(hello(), context()).await.unwrap();
        assert_eq!(answer.message.text(), "Hello");
        callers.embedder.embed_one("1", EmbedKind::Query, context()).await.unwrap();
        let request = Arc::new(RerankRequest::new("q", ["a", "bb"]));
        callers.reranker.rerank(request, context()).await.unwrap();
    }
    let accepted = accepted.load(Ordering::SeqCst);
    println!("{} calls over {accepted} connections", CALLS * 3);
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn calls_at_a_time_have_a_connection_each_and_leave_it_to_the_next() {
    let (base, accepted) = vendor().await;
    let callers = callers(&base);
    for _ in 0..CALLS {
        let request = Arc::new(EmbedRequest::new(["1"], EmbedKind::Query));
        let calls = (0..4).map(|_| callers.embedder.embed(Arc::clone(&request), context()));
        assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
    }
    let accepted = accepted.load(Ordering::SeqCst);
    println!("{} calls, four at a time, over {accepted} connections", CALLS * 4);
    assert!(accepted <= 4, "{accepted}");
}
