//! An embedder that needs nothing: it hashes words and pieces of words.
//!
//! Texts are alike to it if they are spelled alike: the same words, or words with the same pieces (`pandas`, `panda`).
//! It knows no meaning: `car` and `automobile` are strangers. That is enough to find what was said with the words it was
//! said with, to work offline, and to test retrieval; it is no replacement for a trained model.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use beluga_core::{
    BoxFuture, CallContext, EmbedRequest, Embedder, EmbedderInfo, Embeddings, Error, Host, Result, TokenEstimate,
    Tokenizer, Usage,
};
use parking_lot::Mutex;

use super::vector::normalise;

/// How long a vector is where nobody says.
pub const LOCAL_DIMENSIONS: usize = 512;

/// How long a vector may be at most.
pub const LOCAL_DIMENSIONS_MAX: usize = 8192;

/// The name of its one model. Another way of counting gets another name: its vectors compare with no others.
pub const LOCAL_MODEL: &str = "hashed-ngrams-1";

/// How long the pieces of a word are, in characters.
const PIECE_LENGTHS: std::ops::RangeInclusive<usize> = 3..=5;

/// How much more a whole word counts than a piece of it.
const WORD_WEIGHT: f64 = 4.0;

/// The longest word whose pieces are looked at, in characters; of a longer one the rest counts as a whole only.
const WORD_MAX_CHARS: usize = 64;

/// Texts of more bytes are embedded off the async threads: about a millisecond's work.
const INLINE_MAX_BYTES: usize = 16 * 1024;

/// Counts words and pieces of words in a vector of length one. Deterministic: equal texts have equal vectors on every
/// machine and in every version that has the same [`LOCAL_MODEL`]. Documents and queries are embedded alike.
///
/// ```
/// # use std::sync::Arc;
/// use beluga_core::{CallContext, EmbedKind, Embedder};
/// use beluga_providers::embed::LocalEmbedder;
/// # #[derive(Debug)] struct Still(std::time::Instant);
/// # impl beluga_core::Host for Still {
/// #     fn now(&self) -> std::time::Instant { self.0 }
/// #     fn wall(&self) -> std::time::SystemTime { std::time::SystemTime::UNIX_EPOCH }
/// #     fn sleep(&self, _: std::time::Duration) -> beluga_core::BoxFuture<'static, ()> { Box::pin(std::future::pending()) }
/// #     fn random(&self) -> u64 { 0 }
/// #     fn spawn(&self, _: &'static str, _: beluga_core::BoxFuture<'static, ()>) {}
/// #     fn spawn_thread(&self, _: &'static str, _: Box<dyn FnOnce() + Send>) -> beluga_core::Result<()> { Ok(()) }
/// #     fn block(&self, run: Box<dyn FnOnce() + Send>) -> beluga_core::BoxFuture<'static, ()> { Box::pin(async move { run() }) }
/// # }
/// # #[allow(clippy::disallowed_methods)]
/// # let host = Arc::new(Still(std::time::Instant::now()));
///
/// let embedder = LocalEmbedder::new(host);
/// let embed = |text: &str| futures_util::future::FutureExt::now_or_never(embedder.embed_one(text, EmbedKind::Query, CallContext::new()));
/// let alike = |one: &str, other: &str| -> f32 {
///     let (one, other) = (embed(one).unwrap().unwrap(), embed(other).unwrap().unwrap());
///     one.iter().zip(&other).map(|(one, other)| one * other).sum()
/// };
/// assert!(alike("The panda eats bamboo.", "pandas, eating bamboo") > 0.3);
/// assert!(alike("The panda eats bamboo.", "quarterly revenue") < 0.1);
/// ```
#[derive(Clone)]
pub struct LocalEmbedder {
    dimensions: usize,
    host: Arc<dyn Host>,
}

impl LocalEmbedder {
    /// Makes the embedder.
    #[must_use]
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self { dimensions: LOCAL_DIMENSIONS, host }
    }

    /// Replaces the length of the vectors, from 1 to [`LOCAL_DIMENSIONS_MAX`]. The shorter, the more strangers meet.
    #[must_use]
    pub fn with_dimensions(mut self, dimensions: usize) -> Self {
        self.dimensions = dimensions.clamp(1, LOCAL_DIMENSIONS_MAX);
        self
    }
}

impl Embedder for LocalEmbedder {
    fn info(&self) -> EmbedderInfo {
        EmbedderInfo {
            provider: "beluga.local".to_owned(),
            model: LOCAL_MODEL.to_owned(),
            dimensions: Some(self.dimensions),
        }
    }

    fn embed(&self, request: Arc<EmbedRequest>, cx: CallContext) -> BoxFuture<'static, Result<Embeddings>> {
        let (host, own) = (Arc::clone(&self.host), self.dimensions);
        Box::pin(async move {
            request.check()?;
            if let Some(model) = request.model.as_deref().filter(|model| *model != LOCAL_MODEL) {
                return Err(Error::not_found(format!("no local model \"{}\"", model.escape_debug())));
            }
            let dimensions = request.dimensions.unwrap_or(own);
            if dimensions > LOCAL_DIMENSIONS_MAX {
                let what = format!("dimensions is {dimensions}; at most {LOCAL_DIMENSIONS_MAX}");
                return Err(Error::invalid_input(what));
            }
            if request.bytes() <= INLINE_MAX_BYTES {
                return embed(&request, dimensions, &cx, &*host);
            }
            let place = Arc::new(Mutex::new(None));
            let (answer, worker) = (Arc::clone(&place), Arc::clone(&host));
            // What nobody waits for any more stops at the next text.
            let stop = cx.cancel_token().child();
            let stopped = StopOnDrop(stop.clone());
            let within = cx.with_cancel(stop);
            let run = move || *answer.lock() = Some(embed(&request, dimensions, &within, &*worker));
            host.block(Box::new(run)).await;
            drop(stopped);
            let embedded = place.lock().take();
            embedded.unwrap_or_else(|| Err(Error::internal("the texts were not embedded")))
        })
    }
}

