//! Who a request to Google comes from, and what is shown for a token (Google Identity, service accounts over HTTP/REST,
//! and RFC 7523, read 2026-11).

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use beluga_core::{Code, Error, Result, SecretString};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::Serializer;

/// The most bytes of a credentials file; a real one has about 2,400.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// What a token is asked for: everything the account may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where tokens are made, where the file does not say.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// How long a signed grant is good for, in seconds; the vendor takes no longer one.
const GRANT_SECONDS: u64 = 3600;

/// Who a request to Google comes from.
#[derive(Clone)]
pub enum GoogleCredentials {
    /// A token that somebody else made and renews, such as `gcloud auth print-access-token`; good for about an hour.
    Token(SecretString),
    /// A file of application default credentials: a service account's key, or what `gcloud auth application-default login`
    /// wrote. It is read for each new token, so that it may be replaced.
    File(PathBuf),
}

impl fmt::Debug for GoogleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GoogleCredentials::Token(_) => "Token",
            GoogleCredentials::File(_) => "File",
        })
    }
}

/// The question to a token endpoint.
pub(super) struct Grant {
    pub(super) url: Url,
    /// A form, with secrets.
    pub(super) body: String,
}

/// A credentials file. It has no `Debug`: nearly all of it is secret.
#[derive(Deserialize)]
struct Account {
    #[serde(rename = "type", default)]
    kind: String,
    token_uri: Option<String>,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
}

impl Grant {
    /// Reads a credentials file and makes the grant of it. Blocks on the file, and signs for about a millisecond.
    ///
    /// # Errors
    /// `auth_error` if the file cannot be read or used; the text of the file is never shown.
    pub(super) fn read(path: &Path, wall: SystemTime) -> Result<Self> {
        let mut text = String::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(FILE_MAX_BYTES).read_to_string(&mut text));
        read.map_err(|error| refused("the file of Google's credentials cannot be read").with_source(error))?;
        Self::parse(&text, wall)
    }

    fn parse(text: &str, wall: SystemTime) -> Result<Self> {
        // The parser's own words may repeat content; its place does not.
        let account: Account = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            refused("the file of Google's credentials is malformed").with_source(Error::decode(place))
        })?;
        let url = account.token_uri.as_deref().unwrap_or(TOKEN_URI);
        let url = Url::parse(url).map_err(|_| refused("token_uri of Google's credentials is no address"))?;
        let mut form = Serializer::new(String::new());
        match account.kind.as_str() {
            "service_account" => {
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.append_pair("assertion", &account.assertion(&url, wall)?);
            }
            "authorized_user" => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("client_id", given("client_id", account.client_id.as_deref())?);
                form.append_pair("client_secret", given("client_secret", account.client_secret.as_deref())?);
                form.append_pair("refresh_token", given("refresh_token", account.refresh_token.as_deref())?);
            }
            _ => {
                let known = "service_account and authorized_user";
                return Err(refused(format!("Google's credentials are of a type that is not known: {known} are")));
            }
        }
        Ok(Self { url, body: form.finish() })
    }
}

impl Account {
    /// Signs that the account asks for a token.
    fn assertion(&self, url: &Url, wall: SystemTime) -> Result<String> {
        let unusable = || refused("private_key of Google's credentials is no RSA key");
        let pem = given("private_key", self.private_key.as_deref())?;
        let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| unusable())? {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(unusable()),
        }
        .map_err(|_| unusable())?;
        let now = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": self.private_key_id});
        let claims = serde_json::json!({
            "iss": given("client_email", self.client_email.as_deref())?,
            "scope": SCOPE,
            "aud": url.as_str(),
            "iat": now,
            "exp": now.saturating_add(GRANT_SECONDS),
        });
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let text = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| Error::internal("the grant cannot be signed"))?;
        Ok(format!("{text}.{}", encoded(&signature)))
    }
}

fn given<'a>(name: &'static str, text: Option<&'a str>) -> Result<&'a str> {
    text.filter(|text| !text.is_empty()).ok_or_else(|| refused(format!("Google's credentials have no {name}")))
}

fn refused(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::AuthError, what)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::{Value, json};

    use super::*;

    /// A key that was made for these tests and opens nothing.
    const KEY: &str = include_str!("test_key.pem");

    /// A service account whose tokens are made at this address.
    pub(in super::super) fn service_account(token_uri: &str) -> String {
        json!({
            "type": "service_account", "token_uri": token_uri, "client_email": "robot@project.example",
            "private_key": KEY, "private_key_id": "k1", "project_id": "project",
        })
        .to_string()
    }

    /// Checks a signed grant and returns its claims.
    pub(in super::super) fn claims(assertion: &str) -> Value {
        let (text, signature) = assertion.rsplit_once('.').unwrap();
        let PrivateKeyDer::Pkcs8(der) = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap() else { panic!() };
        let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref().to_vec());
        public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
        let (header, claims) = text.split_once('.').unwrap();
        let header: Value = part(header);
        assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
        part(claims)
    }

    #[test]
    fn a_service_account_signs_that_it_asks_for_an_hour() {
        let wall = UNIX_EPOCH + Duration::from_secs(1_000);
        let grant = Grant::parse(&service_account("https://token.example/t"), wall).unwrap();
        let form: Vec<(String, String)> = url::form_urlencoded::parse(grant.body.as_bytes()).into_owned().collect();
        assert_eq!(form[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(
            claims(&form[1].1),
            json!({
                "iss": "robot@project.example", "scope": SCOPE, "aud": "https://token.example/t", "iat": 1000, "exp": 4600,
            })
        );
    }

    #[test]
    fn a_users_login_is_refreshed() {
        let text = r#"{"type":"authorized_user","client_id":"c","client_secret":"s&1","refresh_token":"r"}"#;
        let grant = Grant::parse(text, UNIX_EPOCH).unwrap();
        assert_eq!(grant.url.as_str(), TOKEN_URI);
        assert_eq!(grant.body, "grant_type=refresh_token&client_id=c&client_secret=s%261&refresh_token=r");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_without_showing_it() {
        let service =
            |key: &str| json!({"type": "service_account", "client_email": "e", "private_key": key}).to_string();
        for (text, why) in [
            ("{\"private_key\": \"hidden\"", "malformed"),
            (r#"{"type":"external_account"}"#, "not known"),
            (r#"{"type":"service_account","client_email":"e"}"#, "no private_key"),
            (r#"{"type":"authorized_user","client_id":"hidden"}"#, "no client_secret"),
            (&service("hidden"), "no RSA key"),
            (&service("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"), "no RSA key"),
            (&service_account("nowhere"), "no address"),
        ] {
            let error = Grant::parse(text, UNIX_EPOCH).err().unwrap();
            assert_eq!(error.code(), Code::AuthError, "{text}");
            let shown = format!("{error:?}");
            assert!(error.message().contains(why) && !shown.contains("hidden") && !shown.contains("c2Vj"), "{shown}");
        }
        let error = Grant::read(Path::new("/no/such/file"), UNIX_EPOCH).err().unwrap();
        assert!(error.message().contains("cannot be read"), "{error}");
    }
}
