//! TLS for outgoing connections: rustls with the ring provider and Mozilla's roots.

use std::sync::Arc;

use beluga_core::{Error, Result};
use rustls::{ClientConfig, RootCertStore};

/// Makes the TLS settings. They name their crypto provider, so nothing global needs to be installed first.
pub(super) fn config() -> Result<ClientConfig> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("the TLS provider offers no protocol version").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
