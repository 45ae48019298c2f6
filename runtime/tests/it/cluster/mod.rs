//! A cluster under simulation: what its nodes decide, in a world that is drawn from a seed.

mod calls;
mod membership;
mod net;
mod nodes;
mod storms;
mod world;
