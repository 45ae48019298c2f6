//! Whole calls of Cohere, Mistral, Ollama and OpenAI's Responses against servers on this machine.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use beluga_core::{Code, FinishReason, ModelAnswer, ModelChunk, Retry};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use crate::models::{answering, chunks, failure, serve};
use crate::support::{context, hello, model, raw};

const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

/// What a vendor's server sends.
struct Vendor {
    kind: &'static str,
    path: &'static str,
    content_type: &'static [(&'static str, &'static str)],
    /// Says "Hello" in two pieces, calls `clock`, and counts three tokens in and two out.
    good: &'static str,
    /// Says "Hel" and ends.
    half: &'static str,
    /// An error behind the half.
    error: &'static str,
}

const VENDORS: [Vendor; 4] = [
    Vendor {
        kind: "cohere",
        path: "/v2/chat",
        content_type: &[("content-type", EVENTS)],
        good: concat!(
            "data: {\"type\":\"message-start\",\"id\":\"c1\",\"delta\":{\"message\":{\"role\":\"assistant\"}}}\n\n",
            "data: {\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"Hel\"}}}}\n\n",
            "data: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"lo\"}}}}\n\n",
            "data: {\"type\":\"tool-call-start\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"clock\",\"arguments\":\"{\"}}}}}\n\n",
            "data: {\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{\"function\":{\"arguments\":\"}\"}}}}}\n\n",
            "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"TOOL_CALL\",\"usage\":{\"tokens\":{\"input_tokens\":3,\"output_tokens\":2}}}}\n\n",
        ),
        half: concat!(
            "data: {\"type\":\"message-start\",\"id\":\"c1\",\"delta\":{\"message\":{\"role\":\"assistant\"}}}\n\n",
            "data: {\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"Hel\"}}}}\n\n",
        ),
        error: "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"broken\"}}\n\n",
    },
    Vendor {
        kind: "mistral",
        path: "/v1/chat/completions",
        content_type: &[("content-type", EVENTS)],
        good: concat!(
            "data: {\"id\":\"c1\",\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"text\",\"text\":\"lo\"}]}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t1\",\"function\":{\"name\":\"clock\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
            "data: [DONE]\n\n",
        ),
        half: "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n",
        error: "data: {\"object\":\"error\",\"message\":\"broken\",\"type\":\"unreachable_backend\",\"code\":503}\n\n",
    },
    Vendor {
        kind: "ollama",
        path: "/api/chat",
        content_type: &[("content-type", LINES)],
        good: concat!(
            "{\"model\":\"m1\",\"message\":{\"role\":\"assistant\",\"content\":\"Hel\"},\"done\":false}\n",
            "{\"model\":\"m1\",\"message\":{\"role\":\"assistant\",\"content\":\"lo\"},\"done\":false}\n",
            "{\"model\":\"m1\",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"t1\",\"function\":{\"name\":\"clock\",\"arguments\":{}}}]},\"done\":false}\n",
            "{\"model\":\"m1\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":2}\n",
        ),
        half: "{\"model\":\"m1\",\"message\":{\"role\":\"assistant\",\"content\":\"Hel\"},\"done\":false}\n",
        error: "{\"error\":\"broken\"}\n",
    },
    Vendor {
        kind: "openai-responses",
        path: "/v1/responses",
        content_type: &[("content-type", EVENTS)],
        good: concat!(
            "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r1\",\"model\":\"m1\",\"status\":\"in_progress\",\"output\":[]}}\n\n",
            "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"id\":\"i1\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"in_progress\",\"content\":[]}}\n\n",
            "data: {\"type\":\"response.output_text.delta\",\"item_id\":\"i1\",\"output_index\":0,\"content_index\":0,\"delta\":\"Hel\"}\n\n",
            "data: {\"type\":\"response.output_text.delta\",\"item_id\":\"i1\",\"output_index\":0,\"content_index\":0,\"delta\":\"lo\"}\n\n",
            "data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"id\":\"i1\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hello\",\"annotations\":[]}]}}\n\n",
            "data: {\"type\":\"response.output_item.added\",\"output_index\":1,\"item\":{\"id\":\"i2\",\"type\":\"function_call\",\"status\":\"in_progress\",\"call_id\":\"t1\",\"name\":\"clock\",\"arguments\":\"\"}}\n\n",
            "data: {\"type\":\"response.function_call_arguments.delta\",\"item_id\":\"i2\",\"output_index\":1,\"delta\":\"{}\"}\n\n",
            "data: {\"type\":\"response.output_item.done\",\"output_index\":1,\"item\":{\"id\":\"i2\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"t1\",\"name\":\"clock\",\"arguments\":\"{}\"}}\n\n",
            "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r1\",\"model\":\"m1\",\"status\":\"completed\",\"output\":[{\"id\":\"i1\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hello\",\"annotations\":[]}]},{\"id\":\"i2\",\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"t1\",\"name\":\"clock\",\"arguments\":\"{}\"}],\"usage\":{\"input_tokens\":3,\"output_tokens\":2,\"total_tokens\":5}}}\n\n",
        ),
        half: concat!(
            "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r1\",\"model\":\"m1\",\"status\":\"in_progress\",\"output\":[]}}\n\n",
            "data: {\"type\":\"response.output_item.added\",\"output_index\":0,\"item\":{\"id\":\"i1\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"in_progress\",\"content\":[]}}\n\n",
            "data: {\"type\":\"response.output_text.delta\",\"item_id\":\"i1\",\"output_index\":0,\"content_index\":0,\"delta\":\"Hel\"}\n\n",
        ),
        error: "data: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"broken\",\"param\":null}\n\n",
    },
];

