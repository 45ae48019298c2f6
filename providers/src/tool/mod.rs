//! Tools that do I/O.
