//! The public subjects: which actor of which tenant is spoken to, how, and by whom.

use std::borrow::Cow;
use std::fmt;

use beluga_core::{Error, ID_MAX_BYTES, Result, TenantId};

/// The root of every public subject, with the version of the contract.
pub const ROOT: &str = "beluga.v1";

/// What stands before the user in a subject that names one.
const USER: &str = "x";

/// The longest name of a user, in bytes.
pub const USER_MAX_BYTES: usize = 128;

/// What begins a token that is not the id itself.
const ESCAPE: char = '-';

/// How an actor is spoken to: the last token of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// One question, one reply.
    Call,
    /// No reply but the acknowledgement, for who wants one.
    Tell,
    /// One question, many replies.
    Stream,
}

impl Verb {
    /// Returns the token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Call => "call",
            Verb::Tell => "tell",
            Verb::Stream => "stream",
        }
    }
}

/// The address of one actor as an outside client writes it.
///
/// `beluga.v1.<tenant>.<kind>.<id>.<verb>`, or with the user the server's permissions vouch for,
/// `beluga.v1.<tenant>.x.<user>.<kind>.<id>.<verb>`. A token is the id itself where that is made of `A-Z a-z 0-9 _ -` and
/// begins with a letter or a digit; any other id is `-` and its UTF-8 bytes in hexadecimal.
///
/// ```
/// use beluga_core::TenantId;
/// use beluga_transports::nats::{Subject, Verb};
///
/// let subject = Subject::parse("beluga.v1.acme.x.ann.agent.support.call").unwrap();
/// assert_eq!((subject.tenant.as_str(), subject.user.as_deref(), subject.id.as_str()), ("acme", Some("ann"), "support"));
/// assert_eq!((subject.kind.as_str(), subject.verb), ("agent", Verb::Call));
/// assert_eq!(subject.to_string(), "beluga.v1.acme.x.ann.agent.support.call");
///
/// let odd = Subject::new(TenantId::parse("acme").unwrap(), "session", "_a.b", Verb::Stream);
/// assert_eq!(odd.to_string(), "beluga.v1.acme.session.-5f612e62.stream");
/// assert_eq!(Subject::parse(&odd.to_string()).unwrap(), odd);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Whose actor it is.
    pub tenant: TenantId,
    /// Who speaks, where the subject says so.
    pub user: Option<String>,
    /// What kind of actor: `agent`, `session`, `reader`.
    pub kind: String,
    /// Which one.
    pub id: String,
    /// How it is spoken to.
    pub verb: Verb,
}

impl Subject {
    /// Makes the address without a user.
    #[must_use]
    pub fn new(tenant: TenantId, kind: impl Into<String>, id: impl Into<String>, verb: Verb) -> Self {
        Self { tenant, user: None, kind: kind.into(), id: id.into(), verb }
    }

    /// Reads a subject.
    ///
    /// # Errors
    /// `invalid_input` shows the subject and says what it should look like.
    pub fn parse(subject: &str) -> Result<Self> {
        Self::read(subject).ok_or_else(|| {
            let shown: String = subject.chars().take(200).flat_map(char::escape_default).collect();
            Error::invalid_input(format!("a subject is {ROOT}.TENANT[.{USER}.USER].KIND.ID.call, .tell or .stream"))
                .with("subject", shown)
        })
    }

    fn read(subject: &str) -> Option<Self> {
        let rest = subject.strip_prefix(ROOT)?.strip_prefix('.')?;
        let tokens: Vec<&str> = rest.split('.').take(7).collect();
        let (tenant, user, kind, id, verb) = match tokens.as_slice() {
            [tenant, kind, id, verb] => (tenant, None, kind, id, verb),
            [tenant, USER, user, kind, id, verb] => (tenant, Some(unescape(user, USER_MAX_BYTES)?), kind, id, verb),
            _ => return None,
        };
        let verb = [Verb::Call, Verb::Tell, Verb::Stream].into_iter().find(|known| known.as_str() == *verb)?;
        Some(Self {
            tenant: TenantId::parse(unescape(tenant, ID_MAX_BYTES)?).ok()?,
            user,
            kind: is_plain(kind).then(|| (*kind).to_owned())?,
            id: unescape(id, ID_MAX_BYTES)?,
            verb,
        })
    }

    /// Returns the same address of another kind, id and verb: same tenant, same user.
    #[must_use]
    pub fn beside(&self, kind: impl Into<String>, id: impl Into<String>, verb: Verb) -> Self {
        Self { tenant: self.tenant.clone(), user: self.user.clone(), kind: kind.into(), id: id.into(), verb }
    }

    /// Returns the subjects, with wildcards, under which every actor of a kind is spoken to: with and without a user.
    #[must_use]
    pub fn of_kind(tenant: Option<&TenantId>, kind: &str, verb: Verb) -> [String; 2] {
        let tenant = tenant.map_or(Cow::Borrowed("*"), |tenant| escape(tenant.as_str()));
        let verb = verb.as_str();
        [format!("{ROOT}.{tenant}.{kind}.*.{verb}"), format!("{ROOT}.{tenant}.{USER}.*.{kind}.*.{verb}")]
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ROOT}.{}", escape(self.tenant.as_str()))?;
        if let Some(user) = &self.user {
            write!(f, ".{USER}.{}", escape(user))?;
        }
        write!(f, ".{}.{}.{}", self.kind, escape(&self.id), self.verb.as_str())
    }
}

/// Returns whether a text may stand in a subject as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Writes an id as one token.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut token = String::with_capacity(1 + 2 * text.len());
    token.push(ESCAPE);
    for byte in text.bytes() {
        for digit in [byte >> 4, byte & 15] {
            token.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
    Cow::Owned(token)
}

/// Takes an escape back. `None` if it is none, is longer than `max` bytes, or stands for what needs none: one id, one token.
pub(super) fn unescape(token: &str, max: usize) -> Option<String> {
    if is_plain(token) {
        return (token.len() <= max).then(|| token.to_owned());
    }
    let digits = token.strip_prefix(ESCAPE)?;
    if digits.len() % 2 != 0 || digits.len() / 2 > max {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let bytes = digits.as_bytes().chunks_exact(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    let text = String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()?;
    (!is_plain(&text) && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_subject_is_refused() {
        for wrong in [
            "",
            "beluga.v1",
            "beluga.v2.acme.agent.a.call",
            "beluga.v1.acme.agent.a.run",
            "beluga.v1.acme.agent..call",
            "beluga.v1.acme.agent.a.call.call",
            "beluga.v1.acme.x.ann.agent.call",
            "beluga.v1.acme.agent._a.call",
            "beluga.v1.acme.agent.-61.call",
            "beluga.v1.acme.agent.-5F61.call",
            "beluga.v1.acme.agent.-ff.call",
            "beluga.v1.acme.agent.-.call",
            "beluga-int.v1.acme.agent.a.call",
        ] {
            let error = Subject::parse(wrong).unwrap_err();
            assert!(error.to_string().contains("beluga.v1.TENANT"), "{wrong}: {error}");
        }
    }

    #[test]
    fn every_id_comes_back_from_its_token() {
        for id in ["a", "my-agent", "my_agent", "_a", "-a", "--", "ä", "a b", "a.b", "*", ">"] {
            let token = escape(id);
            assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{token}");
            assert!(!token.starts_with('_'));
            assert_eq!(unescape(&token, 64).as_deref(), Some(id));
        }
        assert_eq!(unescape(&"a".repeat(65), 64), None);
    }
}
