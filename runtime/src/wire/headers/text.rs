//! Values of headers.

use std::fmt::Write;
use std::str::FromStr;

use beluga_core::MessageId;

use crate::wire::frame::TEXT_MAX_BYTES;

/// Writes a text in visible ASCII: what is not, and `%`, as `%XX`.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            escaped.push(char::from(byte));
        } else {
            // Writing into a string does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// Reads what [`escape`] wrote; also blanks and other text as they are. `None` if it is malformed or too long.
pub(crate) fn unescape(value: &str) -> Option<String> {
    if value.len() > 3 * TEXT_MAX_BYTES {
        return None;
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok().filter(|text| text.len() <= TEXT_MAX_BYTES)
}

/// Reads a number of plain digits.
pub(super) fn number<N: FromStr>(text: &str) -> Option<N> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// Writes an id as a UUID.
pub(crate) fn id_text(id: MessageId) -> String {
    let [first, second, third, fourth, fifth] = [id.0 >> 96, id.0 >> 80, id.0 >> 64, id.0 >> 48, id.0];
    let (second, third, fourth, fifth) = (second & 0xffff, third & 0xffff, fourth & 0xffff, fifth & 0xffff_ffff_ffff);
    format!("{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{fifth:012x}")
}

/// Reads an id: 32 hexadecimal digits, with or without the hyphens of a UUID.
pub(super) fn parse_id(text: &str) -> Option<MessageId> {
    let is_uuid = text.len() == 36 && [8, 13, 18, 23].iter().all(|place| text.as_bytes().get(*place) == Some(&b'-'));
    let digits: String = text.chars().filter(|digit| !is_uuid || *digit != '-').collect();
    let is_hex = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(&digits, 16).ok()).flatten().map(MessageId)
}
