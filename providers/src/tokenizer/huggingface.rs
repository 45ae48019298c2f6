//! The tokenizer of a model with open weights, from its `tokenizer.json`.

use std::fmt;

use beluga_core::{Error, Result, Tokenizer};

/// The largest `tokenizer.json` that is read, in bytes; the largest known has 34 million.
pub const TOKENIZER_JSON_MAX_BYTES: usize = 128 * 1024 * 1024;

/// A tokenizer as Hugging Face's files describe it: BPE, `WordPiece`, or the unigrams of SentencePiece.
#[derive(Clone)]
pub struct HuggingFace {
    name: String,
    inner: tokenizers::Tokenizer,
}

impl HuggingFace {
    /// Reads a `tokenizer.json`; `name` is what it shall be called.
    ///
    /// # Errors
    /// `config` if it is too large or describes no tokenizer.
    pub fn parse(name: impl Into<String>, json: &[u8]) -> Result<Self> {
        if json.len() > TOKENIZER_JSON_MAX_BYTES {
            return Err(Error::config("the tokenizer.json is too large").with("size_bytes", json.len()));
        }
        let inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|error| Error::config("not a tokenizer.json").with_source(error.to_string()))?;
        Ok(Self { name: name.into(), inner })
    }

    /// Returns the tokens of a text, by their numbers in the vocabulary, without those that begin and end a prompt.
    ///
    /// # Errors
    /// `decode` if the model cannot say the text and has no token for the unknown.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false);
        let encoding =
            encoding.map_err(|error| Error::decode("the text has no tokens").with_source(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Returns the text of tokens; numbers that are not in the vocabulary are left out.
    ///
    /// # Errors
    /// `decode` if the file's decoder fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let text = self.inner.decode(tokens, false);
        text.map_err(|error| Error::decode("the tokens have no text").with_source(error.to_string()))
    }
}

impl Tokenizer for HuggingFace {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_exact(&self) -> bool {
        true
    }

    /// What the model cannot say counts a token for each byte.
    fn count(&self, text: &str) -> u64 {
        self.encode(text).map_or(text.len(), |tokens| tokens.len()) as u64
    }
}

impl fmt::Debug for HuggingFace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HuggingFace").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beluga_core::Code;
    use serde_json::json;

    /// Unigrams as SentencePiece has them: a space is `▁`, and the likeliest split counts.
    fn unigrams() -> HuggingFace {
        let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
        let vocab = json!([["<unk>", 0.0], ["▁", -5.0], ["▁hello", -1.0], ["▁world", -1.0], ["s", -2.0], ["h", -9.0]]);
        let file = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": metaspace, "post_processor": null, "decoder": metaspace,
            "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false},
        });
        HuggingFace::parse("tiny", file.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_unigrams_of_sentencepiece_are_counted_and_return() {
        let tokenizer = unigrams();
        assert_eq!(tokenizer.encode("hello worlds").unwrap(), [2, 3, 4]);
        assert_eq!((tokenizer.count("hello worlds"), tokenizer.count("")), (3, 0));
        assert_eq!(tokenizer.decode(&[2, 3, 4]).unwrap(), "hello worlds");
        assert!(tokenizer.is_exact() && tokenizer.name() == "tiny");
    }

    #[test]
    fn what_is_no_tokenizer_is_told() {
        assert_eq!(HuggingFace::parse("x", b"{}").unwrap_err().code(), Code::Config);
    }
}
