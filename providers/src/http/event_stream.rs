//! AWS's binary event stream, decoded piece by piece (Smithy 2.0, Amazon Event Stream specification, read 2026-11).
//!
//! A message is framed by its total length, the length of its headers, a checksum of these two, headers, payload, and a
//! checksum of everything before. Unlike server-sent events a damaged byte is noticed: it ends the stream.

use beluga_core::{Error, Result};

/// The most bytes of one message's payload. A longer one ends the stream with `provider_unavailable`.
pub const EVENT_STREAM_PAYLOAD_MAX_BYTES: usize = 24 * 1024 * 1024;

/// The most bytes of one message's headers. Longer ones end the stream with `provider_unavailable`.
pub const EVENT_STREAM_HEADERS_MAX_BYTES: usize = 128 * 1024;

/// Total length, length of the headers, checksum.
const PRELUDE_BYTES: usize = 12;

/// The checksum at the end.
const CHECKSUM_BYTES: usize = 4;

/// One message, borrowed from the bytes it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct EventStreamMessage<'a> {
    /// The headers in their order. A name may come twice; the first one counts.
    pub headers: Vec<(&'a str, EventStreamValue<'a>)>,
    /// The payload.
    pub payload: &'a [u8],
}

/// A header's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EventStreamValue<'a> {
    /// A truth value.
    Bool(bool),
    /// Eight bits.
    Byte(i8),
    /// Sixteen bits.
    Short(i16),
    /// Thirty-two bits.
    Integer(i32),
    /// Sixty-four bits.
    Long(i64),
    /// Bytes, at most 65,535.
    Bytes(&'a [u8]),
    /// Text, at most 65,535 bytes.
    Text(&'a str),
    /// Milliseconds since 1970, UTC.
    TimestampMs(i64),
    /// A UUID.
    Uuid([u8; 16]),
}

/// What a message is, by the headers whose names begin with a colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStreamKind<'a> {
    /// An event of this name.
    Event(&'a str),
    /// An error the service's model knows, by its name; the payload describes it.
    Exception(&'a str),
    /// An error of the stream itself.
    Error {
        /// Its code.
        code: &'a str,
        /// Its message.
        message: &'a str,
    },
    /// None of these.
    Unknown,
}

impl<'a> EventStreamMessage<'a> {
    /// Returns a header's text; `None` if there is none of this name, or it is no text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.headers.iter().find(|(have, _)| *have == name)?.1 {
            EventStreamValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns what the message is.
    #[must_use]
    pub fn kind(&self) -> EventStreamKind<'a> {
        let text = |name| self.text(name).unwrap_or_default();
        match text(":message-type") {
            "event" => EventStreamKind::Event(text(":event-type")),
            "exception" => EventStreamKind::Exception(text(":exception-type")),
            "error" => EventStreamKind::Error { code: text(":error-code"), message: text(":error-message") },
            _ => EventStreamKind::Unknown,
        }
    }
}

/// Decodes messages from pieces of any size; where the pieces are cut never matters.
///
/// A message that lies whole in a piece is decoded there, without a copy; of others no more is kept than has come.
///
/// ```
/// use beluga_providers::http::{EventStreamDecoder, EventStreamKind};
///
/// // No headers, the payload {'foo':'bar'}.
/// let mut bytes = vec![0, 0, 0, 29, 0, 0, 0, 0, 0xFD, 0x52, 0x8C, 0x5A];
/// bytes.extend_from_slice(b"{'foo':'bar'}\xC3\x65\x39\x36");
/// let mut decoder = EventStreamDecoder::new();
/// let mut seen = Vec::new();
/// for piece in bytes.chunks(5) {
///     decoder
///         .feed(piece, |message| {
///             assert_eq!(message.kind(), EventStreamKind::Unknown);
///             seen.push(message.payload.to_vec());
///             Ok(())
///         })
///         .unwrap();
/// }
/// decoder.finish().unwrap();
/// assert_eq!(seen, [b"{'foo':'bar'}"]);
/// ```
#[derive(Debug, Default)]
pub struct EventStreamDecoder {
    /// The start of a message whose end has not come yet.
    kept: Vec<u8>,
    /// The frame of that message, once its prelude is there.
    frame: Option<Frame>,
}

impl EventStreamDecoder {
    /// Makes a decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece and hands on each message that it completes.
    ///
    /// # Errors
    /// What `on_message` fails with; `provider_unavailable` if the bytes are no event stream, a checksum is wrong, or a
    /// message is longer than [`EVENT_STREAM_PAYLOAD_MAX_BYTES`] and [`EVENT_STREAM_HEADERS_MAX_BYTES`] allow. After an
    /// error the decoder is of no use.
    pub fn feed(
        &mut self,
        piece: &[u8],
        mut on_message: impl FnMut(EventStreamMessage<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut rest = piece;
        while !rest.is_empty() {
            if self.kept.is_empty()
                && let Some(prelude) = rest.get(..PRELUDE_BYTES)
            {
                let frame = Frame::read(prelude)?;
                if let Some((message, more)) = rest.split_at_checked(frame.total) {
                    on_message(frame.decode(message)?)?;
                    rest = more;
                    continue;
                }
            }
            let wanted = self.frame.map_or(PRELUDE_BYTES, |frame| frame.total);
            let missing = wanted.saturating_sub(self.kept.len()).min(rest.len());
            let (head, more) = rest.split_at(missing);
            self.kept.extend_from_slice(head);
            rest = more;
            if self.kept.len() < wanted {
                return Ok(());
            }
            match self.frame.take() {
                None => self.frame = Some(Frame::read(&self.kept)?),
                Some(frame) => {
                    on_message(frame.decode(&self.kept)?)?;
                    self.kept.clear();
                }
            }
        }
        Ok(())
    }

    /// Takes the end of the stream.
    ///
    /// # Errors
    /// `provider_unavailable` if it ended inside a message.
    pub fn finish(&mut self) -> Result<()> {
        if self.kept.is_empty() { Ok(()) } else { Err(broken("it ends inside a message")) }
    }
}

/// The lengths of a message, checked.
#[derive(Debug, Clone, Copy)]
struct Frame {
    total: usize,
    headers: usize,
}

impl Frame {
    fn read(prelude: &[u8]) -> Result<Self> {
        let mut fields = Fields(prelude);
        let (total, headers) = (fields.length()?, fields.length()?);
        let checked = prelude.get(..PRELUDE_BYTES - CHECKSUM_BYTES).unwrap_or_default();
        if fields.checksum()? != crc32fast::hash(checked) {
            return Err(broken("the checksum of a message's lengths is wrong"));
        }
        let payload = total.checked_sub(PRELUDE_BYTES + CHECKSUM_BYTES).and_then(|rest| rest.checked_sub(headers));
        let Some(payload) = payload else { return Err(broken("the lengths of a message contradict each other")) };
        if headers > EVENT_STREAM_HEADERS_MAX_BYTES || payload > EVENT_STREAM_PAYLOAD_MAX_BYTES {
            return Err(broken("a message is too long"));
        }
        Ok(Self { total, headers })
    }

    fn decode(self, message: &[u8]) -> Result<EventStreamMessage<'_>> {
        let end = self.total.saturating_sub(CHECKSUM_BYTES);
        let (checked, checksum) = message.split_at_checked(end).ok_or_else(cut)?;
        if Fields(checksum).checksum()? != crc32fast::hash(checked) {
            return Err(broken("the checksum of a message is wrong"));
        }
        let body = checked.get(PRELUDE_BYTES..).ok_or_else(cut)?;
        let (headers, payload) = body.split_at_checked(self.headers).ok_or_else(cut)?;
        let mut fields = Fields(headers);
        let mut headers = Vec::new();
        while !fields.0.is_empty() {
            let name = usize::from(fields.array::<1>()?[0]);
            headers.push((fields.text(name)?, fields.value()?));
        }
        Ok(EventStreamMessage { headers, payload })
    }
}

/// What is still unread of some bytes. Numbers are big-endian.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count).ok_or_else(cut)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or_else(cut)?;
        self.0 = tail;
        Ok(*head)
    }

    fn checksum(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn length(&mut self) -> Result<usize> {
        usize::try_from(self.checksum()?).map_err(|_| broken("a message is too long"))
    }

    fn text(&mut self, count: usize) -> Result<&'a str> {
        std::str::from_utf8(self.bytes(count)?).map_err(|_| broken("a header is no UTF-8"))
    }

    fn value(&mut self) -> Result<EventStreamValue<'a>> {
        let [kind] = self.array()?;
        Ok(match kind {
            0 => EventStreamValue::Bool(true),
            1 => EventStreamValue::Bool(false),
            2 => EventStreamValue::Byte(i8::from_be_bytes(self.array()?)),
            3 => EventStreamValue::Short(i16::from_be_bytes(self.array()?)),
            4 => EventStreamValue::Integer(i32::from_be_bytes(self.array()?)),
            5 => EventStreamValue::Long(i64::from_be_bytes(self.array()?)),
            6 => {
                let count = u16::from_be_bytes(self.array()?);
                EventStreamValue::Bytes(self.bytes(usize::from(count))?)
            }
            7 => {
                let count = u16::from_be_bytes(self.array()?);
                EventStreamValue::Text(self.text(usize::from(count))?)
            }
            8 => EventStreamValue::TimestampMs(i64::from_be_bytes(self.array()?)),
            9 => EventStreamValue::Uuid(self.array()?),
            _ => return Err(broken("a header is of an unknown type")),
        })
    }
}

fn cut() -> Error {
    broken("a header is cut")
}

fn broken(what: &'static str) -> Error {
    Error::provider_unavailable("the answer is no event stream").with_source(Error::decode(what))
}

#[cfg(test)]
mod tests;
