//! `[nats]`: the NATS server the node talks to, and what it serves there.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::period::Period;

/// The NATS face. Without a server there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NatsSettings {
    /// The servers, as "nats://HOST:PORT" or "tls://HOST:PORT"; one of a cluster is enough.
    #[schemars(length(max = 32))]
    pub servers: Vec<String>,
    /// The user, where the server asks for one with a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The environment variable that holds the user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// The environment variable that holds a token, where the server asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// The environment variable that holds the seed of an nkey, "SU…".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey_env: Option<String>,
    /// A credentials file as nsc writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PathBuf>,
    /// Whether a server without TLS is refused.
    pub tls: bool,
    /// The certificates of the authority that signed the server's, in PEM, besides those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_authority: Option<PathBuf>,
    /// The node's certificate in PEM, where the server asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// The key of the node's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// Whether a password or a token may cross a network in the clear.
    pub allow_plaintext: bool,
    /// What the node's inboxes begin with; the server's permissions may ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_prefix: Option<String>,
    /// The tenants served; all of them if empty.
    #[schemars(length(max = 1000))]
    pub tenants: Vec<String>,
    /// The most requests at the same time; a further one is refused as overloaded.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests: usize,
    /// The largest request, in bytes; the server has a limit of its own.
    #[schemars(range(min = 1024, max = 67_108_864))]
    pub body_limit_bytes: usize,
    /// The most time one call may take.
    pub call_timeout: Period,
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            user: None,
            password_env: None,
            token_env: None,
            nkey_env: None,
            credentials: None,
            tls: false,
            tls_authority: None,
            tls_certificate: None,
            tls_key: None,
            allow_plaintext: false,
            inbox_prefix: None,
            tenants: Vec::new(),
            max_requests: 1_024,
            body_limit_bytes: 1024 * 1024,
            call_timeout: Period::from_secs(600),
        }
    }
}

impl NatsSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        let ways = [
            ("user", self.user.is_some()),
            ("token_env", self.token_env.is_some()),
            ("nkey_env", self.nkey_env.is_some()),
            ("credentials", self.credentials.is_some()),
        ];
        let used: Vec<&str> = ways.iter().filter(|(_, used)| *used).map(|(name, _)| *name).collect();
        if let [_, second, ..] = used.as_slice() {
            let hint = "one of user with password_env, token_env, nkey_env and credentials".to_owned();
            check.problem(&["nats", second], "is a second way to show who the node is", Some(hint));
        }
        for (name, variable) in
            [("password_env", &self.password_env), ("token_env", &self.token_env), ("nkey_env", &self.nkey_env)]
        {
            if let Some(variable) = variable {
                check.variable(&["nats", name], variable);
            }
        }
        if self.user.is_some() != self.password_env.is_some() {
            let missing = if self.user.is_some() { "password_env" } else { "user" };
            check.problem(&["nats", missing], "is required beside the other", None);
        }
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            let missing = if self.tls_key.is_some() { "tls_certificate" } else { "tls_key" };
            check.problem(&["nats", missing], "is required beside the other", None);
        }
        for (at, tenant) in self.tenants.iter().enumerate() {
            if beluga_core::TenantId::parse(tenant).is_err() {
                let hint = format!("an id has 1 to {} of A-Z a-z 0-9 _ -", beluga_core::ID_MAX_BYTES);
                check.problem(&["nats", "tenants", &at.to_string()], "is no tenant", Some(hint));
            }
        }
        if self.call_timeout.get().is_zero() {
            check.problem(&["nats", "call_timeout"], "must be above zero", None);
        }
    }
}
