//! Trace identity as it travels with a call: the three fields of W3C Trace Context, level 1.

use std::fmt;
use std::num::NonZeroU128;

use serde::{Deserialize, Serialize, Serializer};

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

    /// Returns the id of the trace, if there is one.
    #[must_use]
    pub fn id(&self) -> Option<TraceId> {
        NonZeroU128::new(self.trace_id).filter(|_| self.span_id != 0).map(TraceId)
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

/// The id of a trace, for people who join events, logs and spans: 32 hexadecimal digits.
///
/// ```
/// use beluga_core::{TraceContext, TraceId};
///
/// let trace = TraceContext { trace_id: 0xabc, span_id: 1, flags: 0 };
/// let id = trace.id().unwrap();
/// assert_eq!(id.to_string(), "00000000000000000000000000000abc");
/// assert_eq!(serde_json::from_value::<TraceId>(serde_json::json!(id)).unwrap(), id);
/// assert_eq!(TraceContext::default().id(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TraceId(NonZeroU128);

impl TraceId {
    /// Returns the digits, without an allocation.
    fn digits(self) -> [u8; 32] {
        let mut digits = [b'0'; 32];
        let mut rest = self.0.get();
        for digit in digits.iter_mut().rev() {
            *digit = HEX.get((rest & 15) as usize).copied().unwrap_or(b'0');
            rest >>= 4;
        }
        digits
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl TryFrom<String> for TraceId {
    type Error = crate::Error;

    fn try_from(text: String) -> crate::Result<Self> {
        let hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = hex.then(|| u128::from_str_radix(&text, 16).ok()).flatten().and_then(NonZeroU128::new);
        id.map(Self).ok_or_else(|| crate::Error::invalid_input("a trace id is 32 hexadecimal digits, not all zero"))
    }
}
