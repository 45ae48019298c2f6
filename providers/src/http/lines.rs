//! Newline-delimited JSON, cut piece by piece.

use std::borrow::Cow;

use beluga_core::{Error, Result};

use super::sse::{SSE_EVENT_MAX_BYTES, SseEvent, text};

/// Cuts a body into lines from pieces of any size; where the pieces are cut never matters.
///
/// Lines end with LF or CRLF; empty ones are skipped. A line is handed on as the data of an event without a name. The
/// longest line has [`SSE_EVENT_MAX_BYTES`].
///
/// ```
/// use beluga_providers::http::LineDecoder;
///
/// let mut decoder = LineDecoder::new();
/// let mut seen = Vec::new();
/// for piece in ["{\"a\"", ":1}\r\n\n{\"b\":2}"] {
///     decoder.feed(piece.as_bytes(), |event| Ok(seen.push(event.data.into_owned()))).unwrap();
/// }
/// decoder.finish(|event| Ok(seen.push(event.data.into_owned()))).unwrap();
/// assert_eq!(seen, [r#"{"a":1}"#, r#"{"b":2}"#]);
/// ```
#[derive(Debug, Default)]
pub struct LineDecoder {
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
}

impl LineDecoder {
    /// Makes a decoder at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece and hands on each line that it completes.
    ///
    /// # Errors
    /// What `on_event` fails with; `provider_unavailable` if a line is too long. After an error the decoder is of no use.
    pub fn feed(&mut self, piece: &[u8], mut on_event: impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = rest.split_at(at);
            if self.line.is_empty() {
                deliver(head, &mut on_event)?;
            } else {
                self.keep(head)?;
                let mut line = std::mem::take(&mut self.line);
                deliver(&line, &mut on_event)?;
                line.clear();
                self.line = line;
            }
            rest = tail.get(1..).unwrap_or_default();
        }
        self.keep(rest)
    }

    /// Ends the body: hands on a last line that has no line feed.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn finish(&mut self, mut on_event: impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        let line = std::mem::take(&mut self.line);
        deliver(&line, &mut on_event)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        if self.line.len().saturating_add(bytes.len()) > SSE_EVENT_MAX_BYTES {
            let limit = SSE_EVENT_MAX_BYTES;
            return Err(Error::provider_unavailable(format!("a line of the answer is longer than {limit} bytes")));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }
}

fn deliver(line: &[u8], on_event: &mut impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    on_event(SseEvent { event: Cow::Borrowed(""), data: text(line.trim_ascii()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_line_is_refused() {
        let mut decoder = LineDecoder::new();
        let piece = vec![b'x'; 1024 * 1024];
        let error = (0..9).find_map(|_| decoder.feed(&piece, |_| Ok(())).err()).unwrap();
        assert_eq!(error.code(), beluga_core::Code::ProviderUnavailable);
    }

    #[test]
    fn any_cut_gives_the_same_lines() {
        let body = "{\"a\":\"é\"}\n\n  {\"b\":1}\r\n{\"c\":2}".as_bytes();
        let lines = |pieces: Vec<&[u8]>| {
            let mut decoder = LineDecoder::new();
            let mut seen = Vec::new();
            for piece in pieces {
                decoder
                    .feed(piece, |event| {
                        seen.push(event.data.into_owned());
                        Ok(())
                    })
                    .unwrap();
            }
            decoder
                .finish(|event| {
                    seen.push(event.data.into_owned());
                    Ok(())
                })
                .unwrap();
            seen
        };
        let whole = lines(vec![body]);
        assert_eq!(whole, ["{\"a\":\"é\"}", "{\"b\":1}", "{\"c\":2}"]);
        for at in 0..=body.len() {
            let (head, tail) = body.split_at(at);
            assert_eq!(lines(vec![head, tail]), whole, "{at}");
        }
    }
}
