//! OpenAI's chat completions, the dialect most vendors speak (API reference, read 2026-11).

mod assembler;
mod decode;
mod encode;

pub(super) use decode::ChatDecoder;
pub(super) use encode::encode;
