//! Identities: small checked strings. A parsed id is safe in a path, a subject and a file name.

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize, Serializer};

use crate::error::{Error, Result};

/// The longest id, in bytes.
pub const ID_MAX_BYTES: usize = 64;

fn check(kind: &'static str, text: &str) -> Result<()> {
    let well_formed = !text.is_empty()
        && text.len() <= ID_MAX_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if well_formed {
        return Ok(());
    }
    let shown: String = text.chars().take(ID_MAX_BYTES).flat_map(char::escape_default).collect();
    Err(Error::invalid_input(format!("{kind} must be 1 to {ID_MAX_BYTES} of A-Z a-z 0-9 _ -"))
        .with(kind, if shown.is_empty() { "(empty)".to_owned() } else { shown }))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl $name {
            /// Parses an id of `[A-Za-z0-9_-]{1,64}`.
            ///
            /// # Errors
            /// `invalid_input` names the kind of id and shows the value, escaped.
            pub fn parse(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                check($kind, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{:?}", &*self.0) }
        }
        impl AsRef<str> for $name { fn as_ref(&self) -> &str { &self.0 } }
        impl Borrow<str> for $name { fn borrow(&self) -> &str { &self.0 } }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> { Self::parse(text) }
        }
        impl TryFrom<&str> for $name {
            type Error = Error;
            fn try_from(text: &str) -> Result<Self> { Self::parse(text) }
        }
        impl From<$name> for Arc<str> { fn from(id: $name) -> Arc<str> { id.0 } }
        impl From<$name> for String { fn from(id: $name) -> String { id.0.to_string() } }
        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> { Self::parse(text) }
        }
    )*};
}

ids! {
    /// Names a tenant.
    TenantId, "tenant";
    /// Names an agent.
    AgentName, "agent";
    /// Names a session within its tenant.
    SessionId, "session";
    /// Names one turn; unique within its session.
    TurnId, "turn";
    /// Names one tool call; unique within its turn.
    CallId, "call";
    /// Names a tool.
    ToolName, "tool";
    /// Names a configured provider: the `X` of `[providers.X]`.
    ProviderName, "provider";
}

impl Default for TenantId {
    /// Returns the tenant `default`. It is made once; a call costs one atomic increment.
    fn default() -> Self {
        static DEFAULT: LazyLock<TenantId> = LazyLock::new(|| TenantId(Arc::from("default")));
        DEFAULT.clone()
    }
}

/// The longest request id, in bytes.
pub const REQUEST_ID_MAX_BYTES: usize = 128;

/// Names one request from outside, for people who join logs: `[A-Za-z0-9._:/+=@~-]{1,128}`, chosen by the client or made
/// by the face. It decides nothing.
///
/// ```
/// use beluga_core::RequestId;
///
/// assert_eq!(RequestId::parse("Root=1-67891233-abcdef").unwrap().as_str(), "Root=1-67891233-abcdef");
/// assert!(RequestId::parse("two words").is_err());
/// assert_eq!(RequestId::from_bits(7).as_str().len(), 32);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Parses an id that came from outside.
    ///
    /// # Errors
    /// `invalid_input` if it is empty, too long or holds anything else.
    pub fn parse(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/+=@~-".contains(&byte);
        if text.is_empty() || text.len() > REQUEST_ID_MAX_BYTES || !text.bytes().all(allowed) {
            let limit = format!("a request id is 1 to {REQUEST_ID_MAX_BYTES} of A-Z a-z 0-9 . _ : / + = @ ~ -");
            return Err(Error::invalid_input(limit));
        }
        Ok(Self(Arc::from(text)))
    }

    /// Makes an id of random bits: 32 hexadecimal digits.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        Self(Arc::from(format!("{bits:032x}")))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl TryFrom<String> for RequestId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Names one message: unique over nodes and restarts, and the key of deduplication.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageId(pub u128);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_tricks_are_no_ids() {
        for text in ["", "..", "../etc", "a/b", "a.b", "a b", "ä", "\0", &"x".repeat(65)] {
            let error = SessionId::parse(text).unwrap_err();
            assert_eq!(error.code(), crate::Code::InvalidInput, "{text:?}");
        }
        assert_eq!(SessionId::parse("Ab_9-").unwrap().as_str(), "Ab_9-");
    }

    #[test]
    fn a_bad_id_is_refused_while_deserializing() {
        assert!(serde_json::from_str::<TenantId>("\"a/b\"").is_err());
        assert_eq!(serde_json::from_str::<TenantId>("\"acme\"").unwrap().as_str(), "acme");
    }
}
