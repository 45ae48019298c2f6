//! Bodies of answers, decoded whole and cut in every way that could matter.

use std::time::SystemTime;

use axum::http::{HeaderMap, StatusCode};
use beluga_core::{Error, ModelChunk};
use beluga_providers::llm::{AnswerDecoder, AnswerHead, Profile};

/// Bodies up to this long are cut at every position.
const EVERY_POSITION_MAX: usize = 16 * 1024;

/// How many positions of a longer body are drawn.
const DRAWN: u64 = 500;

/// What came of a body.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) chunks: Vec<ModelChunk>,
    pub(crate) error: Option<Error>,
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        let of = |outcome: &Self| outcome.error.as_ref().map(|error| (error.to_string(), error.retry()));
        self.chunks == other.chunks && of(self) == of(other)
    }
}

/// One answer as it came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn decode<'a>(&self, profile: &Profile, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let head =
            AnswerHead { status: self.status, headers: self.headers.clone(), wall: SystemTime::UNIX_EPOCH, seed: 1 };
        let mut decoder = AnswerDecoder::new(profile, head);
        let fed = pieces.into_iter().try_for_each(|piece| decoder.feed(piece));
        let error = fed.and_then(|()| decoder.end()).err();
        Outcome { chunks: std::iter::from_fn(|| decoder.pop()).collect(), error }
    }

    /// Decodes the body whole, and checks that no way of cutting it changes anything.
    pub(crate) fn replay(&self, profile: &Profile, name: &str) -> Outcome {
        let whole = self.decode(profile, [self.body.as_slice()]);
        assert_eq!(self.decode(profile, self.body.chunks(1)), whole, "{name}: byte by byte");
        for at in cuts(&self.body) {
            let (head, tail) = self.body.split_at(at);
            let cut = self.decode(profile, [head, tail]);
            assert!(cut == whole, "{name}: cut at {at}: {cut:?} is not {whole:?}");
        }
        whole
    }
}

/// Returns where a body is cut in two: everywhere, or at drawn places and always at line ends and inside characters.
fn cuts(body: &[u8]) -> Vec<usize> {
    if body.len() <= EVERY_POSITION_MAX {
        return (0..=body.len()).collect();
    }
    let is_delicate = |at: &usize| {
        let around = [body.get(at.wrapping_sub(1)), body.get(*at)];
        around.into_iter().flatten().any(|byte| matches!(byte, b'\r' | b'\n')) || body[*at] & 0xC0 == 0x80
    };
    let mut cuts: Vec<usize> = (0..body.len()).filter(is_delicate).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..DRAWN {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        cuts.push(usize::try_from(state >> 33).unwrap() % body.len());
    }
    cuts
}
