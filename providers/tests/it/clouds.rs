//! The vendors whose requests are signed or carry a fetched token, against servers of the test.

use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use beluga_core::{
    ChatModel, Code, FinishReason, ModelAnswer, ModelChunk, ModelRegistry, ProviderConfig, Registry, Result,
    SecretString,
};
use beluga_providers::http::{HttpClient, Network};
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{context, hello, host};

/// A key that was made for these tests and opens nothing.
const KEY: &str = include_str!("../../src/auth/test_key.pem");

const ANSWER: &str = "messageStart {\"role\":\"assistant\"}\n\
    contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"}}\n\
    contentBlockStop {\"contentBlockIndex\":0}\n\
    messageStop {\"stopReason\":\"end_turn\"}\n\
    metadata {\"usage\":{\"inputTokens\":2,\"outputTokens\":1,\"totalTokens\":3},\"metrics\":{\"latencyMs\":1}}\n";

const DOCUMENT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}"#;

/// The path with its query, and the headers as text.
type Asked = (String, Vec<(String, String)>);

/// What a server saw.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Asked>>>);

impl Seen {
    fn path(&self, at: usize) -> String {
        self.0.lock()[at].0.clone()
    }

    fn header(&self, at: usize, name: &str) -> Option<String> {
        self.0.lock()[at].1.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone())
    }
}

/// A server that gives tokens under `/token` and the same answer under every other path.
#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
async fn serve(kind: &'static str, body: Vec<u8>) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Seen::default();
    let answer = move |State(seen): State<Seen>, request: Request| {
        let body = body.clone();
        async move {
            let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
            let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            seen.0.lock().push((request.uri().to_string(), headers));
            if request.uri().path() == "/token" {
                return Response::new(Body::from(r#"{"access_token":"fetched-token","expires_in":3600}"#));
            }
            Response::builder().header("content-type", kind).body(Body::from(body)).unwrap()
        }
    };
    let router = Router::new().fallback(answer).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

fn build(kind: &str, change: impl FnOnce(&mut ProviderConfig)) -> Result<Arc<dyn ChatModel>> {
    let mut registry: ModelRegistry = Registry::new("provider kind");
    beluga_providers::llm::register_with(&mut registry, &HttpClient::new(Network::LoopbackOnly).unwrap()).unwrap();
    let mut config = ProviderConfig::new(kind);
    change(&mut config);
    registry.get(kind)?.build(&config, host())
}

fn set(config: &mut ProviderConfig, name: &'static str, value: &str) {
    config.environment.insert(name, SecretString::from(value.to_owned()));
}

fn aws(config: &mut ProviderConfig, address: &str) {
    config.base_url = Some(format!("http://{address}"));
    config.model = Some("amazon.nova-lite-v1:0".to_owned());
    set(config, "AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    set(config, "AWS_SECRET_ACCESS_KEY", "secret-half");
    set(config, "AWS_SESSION_TOKEN", "session-token");
    set(config, "AWS_DEFAULT_REGION", "eu-central-1");
}

async fn answer(model: &Arc<dyn ChatModel>) -> ModelAnswer {
    model.generate(hello(), context()).await.unwrap()
}

#[tokio::test]
async fn bedrock_signs_each_request_for_its_region() {
    let (address, seen) = serve("application/vnd.amazon.eventstream", crate::replay::frames::encode(ANSWER)).await;
    let model = build("bedrock", |config| aws(config, &address)).unwrap();
    let said = answer(&model).await;
    assert_eq!((said.message.text().as_str(), said.finish, said.usage.total_tokens()), ("Hi", FinishReason::Stop, 3));
    assert_eq!(seen.path(0), "/model/amazon.nova-lite-v1%3A0/converse-stream");
    let signed = seen.header(0, "authorization").unwrap();
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signed}");
    assert!(signed.contains("/eu-central-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-"));
    assert_eq!(seen.header(0, "x-amz-security-token").as_deref(), Some("session-token"));
    assert!(!signed.contains("secret-half") && !format!("{model:?}").contains("secret-half"));
}

#[tokio::test]
async fn bedrock_takes_an_api_key_instead_of_a_signature_and_a_whole_answer_instead_of_a_stream() {
    let whole = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 2, "outputTokens": 1, "totalTokens": 3}, "metrics": {"latencyMs": 1},
    });
    let (address, seen) = serve("application/json", whole.to_string().into_bytes()).await;
    let model = build("bedrock", |config| {
        aws(config, &address);
        config.api_key = Some(SecretString::from("bedrock-key".to_owned()));
        config.options.insert("stream".into(), json!(false));
    });
    assert_eq!(answer(&model.unwrap()).await.message.text(), "Hi");
    assert_eq!(seen.header(0, "authorization").as_deref(), Some("Bearer bedrock-key"));
    assert_eq!(
        (seen.path(0).as_str(), seen.header(0, "x-amz-date")),
        ("/model/amazon.nova-lite-v1%3A0/converse", None)
    );
}

