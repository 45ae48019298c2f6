//! Frames as bytes: alone, or many in one publish.

use beluga_core::{Error, Result};

use super::{
    BATCH_MAX_BYTES, Body, Call, FRAME_VERSION, FRAME_VERSION_OLDEST, Frame, INLINE_MAX_BYTES, Outcome,
    PUBLISH_MAX_BYTES, Reply, TEXT_MAX_BYTES, Target,
};
use crate::wire::codec::{append, take};

/// Encodes one frame as a publish.
///
/// # Errors
/// `invalid_input` if the frame is larger than a frame may be: its payload beyond
/// [`INLINE_MAX_BYTES`] or a string beyond [`TEXT_MAX_BYTES`].
pub fn encode(frame: &Frame) -> Result<Vec<u8>> {
    let mut packet = Packet::new();
    packet.push(frame)?;
    Ok(packet.take())
}

/// Decodes all frames of a publish, in the order in which they were put in; at least one.
///
/// ```
/// use beluga_core::{Code, MessageId};
/// use beluga_runtime::wire::frame::{self, Cancel, Frame};
///
/// let frame = Frame::Cancel(Cancel { of: MessageId(7) });
/// let bytes = frame::encode(&frame)?;
/// assert_eq!(bytes, [1, 5, 7], "version, variant, id");
/// assert_eq!(frame::decode(&bytes)?, [frame]);
/// assert_eq!(frame::decode(&[9, 5, 7]).unwrap_err().code(), Code::Unsupported);
/// # Ok::<(), beluga_core::Error>(())
/// ```
///
/// # Errors
/// `unsupported` for a frame version this node does not read, `decode` for everything else that is no publish; then no frame
/// of it counts.
pub fn decode(bytes: &[u8]) -> Result<Vec<Frame>> {
    if bytes.len() > PUBLISH_MAX_BYTES {
        return Err(Error::decode("the publish is too large").with("size_bytes", bytes.len()));
    }
    let Some((version, mut rest)) = bytes.split_first() else {
        return Err(Error::decode("the publish is empty"));
    };
    // A second version is decoded into its own types here, and those into these.
    if *version != FRAME_VERSION {
        return Err(Error::unsupported("the frame version is not known")
            .with("version", version)
            .with("oldest", FRAME_VERSION_OLDEST)
            .with("newest", FRAME_VERSION));
    }
    let mut frames = Vec::with_capacity(1);
    loop {
        let (frame, used) = take::<Frame, PUBLISH_MAX_BYTES>(rest)?;
        check(&frame).map_err(|error| Error::decode(error.message().to_owned()))?;
        frames.push(frame);
        rest = rest.get(used..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(frames);
        }
        if bytes.len() > BATCH_MAX_BYTES {
            return Err(Error::decode("the batch is too large").with("size_bytes", bytes.len()));
        }
    }
}

/// Frames that are on their way together.
///
/// ```
/// use beluga_core::MessageId;
/// use beluga_runtime::wire::frame::{self, Ack, Frame, Packet};
///
/// let mut packet = Packet::new();
/// for id in 0..3 {
///     assert!(packet.push(&Frame::Ack(Ack { of: MessageId(id) }))?, "there is room");
/// }
/// let publish = packet.take();
/// assert_eq!(frame::decode(&publish)?.len(), 3);
/// assert!(packet.is_empty());
/// # Ok::<(), beluga_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Packet {
    bytes: Vec<u8>,
    frames: usize,
}

