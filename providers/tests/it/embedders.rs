//! The laws of `Embedder`, over every vendor's form, against servers that behave well, badly, and not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use beluga_core::{
    CallContext, CancelToken, Code, EMBED_TEXTS_MAX, EmbedKind, EmbedRequest, Embedder, EmbedderRegistry, Error, Host,
    ProviderConfig, Registry, Retry, SecretString,
};
use beluga_providers::embed::{BATCHES_AT_ONCE, EMBED_PROFILES, EmbedProfile};
use beluga_providers::http::{HttpClient, Network};
use futures_util::FutureExt;
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::support::{context, hasty_host, host, raw};

/// The length of the fake's vectors where nobody asks for another.
const LENGTH: usize = 4;

/// What a server was asked: path, headers, body.
type Asked = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

pub(crate) fn registry(client: &HttpClient) -> EmbedderRegistry {
    let mut registry: EmbedderRegistry = Registry::new("embedder kind");
    beluga_providers::embed::register_with(&mut registry, client).unwrap();
    registry
}

fn embedder_on(
    host: Arc<dyn Host>,
    kind: &str,
    base: &str,
    change: impl FnOnce(&mut ProviderConfig),
) -> Arc<dyn Embedder> {
    let mut config = ProviderConfig::new(kind);
    config.base_url = Some(base.to_owned());
    config.model = Some("test-model".to_owned());
    config.api_key = Some(SecretString::from("key-of-the-test".to_owned()));
    change(&mut config);
    registry(&HttpClient::new(Network::LoopbackOnly).unwrap()).get(kind).unwrap().build(&config, host).unwrap()
}

fn embedder(kind: &str, base: &str) -> Arc<dyn Embedder> {
    embedder_on(host(), kind, base, |_| ())
}

fn request<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Arc<EmbedRequest> {
    Arc::new(EmbedRequest::new(texts, EmbedKind::Document))
}

async fn failure(embedder: &Arc<dyn Embedder>, request: Arc<EmbedRequest>) -> Error {
    embedder.embed(request, context()).await.unwrap_err()
}

/// The texts of a request in a vendor's form.
pub(crate) fn texts(body: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match body.get("requests") {
        Some(requests) => {
            requests.as_array().unwrap().iter().map(|one| text(one.pointer("/content/parts/0/text").unwrap())).collect()
        }
        None => body.get("input").or(body.get("texts")).unwrap().as_array().unwrap().iter().map(text).collect(),
    }
}

/// The vector of a text: its number, and a rest that tells how long it is to be.
fn vector(text: &str, body: &Value) -> Vec<f32> {
    let asked = ["/dimensions", "/output_dimension", "/requests/0/outputDimensionality"];
    let length = asked.iter().find_map(|place| body.pointer(place)?.as_u64()).unwrap_or(LENGTH as u64);
    let mut vector = vec![0.5; usize::try_from(length).unwrap()];
    vector[0] = text.parse().unwrap_or_default();
    vector
}

