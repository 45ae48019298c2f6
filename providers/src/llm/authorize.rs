//! Credentials that are more than a header: signatures over a request, tokens that run out.

use beluga_core::{BoxFuture, Result};

use crate::http::HttpRequest;

/// Makes a request one the vendor lets in, each time anew. A key that is a constant header needs none of this.
pub(super) trait Authorize: Send + Sync {
    /// Returns the request with its credential.
    ///
    /// # Errors
    /// `auth_error` if there is no credential; what fetching one fails with.
    fn authorize(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpRequest>>;
}
