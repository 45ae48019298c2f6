//! Server-sent events, decoded piece by piece (WHATWG HTML, section 9.2.6, read 2026-11).

use std::borrow::Cow;

use beluga_core::{Error, Result};

/// The most bytes one event, and one line, may have. A longer one ends the stream with `provider_unavailable`.
pub const SSE_EVENT_MAX_BYTES: usize = 8 * 1024 * 1024;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The `event:` field; empty where the server sent none.
    pub event: Cow<'a, str>,
    /// The `data:` lines joined by a line feed; broken UTF-8 became U+FFFD.
    pub data: Cow<'a, str>,
}

/// Decodes server-sent events from pieces of any size; where the pieces are cut never matters.
///
/// Lines end with LF, CR or CRLF. Comments, `id:` and `retry:` are skipped: an answer to a POST is never resumed. Each
/// byte is looked at once, whatever the sizes of the pieces.
///
/// ```
/// use beluga_providers::http::SseDecoder;
///
/// let mut decoder = SseDecoder::new();
/// let mut seen = Vec::new();
/// for piece in ["event: gree", "ting\r\ndata: a\r", "\ndata: b\n\n: comment\n"] {
///     decoder.feed(piece.as_bytes(), |event| Ok(seen.push((event.event.into_owned(), event.data.into_owned())))).unwrap();
/// }
/// assert_eq!(seen, [("greeting".to_owned(), "a\nb".to_owned())]);
/// ```
#[derive(Debug, Default)]
pub struct SseDecoder {
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
    fields: Fields,
    /// The last piece ended with CR; an LF that follows belongs to it.
    skip_lf: bool,
    past_first_line: bool,
}

/// The event that is being put together.
#[derive(Debug, Default)]
struct Fields {
    event: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
}

impl SseDecoder {
    /// Makes a decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece and hands on each event that it completes.
    ///
    /// # Errors
    /// What `on_event` fails with; `provider_unavailable` if a line or an event is longer than
    /// [`SSE_EVENT_MAX_BYTES`]. After an error the decoder is of no use.
    pub fn feed(&mut self, piece: &[u8], mut on_event: impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        let mut rest = piece;
        if self.skip_lf && !rest.is_empty() {
            self.skip_lf = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (head, tail) = rest.split_at(at);
            if self.line.is_empty() {
                self.end_line(head, &mut on_event)?;
            } else {
                self.keep(head)?;
                let mut line = std::mem::take(&mut self.line);
                self.end_line(&line, &mut on_event)?;
                line.clear();
                self.line = line;
            }
            rest = match tail {
                [b'\r', b'\n', more @ ..] | [b'\n', more @ ..] => more,
                [b'\r'] => {
                    self.skip_lf = true;
                    &[]
                }
                [_, more @ ..] => more,
                [] => &[],
            };
        }
        self.keep(rest)
    }

    /// Ends the stream: hands on an event whose closing blank line never came.
    ///
    /// The specification drops such an event; vendors end streams that way, and what they cut is no JSON anyhow.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn finish(&mut self, mut on_event: impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.end_line(&line, &mut on_event)?;
        }
        self.end_line(b"", &mut on_event)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        if self.line.len().saturating_add(bytes.len()) > SSE_EVENT_MAX_BYTES {
            return Err(too_long());
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], on_event: &mut impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        let line = if std::mem::replace(&mut self.past_first_line, true) {
            line
        } else {
            line.strip_prefix(BOM).unwrap_or(line)
        };
        if line.is_empty() {
            return self.fields.dispatch(on_event);
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => {
                let (name, value) = line.split_at(at);
                let value = value.strip_prefix(b":").unwrap_or(value);
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        self.fields.set(name, value)
    }
}

