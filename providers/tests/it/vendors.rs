//! Where each vendor is called, and with what key: as its documents say.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use beluga_core::{ChatModel, ModelRequest, Reasoning, Registry, SecretString, ThinkingSwitch};
use beluga_providers::llm::{PROFILES, Profile, QWEN};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{context, hello, model_with};

/// The vendors of OpenAI's dialect and Mistral's: kind, address of a call, variables of the key; an optional key is marked.
const CHAT: [(&str, &str, &[&str], bool); 16] = [
    ("bifrost", "http://127.0.0.1:8080/v1/chat/completions", &["BIFROST_API_KEY"], true),
    ("cerebras", "https://api.cerebras.ai/v1/chat/completions", &["CEREBRAS_API_KEY"], false),
    ("deepseek", "https://api.deepseek.com/chat/completions", &["DEEPSEEK_API_KEY"], false),
    ("fireworks", "https://api.fireworks.ai/inference/v1/chat/completions", &["FIREWORKS_API_KEY"], false),
    ("mistral", "https://api.mistral.ai/v1/chat/completions", &["MISTRAL_API_KEY"], false),
    ("groq", "https://api.groq.com/openai/v1/chat/completions", &["GROQ_API_KEY"], false),
    ("huggingface", "https://router.huggingface.co/v1/chat/completions", &["HF_TOKEN"], false),
    ("litellm", "http://127.0.0.1:4000/chat/completions", &["LITELLM_API_KEY", "LITELLM_PROXY_API_KEY"], true),
    ("llama-cpp", "http://127.0.0.1:8080/v1/chat/completions", &["LLAMA_API_KEY"], true),
    ("openai", "https://api.openai.com/v1/chat/completions", &["OPENAI_API_KEY"], false),
    ("openrouter", "https://openrouter.ai/api/v1/chat/completions", &["OPENROUTER_API_KEY"], false),
    ("perplexity", "https://api.perplexity.ai/chat/completions", &["PERPLEXITY_API_KEY"], false),
    (
        "qwen",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions",
        &["DASHSCOPE_API_KEY", "ALIBABA_API_KEY"],
        false,
    ),
    ("sambanova", "https://api.sambanova.ai/v1/chat/completions", &["SAMBANOVA_API_KEY"], false),
    ("together", "https://api.together.xyz/v1/chat/completions", &["TOGETHER_API_KEY"], false),
    ("xai", "https://api.x.ai/v1/chat/completions", &["XAI_API_KEY"], false),
];

fn profile(kind: &str) -> &'static Profile {
    PROFILES.iter().find(|profile| profile.name == kind).unwrap()
}

#[test]
fn vendors_are_where_their_documents_say() {
    for (kind, address, variables, key_optional) in CHAT {
        let profile = profile(kind);
        let endpoint = profile.endpoint(&profile.base(None).unwrap(), "some-model", true);
        assert_eq!(endpoint.as_str(), address, "{kind}");
        assert_eq!((profile.variables.api_key, profile.variables.key_optional), (variables, key_optional), "{kind}");
    }
}

/// What a server was asked: path with query, headers, body.
type Asked = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

