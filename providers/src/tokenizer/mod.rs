//! Tokenizers that count as the models do, each behind a feature; without one there is core's estimate.
//!
//! `tiktoken` has OpenAI's encodings within the binary; `huggingface` reads a `tokenizer.json`, BPE and SentencePiece's
//! unigrams alike. Neither loads anything from a network.

#[cfg(feature = "huggingface")]
mod huggingface;
#[cfg(feature = "tiktoken")]
mod tiktoken;

use std::sync::Arc;

use beluga_core::{Error, Result, TokenEstimate, Tokenizer};

#[cfg(feature = "huggingface")]
pub use huggingface::{HuggingFace, TOKENIZER_JSON_MAX_BYTES};
#[cfg(feature = "tiktoken")]
pub use tiktoken::Tiktoken;

/// The names [`tokenizer`] knows.
pub const TOKENIZERS: [&str; 3] = ["estimate", "cl100k_base", "o200k_base"];

/// Returns a tokenizer by name: `estimate`, `cl100k_base` or `o200k_base`.
///
/// ```
/// assert!(!beluga_providers::tokenizer::tokenizer("estimate").unwrap().is_exact());
/// ```
///
/// # Errors
/// `unsupported` for an encoding that is not compiled in; `not_found` lists what there is.
pub fn tokenizer(name: &str) -> Result<Arc<dyn Tokenizer>> {
    match name {
        "estimate" => Ok(Arc::new(TokenEstimate)),
        #[cfg(feature = "tiktoken")]
        "cl100k_base" => Ok(Arc::new(Tiktoken::Cl100kBase)),
        #[cfg(feature = "tiktoken")]
        "o200k_base" => Ok(Arc::new(Tiktoken::O200kBase)),
        #[cfg(not(feature = "tiktoken"))]
        "cl100k_base" | "o200k_base" => {
            Err(Error::unsupported(format!("the tokenizer \"{name}\" needs the feature \"tiktoken\"")))
        }
        _ => {
            Err(Error::not_found(format!("no tokenizer \"{}\"; known: {}", name.escape_debug(), TOKENIZERS.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beluga_core::Code;

    #[test]
    fn what_is_not_known_and_what_is_not_compiled_in_are_told_apart() {
        assert_eq!(tokenizer("words").unwrap_err().code(), Code::NotFound);
        match tokenizer("o200k_base") {
            Ok(exact) => assert!(exact.is_exact() && cfg!(feature = "tiktoken")),
            Err(error) => assert_eq!((error.code(), cfg!(feature = "tiktoken")), (Code::Unsupported, false)),
        }
    }
}
