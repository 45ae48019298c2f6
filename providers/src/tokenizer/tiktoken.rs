//! OpenAI's encodings, through tiktoken-rs, whose vocabularies are part of the binary.

use beluga_core::{Error, Result, Tokenizer};
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

/// An encoding of OpenAI's. Its vocabulary is read with its first use, which takes some tenths of a second, and kept.
///
/// Markers such as `<|endoftext|>` within a text are text, as they are to the vendor.
///
/// ```
/// use beluga_core::Tokenizer;
/// use beluga_providers::tokenizer::Tiktoken;
///
/// let tokens = Tiktoken::O200kBase.encode("tiktoken is great!");
/// assert_eq!(tokens, [83, 8251, 2488, 382, 2212, 0]);
/// assert_eq!(Tiktoken::O200kBase.decode(&tokens).unwrap(), "tiktoken is great!");
/// assert_eq!(Tiktoken::O200kBase.count("tiktoken is great!"), 6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiktoken {
    /// That of GPT-3.5 and GPT-4.
    Cl100kBase,
    /// That of GPT-4o and all later models.
    O200kBase,
}

impl Tiktoken {
    fn encoding(self) -> &'static CoreBPE {
        match self {
            Tiktoken::Cl100kBase => cl100k_base_singleton(),
            Tiktoken::O200kBase => o200k_base_singleton(),
        }
    }

    /// Returns the tokens of a text, by their numbers in the vocabulary.
    #[must_use]
    pub fn encode(self, text: &str) -> Vec<u32> {
        self.encoding().encode_ordinary(text)
    }

    /// Returns the text of tokens.
    ///
    /// # Errors
    /// `decode` for a number that is not in the vocabulary, and for tokens that end within a character.
    pub fn decode(self, tokens: &[u32]) -> Result<String> {
        let bytes = self.encoding().decode_bytes(tokens);
        let bytes =
            bytes.map_err(|error| Error::decode("a token is not in the vocabulary").with_source(error.to_string()))?;
        String::from_utf8(bytes)
            .map_err(|_| Error::decode("the tokens end within a character").with("tokens", tokens.len()))
    }
}

impl Tokenizer for Tiktoken {
    fn name(&self) -> &'static str {
        match self {
            Tiktoken::Cl100kBase => "cl100k_base",
            Tiktoken::O200kBase => "o200k_base",
        }
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn count(&self, text: &str) -> u64 {
        self.encode(text).len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beluga_core::{Code, TokenEstimate};

    #[test]
    fn the_numbers_are_those_of_the_vendors_own_documents() {
        // OpenAI Cookbook, "How to count tokens with tiktoken", as of 2026-11.
        for (text, cl100k, o200k) in
            [("antidisestablishmentarianism", 6, 6), ("2 + 2 = 4", 7, 7), ("お誕生日おめでとう", 9, 8)]
        {
            assert_eq!((Tiktoken::Cl100kBase.count(text), Tiktoken::O200kBase.count(text)), (cl100k, o200k), "{text}");
        }
    }

    #[test]
    fn every_text_returns() {
        for text in ["", "plain", "<|endoftext|>", "straße 😀 日本語\n\n\t{}"] {
            for encoding in [Tiktoken::Cl100kBase, Tiktoken::O200kBase] {
                assert_eq!(encoding.decode(&encoding.encode(text)).unwrap(), text);
            }
        }
        assert_eq!(Tiktoken::O200kBase.decode(&[u32::MAX]).unwrap_err().code(), Code::Decode);
    }

    #[test]
    fn the_estimate_lies_above_on_prose_and_json() {
        for text in [
            "The quick brown fox jumps over the lazy dog, and the dog does not mind it in the least.",
            "{\"name\": \"Oslo\", \"people\": 709000, \"rivers\": [\"Akerselva\", \"Alna\"]}",
        ] {
            let exact = Tiktoken::O200kBase.count(text);
            assert!(TokenEstimate.count(text) >= exact, "{text}: {} < {exact}", TokenEstimate.count(text));
        }
    }
}