/// Answers every request with one text, and keeps what it was asked.
#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
async fn listen() -> (String, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let answer = move |uri: Uri, headers: HeaderMap, body: axum::Json<Value>| {
        seen.lock().push((uri.path_and_query().unwrap().to_string(), headers, body.0));
        let answer = json!({
            "id": "c1", "model": "m1",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
        });
        async move { (StatusCode::OK, axum::Json(answer)) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (address, asked)
}

async fn ask(model: &Arc<dyn ChatModel>, request: ModelRequest) {
    let answer = model.generate(Arc::new(request), context()).await.unwrap();
    assert_eq!(answer.message.text(), "Hello");
}

#[tokio::test]
async fn keys_travel_as_bearer_tokens() {
    let (address, asked) = listen().await;
    for (kind, ..) in CHAT {
        ask(&model_with(kind, &format!("{address}/v1"), |_| ()), (*hello()).clone()).await;
        let (path, headers, _) = asked.lock().pop().unwrap();
        assert_eq!(path, "/v1/chat/completions", "{kind}");
        assert_eq!(headers["authorization"], "Bearer key-of-the-test", "{kind}");
    }
}

#[tokio::test]
async fn azure_is_asked_by_deployment_and_version() {
    let (address, asked) = listen().await;
    let path = "/openai/deployments/test-model/chat/completions?api-version=";
    let version = |version: &'static str| {
        move |config: &mut beluga_core::ProviderConfig| {
            config.options.insert("api_version".into(), json!(version));
        }
    };
    let of_variable = |config: &mut beluga_core::ProviderConfig| {
        config.environment.insert("OPENAI_API_VERSION", SecretString::from("2025-01-01-preview".to_owned()));
    };
    for (model, want) in [
        (model_with("azure", &address, |_| ()), format!("{path}2024-10-21")),
        (model_with("azure", &address, version("2025-04-01-preview")), format!("{path}2025-04-01-preview")),
        (model_with("azure", &address, of_variable), format!("{path}2025-01-01-preview")),
        (model_with("azure", &format!("{address}/?api-version=x"), |_| ()), format!("{path}x")),
        (model_with("azure", &format!("{address}/openai/v1"), |_| ()), "/openai/v1/chat/completions".to_owned()),
    ] {
        ask(&model, (*hello()).clone()).await;
        let (path, headers, body) = asked.lock().pop().unwrap();
        assert_eq!((path, headers["api-key"].to_str().unwrap()), (want, "key-of-the-test"));
        assert_eq!((headers.get("authorization"), &body["model"]), (None, &json!("test-model")));
    }
    let mut registry = Registry::new("provider kind");
    beluga_providers::llm::register(&mut registry).unwrap();
    let mut config = beluga_core::ProviderConfig::new("azure");
    config.base_url = Some("https://r.openai.azure.com".into());
    config.model = Some("gpt".into());
    config.options.insert("api_version".into(), json!("a b"));
    let error = registry.get("azure").unwrap().build(&config, crate::support::host()).err().unwrap();
    assert!(error.message().contains("AZURE_OPENAI_API_KEY"), "{error}");
    config.api_key = Some(SecretString::from("k".to_owned()));
    let error = registry.get("azure").unwrap().build(&config, crate::support::host()).err().unwrap();
    assert!(error.message().contains("api_version has forbidden characters"), "{error}");
}

#[tokio::test]
async fn what_a_vendor_refuses_is_not_sent() {
    let (address, asked) = listen().await;
    let mut request = (*hello()).clone();
    request.options.frequency_penalty = Some(0.5);
    request.options.service_tier = Some("flex".into());
    request.options.max_tokens = Some(7);
    ask(&model_with("cerebras", &address, |_| ()), request.clone()).await;
    let body = asked.lock().pop().unwrap().2;
    assert_eq!((body.get("frequency_penalty"), body.get("service_tier")), (None, None));
    assert_eq!(body["max_completion_tokens"], 7);
    ask(&model_with("together", &address, |_| ()), request).await;
    let body = asked.lock().pop().unwrap().2;
    assert_eq!((&body["frequency_penalty"], &body["max_tokens"]), (&json!(0.5), &json!(7)));
}

#[tokio::test]
async fn each_vendor_has_its_own_word_for_thinking() {
    let (address, asked) = listen().await;
    let mut request = (*hello()).clone();
    request.options.reasoning =
        Some(Reasoning { budget_tokens: Some(512), switch: Some(ThinkingSwitch::Enabled), ..Reasoning::default() });
    ask(&model_with("qwen", &address, |_| ()), request.clone()).await;
    let body = asked.lock().pop().unwrap().2;
    assert_eq!((&body["enable_thinking"], &body["thinking_budget"]), (&json!(true), &json!(512)));
    let read = QWEN.decode_request("/v1/chat/completions", body.to_string().as_bytes()).unwrap();
    assert_eq!(read.request.options.reasoning, request.options.reasoning);
    ask(&model_with("openrouter", &address, |_| ()), request).await;
    let body = asked.lock().pop().unwrap().2;
    assert_eq!(body["reasoning"], json!({"enabled": true, "max_tokens": 512}));
}

#[test]
fn who_takes_no_tools_says_so_unless_told_otherwise() {
    let supports = |model: Arc<dyn ChatModel>| model.info().supports_tools;
    assert!(supports(model_with("llama-cpp", "http://127.0.0.1:9", |_| ())));
    assert!(!supports(model_with("perplexity", "http://127.0.0.1:9", |_| ())));
    let insisting = model_with("perplexity", "http://127.0.0.1:9", |config| {
        config.options.insert("supports_tools".into(), json!(true));
    });
    assert!(supports(insisting));
}
