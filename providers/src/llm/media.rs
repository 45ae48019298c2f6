//! Media by address, and by value inside an address.

use std::borrow::Cow;

use beluga_core::{Media, MediaSource};

/// Reads an address; a `data:` address with base64 becomes the bytes themselves.
pub(super) fn data_url(url: &str) -> Media {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((mime, data)) => Media::base64(mime, data),
        None => Media::url(url),
    }
}

/// Writes the address of a medium, bytes inside it; `None` if it has neither.
pub(super) fn media_url<'a>(media: &'a Media, default_mime: &str) -> Option<Cow<'a, str>> {
    match &media.source {
        MediaSource::Url(url) => Some(Cow::Borrowed(url)),
        MediaSource::Base64(data) => {
            let mime = if media.mime.is_empty() { default_mime } else { &media.mime };
            Some(Cow::Owned(format!("data:{mime};base64,{data}")))
        }
        MediaSource::Id(_) | MediaSource::Text(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_both_ways() {
        for url in ["https://h/a.png", "data:image/png;base64,AAAA", "data:text/plain,hello", "data:image/png;base64,"]
        {
            assert_eq!(media_url(&data_url(url), "image/png").unwrap(), url);
        }
        assert_eq!(data_url("data:audio/wav;base64,AA").mime, "audio/wav");
        assert!(media_url(&Media::new(MediaSource::Id("f1".into()), ""), "x").is_none());
    }
}
