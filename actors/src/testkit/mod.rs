//! Test doubles for users' own tests: models that answer from a script, a closure or a recording, and tools that count.
//!
//! They keep every law of the contracts they stand for (lazy streams, whole tool calls, cancellation), so that a test
//! which passes with a double means something. Nothing here touches the network. To be sure that nothing else does,
//! build the providers' HTTP client with its network policy set to loopback or none; a double needs no client at all.
//!
//! | Double | For |
//! |---|---|
//! | [`ScriptedModel`] | a fixed list of answers, delays, errors and hangs |
//! | [`FunctionModel`] | answers that depend on the request |
//! | [`RecordedModel`] | a real model's answers, recorded once and replayed strictly |
//! | [`CountingTool`] | how often, and with what, a tool was called |
//! | [`FunctionTool`](crate::tool::typed::FunctionTool) | a tool made of a closure |

mod answer;
mod counting;
mod function;
mod lawful;
mod recorded;
mod scripted;

pub use answer::Answer;
pub use counting::{CountedCall, CountingTool};
pub use function::FunctionModel;
pub use recorded::{RecordedCall, RecordedModel, Recording};
pub use scripted::ScriptedModel;
