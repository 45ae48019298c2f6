//! How a request proves who sends it, where a key in a header is not enough: AWS's signatures and Google's tokens.
//!
//! Secrets come from the configuration's environment and show in no `Debug`, no error and no log. Nothing here reads the
//! environment or a clock by itself.

mod aws;
mod google;
mod sigv4;
mod token;

pub use aws::AwsCredentials;
pub use google::GoogleCredentials;
pub use sigv4::{Scope, sign};
pub use token::{TOKEN_MARGIN, TokenSource};
