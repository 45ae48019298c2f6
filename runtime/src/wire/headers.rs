//! Calls and answers as headers any tool can read, beside a body that is the payload alone.
//!
//! A transport copies the pairs as they are. The target of a call is not among them: it is where the call was sent to. Values
//! are visible ASCII; what is not is written as `%XX`. None of it is believed of a stranger: whoever takes calls from outside
//! overwrites the caller.
//!
//! | header | value |
//! |---|---|
//! | `Beluga-Id` | the call's id, as a UUID; also `Nats-Msg-Id` |
//! | `Beluga-Type` | `name@version` |
//! | `Beluga-Codec` | `cbor`, `json`, `b2` |
//! | `Beluga-Manner` | `tell`, `ask`, `stream` |
//! | `Beluga-Credit` | how many (more) items the reader takes |
//! | `Beluga-Deadline-Ms` | the time that is left |
//! | `Beluga-From`, `Beluga-Seq` | `node.epoch.actor`; the sender's number of the call, or the number of an item |
//! | `Beluga-Corr` | the message id of the caller's context |
//! | `Beluga-Fence` | `generation.revision` |
//! | `Beluga-Hops`, `traceparent` | hops; W3C Trace Context |
//! | `Beluga-Tenant`, `Beluga-Tier`, `Beluga-Principal`, `Beluga-Request` | the caller |
//! | `Idempotency-Key` | the key |
//! | `Beluga-Eos` | `ok`, `err`, `cancelled`: the stream is over |
//! | `Nats-Service-Error-Code`, `Nats-Service-Error` | HTTP status and text of an error, whose body is problem details |

mod answer;
mod text;

use std::borrow::Cow;
use std::sync::Arc;

use beluga_core::{Error, MessageId, Result, TenantId, TraceContext};

use super::Codec;
use super::frame::{Body, Call, Caller, Fence, Manner, Origin, Target};

pub use answer::{Answered, of_end, of_item, of_reply, read_answer};
pub(crate) use text::{escape, id_text, unescape};
use text::{number, parse_id};

/// The call's id.
pub const ID: &str = "Beluga-Id";
/// The message and its version.
pub const TYPE: &str = "Beluga-Type";
/// The codec of the body.
pub const CODEC: &str = "Beluga-Codec";
/// What the caller waits for.
pub const MANNER: &str = "Beluga-Manner";
/// How many items the reader takes.
pub const CREDIT: &str = "Beluga-Credit";
/// The time that is left, in milliseconds.
pub const DEADLINE_MS: &str = "Beluga-Deadline-Ms";
/// Who sends.
pub const FROM: &str = "Beluga-From";
/// The sender's number of the call; the number of an item.
pub const SEQ: &str = "Beluga-Seq";
/// The lowest number of the sender that may still be on its way; that of the call where absent.
pub const OLDEST: &str = "Beluga-Oldest";
/// The message id of the caller's context.
pub const CORR: &str = "Beluga-Corr";
/// The newest token of the target the sender knows of.
pub const FENCE: &str = "Beluga-Fence";
/// How many calls lie before this one.
pub const HOPS: &str = "Beluga-Hops";
/// The tenant.
pub const TENANT: &str = "Beluga-Tenant";
/// The tenant's service tier.
pub const TIER: &str = "Beluga-Tier";
/// Who asks.
pub const PRINCIPAL: &str = "Beluga-Principal";
/// The request from outside.
pub const REQUEST: &str = "Beluga-Request";
/// The key under which a repeated call has one effect.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The span the call was made from.
pub const TRACEPARENT: &str = "traceparent";
/// The end of a stream.
pub const EOS: &str = "Beluga-Eos";
/// What a NATS server removes duplicates by.
pub const NATS_MSG_ID: &str = "Nats-Msg-Id";
/// The text of an error, as NATS micro services have it.
pub const SERVICE_ERROR: &str = "Nats-Service-Error";
/// The number of an error, as NATS micro services have it: the HTTP status.
pub const SERVICE_ERROR_CODE: &str = "Nats-Service-Error-Code";

/// The most headers that are looked at.
pub const HEADERS_MAX: usize = 64;

