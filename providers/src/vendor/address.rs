//! The address of a call below a vendor's address.

use beluga_core::{Error, Result};
use url::Url;

/// Parses a vendor's address; `kind` is what the configuration calls it.
///
/// # Errors
/// `config` without repeating the address, which may hold what is nobody's business.
pub(crate) fn parse(kind: &str, address: &str) -> Result<Url> {
    let bad = |why: &str| Error::config(format!("base_url of the kind \"{kind}\" is no address: {why}"));
    let mut url = Url::parse(address.trim()).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it starts with neither http:// nor https://"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// Returns the address of a path below a vendor's address, whose query stays. Where the address ends with the first word
/// of the path, such as `/v1`, it is not repeated: some write it with the version and some without.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let have = base.path().trim_end_matches('/');
    let first_end = path.get(1..).and_then(|rest| rest.find('/')).map_or(path.len(), |at| at + 1);
    let (first, rest) = path.split_at(first_end);
    let path = if have.ends_with(first) { format!("{have}{rest}") } else { format!("{have}{path}") };
    let mut url = base.clone();
    url.set_path(&path);
    url
}

/// Escapes one segment of a path: also slashes, so that no name leads elsewhere.
pub(crate) fn segment(text: &str) -> String {
    let Ok(mut url) = Url::parse("http://localhost/") else { return String::new() };
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().push(text);
    }
    url.path().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_below_an_address_once() {
        let below = |base: &str, path: &str| below(&parse("test", base).unwrap(), path).to_string();
        assert_eq!(below("https://h/v1/", "/embeddings"), "https://h/v1/embeddings");
        assert_eq!(below("https://h", "/v2/embed"), "https://h/v2/embed");
        assert_eq!(below("https://h/proxy/v2", "/v2/embed"), "https://h/proxy/v2/embed");
        assert_eq!(below("https://h/x?a=b#c", "/v1/rerank"), "https://h/x/v1/rerank?a=b");
    }

    #[test]
    fn a_segment_leads_nowhere_else() {
        assert_eq!(segment("a/b c?d:e"), "a%2Fb%20c%3Fd:e");
        assert_eq!(segment("gemini-embedding-001"), "gemini-embedding-001");
    }

    #[test]
    fn a_wrong_address_is_told_without_repeating_it() {
        for wrong in ["user:secret@host", "ftp://secret", "secret"] {
            let error = parse("test", wrong).unwrap_err();
            assert_eq!(error.code(), beluga_core::Code::Config, "{wrong}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
