//! Language models behind HTTP: wire dialects, vendor profiles, and the factories that make models of them.
//!
//! A *dialect* is a wire format ([`Dialect`]); a *profile* is what is known of one vendor, as data ([`Profile`]). One
//! model implementation drives them all: it sends the encoded request, decodes the answer as it arrives, and ends with
//! the caller's deadline or cancellation. Retries, fallbacks, rate limits and breakers are not here: they belong to the
//! model actor above. Limits of one answer stand in [`AnswerDecoder`].

mod answer;
mod anthropic;
mod factory;
mod fault;
mod json;
mod model;
mod openai_chat;
mod profile;
mod profiles;

pub use answer::{ANSWER_MAX_BYTES, AnswerDecoder, AnswerHead};
pub use factory::{register, register_with};
pub use model::{FIRST_BYTE_DEFAULT, STREAM_IDLE_MAX};
pub use profile::{AddressForm, Auth, Dialect, Profile, ReasoningBack, ReasoningParameter};
pub use profiles::{ANTHROPIC, DEEPSEEK, GROQ, OLLAMA, OPENAI, OPENAI_COMPATIBLE, PROFILES};
