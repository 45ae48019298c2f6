//! One encoded call, on its way out or in.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beluga_core::{CallContext, Error, MessageId, RequestId, Result, TenantId};
use bytes::Bytes;

use super::Codec;
use super::frame::{self, Body, Caller, Manner, Origin, Target};
use crate::random::SystemRandom;
use crate::time;

/// A message as bytes, and all that travels with it.
///
/// See the [module](super) for an example.
#[derive(Debug, Clone)]
pub struct WireCall {
    /// Where it goes.
    pub target: Arc<Target>,
    /// What the caller waits for.
    pub manner: Manner,
    /// The name of the message.
    pub message: Cow<'static, str>,
    /// Its version.
    pub version: u16,
    /// How the payload is written, and how the answer shall be.
    pub codec: Codec,
    /// The message.
    pub payload: Bytes,
    /// The call's own context: deadline, cancellation, who asks, trace, hops, message id, idempotency key. On the way out it
    /// is cancelled when the caller leaves; on the way in whoever brought the call cancels it.
    pub context: CallContext,
    /// The slot of the actor whose code sends; 0 for code outside of actors and for calls from other nodes.
    pub sender: u64,
}

impl WireCall {
    /// Makes the frame of the call, with the payload in it and without a fence.
    ///
    /// The time that is left is counted from `now`, so that a retry has less; `id` names the call and is the same for its
    /// retries.
    #[must_use]
    pub fn to_frame(&self, id: MessageId, origin: Origin, now: Instant) -> frame::Call {
        let context = &self.context;
        let trace = context.trace();
        frame::Call {
            id,
            origin,
            target: (*self.target).clone(),
            manner: self.manner,
            message: self.message.clone(),
            version: self.version,
            codec: self.codec.id(),
            body: Body::from(self.payload.clone()),
            deadline_ms: context.remaining(now).map(whole_millis),
            fence: None,
            hops: context.hops(),
            trace: trace.is_valid().then_some(trace),
            caller: Caller {
                tenant: context.tenant().clone().into(),
                tier: context.tier().map(Arc::from),
                principal: context.principal().map(Arc::from),
                request: context.request_id().map(|request| Arc::from(request.as_str())),
            },
            idempotency_key: context.idempotency_key().map(Arc::from),
            correlation: context.message(),
        }
    }

    /// Makes the call of a frame that arrived at `now`. Its context is new, with its own cancellation.
    ///
    /// # Errors
    /// `decode` for ids no node gives, `unsupported` for an unknown codec or a payload that is not in the frame.
    pub fn of_frame(call: frame::Call, now: Instant) -> Result<Self> {
        let frame::Call { body, caller, .. } = call;
        let Some(payload) = body.inline().cloned() else {
            return Err(Error::unsupported("the payload is not in its frame").with("message", call.message));
        };
        let Some(codec) = Codec::of_id(call.codec) else {
            return Err(Error::unsupported("the codec is not known").with("codec", call.codec));
        };
        let tenant =
            TenantId::parse(&*caller.tenant).map_err(|_| Error::decode("the tenant of a call is malformed"))?;
        let mut context = CallContext::new().with_tenant(tenant).with_hops(call.hops);
        if let Some(millis) = call.deadline_ms {
            context = context.with_timeout(now, Duration::from_millis(millis));
        }
        if let Some(tier) = caller.tier {
            context = context.with_tier(tier);
        }
        if let Some(principal) = caller.principal {
            context = context.with_principal(principal);
        }
        if let Some(request) = caller.request {
            let request = RequestId::parse(&*request);
            context = context.with_request_id(request.map_err(|_| Error::decode("a request id is malformed"))?);
        }
        if let Some(trace) = call.trace {
            context = context.with_trace(trace);
        }
        if let Some(key) = call.idempotency_key {
            context = context.with_idempotency_key(key);
        }
        Ok(Self {
            target: Arc::new(call.target),
            manner: call.manner,
            message: call.message,
            version: call.version,
            codec,
            payload,
            context: context.with_message(call.correlation.unwrap_or(call.id)),
            sender: 0,
        })
    }
}

/// Rounds up, so that what has time left says so.
fn whole_millis(left: Duration) -> u64 {
    u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Makes a new message id: a UUID of version 7, so ids of one node rise with its calendar time.
///
/// ```
/// use beluga_runtime::{SystemRandom, wire};
///
/// let random = SystemRandom::seeded(1);
/// let (first, second) = (wire::message_id(&random), wire::message_id(&random));
/// assert_ne!(first, second);
/// assert_eq!((first.0 >> 76) & 0xf, 7);
/// ```
#[must_use]
pub fn message_id(random: &SystemRandom) -> MessageId {
    let since = time::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // RFC 9562 §5.7: 48 bits of milliseconds, the version, 12 random bits, the variant, 62 random bits.
    let millis = since.as_millis() & 0xffff_ffff_ffff;
    let random = random.next_u128();
    let high = (random >> 64) & 0xfff;
    let low = random & 0x3fff_ffff_ffff_ffff;
    MessageId(millis << 80 | 7 << 76 | high << 64 | 2 << 62 | low)
}
