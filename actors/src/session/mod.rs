//! Sessions and their turns.