impl Packet {
    /// Makes an empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: Vec::new(), frames: 0 }
    }

    /// Puts a frame in. `false`: there is no room beside those in it, and it was not put in; an empty packet has room for any
    /// frame.
    ///
    /// # Errors
    /// As [`encode`]; then it was not put in.
    pub fn push(&mut self, frame: &Frame) -> Result<bool> {
        check(frame)?;
        if self.frames == 0 {
            self.bytes.push(FRAME_VERSION);
        }
        self.bytes.reserve(HEAD_BYTES + body_bytes(frame));
        let before = self.bytes.len();
        let written = append(&mut self.bytes, frame);
        let is_first = self.frames == 0;
        let fits = self.bytes.len() <= if is_first { PUBLISH_MAX_BYTES } else { BATCH_MAX_BYTES };
        if written.is_ok() && fits {
            self.frames += 1;
            return Ok(true);
        }
        let size_bytes = self.bytes.len() - before;
        self.bytes.truncate(if is_first { 0 } else { before });
        written?;
        if is_first {
            return Err(Error::invalid_input("the frame is too large").with("size_bytes", size_bytes));
        }
        Ok(false)
    }

    /// Takes the publish out; empty bytes if there was no frame.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        self.frames = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Returns how many frames are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames
    }

    /// Returns whether there is no frame in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Returns how many bytes the publish has so far.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl Default for Packet {
    fn default() -> Self {
        Self::new()
    }
}

/// What most frames have beside their payload, so that writing one grows its bytes once.
const HEAD_BYTES: usize = 192;

/// Returns the size of the payload that travels in a frame.
fn body_bytes(frame: &Frame) -> usize {
    let body = match frame {
        Frame::Call(call) => Some(&call.body),
        Frame::Reply(Reply { outcome: Outcome::Done(body), .. }) => Some(body),
        Frame::Item(item) => Some(&item.body),
        _ => None,
    };
    body.and_then(Body::inline).map_or(0, |payload| payload.len())
}

/// Checks the bounds of a frame, on its way out and on its way in.
fn check(frame: &Frame) -> Result<()> {
    match frame {
        Frame::Call(call) => {
            check_body(&call.body)?;
            check_texts(call)
        }
        Frame::Reply(reply) => match &reply.outcome {
            Outcome::Done(body) => check_body(body),
            Outcome::Failed(_) => Ok(()),
        },
        Frame::Item(item) => check_body(&item.body),
        Frame::Chunk(chunk) if chunk.bytes.0.len() > INLINE_MAX_BYTES => {
            Err(Error::invalid_input("the chunk is too large").with("size_bytes", chunk.bytes.0.len()))
        }
        Frame::Moved(moved) => match &moved.owner {
            Some(owner) => check_text("node", &owner.node),
            None => Ok(()),
        },
        Frame::Credit(_) | Frame::End(_) | Frame::Cancel(_) | Frame::Ack(_) | Frame::Chunk(_) => Ok(()),
    }
}

fn check_body(body: &Body) -> Result<()> {
    match body {
        Body::Inline(raw) if raw.0.len() > INLINE_MAX_BYTES => {
            Err(Error::invalid_input("the payload is too large for a frame")
                .with("size_bytes", raw.0.len())
                .with("limit_bytes", INLINE_MAX_BYTES))
        }
        Body::Object { bucket, key, .. } => {
            check_text("bucket", bucket)?;
            check_text("key", key)
        }
        Body::Inline(_) | Body::Chunked { .. } => Ok(()),
    }
}

fn check_texts(call: &Call) -> Result<()> {
    let caller = &call.caller;
    let optional = [
        ("tier", &caller.tier),
        ("principal", &caller.principal),
        ("request", &caller.request),
        ("idempotency_key", &call.idempotency_key),
    ];
    for (what, text) in optional {
        if let Some(text) = text {
            check_text(what, text)?;
        }
    }
    match &call.target {
        Target::Key { tenant, kind, key } => {
            check_text("tenant", tenant)?;
            check_text("kind", kind)?;
            check_text("key", key)?;
        }
        Target::Named { node, name, .. } => {
            check_text("node", node)?;
            check_text("name", name)?;
        }
    }
    check_text("node", &call.origin.node)?;
    check_text("message", &call.message)?;
    check_text("tenant", &caller.tenant)
}

fn check_text(what: &'static str, text: &str) -> Result<()> {
    if text.len() <= TEXT_MAX_BYTES {
        return Ok(());
    }
    Err(Error::invalid_input("a text of a frame is too long")
        .with("field", what)
        .with("size_bytes", text.len())
        .with("limit_bytes", TEXT_MAX_BYTES))
}
