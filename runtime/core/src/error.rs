//! The one error type of Beluga: a stable code, a retry class, what was tried, and why it failed.
//!
//! Inside a crate small `thiserror` enums are welcome; at a contract boundary they become an [`Error`].
//! A message never carries a secret or user content.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::RequestId;

/// The result of every contract in Beluga.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $title:literal;)*) => {
        /// A stable, machine-readable reason. The caller decides by it: retry, wait, ask the user, give up.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// Returns the stable name, as it stands on the wire: `rate_limit`, `not_found`, ….
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// Returns the HTTP status a server answers with.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }

            /// Returns a short human title, the `title` of problem details.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// Parses a stable name; `None` if no code has it.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Code::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// The request is wrong; the message names the field.
    InvalidInput = "invalid_input", 400, "Invalid input";
    /// The credential is missing or was refused.
    AuthError = "auth_error", 401, "Authentication failed";
    /// The credential is known and not allowed to do this.
    PermissionDenied = "permission_denied", 403, "Permission denied";
    /// Nothing has that name.
    NotFound = "not_found", 404, "Not found";
    /// The thing exists in a state that forbids this; also a session that belongs to another agent.
    Conflict = "conflict", 409, "Conflict";
    /// A rate limit of a vendor or of this node was hit.
    RateLimit = "rate_limit", 429, "Rate limited";
    /// A bound was hit: a queue, a cap, a fan-out.
    Overloaded = "overloaded", 503, "Overloaded";
    /// The deadline passed.
    Timeout = "timeout", 504, "Timed out";
    /// A vendor failed, or its stream broke.
    ProviderUnavailable = "provider_unavailable", 502, "Provider unavailable";
    /// The circuit breaker is open; nothing was sent.
    CircuitOpen = "circuit_open", 503, "Circuit open";
    /// The owner is restarting, moving or draining.
    Unavailable = "unavailable", 503, "Unavailable";
    /// The message was certainly not executed.
    NotSent = "not_sent", 503, "Not sent";
    /// The message may have been executed; its reply was lost.
    UnknownOutcome = "unknown_outcome", 500, "Unknown outcome";
    /// The caller, or somebody above it, gave up.
    Cancelled = "cancelled", 499, "Cancelled";
    /// A tool ran and failed.
    ToolFailed = "tool_failed", 422, "Tool failed";
    /// A guard refused.
    GuardBlocked = "guard_blocked", 422, "Blocked by a guard";
    /// A budget of tokens, requests, cost, time or iterations is used up.
    BudgetExhausted = "budget_exhausted", 422, "Budget exhausted";
    /// The vendor's own filter refused.
    ContentFiltered = "content_filtered", 422, "Content filtered";
    /// The request does not fit the model's context window.
    ContextLength = "context_length", 422, "Context too long";
    /// The turn was resumed as often as allowed without success.
    TurnPoisoned = "turn_poisoned", 500, "Turn poisoned";
    /// Bytes could not be decoded.
    Decode = "decode", 400, "Cannot decode";
    /// The configuration is wrong.
    Config = "config", 500, "Configuration error";
    /// Not compiled in, or not offered by this vendor; the message names the feature.
    Unsupported = "unsupported", 400, "Unsupported";
    /// A fault in Beluga or in an actor.
    Internal = "internal", 500, "Internal error";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether, and when, the same call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same call fails the same way.
    Never,
    /// The same call may be sent at once.
    Now,
    /// The same call may be sent after this long; a floor, never a suggestion.
    After(Duration),
    /// It was retryable and all tries are used up: outer retries stop here.
    Exhausted,
}

impl Code {
    /// Returns the retry class a fresh error of this code has.
    #[must_use]
    pub const fn default_retry(self) -> Retry {
        match self {
            Code::Timeout | Code::NotSent => Retry::Now,
            Code::RateLimit | Code::Overloaded | Code::ProviderUnavailable | Code::CircuitOpen | Code::Unavailable => {
                Retry::After(Duration::ZERO)
            }
            _ => Retry::Never,
        }
    }
}

