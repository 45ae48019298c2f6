//! The headers of a call: those of the configuration, the credential, and what the body is.

use beluga_core::{Code, Error, ExposeSecret, ProviderConfig, ProviderVariables, Result};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// Reads the option `headers`: a table of texts, sent with every request.
///
/// # Errors
/// `config` names the header that is malformed.
pub(crate) fn option_headers(value: &Value) -> Result<HeaderMap> {
    let Value::Object(fields) = value else {
        return Err(Error::config("the provider option headers is no table of texts"));
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let key = HeaderName::from_bytes(name.as_bytes());
        let text = value.as_str().and_then(|text| HeaderValue::from_str(text).ok());
        let (Ok(key), Some(mut text)) = (key, text) else {
            return Err(Error::config(format!("the provider header \"{}\" is malformed", name.escape_debug())));
        };
        // Gateways take their keys in headers of their own.
        text.set_sensitive(true);
        headers.insert(key, text);
    }
    Ok(headers)
}

/// Adds the headers of a call with a JSON body: the key in `key_header`, or as a bearer token where that is `None`. What
/// the configuration names itself stays.
///
/// # Errors
/// `auth_error` names the variable of a missing key; `config` if no header can carry the key.
pub(crate) fn json_headers(
    kind: &str,
    key_header: Option<&'static str>,
    variables: &ProviderVariables,
    config: &ProviderConfig,
    mut headers: HeaderMap,
) -> Result<HeaderMap> {
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
    let Some(key) = &config.api_key else {
        if variables.key_optional {
            return Ok(headers);
        }
        let variable = variables.api_key.first().copied().unwrap_or("api_key");
        return Err(Error::new(Code::AuthError, format!("the kind \"{kind}\" has no key: set {variable}"))
            .with("variable", variable));
    };
    let key = key.expose_secret().trim();
    let (name, text) = match key_header {
        None => (AUTHORIZATION, format!("Bearer {key}")),
        Some(name) => (HeaderName::from_static(name), key.to_owned()),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Error::config(format!("the key of the kind \"{kind}\" has forbidden characters")))?;
    value.set_sensitive(true);
    headers.entry(name).or_insert(value);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use beluga_core::SecretString;
    use serde_json::json;

    use super::*;

    const NEEDED: ProviderVariables =
        ProviderVariables { api_key: &["A_KEY", "B_KEY"], base_url: &[], key_optional: false };

    fn with_key(key: &str) -> ProviderConfig {
        ProviderConfig { api_key: Some(SecretString::from(key.to_owned())), ..ProviderConfig::new("test") }
    }

    #[test]
    fn the_key_travels_as_the_vendor_wants_it_and_what_is_configured_stays() {
        let headers = json_headers("test", None, &NEEDED, &with_key(" k \n"), HeaderMap::new()).unwrap();
        assert_eq!(headers.get("authorization").unwrap(), "Bearer k");
        let headers = json_headers("test", Some("x-key"), &NEEDED, &with_key("k"), HeaderMap::new()).unwrap();
        assert!(headers.get("x-key").unwrap().is_sensitive() && headers.get("authorization").is_none());
        let own = option_headers(&json!({"Authorization": "Basic x", "x-team": "a"})).unwrap();
        let headers = json_headers("test", None, &NEEDED, &with_key("k"), own).unwrap();
        assert_eq!(headers.get("authorization").unwrap(), "Basic x");
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_shown() {
        let error = json_headers("test", None, &NEEDED, &ProviderConfig::new("test"), HeaderMap::new()).unwrap_err();
        assert_eq!((error.code(), error.get("variable")), (Code::AuthError, Some("A_KEY")));
        let error = json_headers("test", None, &NEEDED, &with_key("se\u{7}cret"), HeaderMap::new()).unwrap_err();
        assert!(error.code() == Code::Config && !error.to_string().contains("cret"), "{error}");
        for wrong in [json!(["a"]), json!({"bad name": "x"}), json!({"x-a": "secret\nvalue"}), json!({"x-a": 1})] {
            let error = option_headers(&wrong).unwrap_err();
            assert!(error.code() == Code::Config && !error.to_string().contains("secret"), "{error}");
        }
    }
}
