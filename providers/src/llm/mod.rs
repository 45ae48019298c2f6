//! Language models behind HTTP: wire dialects, vendor profiles, and the factories that make models of them.
//!
//! A *dialect* is a wire format ([`Dialect`]); a *profile* is what is known of one vendor, as data ([`Profile`]). One
//! model implementation drives them all: it sends the encoded request, decodes the answer as it arrives, and ends with
//! the caller's deadline or cancellation. Retries, fallbacks, rate limits and breakers are not here: they belong to the
//! model actor above. Limits of one answer stand in [`AnswerDecoder`].
//!
//! # Adding a dialect
//!
//! 1. A folder with the files every dialect has: `mod.rs` (the stateless value that is the dialect's `Grammar`, and its
//!    [`DialectFacts`]: framing, headers, what passes through, what is implied, what an answer may say for nothing),
//!    `encode.rs` (a request goes out), `request.rs` (a request comes in, where the dialect serves), `decode.rs` (an answer
//!    comes in, streamed and whole).
//! 2. A variant of [`Dialect`] with an arm in `Dialect::grammar` and a place in [`Dialect::ALL`]; if it cuts its streams in
//!    a new way, an arm in `framing.rs`; if its vendor signs requests, an `Authorize` and an arm where the factory makes it.
//! 3. A row in `profiles.rs`, and a folder of fixtures of the vendor's name.
//!
//! What a decoder owes: text, thinking and calls as chunks; what the vendor says of a part as `PartNotes` behind its text
//! or in the part's `notes`; what has no word in the normal form in `extra` under its wire name (structures made by
//! `wire!` keep it); `AnswerNotes` before `Finished`; the same whether streamed or whole. What an encoder owes: parts of
//! another family left out, and everything the dialect's own request decoder reads written back.

mod answer;
mod anthropic;
mod authorize;
mod bedrock;
mod cohere;
mod compact;
mod dialect;
mod factory;
pub(crate) mod fault;
mod framing;
mod function_tool;
mod gemini;
mod interactions;
mod json;
mod media;
mod model;
mod ollama;
mod openai_chat;
mod profile;
mod profiles;
mod request;
mod responses;
mod wire;

pub use answer::{ANSWER_MAX_BYTES, AnswerDecoder, AnswerHead};
pub use dialect::{Dialect, DialectFacts, Ignored, Implied, PASS_THROUGH_MAX, WireRequest};
pub use factory::{register, register_with};
pub use framing::Framing;
pub use model::{FIRST_BYTE_DEFAULT, STREAM_IDLE_MAX};
pub(crate) use profile::ollama_address;
pub use profile::{
    AddressForm, Auth, CacheWord, CallIds, Place, Profile, ReasoningBack, ReasoningParameter, StrictRules,
};
pub use profiles::{
    ANTHROPIC, AZURE, BEDROCK, BIFROST, CEREBRAS, COHERE, DEEPSEEK, FIREWORKS, GOOGLE, GOOGLE_INTERACTIONS, GROQ,
    HUGGINGFACE, LITELLM, LLAMA_CPP, MISTRAL, OLLAMA, OPENAI, OPENAI_COMPATIBLE, OPENAI_RESPONSES, OPENROUTER,
    PERPLEXITY, PROFILES, QWEN, SAMBANOVA, TOGETHER, VERTEX, XAI,
};
