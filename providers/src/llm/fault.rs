//! Vendors' errors, translated into ours.

use std::time::Duration;

use beluga_core::{Code, Error, Retry};
use serde_json::Value;

/// The most characters of a vendor's message that are repeated.
const MESSAGE_MAX_CHARS: usize = 300;

/// A word longer than this in a vendor's message may be a secret and is masked.
const WORD_MAX_CHARS: usize = 40;

/// How keys of known vendors begin.
const KEY_PREFIXES: [&str; 6] = ["sk-", "sk_", "gsk_", "pk-", "api-", "Bearer"];

/// What a vendor's error body says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct VendorError {
    message: String,
    /// `code` and `type`, lower case.
    names: Vec<String>,
    status: Option<u16>,
    /// How long the vendor asks to be left alone.
    wait: Option<Duration>,
}

impl VendorError {
    /// Reads an error body: the forms of OpenAI and Anthropic, a bare object, or a line of text.
    pub(crate) fn parse(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::read(&value),
            Err(_) => {
                let text = String::from_utf8_lossy(body);
                let line = text.lines().next().unwrap_or_default().trim();
                // A page of HTML, or half a JSON object, says nothing to a reader.
                let message = if line.starts_with(['<', '{', '[']) { String::new() } else { line.to_owned() };
                Self { message, ..Self::default() }
            }
        }
    }

    /// Reads an error whose name stands beside its body.
    pub(crate) fn named(name: &str, body: &[u8]) -> Self {
        let mut found = Self::parse(body);
        found.names.insert(0, name.to_lowercase());
        found
    }

    /// Reads an error object, or the object around it.
    pub(crate) fn read(value: &Value) -> Self {
        let inner = match value.get("error") {
            Some(Value::String(text)) => {
                let mut outer = Self::of(value);
                outer.message.clone_from(text);
                return outer;
            }
            Some(inner @ Value::Object(_)) => inner,
            _ => value,
        };
        Self::of(inner)
    }

    fn of(value: &Value) -> Self {
        let mut found = Self::default();
        if let Some(text) = ["message", "detail", "error", "Message"].iter().find_map(|key| value.get(key)?.as_str()) {
            found.message = text.to_owned();
        } else if let Some(text) = validation(value) {
            found.message = text;
        }
        for key in ["code", "type", "status"] {
            match value.get(key) {
                Some(Value::String(name)) => found.names.push(name.to_lowercase()),
                Some(Value::Number(number)) => {
                    found.status = number.as_u64().and_then(|number| u16::try_from(number).ok()).or(found.status);
                }
                _ => {}
            }
        }
        found.read_details(value);
        found
    }

    /// Reads what Google adds (google.rpc.ErrorInfo and RetryInfo): a narrower name, and a time to wait such as `34.5s`.
    fn read_details(&mut self, value: &Value) {
        for detail in value.get("details").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| detail.get(key).and_then(Value::as_str);
            self.names.extend(text("reason").map(str::to_lowercase));
            let seconds = text("retryDelay").and_then(|delay| delay.strip_suffix('s')?.parse::<f64>().ok());
            self.wait = self.wait.or(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()));
        }
    }

    fn is_named(&self, names: &[&str]) -> bool {
        self.names.iter().any(|have| names.iter().any(|name| have.contains(name)))
    }

    fn says(&self, phrases: &[&str]) -> bool {
        let message = self.message.to_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    /// Makes the error of a response with this status.
    ///
    /// `wait` is what the response asked for; `secret` never shows, even if the vendor repeats it.
    pub(crate) fn into_error(self, status: u16, wait: Option<Duration>, secret: Option<&str>) -> Error {
        let (code, retry) = self.classify(status);
        let wait = wait.or(self.wait);
        let text = match code {
            // Vendors repeat parts of the key, and of what they filtered.
            Code::AuthError => "the credential was refused".to_owned(),
            Code::ContentFiltered => "the vendor's filter refused the request".to_owned(),
            _ => match scrub(&self.message, secret) {
                message if message.is_empty() => format!("the vendor answered with status {status}"),
                message => format!("the vendor answered: {message}"),
            },
        };
        let retry = match (retry, wait) {
            (Retry::Now | Retry::After(_), Some(wait)) => Retry::After(wait),
            (retry, _) => retry,
        };
        let mut error = Error::new(code, text).with_retry(retry).with("status", status);
        if let Some(name) = self.names.first() {
            error = error.with("vendor_code", scrub(name, secret));
        }
        error
    }

    /// Makes the error of an error object that came inside a successful response.
    pub(crate) fn into_stream_error(self) -> Error {
        let known = [
            (429, &["rate_limit", "too_many_requests", "throttling", "resource_exhausted"][..]),
            (529, &["overloaded"]),
            (401, &["authentication"]),
            (403, &["permission", "forbidden", "accessdenied"]),
            (404, &["not_found"]),
            (400, &["invalid_request", "bad_request", "validationexception", "invalid_argument"]),
        ];
        let named = known.iter().find(|(_, names)| self.is_named(names)).map(|(status, _)| *status);
        let status = self.status.filter(|status| (400..600).contains(status)).or(named).unwrap_or(500);
        self.into_error(status, None, None)
    }

    fn classify(&self, status: u16) -> (Code, Retry) {
        let code = match status {
            // Spent money does not come back by waiting.
            429 if self.is_named(&["insufficient_quota", "budget_exceeded"]) => return (Code::RateLimit, Retry::Never),
            429 => Code::RateLimit,
            // Groq: the model wrote a call its own parser rejects; the next sample may be right.
            400 if self.is_named(&["tool_use_failed"]) => return (Code::ProviderUnavailable, Retry::Now),
            400..=499 if self.is_context_length() => Code::ContextLength,
            400..=499 if self.is_filter() => Code::ContentFiltered,
            401 => Code::AuthError,
            // Google's word for a wrong key and xAI's, and AWS's for a wrong signature.
            400 if self.is_named(&["api_key_invalid"]) || self.says(&["incorrect api key"]) => Code::AuthError,
            403 if self.says(&["security token", "request signature"]) => Code::AuthError,
            402 | 403 => Code::PermissionDenied,
            404 => Code::NotFound,
            408 => Code::Timeout,
            // Too many bytes is cured as too many tokens are: by a shorter history.
            413 => Code::ContextLength,
            // Cohere's: its filter blocked the prompt or the answer.
            498 => Code::ContentFiltered,
            // Bedrock's 424: the model behind it failed.
            409 | 424 | 425 => Code::ProviderUnavailable,
            400..=499 => Code::InvalidInput,
            501 => Code::Unsupported,
            300..=399 => Code::Config,
            _ => Code::ProviderUnavailable,
        };
        (code, code.default_retry())
    }

    fn is_context_length(&self) -> bool {
        self.is_named(&["context_length", "exceed_context_size", "context_window"])
            || self.says(&[
                "context length",
                "context window",
                "maximum context",
                "context size",
                "prompt is too long",
                "input is too long",
                "exceeds the maximum number of tokens",
                "reduce the length of the messages",
            ])
    }

    fn is_filter(&self) -> bool {
        self.is_named(&["content_filter", "content_policy", "responsibleaipolicyviolation", "data_inspection_failed"])
            || self.says(&["content management policy"])
    }
}

