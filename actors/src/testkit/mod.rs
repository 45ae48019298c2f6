//! Test doubles for users' own tests.