/// Cancels when the future that waits is dropped.
struct StopOnDrop(beluga_core::CancelToken);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl fmt::Debug for LocalEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEmbedder").field("dimensions", &self.dimensions).finish_non_exhaustive()
    }
}

fn embed(request: &EmbedRequest, dimensions: usize, cx: &CallContext, host: &dyn Host) -> Result<Embeddings> {
    let mut embeddings = Embeddings::default();
    for text in &request.texts {
        cx.check(host.now())?;
        embeddings.vectors.push(vector(text, dimensions));
        let input_tokens = TokenEstimate.count(text);
        embeddings.usage += Usage { input_tokens, ..Usage::default() };
    }
    Ok(embeddings)
}

/// Counts a text. What occurs often counts less each time; each feature has a place and a sign by its hash, so that
/// strangers who meet cancel each other out on average (feature hashing: Weinberger et al., ICML 2009).
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut counts: BTreeMap<u64, f64> = BTreeMap::new();
    let lower = text.to_lowercase();
    for word in lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(hash(WORD, word.chars())).or_default() += WORD_WEIGHT;
        let letters: Vec<char> =
            std::iter::once('<').chain(word.chars().take(WORD_MAX_CHARS)).chain(std::iter::once('>')).collect();
        for length in PIECE_LENGTHS {
            for piece in letters.windows(length) {
                *counts.entry(hash(PIECE, piece.iter().copied())).or_default() += 1.0;
            }
        }
    }
    if counts.is_empty() {
        // A text without words is like other texts without words, and has length one too.
        counts.insert(hash(EMPTY, std::iter::empty()), 1.0);
    }
    let mut sums = vec![0.0_f64; dimensions];
    for (feature, count) in counts {
        let place = usize::try_from(feature >> 1).unwrap_or_default() % dimensions.max(1);
        let sign = if feature & 1 == 0 { 1.0 } else { -1.0 };
        if let Some(sum) = sums.get_mut(place) {
            *sum += sign * count.sqrt();
        }
    }
    if sums.iter().all(|sum| *sum == 0.0) {
        // Everything cancelled out, which a vector of a few numbers can do.
        if let Some(first) = sums.first_mut() {
            *first = 1.0;
        }
    }
    // The counts of a text of 64 MiB are far below what 32 bits hold.
    #[allow(clippy::cast_possible_truncation, reason = "a vector's numbers have 32 bits")]
    let mut vector: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
    normalise(&mut vector);
    vector
}

/// What is hashed: a word, a piece of one, or that there is none.
const WORD: u64 = 1;
const PIECE: u64 = 2;
const EMPTY: u64 = 3;

/// FNV-1a over the characters, and a last mixing so that the low bits depend on all of it (SplitMix64's).
fn hash(kind: u64, letters: impl Iterator<Item = char>) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ kind;
    for letter in letters {
        state = (state ^ u64::from(u32::from(letter))).wrapping_mul(0x0100_0000_01b3);
    }
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alike(one: &str, other: &str) -> f64 {
        let (one, other) = (vector(one, LOCAL_DIMENSIONS), vector(other, LOCAL_DIMENSIONS));
        one.iter().zip(&other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
    }

    #[test]
    fn a_text_is_most_like_the_one_that_shares_its_words() {
        let query = "how do I reset my password";
        let right = alike(query, "To reset a forgotten password, open the settings.");
        for wrong in ["Invoices are sent on the first day of a month.", "The office is closed on Sundays.", ""] {
            assert!(right > alike(query, wrong) + 0.1, "{wrong}");
        }
        assert!(alike("Straße Ärger", "STRASSE, ärger!") > 0.4);
        assert!(alike("日本語の文章", "日本語") > 0.1);
    }

    #[test]
    #[allow(clippy::cast_possible_truncation, reason = "a thousandth is a small number")]
    fn vectors_are_the_same_on_every_machine() {
        let vector = vector("panda", 8);
        let digits: Vec<i32> = vector.iter().map(|number| (number * 1000.0).round() as i32).collect();
        assert_eq!(digits, GOLDEN, "another way of counting needs another name than {LOCAL_MODEL}");
    }

    /// Worked out apart from this code.
    const GOLDEN: [i32; 8] = [0, 224, 894, -224, 224, -224, 0, 0];

    proptest! {
        #[test]
        fn every_text_has_a_vector_of_length_one(text in "\\PC{0,80}", dimensions in 1_usize..40) {
            let vector = vector(&text, dimensions);
            let length: f64 = vector.iter().map(|number| f64::from(*number).powi(2)).sum();
            prop_assert_eq!(vector.len(), dimensions);
            prop_assert!((length - 1.0).abs() < 1e-5, "{} {:?}", length, text);
        }
    }
}