/// Returns where a request is wrong and why, of the first place that FastAPI's servers list.
fn validation(value: &Value) -> Option<String> {
    let list =
        [value.pointer("/message/detail"), value.get("detail")].into_iter().flatten().find_map(Value::as_array)?;
    let first = list.first()?;
    let word = |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
    let place: Vec<String> = first.get("loc")?.as_array()?.iter().map(word).collect();
    Some(format!("{}: {}", place.join("."), first.get("msg")?.as_str()?))
}

/// Makes the error of bytes that are not what the vendor promised.
pub(crate) fn garbage(error: &serde_json::Error) -> Error {
    // The parser's own words may repeat content; its place does not.
    let place = format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column());
    Error::provider_unavailable("the answer cannot be decoded").with_source(Error::decode(place))
}

/// Makes the error of bytes that are JSON and yet no answer.
pub(crate) fn nonsense(what: &'static str) -> Error {
    Error::provider_unavailable("the answer cannot be decoded").with_source(Error::decode(what))
}

/// Makes the error of an answer that ended too early.
pub(crate) fn half() -> Error {
    Error::provider_unavailable("the answer ended before it was finished")
}

/// Shortens a vendor's text and masks what may be a secret.
fn scrub(text: &str, secret: Option<&str>) -> String {
    let mut text = text.to_owned();
    if let Some(secret) = secret.filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "****");
    }
    let words: Vec<&str> = text
        .split_whitespace()
        .map(|word| {
            let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
            let is_key = KEY_PREFIXES.iter().any(|prefix| bare.starts_with(prefix));
            let is_long = bare.chars().count() > WORD_MAX_CHARS && !bare.contains(['/', '.']);
            if is_key || is_long { "****" } else { word }
        })
        .collect();
    let text = words.join(" ");
    match text.char_indices().nth(MESSAGE_MAX_CHARS) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> Error {
        VendorError::parse(body.as_bytes()).into_error(status, None, Some("top-secret"))
    }

    #[test]
    fn the_status_decides_and_the_body_refines() {
        for (status, body, code) in [
            (400, r#"{"error":{"message":"bad","type":"invalid_request_error"}}"#, Code::InvalidInput),
            (400, r#"{"error":{"message":"m","code":"context_length_exceeded"}}"#, Code::ContextLength),
            (
                400,
                r#"{"type":"error","error":{"type":"x","message":"prompt is too long: 9 > 8"}}"#,
                Code::ContextLength,
            ),
            (400, r#"{"error":{"message":"m","code":"content_filter"}}"#, Code::ContentFiltered),
            (400, r#"{"error":{"message":"m","code":"tool_use_failed"}}"#, Code::ProviderUnavailable),
            (401, "", Code::AuthError),
            (402, r#"{"error":{"message":"Insufficient Balance"}}"#, Code::PermissionDenied),
            (403, "Forbidden", Code::PermissionDenied),
            (404, r#"{"error":"model not found"}"#, Code::NotFound),
            (413, "<html>", Code::ContextLength),
            (422, r#"{"detail":"unknown field"}"#, Code::InvalidInput),
            (429, "{}", Code::RateLimit),
            (500, "{", Code::ProviderUnavailable),
            (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, Code::ProviderUnavailable),
            (302, "", Code::Config),
        ] {
            assert_eq!(error(status, body).code(), code, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_is_the_floor_of_what_may_be_retried_and_of_nothing_else() {
        let wait = Some(Duration::from_secs(3));
        let with_wait = |status: u16, body: &str| VendorError::parse(body.as_bytes()).into_error(status, wait, None);
        assert_eq!(with_wait(429, "").retry(), Retry::After(Duration::from_secs(3)));
        assert_eq!(with_wait(503, "").retry(), Retry::After(Duration::from_secs(3)));
        assert_eq!(with_wait(400, "").retry(), Retry::Never);
        assert_eq!(with_wait(429, r#"{"error":{"code":"insufficient_quota"}}"#).retry(), Retry::Never);
    }

    #[test]
    fn no_secret_and_no_page_is_repeated() {
        let shown = error(400, r#"{"error":{"message":"key top-secret and sk-abcdef123, org x"}}"#).to_string();
        assert!(!shown.contains("top-secret") && !shown.contains("sk-abc") && shown.contains("org x"), "{shown}");
        assert!(!error(401, r#"{"error":{"message":"Incorrect API key: s***"}}"#).to_string().contains("Incorrect"));
        assert!(!error(502, "<html><body>oops</body></html>").to_string().contains("oops"));
        assert!(error(400, &format!(r#"{{"message":"{}"}}"#, "ab ".repeat(1000))).to_string().len() < 500);
    }

    #[test]
    fn google_tells_a_wrong_key_and_a_time_to_wait_in_the_details() {
        let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",
            "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
        assert_eq!(error(400, body).code(), Code::AuthError);
        let body = r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED",
            "details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}"#;
        assert_eq!(error(429, body).retry(), Retry::After(Duration::from_millis(34_500)));
        let asked = VendorError::parse(body.as_bytes()).into_error(429, Some(Duration::from_secs(1)), None);
        assert_eq!(asked.retry(), Retry::After(Duration::from_secs(1)), "the head goes before the body");
    }

    #[test]
    fn aws_tells_an_errors_name_beside_its_body() {
        let code = |name: &str, body: &str| VendorError::named(name, body.as_bytes()).into_stream_error().code();
        assert_eq!(code("throttlingException", r#"{"message":"Too many requests"}"#), Code::RateLimit);
        assert_eq!(
            code("validationException", r#"{"message":"Input is too long for requested model."}"#),
            Code::ContextLength
        );
        assert_eq!(code("validationException", "{}"), Code::InvalidInput);
        assert_eq!(code("modelStreamErrorException", r#"{"message":"m"}"#), Code::ProviderUnavailable);
        assert_eq!(code("internalServerException", ""), Code::ProviderUnavailable);
        let expired = r#"{"message":"The security token included in the request is expired"}"#;
        assert_eq!(error(403, expired).code(), Code::AuthError);
        assert_eq!(error(424, r#"{"message":"the model failed"}"#).code(), Code::ProviderUnavailable);
    }

    #[test]
    fn an_error_inside_a_stream_finds_its_status() {
        let code = |body: &str| VendorError::parse(body.as_bytes()).into_stream_error().code();
        assert_eq!(code(r#"{"error":{"code":429,"message":"slow down"}}"#), Code::RateLimit);
        assert_eq!(code(r#"{"error":{"type":"overloaded_error","message":"m"}}"#), Code::ProviderUnavailable);
        assert_eq!(code(r#"{"error":{"type":"invalid_request_error","message":"m"}}"#), Code::InvalidInput);
        assert_eq!(code(r#"{"error":{"message":"who knows"}}"#), Code::ProviderUnavailable);
    }
}