/// One header.
pub type Header = (&'static str, String);

/// Writes a call as headers. The body is its payload, and where it goes is its target.
///
/// ```
/// use beluga_core::{CallContext, MessageId};
/// use beluga_runtime::wire::frame::{Manner, Origin, Target};
/// use beluga_runtime::wire::{Codec, WireCall, headers};
/// # use std::time::Instant;
///
/// let target = Target::Key { tenant: "acme".into(), kind: "counter".into(), key: "a".into() };
/// let call = WireCall {
///     target: target.clone().into(),
///     manner: Manner::Ask,
///     message: "counter.add".into(),
///     version: 1,
///     codec: Codec::Json,
///     payload: "3".into(),
///     context: CallContext::new(),
///     sender: 0,
/// };
/// let origin = Origin { node: "n1".into(), epoch: 4, actor: 0, sequence: 9, oldest: 9 };
/// # let now = beluga_runtime::time::now();
/// let frame = call.to_frame(MessageId(7), origin, now);
/// let pairs = headers::of_call(&frame);
/// assert!(pairs.contains(&("Beluga-Type", "counter.add@1".to_owned())));
/// assert!(pairs.contains(&("Beluga-From", "n1.4.0".to_owned())));
/// let read = headers::read_call(target, pairs.iter().map(|(name, value)| (*name, value.as_str())), call.payload)?;
/// assert_eq!(read, frame);
/// # Ok::<(), beluga_core::Error>(())
/// ```
#[must_use]
pub fn of_call(call: &Call) -> Vec<Header> {
    let Origin { node, epoch, actor, sequence, oldest } = &call.origin;
    let mut headers = vec![
        (ID, id_text(call.id)),
        (NATS_MSG_ID, id_text(call.id)),
        (TYPE, format!("{}@{}", escape(&call.message), call.version)),
        (CODEC, Codec::of_id(call.codec).map_or_else(|| call.codec.to_string(), |codec| codec.as_str().to_owned())),
        (FROM, format!("{}.{epoch}.{actor}", escape(node))),
        (SEQ, sequence.to_string()),
        (TENANT, escape(&call.caller.tenant)),
    ];
    if oldest != sequence {
        headers.push((OLDEST, oldest.to_string()));
    }
    match call.manner {
        Manner::Tell => headers.push((MANNER, "tell".to_owned())),
        Manner::Ask => headers.push((MANNER, "ask".to_owned())),
        Manner::Stream { credit } => {
            headers.extend([(MANNER, "stream".to_owned()), (CREDIT, credit.to_string())]);
        }
    }
    if call.hops > 0 {
        headers.push((HOPS, call.hops.to_string()));
    }
    let fence = call.fence.map(|fence| format!("{}.{}", fence.generation, fence.revision));
    let texts = [
        (TIER, &call.caller.tier),
        (PRINCIPAL, &call.caller.principal),
        (REQUEST, &call.caller.request),
        (IDEMPOTENCY_KEY, &call.idempotency_key),
    ];
    headers.extend(texts.into_iter().filter_map(|(name, text)| Some((name, escape(text.as_ref()?)))));
    let others = [
        (DEADLINE_MS, call.deadline_ms.map(|millis| millis.to_string())),
        (FENCE, fence),
        (CORR, call.correlation.map(id_text)),
        (TRACEPARENT, call.trace.map(|trace| trace.to_string())),
    ];
    headers.extend(others.into_iter().filter_map(|(name, text)| Some((name, text?))));
    headers
}

/// Reads a call from headers, in any order and case, others among them ignored.
///
/// Only `Beluga-Type` must be there. Without an id the call has id 0, and whoever reads it gives it one; without a codec it is
/// JSON, without a version 1, and without a manner it is asked. A malformed `traceparent` is left out, as the standard has it.
///
/// # Errors
/// `invalid_input` names the header that is missing, doubled or malformed; `unsupported` for an unknown codec.
pub fn read_call<'h>(
    target: Target,
    headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    payload: impl Into<bytes::Bytes>,
) -> Result<Call> {
    let headers = Headers::read(headers)?;
    let Some(message) = headers.get(TYPE) else {
        return Err(malformed(TYPE));
    };
    let (message, version) = message.rsplit_once('@').unwrap_or((message, "1"));
    let codec = headers.get(CODEC).unwrap_or("json");
    let codec =
        Codec::parse(codec).ok_or_else(|| Error::unsupported("the codec is not known").with("header", CODEC))?;
    let manner = match headers.get(MANNER) {
        None | Some("ask") => Manner::Ask,
        Some("tell") => Manner::Tell,
        Some("stream") => Manner::Stream { credit: headers.number(CREDIT)?.unwrap_or(1) },
        Some(_) => return Err(malformed(MANNER)),
    };
    let tenant = headers.text(TENANT)?;
    Ok(Call {
        id: headers.id(ID)?.unwrap_or(MessageId(0)),
        origin: headers.origin()?,
        manner,
        message: Cow::Owned(unescape(message).ok_or_else(|| malformed(TYPE))?),
        version: number(version).ok_or_else(|| malformed(TYPE))?,
        codec: codec.id(),
        body: Body::from(payload.into()),
        deadline_ms: headers.number(DEADLINE_MS)?,
        fence: headers.fence()?,
        hops: headers.number(HOPS)?.unwrap_or(0),
        trace: headers.get(TRACEPARENT).and_then(TraceContext::parse),
        caller: Caller {
            tenant: tenant.unwrap_or_else(|| TenantId::default().into()),
            tier: headers.text(TIER)?,
            principal: headers.text(PRINCIPAL)?,
            request: headers.text(REQUEST)?,
        },
        idempotency_key: headers.text(IDEMPOTENCY_KEY)?,
        correlation: headers.id(CORR)?,
        target,
    })
}

