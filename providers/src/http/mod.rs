//! The one HTTP client of this crate.
