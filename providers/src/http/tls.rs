//! TLS for outgoing connections: rustls with the ring provider and Mozilla's roots.

use std::sync::Arc;

use beluga_core::{Error, Result};
use rustls::{ClientConfig, RootCertStore};

/// Makes the TLS settings. They name their crypto provider, so nothing global needs to be installed first.
///
/// HTTP/2 is not offered: the client below keeps one such connection per server, and a vendor's bound on its streams
/// (often 100) would make long answers wait for each other. With HTTP/1.1 each answer has its own connection.
pub(super) fn config() -> Result<ClientConfig> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("the TLS provider offers no protocol version").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
