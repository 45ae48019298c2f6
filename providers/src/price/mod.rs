//! What vendors charge, as data with the date it was read.
//!
//! Prices are those of standard calls: no batch, no reserved capacity, no regional surcharge, prompts of ordinary length
//! where long ones cost more, the higher rate where it depends on the hour, text where sound costs more. A model that is
//! not in the table has an unknown cost; the configuration adds to the table and overrides it (`[prices]`). Models on one's
//! own machine cost nothing.

mod rows;

pub use rows::table;
