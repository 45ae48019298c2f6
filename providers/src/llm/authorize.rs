//! Credentials that are more than a header: signatures over a request, tokens that run out.

use std::path::PathBuf;
use std::sync::Arc;

use beluga_core::{BoxFuture, Code, Error, ExposeSecret, Host, ProviderConfig, Result};
use futures_util::FutureExt;
use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::profile::{Auth, Profile};
use crate::auth::{AwsCredentials, GoogleCredentials, Scope, TokenSource, sign};
use crate::http::{HttpClient, HttpRequest};

/// The variable that names the file of Google's application default credentials.
const GOOGLE_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Makes a request one the vendor lets in, each time anew. A key that is a constant header needs none of this.
pub(super) trait Authorize: Send + Sync {
    /// Returns the request with its credential.
    ///
    /// # Errors
    /// `auth_error` if there is no credential; what fetching one fails with.
    fn authorize(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpRequest>>;
}

/// Returns the variables a way to authorize reads besides the key's own.
pub(super) fn variables(auth: Auth) -> &'static [&'static str] {
    match auth {
        Auth::Bearer | Auth::Header(_) | Auth::Query(_) => &[],
        Auth::Aws(_) => AwsCredentials::VARIABLES,
        Auth::Google => &[GOOGLE_FILE],
    }
}

/// Makes what authorizes a profile's requests; `None` where a header or the address carries the key.
///
/// # Errors
/// `auth_error` names the variable to set; `config` the place that is missing.
pub(super) fn authorizer(
    profile: &Profile,
    config: &ProviderConfig,
    place: impl Fn(&str) -> Result<String>,
    client: &HttpClient,
    host: &Arc<dyn Host>,
) -> Result<Option<Arc<dyn Authorize>>> {
    if config.api_key.is_some() {
        return Ok(None);
    }
    Ok(match profile.auth {
        Auth::Bearer | Auth::Header(_) | Auth::Query(_) => None,
        Auth::Aws(service) => {
            let found = AwsCredentials::from_variables(|name| config.environment.get(name).cloned())?;
            let Some(credentials) = found else { return Err(missing(profile, "AWS_ACCESS_KEY_ID")) };
            Some(Arc::new(AwsSignatures { credentials, region: place("region")?, service, host: Arc::clone(host) }))
        }
        Auth::Google => {
            let Some(path) = config.environment.get(GOOGLE_FILE) else { return Err(missing(profile, GOOGLE_FILE)) };
            let credentials = GoogleCredentials::File(PathBuf::from(path.expose_secret()));
            Some(Arc::new(GoogleTokens(TokenSource::new(credentials, client.clone(), Arc::clone(host)))))
        }
    })
}

/// Signs each request when it is sent, for signatures run out.
struct AwsSignatures {
    credentials: AwsCredentials,
    region: String,
    service: &'static str,
    host: Arc<dyn Host>,
}

impl Authorize for AwsSignatures {
    fn authorize(&self, mut request: HttpRequest) -> BoxFuture<'static, Result<HttpRequest>> {
        let scope = Scope { region: &self.region, service: self.service };
        let signed = sign(&mut request, &self.credentials, scope, self.host.wall()).map(|()| request);
        std::future::ready(signed).boxed()
    }
}

struct GoogleTokens(TokenSource);

impl Authorize for GoogleTokens {
    fn authorize(&self, mut request: HttpRequest) -> BoxFuture<'static, Result<HttpRequest>> {
        let token = self.0.token();
        let authorized = async move {
            let text = format!("Bearer {}", token.await?.expose_secret());
            let value = HeaderValue::from_str(&text);
            let mut value = value.map_err(|_| Error::new(Code::AuthError, "the token has forbidden characters"))?;
            value.set_sensitive(true);
            request.headers.insert(AUTHORIZATION, value);
            Ok(request)
        };
        authorized.boxed()
    }
}

/// Makes the error of a provider that has no credential at all.
fn missing(profile: &Profile, other: &str) -> Error {
    let variable = profile.variables.api_key.first().copied().unwrap_or("api_key");
    Error::new(
        Code::AuthError,
        format!("the provider \"{}\" has no credentials: set {variable} or {other}", profile.name),
    )
    .with("variable", variable)
}
