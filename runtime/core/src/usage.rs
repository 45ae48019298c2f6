//! What a model call cost, in tokens.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Tokens of one or more model calls. `input` includes cached tokens; `output` includes reasoning tokens.
///
/// ```
/// use beluga_core::Usage;
/// let sum = Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() } + Usage { input_tokens: 1, ..Usage::default() };
/// assert_eq!((sum.input_tokens, sum.total_tokens()), (11, 16));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: u64,
    /// Prompt tokens read from the vendor's cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Prompt tokens written to the vendor's cache.
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// Answer tokens spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Returns input plus output.
    #[must_use]
    pub fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        Usage {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        *self = *self + other;
    }
}
