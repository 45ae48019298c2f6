//! An error on its way to another node.

use beluga_core::{Code, Error, ErrorRecord, PARTIAL, Retry};
use serde::{Deserialize, Serialize};

/// The longest text of an error that travels, in bytes; longer ones are cut.
pub const FAILURE_TEXT_MAX_BYTES: usize = 4096;

/// The longest partial result that travels with an error, in bytes.
pub const PARTIAL_MAX_BYTES: usize = 256 << 10;

/// How many causes, and how many values of its context, travel with an error.
pub const CAUSES_MAX: usize = 16;

/// An error as plain data. The code travels by its name, so that a node that does not know it can still show it.
///
/// ```
/// use beluga_core::{Code, Error, Retry};
/// use beluga_runtime::wire::frame::Failure;
///
/// let error = Error::overloaded("the lane is full").with("actor", "counter");
/// let back = Error::from(Failure::from(&error));
/// assert_eq!((back.code(), back.retry(), back.get("actor")), (error.code(), error.retry(), Some("counter")));
/// let newer = Failure { code: "on_fire".to_owned(), ..Failure::from(&error) };
/// assert_eq!(Error::from(newer).code(), Code::Internal, "the text names it");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable name of the code.
    pub code: String,
    /// Whether and when the same call may be tried again.
    pub retry: Retry,
    /// The operation that failed, or empty.
    pub op: String,
    /// What failed.
    pub message: String,
    /// Where it failed.
    pub context: Vec<(String, String)>,
    /// The HTTP status, where it is not the code's own.
    pub status: Option<u16>,
    /// The chain of causes as text, the outermost first.
    pub causes: Vec<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let record = ErrorRecord::from(error);
        let value = |(key, text): (String, String)| {
            let limit = if key == PARTIAL { PARTIAL_MAX_BYTES } else { FAILURE_TEXT_MAX_BYTES };
            (cut(key, FAILURE_TEXT_MAX_BYTES), cut(text, limit))
        };
        Self {
            code: record.code.as_str().to_owned(),
            retry: record.retry,
            op: cut(record.op, FAILURE_TEXT_MAX_BYTES),
            message: cut(record.message, FAILURE_TEXT_MAX_BYTES),
            context: record.context.into_iter().take(CAUSES_MAX).map(value).collect(),
            status: record.status,
            causes: record.causes.into_iter().take(CAUSES_MAX).map(|text| cut(text, FAILURE_TEXT_MAX_BYTES)).collect(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let known = Code::parse(&failure.code);
        let mut context = failure.context;
        if known.is_none() {
            context.push(("code".to_owned(), failure.code));
        }
        Self::from(ErrorRecord {
            code: known.unwrap_or(Code::Internal),
            retry: failure.retry,
            op: failure.op,
            message: failure.message,
            context,
            status: failure.status,
            causes: failure.causes,
        })
    }
}

/// Cuts a text to at most so many bytes, between two characters.
fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