/// What failed, with which value, and what the caller may do. One pointer wide.
///
/// ```
/// use beluga_core::{Code, Error, Retry};
///
/// let error = Error::new(Code::RateLimit, "too many requests per minute")
///     .with_op("model.generate")
///     .with_retry(Retry::After(std::time::Duration::from_secs(2)))
///     .with("provider", "groq");
/// assert_eq!(error.code(), Code::RateLimit);
/// assert!(error.is_retryable());
/// assert_eq!(error.problem().retry_after_ms, Some(2000));
/// assert_eq!(error.to_string(), "rate_limit: too many requests per minute (op: model.generate, provider: groq)");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    retry: Retry,
    op: Cow<'static, str>,
    message: Cow<'static, str>,
    context: Vec<(Cow<'static, str>, String)>,
    status: Option<u16>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

macro_rules! shorthands {
    ($($(#[$doc:meta])* $name:ident => $code:ident;)*) => {
        impl Error {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(message: impl Into<Cow<'static, str>>) -> Self { Self::new(Code::$code, message) })*
        }
    };
}

shorthands! {
    /// Makes an `invalid_input` error; the message names the field.
    invalid_input => InvalidInput;
    /// Makes a `not_found` error.
    not_found => NotFound;
    /// Makes a `conflict` error.
    conflict => Conflict;
    /// Makes an `overloaded` error; the message names the bound.
    overloaded => Overloaded;
    /// Makes a `timeout` error.
    timeout => Timeout;
    /// Makes an `unavailable` error.
    unavailable => Unavailable;
    /// Makes a `provider_unavailable` error.
    provider_unavailable => ProviderUnavailable;
    /// Makes a `not_sent` error.
    not_sent => NotSent;
    /// Makes an `unknown_outcome` error.
    unknown_outcome => UnknownOutcome;
    /// Makes a `cancelled` error.
    cancelled => Cancelled;
    /// Makes a `tool_failed` error.
    tool_failed => ToolFailed;
    /// Makes a `decode` error.
    decode => Decode;
    /// Makes a `config` error.
    config => Config;
    /// Makes an `unsupported` error; the message names what is missing.
    unsupported => Unsupported;
    /// Makes an `internal` error.
    internal => Internal;
}

impl Error {
    /// Makes an error with the code's default retry class.
    #[must_use]
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            retry: code.default_retry(),
            op: Cow::Borrowed(""),
            message: message.into(),
            context: Vec::new(),
            status: None,
            source: None,
        }))
    }

    /// Names the operation that failed: `session.append`, `http.get`.
    #[must_use]
    pub fn with_op(mut self, op: impl Into<Cow<'static, str>>) -> Self {
        self.0.op = op.into();
        self
    }

    /// Replaces the retry class.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Replaces the HTTP status where the code's own is too coarse: 422 for `invalid_input`, 429 for `overloaded`.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Adds a key and a value that say where it failed. Never a secret, never user content.
    #[must_use]
    pub fn with(mut self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) -> Self {
        self.0.context.push((key.into(), value.to_string()));
        self
    }

    /// Keeps the cause; it shows in the source chain and in logs, not on the wire.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Marks a retryable error as used up, so that outer retries stop.
    #[must_use]
    pub fn exhausted(mut self) -> Self {
        if let Retry::After(wait) = self.0.retry
            && !wait.is_zero()
        {
            self.0.context.push((Cow::Borrowed(RETRY_AFTER_MS), wait.as_millis().to_string()));
        }
        if self.is_retryable() {
            self.0.retry = Retry::Exhausted;
        }
        self
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the retry class.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Returns the HTTP status a server answers with.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.0.status.unwrap_or_else(|| self.0.code.http_status())
    }

    /// Returns the operation that failed, or an empty string.
    #[must_use]
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// Returns the message without code and context.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the keys and values, oldest first.
    pub fn context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.context.iter().map(|(key, value)| (key.as_ref(), value.as_str()))
    }

    /// Returns the value of one context key, the newest if it was added twice.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.context.iter().rev().find(|(have, _)| have == key).map(|(_, value)| value.as_str())
    }

    /// Returns whether the same call may be tried again now or later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.retry, Retry::Now | Retry::After(_))
    }

    /// Returns whether it is a cancellation.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.code == Code::Cancelled
    }

    /// Returns the body every face answers with: HTTP, NATS, `--json`.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let mut detail = self.0.message.to_string();
        let shown: Vec<String> = self
            .0
            .context
            .iter()
            .filter(|(key, _)| key != PARTIAL && key != RETRY_AFTER_MS)
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        if !shown.is_empty() {
            detail = format!("{detail} ({})", shown.join(", "));
        }
        Problem {
            kind: format!("urn:beluga:error:{}", self.0.code),
            title: self.0.code.title().to_owned(),
            status: self.http_status(),
            detail,
            code: self.0.code,
            // Tries that are used up here say nothing against a later one from outside.
            retryable: self.0.retry != Retry::Never,
            retry_after_ms: match self.0.retry {
                Retry::After(wait) => Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
                Retry::Exhausted => self.get(RETRY_AFTER_MS).and_then(|wait| wait.parse().ok()),
                Retry::Never | Retry::Now => None,
            },
            partial: self.get(PARTIAL).map(str::to_owned),
            request_id: None,
        }
    }

    /// Returns a copy for a second reader. The source is kept as its text.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::from(ErrorRecord::from(self))
    }
}

