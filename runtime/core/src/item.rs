//! What middleware must know of one item of an answer, whatever the answer is.

/// One item of a streamed answer, as the layers between caller and provider see it.
pub trait Content {
    /// Returns whether the reader has now seen a part of the answer, after which the call is not repeated or moved.
    fn is_content(&self) -> bool {
        true
    }

    /// Returns what the call has cost so far, in the unit of the limit per minute (tokens). The last one counts.
    fn weight(&self) -> Option<u64> {
        None
    }
}
