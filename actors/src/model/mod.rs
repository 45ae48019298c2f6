//! Models as supervised actors.