/// The headers that are looked at.
struct Headers<'h>(Vec<(&'h str, &'h str)>);

impl<'h> Headers<'h> {
    fn read(headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> Result<Self> {
        let mut known: Vec<(&str, &str)> = Vec::new();
        for (count, (name, value)) in headers.into_iter().enumerate() {
            if count >= HEADERS_MAX {
                return Err(Error::invalid_input("too many headers").with("headers_max", HEADERS_MAX));
            }
            if known.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return Err(Error::invalid_input("a header is there twice").with("header", escape(name)));
            }
            known.push((name, value));
        }
        Ok(Self(known))
    }

    fn get(&self, name: &str) -> Option<&'h str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    fn number<N: std::str::FromStr>(&self, name: &'static str) -> Result<Option<N>> {
        self.get(name).map(|value| number(value).ok_or_else(|| malformed(name))).transpose()
    }

    fn text(&self, name: &'static str) -> Result<Option<Arc<str>>> {
        self.get(name).map(|value| unescape(value).map(Arc::from).ok_or_else(|| malformed(name))).transpose()
    }

    fn id(&self, name: &'static str) -> Result<Option<MessageId>> {
        self.get(name).map(|value| parse_id(value).ok_or_else(|| malformed(name))).transpose()
    }

    fn origin(&self) -> Result<Origin> {
        let sequence = self.number(SEQ)?.unwrap_or(0);
        let oldest = self.number(OLDEST)?.unwrap_or(sequence);
        let Some(from) = self.get(FROM) else {
            return Ok(Origin { node: Arc::from(""), epoch: 0, actor: 0, sequence, oldest });
        };
        let mut parts = from.rsplitn(3, '.');
        let read = |actor: Option<&str>, epoch: Option<&str>, node: Option<&str>| {
            Some(Origin {
                node: unescape(node?)?.into(),
                epoch: number(epoch?)?,
                actor: number(actor?)?,
                sequence,
                oldest,
            })
        };
        read(parts.next(), parts.next(), parts.next()).ok_or_else(|| malformed(FROM))
    }

    fn fence(&self) -> Result<Option<Fence>> {
        let Some(text) = self.get(FENCE) else { return Ok(None) };
        let fence = text.split_once('.').and_then(|(generation, revision)| {
            Some(Fence { generation: number(generation)?, revision: number(revision)? })
        });
        fence.map(Some).ok_or_else(|| malformed(FENCE))
    }
}

fn malformed(header: &'static str) -> Error {
    Error::invalid_input("a header is missing or malformed").with("header", header)
}

#[cfg(test)]
mod tests;
