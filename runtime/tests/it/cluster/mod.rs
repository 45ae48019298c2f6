//! A cluster under simulation: what its nodes decide, in a world that is drawn from a seed.

mod membership;
mod storms;
mod world;
