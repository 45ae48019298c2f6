//! Google's access tokens, fetched from a server of the test.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use beluga_core::{Code, ExposeSecret, Result};
use beluga_providers::auth::{GoogleCredentials, TokenSource};
use beluga_providers::http::{HttpClient, Network};
use futures_util::FutureExt;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

use crate::support::host;

/// A key that was made for these tests and opens nothing.
const KEY: &str = include_str!("../../src/auth/test_key.pem");

/// A token endpoint that answers its n-th request, from 0, with what `answer` says; and the count of requests.
#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
async fn endpoint(
    answer: impl Fn(usize) -> Option<(u16, serde_json::Value)> + Clone + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/token", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let handler = move |body: String| {
        let (count, answer) = (Arc::clone(&seen), answer.clone());
        async move {
            assert!(body.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="));
            let Some((status, body)) = answer(count.fetch_add(1, Ordering::SeqCst)) else {
                return std::future::pending().await;
            };
            (StatusCode::from_u16(status).unwrap(), body.to_string())
        }
    };
    let router = Router::new().route("/token", post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, count)
}

fn source(token_uri: &str) -> (TokenSource, NamedTempFile) {
    let mut file = NamedTempFile::new().unwrap();
    let account = json!({
        "type": "service_account", "token_uri": token_uri, "client_email": "robot@project.example", "private_key": KEY,
    });
    file.write_all(account.to_string().as_bytes()).unwrap();
    let credentials = GoogleCredentials::File(file.path().to_owned());
    (TokenSource::new(credentials, HttpClient::new(Network::LoopbackOnly).unwrap(), host()), file)
}

fn text(token: Result<beluga_core::SecretString>) -> String {
    token.unwrap().expose_secret().to_owned()
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_fetch_and_later_ones_its_token() {
    let answer =
        |at| Some((200, json!({"access_token": format!("t{at}"), "expires_in": 3599, "token_type": "Bearer"})));
    let (address, count) = endpoint(answer).await;
    let (source, _file) = source(&address);
    for token in futures_util::future::join_all((0..20).map(|_| source.token())).await {
        assert_eq!(text(token), "t0");
    }
    assert_eq!(text(source.clone().token().await), "t0");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    // The margin is all of its life.
    let (address, _) = endpoint(|at| Some((200, json!({"access_token": format!("t{at}"), "expires_in": 120})))).await;
    let (source, _file) = source(&address);
    assert_eq!(text(source.token().await), "t0");
    assert_eq!(text(source.token().await), "t1");
}

#[tokio::test]
async fn a_refusal_is_told_and_not_remembered() {
    let answer = |at| {
        Some(match at {
            0 => (400, json!({"error": "invalid_grant", "error_description": "secret words"})),
            1 => (503, json!("not today")),
            _ => (200, json!({"access_token": "good", "expires_in": 3600})),
        })
    };
    let (address, _) = endpoint(answer).await;
    let (source, _file) = source(&address);
    let error = source.token().await.unwrap_err();
    assert_eq!((error.code(), error.get("vendor_code")), (Code::AuthError, Some("invalid_grant")));
    assert!(!error.to_string().contains("secret words"), "{error}");
    assert_eq!(source.token().await.unwrap_err().code(), Code::ProviderUnavailable);
    assert_eq!(text(source.token().await), "good");
}

#[tokio::test]
async fn a_fetch_nobody_waits_for_ends_and_the_next_begins_anew() {
    let (address, count) =
        endpoint(|at| (at > 0).then(|| (200, json!({"access_token": "t", "expires_in": 3600})))).await;
    let (source, _file) = source(&address);
    let mut hanging = source.token();
    while count.load(Ordering::SeqCst) == 0 {
        assert!(hanging.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(hanging);
    assert_eq!(text(source.token().await), "t");
}

#[tokio::test]
async fn a_file_that_is_gone_is_a_missing_credential() {
    let (source, file) = source("http://127.0.0.1:9/");
    drop(file);
    let error = source.token().await.unwrap_err();
    assert_eq!(error.code(), Code::AuthError);
    assert!(!format!("{source:?}").contains("tmp"));
}
