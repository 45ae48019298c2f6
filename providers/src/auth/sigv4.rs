//! AWS Signature Version 4, in the headers of a request (AWS IAM User Guide, create a signed request, read 2026-11).

use std::fmt::Write as _;
use std::time::SystemTime;

use beluga_core::{Error, ExposeSecret, Result};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use ring::{digest, hmac};
use url::Url;

use super::aws::AwsCredentials;
use crate::http::HttpRequest;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What a signature is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The region, such as `eu-central-1`.
    pub region: &'a str,
    /// The service as AWS's signatures name it, such as `bedrock`.
    pub service: &'a str,
}

/// Signs a request: sets `x-amz-date`, `authorization`, and `x-amz-security-token` where the key is a temporary one.
///
/// Signed are the method, the address, the body, the host, `content-type` and what begins with `x-amz-`; other headers may
/// be changed on the way. AWS takes a signature for about five minutes around `wall`. S3, which counts the path
/// otherwise, is not meant.
///
/// # Errors
/// `config` if a header cannot carry the key's id or the token; `invalid_input` if the address names no host;
/// `internal` if `wall` is no date.
pub fn sign(request: &mut HttpRequest, credentials: &AwsCredentials, scope: Scope<'_>, wall: SystemTime) -> Result<()> {
    let timestamp =
        Timestamp::try_from(wall).map_err(|error| Error::internal("the time is none").with_source(error))?;
    let time = timestamp.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = time.split('T').next().unwrap_or_default();
    request.headers.insert(DATE, header(&time)?);
    match &credentials.session_token {
        Some(token) => request.headers.insert(TOKEN, header(token.expose_secret().trim())?),
        None => request.headers.remove(TOKEN),
    };
    let Scope { region, service } = scope;
    let place = format!("{day}/{region}/{service}/aws4_request");
    let (canonical, signed) = canonical(request)?;
    let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("{ALGORITHM}\n{time}\n{place}\n{canonical}");
    let mut key = format!("AWS4{}", credentials.secret_access_key.expose_secret()).into_bytes();
    for step in [day, region, service, "aws4_request", &text] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), step.as_bytes()).as_ref().to_vec();
    }
    let (id, signature) = (&credentials.access_key_id, hex(&key));
    let value = format!("{ALGORITHM} Credential={id}/{place}, SignedHeaders={signed}, Signature={signature}");
    request.headers.insert(AUTHORIZATION, header(&value)?);
    Ok(())
}

