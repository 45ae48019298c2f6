//! The tools every agent may be given: they compute, and touch nothing outside the process.
//!
//! Tools that do I/O (`http`) live in the providers, beside their clients.

mod arithmetic;
mod clock;

pub use arithmetic::{CalculatorArguments, DEPTH_MAX, EXPRESSION_MAX_CHARS, calculator, evaluate};
pub use clock::clock;
