//! How the texts of a request are cut into calls.

use std::ops::Range;

use super::profile::EmbedProfile;

/// Returns the texts of each call, in order: as many as the vendor takes at once.
pub(super) fn batches(profile: &EmbedProfile, texts: &[String]) -> Vec<Range<usize>> {
    let (count_max, bytes_max) = (profile.batch_texts_max.max(1), profile.batch_tokens_max.unwrap_or(usize::MAX));
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0_usize);
    for (at, text) in texts.iter().enumerate() {
        let is_full = at - start >= count_max || bytes.saturating_add(text.len()) > bytes_max;
        if at > start && is_full {
            batches.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes = bytes.saturating_add(text.len());
    }
    if start < texts.len() {
        batches.push(start..texts.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::profiles::OPENAI;
    use super::*;

    proptest! {
        #[test]
        fn batches_are_in_order_whole_and_within_bounds(
            lengths in prop::collection::vec(0_usize..40, 0..60),
            texts_max in 1_usize..9,
            tokens_max in prop::option::of(1_usize..80),
        ) {
            let texts: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
            let profile = EmbedProfile { batch_texts_max: texts_max, batch_tokens_max: tokens_max, ..OPENAI };
            let cut = batches(&profile, &texts);
            let all: Vec<usize> = cut.iter().cloned().flatten().collect();
            prop_assert_eq!(all, (0..texts.len()).collect::<Vec<_>>());
            for range in cut {
                prop_assert!(!range.is_empty() && range.len() <= texts_max);
                let bytes: usize = texts[range.clone()].iter().map(String::len).sum();
                prop_assert!(range.len() == 1 || bytes <= tokens_max.unwrap_or(usize::MAX));
            }
        }
    }
}