/// Returns the canonical form of a request, and the names of its signed headers.
fn canonical(request: &HttpRequest) -> Result<(String, String)> {
    let mut headers = vec![("host", host(&request.url)?)];
    for (name, value) in &request.headers {
        let name = name.as_str();
        if name == "content-type" || name.starts_with("x-amz-") {
            let text = value.to_str().map_err(|_| Error::config("a header of the request is no text"))?;
            headers.push((name, text.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    headers.sort();
    let mut canonical = format!("{}\n", request.method);
    // The path is encoded a second time, whatever it is already.
    escape(request.url.path(), true, &mut canonical);
    canonical.push('\n');
    canonical.push_str(&query(&request.url));
    canonical.push('\n');
    for (name, value) in &headers {
        let _ = writeln!(canonical, "{name}:{value}");
    }
    let signed = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let body = hex(digest::digest(&digest::SHA256, &request.body).as_ref());
    let _ = write!(canonical, "\n{signed}\n{body}");
    Ok((canonical, signed))
}

/// Returns the host as the client's `Host` header names it.
fn host(url: &Url) -> Result<String> {
    let Some(host) = url.host_str() else { return Err(Error::invalid_input("the address names no host")) };
    Ok(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn query(url: &Url) -> String {
    let escaped = |text: &str| {
        let mut out = String::new();
        escape(text, false, &mut out);
        out
    };
    let mut pairs: Vec<_> = url.query_pairs().map(|(name, value)| (escaped(&name), escaped(&value))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Escapes everything but the unreserved characters of RFC 3986, and slashes where they separate.
fn escape(text: &str, keeps_slashes: bool, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') || (keeps_slashes && byte == b'/')
        {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn header(text: &str) -> Result<HeaderValue> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Error::config("the AWS credentials have forbidden characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beluga_core::SecretString;
    use bytes::Bytes;
    use http::{HeaderMap, Method};

    use super::*;

    /// The session token of AWS's test suite for version 4.
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeo\
        IYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8\
        Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2\
        ICCR/oLxBA==";

    fn credentials(token: Option<&str>) -> AwsCredentials {
        AwsCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: SecretString::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
            session_token: token.map(|token| SecretString::from(token.to_owned())),
        }
    }

    fn request(method: Method, url: &str, content_type: Option<&str>, body: &'static str) -> HttpRequest {
        let mut headers = HeaderMap::new();
        headers.insert("accept-encoding", HeaderValue::from_static("identity"));
        if let Some(kind) = content_type {
            headers.insert("content-type", HeaderValue::from_str(kind).unwrap());
        }
        HttpRequest { method, url: Url::parse(url).unwrap(), headers, body: Bytes::from_static(body.as_bytes()) }
    }

    fn signature(mut request: HttpRequest, token: Option<&str>, service: &str) -> String {
        // 2015-08-30 12:36:00 UTC, the moment of all published examples.
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        sign(&mut request, &credentials(token), Scope { region: "us-east-1", service }, wall).unwrap();
        assert_eq!(request.headers["x-amz-date"], "20150830T123600Z");
        request.headers["authorization"].to_str().unwrap().to_owned()
    }

    fn expect(signed: &str, service: &str, headers: &str, signature: &str) {
        let scope = format!("AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request");
        let want = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={headers}, Signature={signature}");
        assert_eq!(signed, want);
    }

    #[test]
    fn the_examples_of_awss_test_suite_come_out_right() {
        let get = |query: &str| request(Method::GET, &format!("https://example.amazonaws.com/{query}"), None, "");
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        expect(&signature(get(""), None, "service"), "service", "host;x-amz-date", vanilla);
        let ordered = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        let query = "?Param2=value2&Param1=value1";
        expect(&signature(get(query), None, "service"), "service", "host;x-amz-date", ordered);
        let post = |kind, body| request(Method::POST, "https://example.amazonaws.com/", kind, body);
        let form = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        let signed = signature(post(Some("application/x-www-form-urlencoded"), "Param1=value1"), None, "service");
        expect(&signed, "service", "content-type;host;x-amz-date", form);
        let temporary = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead";
        let signed = signature(post(None, ""), Some(TOKEN), "service");
        expect(&signed, "service", "host;x-amz-date;x-amz-security-token", temporary);
    }

    #[test]
    fn the_example_of_the_iam_guide_comes_out_right() {
        let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
        let kind = "application/x-www-form-urlencoded;   charset=utf-8";
        let signed = signature(request(Method::GET, url, Some(kind), ""), None, "iam");
        let want = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        expect(&signed, "iam", "content-type;host;x-amz-date", want);
    }

    #[test]
    fn a_path_is_escaped_twice() {
        // AWS SDK for Rust, its signing suite, double-encode-path; and a model of Bedrock.
        for (url, want) in [
            (
                "https://h.us-east-1.amazonaws.com/test/@connections/JBDvjfGEIAMCERw%3D",
                "POST\n/test/%40connections/JBDvjfGEIAMCERw%253D\n\n",
            ),
            ("https://h/model/amazon.nova-lite-v1%3A0/converse", "POST\n/model/amazon.nova-lite-v1%253A0/converse\n\n"),
        ] {
            let (canonical, _) = canonical(&request(Method::POST, url, None, "")).unwrap();
            assert!(canonical.starts_with(want), "{canonical}");
        }
    }

    #[test]
    fn an_unusual_port_belongs_to_the_host_and_a_usual_one_does_not() {
        let host = |url: &str| host(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(host("http://127.0.0.1:4566/model"), "127.0.0.1:4566");
        assert_eq!(host("https://h.amazonaws.com:443/"), "h.amazonaws.com");
    }

    #[test]
    fn signing_again_replaces_the_signature_and_forgets_an_old_token() {
        let mut request = request(Method::POST, "https://h/", None, "");
        let scope = Scope { region: "r", service: "s" };
        sign(&mut request, &credentials(Some("t")), scope, SystemTime::UNIX_EPOCH).unwrap();
        let first = request.headers["authorization"].clone();
        assert!(first.is_sensitive());
        sign(&mut request, &credentials(None), scope, SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        assert_ne!(request.headers["authorization"], first);
        assert!(!request.headers.contains_key("x-amz-security-token"));
        assert_eq!(request.headers.get_all("authorization").iter().count(), 1);
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_told_without_showing_it() {
        let mut request = request(Method::POST, "https://h/", None, "");
        let error = sign(
            &mut request,
            &credentials(Some("se\u{7}cret")),
            Scope { region: "r", service: "s" },
            SystemTime::UNIX_EPOCH,
        )
        .unwrap_err();
        assert!(!error.to_string().contains("cret"), "{error}");
    }
}