/// Answers in a vendor's form, the last text first where the form has places.
pub(crate) fn answer(body: &Value) -> Value {
    let vectors: Vec<Vec<f32>> = texts(body).iter().map(|text| vector(text, body)).collect();
    if body.get("requests").is_some() {
        let values = vectors.iter().map(|vector| json!({"values": vector})).collect::<Vec<_>>();
        return json!({"embeddings": values, "usageMetadata": {"promptTokenCount": vectors.len()}});
    }
    if body.get("texts").is_some() {
        let meta = json!({"api_version": {"version": "2"}, "billed_units": {"input_tokens": vectors.len()}});
        return json!({"id": "e1", "embeddings": {"float": vectors}, "texts": texts(body), "meta": meta});
    }
    let data = vectors.iter().enumerate().rev().map(|(index, vector)| {
        let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        let embedding = if body["encoding_format"] == "base64" { json!(text) } else { json!(vector) };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let usage = json!({"prompt_tokens": vectors.len(), "total_tokens": vectors.len()});
    json!({"object": "list", "model": "m1", "data": data.collect::<Vec<_>>(), "usage": usage})
}

/// Ollama's form differs from OpenAI's in its answer alone, so the path tells.
fn answer_at(path: &str, body: &Value) -> Value {
    if !path.ends_with("/api/embed") {
        return answer(body);
    }
    let vectors: Vec<Vec<f32>> = texts(body).iter().map(|text| vector(text, body)).collect();
    json!({"model": "m1", "embeddings": vectors, "total_duration": 7, "prompt_eval_count": vectors.len()})
}

#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Answers every request well and keeps what it was asked.
async fn listen() -> (String, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let respond = move |uri: Uri, headers: HeaderMap, body: axum::Json<Value>| {
        let answer = answer_at(uri.path(), &body.0);
        seen.lock().push((uri.path().to_owned(), headers, body.0));
        async move { axum::Json(answer) }
    };
    let router = Router::new().fallback(respond).layer(axum::extract::DefaultBodyLimit::disable());
    (serve(router).await, asked)
}

/// Answers every request the same way.
async fn answering(status: u16, headers: &'static [(&'static str, &'static str)], body: String) -> String {
    let respond = move || {
        let body = body.clone();
        async move {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(axum::body::Body::from(body)).unwrap()
        }
    };
    serve(Router::new().fallback(respond)).await
}

fn vendors() -> impl Iterator<Item = &'static EmbedProfile> {
    EMBED_PROFILES.into_iter()
}

/// Answers the first call last, so that order is nobody's accident, and watches how many calls come at a time.
#[derive(Default)]
struct Reluctant {
    calls: AtomicUsize,
    at_once: AtomicUsize,
    most: AtomicUsize,
    second: Notify,
    sizes: Mutex<Vec<usize>>,
}

impl Reluctant {
    async fn respond(&self, path: &str, body: Value) -> Response {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(self.at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        self.sizes.lock().push(texts(&body).len());
        match number {
            0 => self.second.notified().await,
            1 => self.second.notify_one(),
            _ => {}
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        axum::Json(answer_at(path, &body)).into_response()
    }
}

#[tokio::test]
async fn one_vector_per_text_in_order_over_batches() {
    const TEXTS: usize = 2500;
    for profile in vendors() {
        let server = Arc::new(Reluctant::default());
        let shared = Arc::clone(&server);
        let respond = move |uri: Uri, body: axum::Json<Value>| {
            let server = Arc::clone(&shared);
            async move { server.respond(uri.path(), body.0).await }
        };
        let router = Router::new().fallback(respond).layer(axum::extract::DefaultBodyLimit::disable());
        let base = serve(router).await;
        let embeddings = embedder(profile.name, &base)
            .embed(request((0..TEXTS).map(|number| number.to_string())), context())
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", profile.name));
        let numbers: Vec<f32> = embeddings.vectors.iter().map(|vector| vector[0]).collect();
        assert_eq!(numbers, (0..TEXTS).map(|number| number as f32).collect::<Vec<_>>(), "{}", profile.name);
        let sizes = server.sizes.lock().clone();
        assert!(sizes.iter().all(|size| *size <= profile.batch_texts_max), "{}: {sizes:?}", profile.name);
        assert_eq!(sizes.len(), TEXTS.div_ceil(profile.batch_texts_max), "{}", profile.name);
        assert!((2..=BATCHES_AT_ONCE).contains(&server.most.load(Ordering::SeqCst)), "{}", profile.name);
        assert_eq!((embeddings.usage.input_tokens, embeddings.calls.len()), (TEXTS as u64, sizes.len()));
    }
}

#[tokio::test]
async fn dimensions_agree_and_are_told() {
    for profile in vendors() {
        let (base, _) = listen().await;
        let own = embedder(profile.name, &base);
        assert_eq!(own.dimensions(), None, "{}", profile.name);
        own.embed(request(["1", "2"]), context()).await.unwrap();
        assert_eq!(own.dimensions(), Some(LENGTH), "{}: the first answer tells", profile.name);
        let shortened = EmbedRequest { dimensions: Some(3), ..EmbedRequest::new(["1"], EmbedKind::Query) };
        let embeddings = own.embed(Arc::new(shortened), context()).await.unwrap();
        assert_eq!(embeddings.vectors[0].len(), 3, "{}", profile.name);
        assert_eq!(own.dimensions(), Some(LENGTH), "{}: a request's own length is no other", profile.name);
        let set = embedder_on(host(), profile.name, &base, |config| {
            config.options.insert("dimensions".into(), json!(2));
        });
        assert_eq!(set.dimensions(), Some(2));
        assert_eq!(set.embed_one("7", EmbedKind::Query, context()).await.unwrap().len(), 2, "{}", profile.name);
    }
}

#[tokio::test]
async fn a_shortened_vector_of_googles_has_length_one() {
    let (base, _) = listen().await;
    let shortened = EmbedRequest { dimensions: Some(3), ..EmbedRequest::new(["7"], EmbedKind::Query) };
    for (kind, is_one) in [("google", true), ("openai", false)] {
        let vectors = embedder(kind, &base).embed(Arc::new(shortened.clone()), context()).await.unwrap().vectors;
        let length: f32 = vectors[0].iter().map(|number| number * number).sum();
        assert_eq!((length - 1.0).abs() < 1e-5, is_one, "{kind}: {length}");
    }
}

#[tokio::test]
async fn what_a_text_is_for_is_told_in_the_vendors_words() {
    for (kind, field, document, query) in [
        ("google", "taskType", "RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY"),
        ("cohere", "input_type", "search_document", "search_query"),
        ("voyage", "input_type", "document", "query"),
        ("jina", "task", "retrieval.passage", "retrieval.query"),
    ] {
        let (base, asked) = listen().await;
        let embedder = embedder(kind, &base);
        for kind in [Some(EmbedKind::Document), Some(EmbedKind::Query), None] {
            let request = EmbedRequest { texts: vec!["1".into()], kind, ..EmbedRequest::default() };
            embedder.embed(Arc::new(request), context()).await.unwrap();
        }
        let words: Vec<Value> = asked
            .lock()
            .iter()
            .map(|(_, _, body)| body.pointer("/requests/0").unwrap_or(body).get(field).cloned().unwrap_or_default())
            .collect();
        let untold = if kind == "cohere" { json!(document) } else { Value::Null };
        assert_eq!(words, [json!(document), json!(query), untold], "{kind}");
    }
}

#[tokio::test]
async fn nothing_is_cut_unless_it_is_allowed_and_extra_fields_are_sent() {
    for (kind, field, kept, cut) in [
        ("cohere", "truncate", json!("NONE"), json!("END")),
        ("voyage", "truncation", json!(false), json!(true)),
        ("ollama", "truncate", json!(false), json!(true)),
        ("jina", "truncate", json!(false), json!(true)),
        ("openai", "truncate", Value::Null, Value::Null),
    ] {
        let (base, asked) = listen().await;
        let embedder = embedder_on(host(), kind, &base, |config| {
            config.options.insert("extra".into(), json!({"user": "u1"}));
        });
        embedder.embed(request(["1"]), context()).await.unwrap();
        let allowed = EmbedRequest { truncate: Some(true), ..EmbedRequest::new(["1"], EmbedKind::Query) };
        embedder.embed(Arc::new(allowed), context()).await.unwrap();
        let asked = asked.lock();
        assert_eq!(asked[0].2.get(field).unwrap_or(&Value::Null), &kept, "{kind}");
        assert_eq!(asked[1].2.get(field).unwrap_or(&Value::Null), &cut, "{kind}");
        assert!(asked.iter().all(|(_, _, body)| body["user"] == "u1"), "{kind}");
    }
}

#[tokio::test]
async fn the_key_goes_where_the_vendor_wants_it() {
    for profile in vendors() {
        let (base, asked) = listen().await;
        embedder(profile.name, &base).embed(request(["1"]), context()).await.unwrap();
        let (path, headers, _) = asked.lock()[0].clone();
        assert_eq!(path, profile.path("test-model"), "{}", profile.name);
        let (header, want) = match profile.key_header {
            Some(name) => (name, "key-of-the-test"),
            None => ("authorization", "Bearer key-of-the-test"),
        };
        assert_eq!(headers[header], want, "{}", profile.name);
    }
}

#[tokio::test]
async fn refusals_are_translated_and_tell_when_to_come_back() {
    for profile in vendors() {
        let body = r#"{"error":{"message":"slow down, key-of-the-test"}}"#.to_owned();
        let base = answering(429, &[("retry-after", "2")], body).await;
        let error = failure(&embedder(profile.name, &base), request(["1"])).await;
        assert_eq!((error.code(), error.retry()), (Code::RateLimit, Retry::After(Duration::from_secs(2))));
        assert_eq!((error.op(), error.get("provider")), ("embedder.embed", Some(profile.otel_name)));
        assert!(!error.to_string().contains("key-of-the-test"), "{error}");
        for (status, code) in
            [(400, Code::InvalidInput), (401, Code::AuthError), (404, Code::NotFound), (503, Code::ProviderUnavailable)]
        {
            let base = answering(status, &[], String::new()).await;
            assert_eq!(failure(&embedder(profile.name, &base), request(["1"])).await.code(), code, "{}", profile.name);
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_and_never_a_vector() {
    for profile in vendors() {
        for body in ["", "{", "{}", "[]", "<html>", r#"{"data":[{"embedding":["x"]}],"embeddings":["x"]}"#] {
            let base = answering(200, &[], body.to_owned()).await;
            let error = failure(&embedder(profile.name, &base), request(["1"])).await;
            assert_eq!(error.code(), Code::ProviderUnavailable, "{} {body}: {error}", profile.name);
        }
    }
}

#[tokio::test]
async fn a_wrong_number_of_vectors_is_refused() {
    for profile in vendors() {
        let few = if profile.name == "ollama" { "/api/embed" } else { profile.name };
        let body = match profile.name {
            "google" => json!({"requests": [{"content": {"parts": [{"text": "1"}]}}]}),
            "cohere" => json!({"texts": ["1"]}),
            _ => json!({"input": ["1"]}),
        };
        let base = answering(200, &[], answer_at(few, &body).to_string()).await;
        let error = failure(&embedder(profile.name, &base), request(["1", "2"])).await;
        assert_eq!(error.code(), Code::ProviderUnavailable, "{}: {error}", profile.name);
        assert!(error.message().contains("1 vectors for 2 texts"), "{}: {error}", profile.name);
    }
}

#[tokio::test]
async fn a_length_that_was_not_asked_for_is_refused_and_says_what_to_set() {
    let body = json!({"data": [{"index": 0, "embedding": [1.0, 2.0, 3.0]}]}).to_string();
    let base = answering(200, &[], body).await;
    let error = failure(
        &embedder_on(host(), "openai", &base, |config| {
            config.options.insert("dimensions".into(), json!(2));
        }),
        request(["1"]),
    )
    .await;
    assert_eq!((error.code(), error.retry()), (Code::Decode, Retry::Never));
    assert!(error.message().contains("have 3 dimensions, not 2"), "{error}");
    // A model whose length is known.
    let known = embedder_on(host(), "openai", &base, |config| config.model = Some("text-embedding-3-small".into()));
    assert_eq!(known.dimensions(), Some(1536));
    assert_eq!(failure(&known, request(["1"])).await.code(), Code::Decode);
    // One whose length the first answer told.
    let body = json!({"data": [{"embedding": [1.0]}, {"embedding": [1.0, 2.0]}]}).to_string();
    let base = answering(200, &[], body).await;
    assert_eq!(failure(&embedder("openai", &base), request(["1", "2"])).await.code(), Code::Decode);
}

#[tokio::test]
async fn nothing_is_free_and_too_much_is_refused() {
    for kind in EMBED_PROFILES.iter().map(|profile| profile.name).chain(["local"]) {
        // Nobody listens there.
        let embedder = if kind == "local" { local(None) } else { embedder(kind, "http://127.0.0.1:9") };
        let none = embedder.embed(request(Vec::<String>::new()), context()).await.unwrap();
        assert_eq!(none, beluga_core::Embeddings::default(), "{kind}");
        let error = failure(&embedder, request(vec!["x"; EMBED_TEXTS_MAX + 1])).await;
        assert_eq!(error.code(), Code::InvalidInput, "{kind}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_worth_another_try() {
    let error = failure(&embedder("jina", "http://127.0.0.1:9"), request(["1"])).await;
    assert!(error.code() == Code::ProviderUnavailable && error.is_retryable(), "{error}");
    let base = format!("http://{}", raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"data\":[".into()).await);
    let error = failure(&embedder("jina", &base), request(["1"])).await;
    assert_eq!(error.code(), Code::ProviderUnavailable, "{error}");
}

/// Accepts a call and never answers; tells when the caller has gone.
#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
pub(crate) async fn silent() -> (String, Arc<Notify>, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (came, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (coming, going) = (Arc::clone(&came), Arc::clone(&gone));
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 16 * 1024];
        assert_ne!(socket.read(&mut buffer).await.unwrap(), 0);
        coming.notify_one();
        while !matches!(socket.read(&mut buffer).await, Ok(0) | Err(_)) {}
        going.notify_one();
    });
    (base, came, gone)
}

#[tokio::test]
async fn cancel_ends() {
    let (base, came, gone) = silent().await;
    let cancel = CancelToken::new();
    let embedding = embedder("cohere", &base).embed(request(["1"]), context().with_cancel(cancel.clone()));
    let (outcome, ()) = futures_util::future::join(embedding, async {
        came.notified().await;
        cancel.cancel();
    })
    .await;
    assert_eq!(outcome.unwrap_err().code(), Code::Cancelled);
    gone.notified().await;
    let late = embedder("cohere", &base).embed(request(["1"]), CallContext::new().with_cancel(cancel)).await;
    assert_eq!(late.unwrap_err().code(), Code::Cancelled, "nothing is sent for who has gone already");
}

#[tokio::test]
async fn drop_cancels() {
    let (base, came, gone) = silent().await;
    let mut embedding = embedder("voyage", &base).embed(request(["1"]), context());
    futures_util::future::select(&mut embedding, std::pin::pin!(came.notified())).await;
    drop(embedding);
    gone.notified().await;
}

#[tokio::test]
async fn a_silent_vendor_and_a_passed_deadline_are_timeouts() {
    let (base, _, _) = silent().await;
    let host = hasty_host();
    let embedder_of = |base: &str| embedder_on(Arc::clone(&host), "openai", base, |_| ());
    let error = embedder_of(&base).embed(request(["1"]), CallContext::new()).await.unwrap_err();
    assert!(error.code() == Code::Timeout && error.message().contains("within 30s"), "{error}");
    let (base, _, _) = silent().await;
    let near = CallContext::new().with_timeout(host.now(), Duration::from_secs(5));
    let error = embedder_of(&base).embed(request(["1"]), near).await.unwrap_err();
    assert!(error.code() == Code::Timeout && error.message().contains("deadline"), "{error}");
}

#[test]
fn wrong_settings_are_named() {
    let registry = registry(&HttpClient::new(Network::Forbidden).unwrap());
    let build = |kind: &str, change: &dyn Fn(&mut ProviderConfig)| {
        let mut config = ProviderConfig::new(kind);
        change(&mut config);
        registry.get(kind).unwrap().build(&config, host()).map(|embedder| embedder.info())
    };
    let error = build("voyage", &|_| ()).unwrap_err();
    assert_eq!((error.code(), error.get("variable")), (Code::AuthError, Some("VOYAGE_API_KEY")));
    let info = build("ollama", &|_| ()).unwrap();
    assert_eq!((info.model.as_str(), info.dimensions), ("nomic-embed-text", Some(768)));
    assert!(build("openai-compatible", &|_| ()).unwrap_err().message().contains("needs model"));
    let model = |config: &mut ProviderConfig| config.model = Some("m".into());
    assert!(build("openai-compatible", &model).unwrap_err().message().contains("needs base_url"));
    for (kind, name, value, says) in [
        ("ollama", "surprise", json!(1), "no option \"surprise\""),
        ("ollama", "dimensions", json!(0), "dimensions"),
        ("ollama", "truncate", json!("yes"), "truncate"),
        ("ollama", "extra", json!([]), "extra"),
        ("ollama", "headers", json!({"a b": "c"}), "a b"),
        ("local", "dimensions", json!(9000), "up to 8192"),
        ("local", "truncate", json!(true), "no option \"truncate\""),
    ] {
        let error = build(kind, &|config| drop(config.options.insert(name.into(), value.clone()))).unwrap_err();
        assert!(error.code() == Code::Config && error.message().contains(says), "{kind} {name}: {error}");
    }
    assert!(build("local", &model).unwrap_err().message().contains("hashed-ngrams-1"));
    assert_eq!(registry.names().count(), EMBED_PROFILES.len() + 1);
}

fn local(dimensions: Option<usize>) -> Arc<dyn Embedder> {
    let mut config = ProviderConfig::new("local");
    if let Some(dimensions) = dimensions {
        config.options.insert("dimensions".into(), json!(dimensions));
    }
    let client = HttpClient::new(Network::Forbidden).unwrap();
    registry(&client).get("local").unwrap().build(&config, host()).unwrap()
}

#[tokio::test]
async fn the_local_embedder_keeps_the_laws_without_a_network() {
    let local = local(Some(64));
    // Enough to be embedded off the async threads.
    let texts: Vec<String> = (0..3000).map(|number| format!("text number {number}")).collect();
    let many = local.embed(request(texts.clone()), context()).await.unwrap();
    assert_eq!((many.vectors.len(), local.dimensions()), (3000, Some(64)));
    for at in [0, 1500, 2999] {
        let one = local.embed_one(&texts[at], EmbedKind::Query, context()).await.unwrap();
        assert_eq!(one, many.vectors[at], "the same alone, and as a query");
    }
    assert!(many.usage.input_tokens >= 3000);
    let cancelled = CancelToken::new();
    cancelled.cancel();
    for texts in [texts, vec!["short".to_owned()]] {
        let late = local.embed(request(texts), CallContext::new().with_cancel(cancelled.clone())).await;
        assert_eq!(late.unwrap_err().code(), Code::Cancelled);
    }
    let request = EmbedRequest { dimensions: Some(9000), ..EmbedRequest::new(["a"], EmbedKind::Query) };
    assert_eq!(failure(&local, Arc::new(request)).await.code(), Code::InvalidInput);
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_poll() {
    let (base, asked) = listen().await;
    let embedding = embedder("openai", &base).embed(request(["1"]), context());
    assert!(tokio::task::yield_now().now_or_never().is_none() && asked.lock().is_empty());
    embedding.await.unwrap();
    assert_eq!(asked.lock().len(), 1);
}

proptest! {
    /// Whatever stands in an answer, it is vectors or an error.
    #[test]
    fn damaged_answers_never_panic(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), which in any::<prop::sample::Index>(), cut in any::<bool>(),
    ) {
        let profile = which.get(&EMBED_PROFILES);
        let body = match profile.name {
            "google" => json!({"requests": [{"content": {"parts": [{"text": "1"}]}}, {"content": {"parts": [{"text": "2"}]}}]}),
            "cohere" => json!({"texts": ["1", "2"]}),
            _ => json!({"input": ["1", "2"], "encoding_format": "base64"}),
        };
        let path = if profile.name == "ollama" { "/api/embed" } else { "" };
        let mut bytes = answer_at(path, &body).to_string().into_bytes();
        prop_assert!(profile.decode(&bytes).is_ok());
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        if let Err(error) = profile.decode(&bytes) {
            prop_assert_eq!(error.code(), Code::ProviderUnavailable);
        }
    }
}

#[test]
fn a_body_is_what_the_documents_show() {
    let request = EmbedRequest {
        dimensions: Some(256),
        truncate: Some(true),
        ..EmbedRequest::new(["hello", "world"], EmbedKind::Query)
    };
    for (name, want) in [
        ("openai", json!({"model": "m", "input": ["hello", "world"], "dimensions": 256, "encoding_format": "base64"})),
        ("openai-compatible", json!({"model": "m", "input": ["hello", "world"], "dimensions": 256})),
        ("ollama", json!({"model": "m", "input": ["hello", "world"], "dimensions": 256, "truncate": true})),
        (
            "cohere",
            json!({"model": "m", "texts": ["hello", "world"], "input_type": "search_query", "output_dimension": 256,
                "truncate": "END", "embedding_types": ["float"]}),
        ),
        (
            "voyage",
            json!({"model": "m", "input": ["hello", "world"], "input_type": "query", "output_dimension": 256,
                "truncation": true, "encoding_format": "base64"}),
        ),
        (
            "jina",
            json!({"model": "m", "input": ["hello", "world"], "task": "retrieval.query", "dimensions": 256,
                "truncate": true}),
        ),
    ] {
        let profile = EMBED_PROFILES.iter().find(|profile| profile.name == name).unwrap();
        let body: Value = serde_json::from_slice(&profile.encode("m", &request)).unwrap();
        assert_eq!(body, want, "{name}");
    }
}