#[tokio::test]
async fn an_exception_inside_a_stream_comes_after_what_was_said() {
    let text = "messageStart {\"role\":\"assistant\"}\ncontentBlockDelta {\"delta\":{\"text\":\"Hi\"}}\n\
        !throttlingException {\"message\":\"Too many tokens\"}\n";
    let (address, _) = serve("application/vnd.amazon.eventstream", crate::replay::frames::encode(text)).await;
    let model = build("bedrock", |config| aws(config, &address)).unwrap();
    let items: Vec<_> = model.stream(hello(), context()).collect().await;
    assert!(items.iter().any(|item| matches!(item, Ok(ModelChunk::Text { text }) if text == "Hi")));
    let Some(Err(error)) = items.last() else { panic!("{items:?}") };
    assert_eq!((error.code(), error.get("provider")), (Code::RateLimit, Some("aws.bedrock")));
}

#[tokio::test]
async fn gemini_sends_its_key_in_a_header_and_the_model_in_the_path() {
    let (address, seen) = serve("text/event-stream", format!("data: {DOCUMENT}\n\n").into_bytes()).await;
    let model = build("google", |config| {
        config.base_url = Some(format!("http://{address}/v1beta"));
        config.api_key = Some(SecretString::from("gemini-key".to_owned()));
    });
    assert_eq!(answer(&model.unwrap()).await.message.text(), "Hi");
    assert_eq!(seen.path(0), "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    assert_eq!(seen.header(0, "x-goog-api-key").as_deref(), Some("gemini-key"));
    assert_eq!(seen.header(0, "authorization"), None);
}

#[tokio::test]
async fn vertex_fetches_a_token_once_and_names_project_and_location() {
    let (address, seen) = serve("text/event-stream", format!("data: {DOCUMENT}\n\n").into_bytes()).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let account: Value = json!({
        "type": "service_account", "token_uri": format!("http://{address}/token"), "client_email": "robot@p.example",
        "private_key": KEY,
    });
    file.write_all(account.to_string().as_bytes()).unwrap();
    let model = build("vertex", |config| {
        let places = "projects/{project}/locations/{location}/publishers/google";
        config.base_url = Some(format!("http://{address}/v1/{places}"));
        config.options.insert("project".into(), json!("my-project"));
        set(config, "GOOGLE_CLOUD_LOCATION", "europe-west4");
        set(config, "GOOGLE_APPLICATION_CREDENTIALS", file.path().to_str().unwrap());
    })
    .unwrap();
    for _ in 0..2 {
        assert_eq!(answer(&model).await.message.text(), "Hi");
    }
    assert_eq!(seen.path(0), "/token");
    let path = "/v1/projects/my-project/locations/europe-west4/publishers/google/models/gemini-2.5-flash";
    for at in [1, 2] {
        assert_eq!(seen.path(at), format!("{path}:streamGenerateContent?alt=sse"));
        assert_eq!(seen.header(at, "authorization").as_deref(), Some("Bearer fetched-token"));
    }
}

#[tokio::test]
async fn vertex_takes_a_token_from_outside() {
    let (address, seen) = serve("text/event-stream", format!("data: {DOCUMENT}\n\n").into_bytes()).await;
    let model = build("vertex", |config| {
        config.base_url = Some(format!("http://{address}/v1"));
        config.api_key = Some(SecretString::from("given-token".to_owned()));
    });
    assert_eq!(answer(&model.unwrap()).await.message.text(), "Hi");
    assert_eq!(seen.header(0, "authorization").as_deref(), Some("Bearer given-token"));
}

#[test]
fn a_missing_credential_or_place_is_named() {
    let refused = |kind: &str, change: &dyn Fn(&mut ProviderConfig)| build(kind, change).unwrap_err();
    let model = |config: &mut ProviderConfig| config.model = Some("m".into());
    let error = refused("bedrock", &|config| {
        model(config);
        set(config, "AWS_REGION", "us-east-1");
    });
    assert_eq!(error.code(), Code::AuthError);
    assert!(error.message().contains("AWS_BEARER_TOKEN_BEDROCK or AWS_ACCESS_KEY_ID"), "{error}");
    let error = refused("bedrock", &model);
    assert_eq!(error.code(), Code::Config);
    assert!(error.message().contains("needs the option region, or AWS_REGION"), "{error}");
    let error = refused("bedrock", &|config| {
        model(config);
        config.options.insert("region".into(), json!("evil.example/"));
    });
    assert!(error.message().contains("region has forbidden characters"), "{error}");
    let error = refused("vertex", &|config| set(config, "GOOGLE_CLOUD_PROJECT", "p"));
    assert!(error.message().contains("VERTEX_ACCESS_TOKEN or GOOGLE_APPLICATION_CREDENTIALS"), "{error}");
    let error = refused("vertex", &|config| config.api_key = Some(SecretString::from("t".to_owned())));
    assert!(error.message().contains("needs the option project, or GOOGLE_CLOUD_PROJECT"), "{error}");
    let error = refused("google", &|config| {
        config.api_key = Some(SecretString::from("k".to_owned()));
        config.options.insert("region".into(), json!("x"));
    });
    assert!(error.message().contains("has no option \"region\""), "{error}");
}
