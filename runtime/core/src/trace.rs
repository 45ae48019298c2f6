//! Trace identity as it travels with a call: the three fields of W3C Trace Context, level 1.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names the span a call was made from. All zero means "no trace".
///
/// Text form: `traceparent`, W3C Trace Context §3.2 (<https://www.w3.org/TR/trace-context/>, read 2026-11).
///
/// ```
/// use beluga_core::TraceContext;
///
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let trace = TraceContext::parse(text).unwrap();
/// assert!(trace.is_sampled());
/// assert_eq!(trace.to_string(), text);
/// assert_eq!(TraceContext::parse("garbage"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TraceContext {
    /// 128-bit trace id.
    pub trace_id: u128,
    /// 64-bit id of the parent span.
    pub span_id: u64,
    /// Bit 0: sampled.
    pub flags: u8,
}

impl TraceContext {
    /// Parses a `traceparent` header; `None` for anything malformed, all-zero or of version `ff`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.trim().split('-');
        let version = fields.next().filter(|field| field.len() == 2 && *field != "ff")?;
        let trace_id = fields.next().filter(|field| field.len() == 32)?;
        let span_id = fields.next().filter(|field| field.len() == 16)?;
        let flags = fields.next().filter(|field| field.len() == 2)?;
        if version == "00" && fields.next().is_some() {
            return None;
        }
        let hex = |field: &str| field.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
        if ![version, trace_id, span_id, flags].into_iter().all(hex) {
            return None;
        }
        let parsed = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        parsed.is_valid().then_some(parsed)
    }

    /// Returns whether both ids are set.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.trace_id != 0 && self.span_id != 0
    }

    /// Returns whether the caller records this trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.is_valid() && self.flags & 1 == 1
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}
