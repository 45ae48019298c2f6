//! What a model is shown of a response.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};

/// The headers worth showing.
const SHOWN: [HeaderName; 6] = [CONTENT_TYPE, CONTENT_LENGTH, LOCATION, LAST_MODIFIED, ETAG, RETRY_AFTER];

/// The most characters of one header that are shown.
const HEADER_MAX_CHARS: usize = 300;

/// Why a body ends where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is whole.
    Whole,
    /// The size limit cut it.
    Size(usize),
    /// The time limit cut it.
    Time,
    /// The connection broke.
    Broken,
}

/// Writes a response as text: status, some headers, and the body if it is text.
pub(super) fn render(status: StatusCode, headers: &HeaderMap, body: &[u8], end: End) -> String {
    let mut page = format!("HTTP {status}\n");
    for name in SHOWN {
        if let Some(value) = headers.get(&name).and_then(|value| value.to_str().ok()) {
            let value: String = value.chars().take(HEADER_MAX_CHARS).collect();
            page.push_str(&format!("{name}: {value}\n"));
        }
    }
    if !body.is_empty() {
        page.push('\n');
        match text(headers, body, end) {
            Some(text) => page.push_str(&text),
            None => page.push_str(&format!("[binary, {} bytes, not shown]", body.len())),
        }
    }
    match end {
        End::Whole => {}
        End::Size(limit) => page.push_str(&format!("\n[cut here: only the first {limit} bytes are shown]")),
        End::Time => page.push_str("\n[cut here: the time was up]"),
        End::Broken => page.push_str("\n[cut here: the connection broke]"),
    }
    page
}

/// Returns the body as text, or `None` if it is none, whatever its type says.
fn text(headers: &HeaderMap, body: &[u8], end: End) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_lowercase();
    let is_latin1 = ["iso-8859-1", "latin1", "windows-1252"].iter().any(|charset| kind.contains(charset));
    if body.contains(&0) {
        return None;
    }
    if is_latin1 {
        return Some(body.iter().map(|byte| char::from(*byte)).collect());
    }
    match std::str::from_utf8(body) {
        Ok(text) => Some(text.to_owned()),
        Err(error) => {
            let (good, rest) = body.split_at(error.valid_up_to());
            // A limit may cut inside the last character.
            if end != End::Whole && error.error_len().is_none() {
                return String::from_utf8(good.to_vec()).ok();
            }
            let is_text = kind.starts_with("text/") || ["json", "xml"].iter().any(|word| kind.contains(word));
            (is_text && rest.len() < body.len()).then(|| String::from_utf8_lossy(body).into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(kind: &str, body: &[u8], end: End) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        render(StatusCode::OK, &headers, body, end)
    }

    #[test]
    fn text_is_shown_and_binary_is_described() {
        assert_eq!(
            show("application/json", b"{\"a\":1}", End::Whole),
            "HTTP 200 OK\ncontent-type: application/json\n\n{\"a\":1}"
        );
        let png = show("image/png", b"\x89PNG\r\n\x1a\n\x00\x00", End::Whole);
        assert!(png.ends_with("[binary, 10 bytes, not shown]"), "{png}");
        assert!(show("text/plain", b"a\0b", End::Whole).ends_with("[binary, 3 bytes, not shown]"));
        assert!(show("text/plain; charset=ISO-8859-1", b"caf\xe9", End::Whole).ends_with("café"));
    }

    #[test]
    fn a_cut_inside_a_character_loses_only_that_character() {
        let body = "né".as_bytes();
        let shown = show("text/plain", &body[..2], End::Size(2));
        assert!(shown.contains("\n\nn\n[cut here: only the first 2 bytes are shown]"), "{shown}");
    }
}