impl Fields {
    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<()> {
        match name {
            b"data" => {
                if self.data.len().saturating_add(value.len()) >= SSE_EVENT_MAX_BYTES {
                    return Err(too_long());
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.event.clear();
                self.event.extend_from_slice(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        let mut result = Ok(());
        if self.has_data {
            result = on_event(SseEvent { event: text(&self.event), data: text(&self.data) });
        }
        self.event.clear();
        self.data.clear();
        self.has_data = false;
        result
    }
}

/// Returns bytes as text; broken UTF-8 becomes U+FFFD. Whole text is checked at once, which is several times faster than
/// looking for what is broken in it.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

fn too_long() -> Error {
    Error::provider_unavailable(format!("an event of the answer is longer than {SSE_EVENT_MAX_BYTES} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let mut decoder = SseDecoder::new();
        let mut seen = Vec::new();
        let mut keep = |event: SseEvent<'_>| {
            seen.push((event.event.into_owned(), event.data.into_owned()));
            Ok(())
        };
        for piece in pieces {
            decoder.feed(piece, &mut keep).unwrap();
        }
        decoder.finish(&mut keep).unwrap();
        seen
    }

    fn data(text: &str) -> Vec<String> {
        decode([text.as_bytes()]).into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn lines_end_with_cr_lf_or_both() {
        for end in ["\n", "\r", "\r\n"] {
            let text = format!("data: a{end}data: b{end}{end}data: c{end}{end}");
            assert_eq!(data(&text), ["a\nb", "c"], "{end:?}");
        }
    }

    #[test]
    fn only_one_space_after_the_colon_is_eaten() {
        assert_eq!(data("data:  a\n\ndata:b\n\ndata\n\n"), [" a", "b", ""]);
    }

    #[test]
    fn comments_ids_and_events_without_data_give_nothing() {
        assert_eq!(data(": hello\n\nid: 1\nretry: 5\n\nevent: ping\n\n"), Vec::<String>::new());
        assert_eq!(decode([&b"event: a\n\ndata: x\n\n"[..]]), [(String::new(), "x".to_owned())]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_once() {
        assert_eq!(data("\u{feff}data: a\n\n"), ["a"]);
        assert_eq!(data("\n\u{feff}data: a\n\n"), Vec::<String>::new());
    }

    #[test]
    fn a_last_event_without_its_blank_line_counts() {
        assert_eq!(data("data: a"), ["a"]);
        assert_eq!(data("data: a\n"), ["a"]);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut decoder = SseDecoder::new();
        let piece = vec![b'x'; 1024 * 1024];
        let error = (0..9).find_map(|_| decoder.feed(&piece, |_| Ok(())).err()).unwrap();
        assert_eq!(error.code(), beluga_core::Code::ProviderUnavailable);
    }

    #[test]
    fn an_event_of_endless_lines_is_refused() {
        let mut decoder = SseDecoder::new();
        let line = format!("data: {}\n", "x".repeat(1024 * 1024));
        let error = (0..9).find_map(|_| decoder.feed(line.as_bytes(), |_| Ok(())).err()).unwrap();
        assert_eq!(error.code(), beluga_core::Code::ProviderUnavailable);
    }

    #[test]
    fn a_long_line_in_tiny_pieces_costs_no_more_than_its_length() {
        // Looking at the kept bytes again with every piece would take hours.
        let line = format!("data: {}\n\n", "x".repeat(2 * 1024 * 1024));
        assert_eq!(decode(line.as_bytes().chunks(1))[0].1.len(), 2 * 1024 * 1024);
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_events(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "data: ", "data:", "event: x", "é€😀", "a", "\n", "\r", "\r\n", "\n\n", ": c", "\u{feff}", " ", "id: 1",
                ]),
                0..60,
            ),
            cuts in prop::collection::vec(0_usize..600, 0..20),
        ) {
            let bytes = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            let whole = decode([&bytes[..]]);
            prop_assert_eq!(&decode(pieces), &whole);
            prop_assert_eq!(&decode(bytes.chunks(1)), &whole);
        }
    }
}
