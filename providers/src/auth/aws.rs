//! Who signs a request to AWS.

use std::fmt;

use beluga_core::{Code, Error, Result, SecretString, mask};

/// An access key, with the token of its session where it is a temporary one.
#[derive(Clone)]
pub struct AwsCredentials {
    /// The id of the key; sent in the clear.
    pub access_key_id: String,
    /// The key itself; signs and is never sent.
    pub secret_access_key: SecretString,
    /// The token that comes with a temporary key; sent with every request.
    pub session_token: Option<SecretString>,
}

impl AwsCredentials {
    /// The environment variables AWS's own tools read them from.
    pub const VARIABLES: &'static [&'static str] = &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

    /// Takes the credentials from variables; `None` if neither half of a key is set.
    ///
    /// # Errors
    /// `auth_error` names the variable of the half that is missing.
    ///
    /// ```
    /// use beluga_providers::auth::AwsCredentials;
    ///
    /// let found = AwsCredentials::from_variables(|name| (name == "AWS_ACCESS_KEY_ID").then(|| "AKID".to_owned().into()));
    /// assert!(found.unwrap_err().message().contains("AWS_SECRET_ACCESS_KEY"));
    /// assert!(AwsCredentials::from_variables(|_| None).unwrap().is_none());
    /// ```
    pub fn from_variables(get: impl Fn(&str) -> Option<SecretString>) -> Result<Option<Self>> {
        use beluga_core::ExposeSecret as _;
        let missing = |variable: &'static str| {
            Error::new(Code::AuthError, format!("half of the AWS key is missing: set {variable}"))
                .with("variable", variable)
        };
        match (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(missing("AWS_ACCESS_KEY_ID")),
            (Some(_), None) => Err(missing("AWS_SECRET_ACCESS_KEY")),
            (Some(id), Some(secret_access_key)) => Ok(Some(Self {
                access_key_id: id.expose_secret().trim().to_owned(),
                secret_access_key: secret_access_key.expose_secret().trim().to_owned().into(),
                session_token: get("AWS_SESSION_TOKEN"),
            })),
        }
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials")
            .field("access_key_id", &mask(&self.access_key_id))
            .field("is_temporary", &self.session_token.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_key_is_shown() {
        let all = |name: &str| Some(SecretString::from(format!(" {name}-value\n")));
        let credentials = AwsCredentials::from_variables(all).unwrap().unwrap();
        assert_eq!(credentials.access_key_id, "AWS_ACCESS_KEY_ID-value");
        let shown = format!("{credentials:?}");
        assert!(!shown.contains("-value") && shown.contains("is_temporary: true"), "{shown}");
    }
}
