//! Typed tools: `#[tool]` on an async function, or [`FunctionTool`] around a closure.
//!
//! The argument type gives the schema ([`schema_of`]), the schema checks what the model sent ([`Arguments`]), and serde
//! fills in the defaults. Running a tool under supervision, with a time limit and its effect class, is the tool actor's
//! work; nothing here spawns, waits or keeps state.
//!
//! ```
//! use beluga_actors::tool::typed::tool;
//! use beluga_core::{Effect, Error, Result, Tool, ToolContext};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct CityArguments {
//!     /// The city's English name.
//!     city: String,
//!     /// How many days ahead.
//!     #[serde(default)]
//!     #[schemars(range(max = 7))]
//!     days: u8,
//! }
//!
//! #[derive(Serialize)]
//! struct Forecast {
//!     celsius: i16,
//! }
//!
//! /// Says the weather of a city.
//! #[tool(effect = "pure", timeout_ms = 5000)]
//! async fn weather(_cx: &ToolContext, arguments: CityArguments) -> Result<Forecast> {
//!     match arguments.city.as_str() {
//!         "Oslo" => Ok(Forecast { celsius: 3 + i16::from(arguments.days) }),
//!         _ => Err(Error::invalid_input("city: only Oslo has weather")),
//!     }
//! }
//!
//! let definition = weather.definition();
//! assert_eq!((definition.name.as_str(), definition.effect), ("weather", Effect::Pure));
//! assert_eq!(definition.description, "Says the weather of a city.");
//! assert_eq!(
//!     definition.input_schema,
//!     serde_json::json!({
//!         "type": "object",
//!         "properties": {
//!             "city": {"description": "The city's English name.", "type": "string"},
//!             "days": {"description": "How many days ahead.", "type": "integer", "minimum": 0, "maximum": 7, "default": 0},
//!         },
//!         "required": ["city"],
//!         "additionalProperties": false,
//!     })
//! );
//! ```
//!
//! An argument type without a schema does not compile:
//!
//! ```compile_fail
//! use beluga_actors::tool::typed::tool;
//!
//! #[derive(serde::Deserialize)]
//! struct Untold {
//!     city: String,
//! }
//!
//! /// Says the weather of a city.
//! #[tool]
//! async fn weather(arguments: Untold) -> beluga_core::Result<String> {
//!     Ok(arguments.city)
//! }
//! ```
//!
//! Nor does an answer that is no `Result`:
//!
//! ```compile_fail
//! use beluga_actors::tool::typed::tool;
//!
//! /// Says the weather.
//! #[tool]
//! async fn weather() -> String {
//!     "fine".to_owned()
//! }
//! ```

mod function;
mod problem;
mod schema;
#[doc(hidden)]
pub mod support;
mod validate;

pub use beluga_macros::tool;
pub use function::FunctionTool;
pub use schema::schema_of;
pub use validate::{Arguments, PROBLEMS_MAX};
