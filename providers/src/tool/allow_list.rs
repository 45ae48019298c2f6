//! Which servers a tool may reach.

use std::collections::BTreeSet;

use beluga_core::{Code, Error, Result};
use url::{Host, Url};

/// The servers a tool may reach, as `host:port`. Empty means none.
///
/// An entry means exactly that name and that port: no wildcard, no subdomain. It permits whatever the name resolves to,
/// loopback and private addresses included; so whoever writes an entry trusts the owner of the name.
///
/// ```
/// use beluga_providers::tool::AllowList;
///
/// let list = AllowList::parse(["api.example.com:443", "127.0.0.1:8080", "[::1]:8080"]).unwrap();
/// let url = |text: &str| url::Url::parse(text).unwrap();
/// assert!(list.check(&url("https://API.example.com/v1")).is_ok());
/// assert!(list.check(&url("http://api.example.com/v1")).is_err(), "another port");
/// assert!(list.check(&url("http://localhost:8080/")).is_err(), "another name of the same machine");
/// assert!(AllowList::default().check(&url("https://api.example.com/")).is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowList(BTreeSet<(String, u16)>);

impl AllowList {
    /// Parses entries.
    ///
    /// # Errors
    /// `config` names the entry that is not `host:port`.
    pub fn parse<E: AsRef<str>>(entries: impl IntoIterator<Item = E>) -> Result<Self> {
        let mut list = BTreeSet::new();
        for entry in entries {
            let entry = entry.as_ref();
            let bad = || Error::config(format!("\"{}\" is not host:port", entry.escape_debug()));
            let (host, port) = entry.trim().rsplit_once(':').ok_or_else(bad)?;
            let port: u16 = port.parse().map_err(|_| bad())?;
            let host = Host::parse(host).map_err(|_| bad())?;
            if port == 0 || entry.contains(['*', '/', '@']) {
                return Err(bad());
            }
            list.insert((host.to_string(), port));
        }
        Ok(Self(list))
    }

    /// Checks an address.
    ///
    /// # Errors
    /// `invalid_input` if it is neither http nor https, or carries credentials; `permission_denied` if it is not on
    /// the list.
    pub fn check(&self, url: &Url) -> Result<()> {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Error::invalid_input("url names no server"));
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::invalid_input("url starts with neither http:// nor https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid_input("url carries credentials; send a header"));
        }
        let host = host.to_string();
        if self.0.contains(&(host.clone(), port)) {
            return Ok(());
        }
        let why = if self.0.is_empty() { "no server is on the allow-list" } else { "it is not on the allow-list" };
        Err(Error::new(Code::PermissionDenied, format!("{host}:{port} may not be reached: {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_and_port_are_entries() {
        for entry in ["", "example.com", "*:80", "*.example.com:80", "http://a:80", "a:0", "a:70000", ":80", "u@a:80"] {
            assert_eq!(AllowList::parse([entry]).unwrap_err().code(), Code::Config, "{entry}");
        }
    }

    #[test]
    fn other_spellings_of_an_address_are_the_same_entry() {
        let list = AllowList::parse(["127.0.0.1:80", "bücher.example:443"]).unwrap();
        for url in ["http://127.1/", "http://0x7f000001/", "http://2130706433:80/", "https://xn--bcher-kva.example/"] {
            assert!(list.check(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
        for url in ["http://[::ffff:127.0.0.1]/", "http://127.0.0.1.example/", "http://127.0.0.1:81/"] {
            assert_eq!(list.check(&Url::parse(url).unwrap()).unwrap_err().code(), Code::PermissionDenied, "{url}");
        }
        let error = list.check(&Url::parse("http://127.0.0.1@example.com/").unwrap()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidInput);
    }
}
