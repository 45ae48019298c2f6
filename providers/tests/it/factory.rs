//! Models made from configuration.

use beluga_core::{Code, ModelRegistry, ProviderConfig, Registry, Result, SecretString};
use beluga_providers::http::{HttpClient, Network};
use serde_json::json;

use crate::support::host;

fn registry() -> ModelRegistry {
    let mut registry = Registry::new("provider kind");
    beluga_providers::llm::register_with(&mut registry, &HttpClient::new(Network::Forbidden).unwrap()).unwrap();
    registry
}

fn build(kind: &str, change: impl FnOnce(&mut ProviderConfig)) -> Result<beluga_core::ModelInfo> {
    let mut config = ProviderConfig::new(kind);
    change(&mut config);
    Ok(registry().get(kind)?.build(&config, host())?.info())
}

fn key(config: &mut ProviderConfig) {
    config.api_key = Some(SecretString::from("the-key\n".to_owned()));
}

#[test]
fn every_kind_is_registered_and_a_second_time_is_a_conflict() {
    let mut registry = registry();
    let names: Vec<&str> = registry.names().collect();
    assert_eq!(
        names,
        [
            "anthropic",
            "azure",
            "bedrock",
            "bifrost",
            "cerebras",
            "cohere",
            "deepseek",
            "fireworks",
            "google",
            "google-interactions",
            "groq",
            "huggingface",
            "litellm",
            "llama-cpp",
            "mistral",
            "ollama",
            "openai",
            "openai-compatible",
            "openai-responses",
            "openrouter",
            "perplexity",
            "qwen",
            "sambanova",
            "together",
            "vertex",
            "xai",
        ]
    );
    let again = beluga_providers::llm::register(&mut registry);
    assert_eq!(again.unwrap_err().code(), Code::Conflict);
}

#[test]
fn a_missing_key_names_the_variable_to_set() {
    for (kind, variable) in [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY"), ("groq", "GROQ_API_KEY")]
    {
        let error = build(kind, |_| ()).unwrap_err();
        assert_eq!(error.code(), Code::AuthError);
        assert!(error.message().contains(variable), "{error}");
        assert_eq!(registry().get(kind).unwrap().variables().api_key, [variable]);
    }
}

#[test]
fn vendors_have_a_model_and_an_address_of_their_own() {
    for kind in ["openai", "anthropic", "groq", "deepseek"] {
        let info = build(kind, key).unwrap();
        assert_eq!((info.provider.as_str(), info.supports_tools), (kind, true));
        assert!(!info.model.is_empty());
    }
}

#[test]
fn local_and_compatible_servers_need_no_key_and_do_need_a_model() {
    for kind in ["ollama", "openai-compatible"] {
        let error = build(kind, |config| config.base_url = Some("http://127.0.0.1:9/v1".into())).unwrap_err();
        assert_eq!(error.code(), Code::Config);
        assert!(error.message().contains("needs model"), "{error}");
    }
    let model = |config: &mut ProviderConfig| config.model = Some("m".into());
    assert_eq!(build("ollama", model).unwrap().model, "m");
    let error = build("openai-compatible", model).unwrap_err();
    assert!(error.message().contains("needs base_url"), "{error}");
}

#[test]
fn wrong_options_are_named() {
    for (name, value) in [
        ("surprise", json!(1)),
        ("stream", json!("yes")),
        ("max_tokens", json!(0)),
        ("headers", json!(["a"])),
        ("headers", json!({"bad name": "x"})),
        ("headers", json!({"x-a": "secret\nvalue"})),
    ] {
        let error = build("openai", |config| {
            key(config);
            config.options.insert(name.to_owned(), value);
        })
        .unwrap_err();
        assert_eq!(error.code(), Code::Config, "{name}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn a_key_that_no_header_can_carry_is_told_without_showing_it() {
    let error =
        build("openai", |config| config.api_key = Some(SecretString::from("se\u{7}cret".to_owned()))).unwrap_err();
    assert_eq!(error.code(), Code::Config);
    assert!(!error.to_string().contains("cret"), "{error}");
}

#[test]
fn a_model_without_tools_says_so() {
    let info = build("openai", |config| {
        key(config);
        config.options.insert("supports_tools".into(), json!(false));
    });
    assert!(!info.unwrap().supports_tools);
}