#[tokio::test]
async fn an_answer_comes_as_pieces_and_as_a_whole() {
    for vendor in VENDORS {
        let base = answering(200, vendor.content_type, vendor.good).await;
        let (chunks, failure) = chunks(&model(vendor.kind, &base), context()).await;
        assert!(failure.is_none(), "{}: {failure:?}", vendor.kind);
        let pieces: Vec<_> = chunks.iter().filter(|chunk| matches!(chunk, ModelChunk::Text { .. })).collect();
        assert_eq!(pieces.len(), 2, "{}", vendor.kind);
        let answer = ModelAnswer::collect(stream::iter(chunks.into_iter().map(Ok)).boxed()).await.unwrap();
        assert_eq!((answer.message.text().as_str(), answer.finish), ("Hello", FinishReason::ToolCalls));
        let calls: Vec<_> = answer.message.tool_calls().collect();
        assert_eq!((calls[0].id.as_str(), calls[0].name.as_str(), calls[0].arguments.as_str()), ("t1", "clock", "{}"));
        assert_eq!((answer.usage.input_tokens, answer.usage.output_tokens), (3, 2), "{}", vendor.kind);
        assert!(answer.raw_usage.is_some());
    }
}

#[tokio::test]
async fn the_call_goes_to_the_vendors_path_with_the_key() {
    type Seen = Arc<Mutex<Vec<(String, HeaderMap)>>>;
    async fn keep(State(seen): State<Seen>, uri: Uri, headers: HeaderMap) -> &'static str {
        seen.lock().push((uri.path().to_owned(), headers));
        "{}"
    }
    for vendor in VENDORS {
        let seen = Seen::default();
        let base = serve(Router::new().fallback(keep).with_state(Arc::clone(&seen))).await;
        let address = base.trim_end_matches("/v1");
        model(vendor.kind, address).generate(hello(), context()).await.unwrap_err();
        let seen = seen.lock();
        let (path, headers) = &seen[0];
        // Mistral's address and OpenAI's have the version in them.
        assert_eq!(path, vendor.path.trim_start_matches("/v1"), "{}", vendor.kind);
        assert_eq!(headers["authorization"], "Bearer key-of-the-test");
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for vendor in VENDORS {
        let json: &[(&str, &str)] = &[("content-type", "application/json")];
        let base = answering(401, json, r#"{"message":"invalid api token"}"#).await;
        let error = failure(vendor.kind, &base).await;
        assert_eq!((error.code(), error.retry()), (Code::AuthError, Retry::Never), "{}", vendor.kind);
        let base = answering(429, &[("retry-after", "7")], r#"{"message":"slow down"}"#).await;
        let error = failure(vendor.kind, &base).await;
        assert_eq!((error.code(), error.retry()), (Code::RateLimit, Retry::After(Duration::from_secs(7))));
        let base = answering(500, json, r#"{"error":"oops"}"#).await;
        let error = failure(vendor.kind, &base).await;
        assert_eq!(error.code(), Code::ProviderUnavailable, "{}", vendor.kind);
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_and_a_stream_without_an_end_follow_what_was_said() {
    for vendor in VENDORS {
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {}\r\nconnection: close\r\n\r\n", vendor.content_type[0].1);
        for tail in [vendor.error, ""] {
            let address = raw(format!("{head}{}{tail}", vendor.half)).await;
            let (chunks, failure) = chunks(&model(vendor.kind, &format!("http://{address}")), context()).await;
            let failure = failure.expect("a failure");
            assert_eq!(failure.code(), Code::ProviderUnavailable, "{}: {failure}", vendor.kind);
            assert!(failure.is_retryable());
            let said = chunks.iter().any(|chunk| matches!(chunk, ModelChunk::Text { text } if text == "Hel"));
            assert!(said, "{}: {chunks:?}", vendor.kind);
        }
    }
}
