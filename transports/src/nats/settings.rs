//! Where the server is, and how a node shows who it is.

use std::fmt;
use std::path::PathBuf;

use beluga_core::{Error, ExposeSecret, Result, SecretString};

/// The most addresses of one cluster of servers.
pub const SERVERS_MAX: usize = 32;

/// How a node connects to NATS.
#[derive(Debug, Clone, Default)]
pub struct ConnectSettings {
    /// The servers, `nats://HOST:PORT` or `tls://HOST:PORT`; one is enough, the others are learned from it.
    pub servers: Vec<String>,
    /// The name of the connection, as the server's own monitoring shows it.
    pub name: String,
    /// How the node shows who it is.
    pub credentials: Credentials,
    /// How the connection is encrypted.
    pub tls: TlsSettings,
    /// Whether a password, a token or a key may cross a network in the clear. Loopback always may.
    pub allow_plaintext: bool,
    /// What inboxes begin with, where the server's permissions say so; `_INBOX` if empty.
    pub inbox_prefix: String,
}

/// How a node shows who it is.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// By name and password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// By a token.
    Token(SecretString),
    /// By an nkey: its seed, `SU…`. It never leaves the node.
    Nkey(SecretString),
    /// By a file with a JWT and the seed that signs, as `nsc` writes it.
    File(PathBuf),
}

impl Credentials {
    /// Returns whether a secret itself crosses the connection.
    fn shows_a_secret(&self) -> bool {
        matches!(self, Credentials::Password { .. } | Credentials::Token(_))
    }

    /// Adds them to the options of a connection.
    ///
    /// # Errors
    /// `config` if the file cannot be read.
    pub(super) async fn apply(&self, options: async_nats::ConnectOptions) -> Result<async_nats::ConnectOptions> {
        Ok(match self {
            Credentials::None => options,
            Credentials::Password { user, password } => {
                options.user_and_password(user.clone(), password.expose_secret().to_owned())
            }
            Credentials::Token(token) => options.token(token.expose_secret().to_owned()),
            Credentials::Nkey(seed) => options.nkey(seed.expose_secret().to_owned()),
            Credentials::File(path) => options.credentials_file(path).await.map_err(|error| {
                Error::config("the credentials file cannot be read").with("path", path.display()).with_source(error)
            })?,
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credentials::None => "None",
            Credentials::Password { .. } => "Password(***)",
            Credentials::Token(_) => "Token(***)",
            Credentials::Nkey(_) => "Nkey(***)",
            Credentials::File(path) => return f.debug_tuple("File").field(path).finish(),
        })
    }
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// Whether a server without TLS is refused. A `tls://` address asks for it too.
    pub required: bool,
    /// The certificates of the authority that signed the server's, in PEM; the system's are trusted in any case.
    pub authority: Option<PathBuf>,
    /// The node's certificate and its key, in PEM, where the server asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl ConnectSettings {
    /// Makes the settings of one server without credentials.
    ///
    /// ```
    /// use beluga_transports::nats::{ConnectSettings, Credentials};
    ///
    /// let local = ConnectSettings::new("nats://127.0.0.1:4222");
    /// assert!(local.check().is_ok());
    /// let far = ConnectSettings {
    ///     servers: vec!["nats://10.0.0.7".into()],
    ///     credentials: Credentials::Token("s3cret".to_owned().into()),
    ///     ..local
    /// };
    /// let error = far.check().unwrap_err().to_string();
    /// assert!(error.contains("in the clear") && !error.contains("s3cret"));
    /// ```
    #[must_use]
    pub fn new(server: impl Into<String>) -> Self {
        Self { servers: vec![server.into()], name: "beluga".to_owned(), ..Self::default() }
    }

    /// Checks the addresses, and that no secret would cross a network in the clear.
    ///
    /// # Errors
    /// `config` names the address, without the secrets in it.
    pub fn check(&self) -> Result<()> {
        if self.servers.is_empty() || self.servers.len() > SERVERS_MAX {
            let error = Error::config(format!("nats needs 1 to {SERVERS_MAX} servers"));
            return Err(error.with("given", self.servers.len()));
        }
        for server in &self.servers {
            let address = address(server)?;
            let in_the_clear = !self.tls.required && !address.tls_required();
            let secret = self.credentials.shows_a_secret() || address.password().is_some();
            if secret && in_the_clear && !self.allow_plaintext && !is_loopback(address.host()) {
                return Err(Error::config(
                    "a password or token would cross the network in the clear: use tls:// or allow_plaintext",
                )
                .with("server", shown(&address)));
            }
        }
        Ok(())
    }
}

/// Reads the address of a server.
pub(super) fn address(server: &str) -> Result<async_nats::ServerAddr> {
    server.trim().parse().map_err(|error| {
        // The text may hold a password, and so may the parser's complaint.
        drop::<std::io::Error>(error);
        Error::config("a nats server is written nats://HOST:PORT or tls://HOST:PORT")
    })
}

/// Returns an address without user and password.
pub(super) fn shown(address: &async_nats::ServerAddr) -> String {
    format!("{}:{}", address.host(), address.port())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(server: &str, credentials: Credentials) -> ConnectSettings {
        ConnectSettings { credentials, ..ConnectSettings::new(server) }
    }

    #[test]
    fn a_secret_crosses_a_network_only_encrypted_or_by_intent() {
        let password = || Credentials::Password { user: "ann".into(), password: "pw-9".to_owned().into() };
        assert!(with("nats://localhost:4222", password()).check().is_ok());
        assert!(with("nats://[::1]:4222", password()).check().is_ok());
        assert!(with("tls://nats.example:4222", password()).check().is_ok());
        let refused = with("nats://nats.example:4222", password());
        assert!(refused.check().unwrap_err().to_string().contains("nats.example:4222"));
        assert!(ConnectSettings { allow_plaintext: true, ..refused }.check().is_ok());
        assert!(with("nats://nats.example", Credentials::Nkey("SU".to_owned().into())).check().is_ok());
        let inside = with("nats://ann:pw-9@nats.example:4222", Credentials::None).check().unwrap_err().to_string();
        assert!(!inside.contains("pw-9"), "{inside}");
        assert!(!format!("{:?}", password()).contains("pw-9"));
    }

    #[test]
    fn a_wrong_address_is_told_without_repeating_it() {
        let error = with("http://ann:pw-9@x y", Credentials::None).check().unwrap_err().to_string();
        assert!(error.contains("nats://HOST:PORT") && !error.contains("pw-9"), "{error}");
        assert!(ConnectSettings { servers: Vec::new(), ..ConnectSettings::new("x") }.check().is_err());
    }
}
