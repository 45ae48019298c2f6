//! What models are known to read and write, as data with the date it was read.
//!
//! Windows are those of a standard call: where a vendor sells a larger one by a switch, the table has the smaller. A model
//! that is not in the table has no known window; the configuration adds to the table and overrides it (`[models]`).
//! Deployments with names of one's own, and servers on one's own machine, are not in it.

mod rows;

pub use rows::table;