/// The context key under which a partial result travels with `budget_exhausted` and `cancelled`.
pub const PARTIAL: &str = "partial";

/// The context key under which the wait of an exhausted error travels, in milliseconds.
const RETRY_AFTER_MS: &str = "retry_after_ms";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)?;
        let op = (!self.0.op.is_empty()).then(|| format!("op: {}", self.0.op));
        let shown: Vec<String> = op
            .into_iter()
            .chain(
                self.0.context.iter().filter(|(key, _)| key != PARTIAL).map(|(key, value)| format!("{key}: {value}")),
            )
            .collect();
        if shown.is_empty() { Ok(()) } else { write!(f, " ({})", shown.join(", ")) }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.0.code)
            .field("retry", &self.0.retry)
            .field("op", &self.0.op)
            .field("message", &self.0.message)
            .field("context", &self.0.context)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::internal(error.to_string()).with_source(error)
    }
}

/// Problem details (RFC 9457) with Beluga's own members: the error body of every face.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable URN made of the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's short title.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What failed, with which value.
    pub detail: String,
    /// The stable code.
    pub code: Code,
    /// Whether the same request may be sent again.
    pub retryable: bool,
    /// How long to wait before, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What was produced before the failure, with `budget_exhausted` and `cancelled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<String>,
    /// The request that failed; set by the face that answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// An error as plain data: what crosses nodes and what journals keep. No `Value`, no skipped field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// The stable code.
    pub code: Code,
    /// The retry class.
    pub retry: Retry,
    /// The operation that failed, or empty.
    pub op: String,
    /// What failed.
    pub message: String,
    /// Where it failed.
    pub context: Vec<(String, String)>,
    /// The HTTP status, where it is not the code's own.
    pub status: Option<u16>,
    /// The source chain as text, outermost first.
    pub causes: Vec<String>,
}

impl From<&Error> for ErrorRecord {
    fn from(error: &Error) -> Self {
        let mut causes = Vec::new();
        let mut cause = StdError::source(error);
        while let Some(next) = cause {
            causes.push(next.to_string());
            cause = next.source();
        }
        Self {
            code: error.0.code,
            retry: error.0.retry,
            op: error.0.op.to_string(),
            message: error.0.message.to_string(),
            context: error.0.context.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
            status: error.0.status,
            causes,
        }
    }
}

impl From<ErrorRecord> for Error {
    fn from(record: ErrorRecord) -> Self {
        let source = (!record.causes.is_empty()).then(|| record.causes.join(": ").into());
        Self(Box::new(Inner {
            code: record.code,
            retry: record.retry,
            op: Cow::Owned(record.op),
            message: Cow::Owned(record.message),
            context: record.context.into_iter().map(|(key, value)| (Cow::Owned(key), value)).collect(),
            status: record.status,
            source,
        }))
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ErrorRecord::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ErrorRecord::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_parses_back_from_its_name() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn an_error_survives_the_wire() {
        let error = Error::timeout("deadline passed").with_op("tool.call").with("tool", "http").with_source("socket");
        let back: Error = serde_json::from_str(&serde_json::to_string(&error).unwrap()).unwrap();
        assert_eq!(ErrorRecord::from(&back).context, ErrorRecord::from(&error).context);
        assert_eq!(back.code(), Code::Timeout);
        assert_eq!(back.retry(), Retry::Now);
        assert_eq!(StdError::source(&back).map(ToString::to_string).as_deref(), Some("socket"));
    }

    #[test]
    fn exhausted_marks_only_retryable_errors() {
        assert_eq!(Error::timeout("t").exhausted().retry(), Retry::Exhausted);
        assert_eq!(Error::not_found("n").exhausted().retry(), Retry::Never);
    }

    #[test]
    fn an_exhausted_error_still_tells_the_outside_when_to_come_back() {
        let wait = Retry::After(Duration::from_secs(7));
        let problem = Error::new(Code::RateLimit, "slow down").with_retry(wait).exhausted().problem();
        assert_eq!((problem.retryable, problem.retry_after_ms), (true, Some(7000)));
        assert_eq!(problem.detail, "slow down");
    }
}
