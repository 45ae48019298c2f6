//! A model without a model: rules, no network, no key, the same answer every time.
//!
//! It lets everything around a language model be tried and tested offline: tool calls (also several in one answer),
//! memory, handoffs, streaming, usage. It reads English requests about arithmetic, dates, web addresses, what was said
//! before, and other agents; it calls only tools it is offered, by the names and arguments of Beluga's own tools
//! (`calculator`, `clock`, `http`, `core_memory_append`, `core_memory_replace`, `recall_search`, `transfer_to_…`), and any
//! other tool when it is named: `call weather with {"city": "Oslo"}`, or `What is the weather in Oslo?` where one argument
//! is enough. Everything else it plainly refuses, and asked what it is it says so.
//!
//! A request passes through these files: `token` cuts the text into words, `clause` into parts, `intent` says what each
//! part wants (with `sums`, `dates`, `web`, `facts` and `named` for their subjects), `step` turns wants into tool calls or
//! sentences, `wording` puts the results into words, `model` streams them. Its usage counts words as tokens.

mod clause;
mod dates;
mod factory;
mod facts;
mod intent;
mod model;
mod named;
mod step;
mod sums;
mod token;
mod web;
mod wording;

pub use factory::register;
pub use model::OfflineModel;
