//! The macros of Beluga: `#[derive(Message)]` for kernel messages, `#[tool]` for typed tools.
//!
//! They expand to paths below `::beluga`, `::beluga_runtime` or `::beluga_core`, whichever the calling crate depends
//! on; there is no link-time registration.
#![warn(clippy::print_stdout)] // Libraries do not print; binaries and examples do.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod message;
mod tool;

/// Makes a kernel message of a type.
///
/// ```text
/// #[derive(Message)]
/// #[message(name = "counter.add", reply = u64)]
/// struct Add(u64);
/// ```
///
/// Settings: `name` (required: stable, `a-z 0-9 . _ -`), `version = 1`, `reply = Type` (default `()`) or
/// `stream = Type`, `lane = "control" | "interrupt" | "normal" | "bulk"` (default `normal`), `keep` (the dead letter of
/// a message that panicked holds its `Debug` text).
///
/// For messages that travel to other nodes: `codec = "cbor" | "json" | "b2"` (default `cbor`; `b2` needs a golden test),
/// `upgrade_from = Type` (the version before this one: it derives `serde::Deserialize`, and this one is `From` it),
/// `downgrade` (a node that knows the version before only is spoken to in it: it derives `serde::Serialize` and is `From` a
/// reference to this one), `schema` (message and answer derive `schemars::JsonSchema`, and clients are shown the schemas).
#[proc_macro_derive(Message, attributes(message))]
pub fn message(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    message::expand(input.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes a typed tool of an `async fn`.
///
/// ```text
/// /// Says the weather of a city.
/// #[tool(effect = "pure")]
/// async fn weather(cx: &ToolContext, args: WeatherArgs) -> Result<String> { … }
/// ```
///
/// The context and the argument struct may be left out. The struct derives `serde::Deserialize` and
/// `schemars::JsonSchema`; its doc comments, defaults, enums, minima and maxima become the schema the model sees. The
/// answer is `Result<T, E>` with `T` a `String`, any `Serialize` value or `ToolOutput`, and `E` convertible into
/// Beluga's error. The expansion is a unit type of the function's name that implements `Tool`; the function itself stays
/// callable as `weather::run(…)`.
///
/// Settings: `name = "…"` (default: the function's), `description = "…"` (default: the doc comment; one of the two must
/// be there), `effect = "pure" | "idempotent" | "once"` (default: `once`), `timeout_ms = 5000` (default: the runtime's).
#[proc_macro_attribute]
pub fn tool(attributes: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    tool::expand(attributes.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
