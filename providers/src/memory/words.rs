//! How a search text becomes words: the same way for every message store.

/// How many different words of a search text are looked for; the rest is ignored.
pub const QUERY_WORDS_MAX: usize = 32;

/// Splits a text into words, lower case: runs of letters and digits of any script, with their combining marks.
///
/// This is close to the `unicode61` tokenizer of SQLite. Scripts without spaces are one word per run.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|character: char| !is_word(character)).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Returns the different words of a search text, at most [`QUERY_WORDS_MAX`]; no word has a quote or an operator sign.
pub(crate) fn query_words(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in words(text) {
        if found.len() == QUERY_WORDS_MAX {
            break;
        }
        if !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_quotes_and_control_signs_vanish() {
        let found = query_words("\"NEAR(a b) AND* c:^d -- ' \0 \u{7f} OR\"");
        assert_eq!(found, ["near", "a", "b", "and", "c", "d", "or"]);
        assert!(query_words(" !\"§$%&/()=? ").is_empty());
    }

    #[test]
    fn words_of_other_scripts_stay_whole() {
        assert_eq!(query_words("Größe ДОМ e\u{301}t\u{e9}"), ["größe", "дом", "e\u{301}t\u{e9}"]);
    }

    #[test]
    fn a_long_text_gives_a_bounded_number_of_words() {
        let text: String = (0..1000).map(|n| format!("w{n} ")).collect();
        assert_eq!(query_words(&text).len(), QUERY_WORDS_MAX);
    }
}
