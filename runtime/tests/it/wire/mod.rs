//! Calls between two systems of one process, over frames as bytes.

mod actors;
mod crossing;
mod endings;
mod entries;
mod golden;
mod loopback;
mod streams;
mod versions;
