//! Did-you-mean: the nearest known word to a mistyped one.

/// The longest word compared, in characters; longer ones get no suggestion.
const WORD_MAX_CHARS: usize = 64;

/// Returns the known word nearest to `word`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > WORD_MAX_CHARS {
        return None;
    }
    let most = (length / 3).max(1);
    known
        .into_iter()
        .filter(|candidate| *candidate != word && candidate.chars().count() <= WORD_MAX_CHARS)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns the hint for an unknown word: the nearest known one, else all of them.
pub(crate) fn unknown(word: &str, known: &[&str]) -> Option<String> {
    match nearest(word, known.iter().copied()) {
        Some(near) => Some(format!("did you mean \"{near}\"?")),
        None if known.is_empty() => None,
        None => Some(format!("known: {}", known.join(", "))),
    }
}

/// Counts the edits (insert, delete, replace, swap of neighbours) between two words, ASCII case ignored.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().map(|c| c.to_ascii_lowercase()).collect();
    let right: Vec<char> = right.chars().map(|c| c.to_ascii_lowercase()).collect();
    let width = right.len() + 1;
    let mut rows: Vec<Vec<usize>> = vec![(0..width).collect()];
    let at = |rows: &Vec<Vec<usize>>, row: usize, column: usize| -> usize {
        rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or(usize::MAX / 2)
    };
    for (i, &a) in left.iter().enumerate() {
        let mut row = Vec::with_capacity(width);
        row.push(i + 1);
        for (j, &b) in right.iter().enumerate() {
            let replaced = at(&rows, i, j) + usize::from(a != b);
            let inserted = row.last().copied().unwrap_or(0) + 1;
            let mut best = replaced.min(at(&rows, i, j + 1) + 1).min(inserted);
            let swapped = i > 0 && j > 0 && left.get(i - 1) == Some(&b) && right.get(j - 1) == Some(&a);
            if swapped {
                best = best.min(at(&rows, i - 1, j - 1) + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    at(&rows, left.len(), right.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let known = ["providers", "agents", "journal", "http"];
        assert_eq!(nearest("agnets", known), Some("agents"));
        assert_eq!(nearest("provider", known), Some("providers"));
        assert_eq!(nearest("memory", known), None);
        assert_eq!(nearest(&"x".repeat(100), known), None);
        assert_eq!(unknown("zzz", &["a", "b"]).as_deref(), Some("known: a, b"));
    }
}
