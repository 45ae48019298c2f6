//! Cuts a text into words, numbers, dates and signs, each knowing where it stands.

use std::ops::Range;

/// The longest text that is read, in characters; what follows is ignored.
pub(super) const TEXT_MAX_CHARS: usize = 20_000;

/// One piece of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A number, without grouping commas.
    Number(String),
    /// A date as `YYYY-MM-DD`.
    Date(String),
    /// A word in lower case; may hold `'`, `-`, `_` and `/`.
    Word(String),
    /// An operator or parenthesis in its ASCII form.
    Sign(char),
    Comma,
    /// The end of a sentence; holds whether it was a question mark.
    End {
        question: bool,
    },
    /// Any other character.
    Other,
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn is_word(&self, words: &[&str]) -> bool {
        self.word().is_some_and(|word| words.contains(&word))
    }

    pub(super) fn number(&self) -> Option<&str> {
        match &self.kind {
            Kind::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn date(&self) -> Option<&str> {
        match &self.kind {
            Kind::Date(date) => Some(date),
            _ => None,
        }
    }
}

const NUMBER_WORDS: [(&str, u8); 17] = [
    ("zero", 0),
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("twenty", 20),
    ("thirty", 30),
    ("fifty", 50),
    ("ninety", 90),
];

/// Returns the number a word names; a few small and round ones are known.
pub(super) fn number_word(word: &str) -> Option<u8> {
    NUMBER_WORDS.iter().find(|(name, _)| *name == word).map(|(_, number)| *number)
}

/// Cuts a text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let end = text.char_indices().nth(TEXT_MAX_CHARS).map_or(text.len(), |(at, _)| at);
    let text = text.get(..end).unwrap_or(text);
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(first) = rest.chars().next() else { break };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = token(rest, first, tokens.last());
        tokens.push(Token { kind, range: at..at + length });
        at += length;
    }
    merge_dates(&tokens)
}

fn token(rest: &str, first: char, before: Option<&Token>) -> (Kind, usize) {
    if let Some(date) = iso_date(rest) {
        return (Kind::Date(date.to_owned()), date.len());
    }
    if first.is_ascii_digit() || (first == '.' && rest.chars().nth(1).is_some_and(|next| next.is_ascii_digit())) {
        return number(rest);
    }
    if matches!(first, 'x' | 'X') && is_times_sign(rest, before) {
        return (Kind::Sign('*'), 1);
    }
    if first.is_alphabetic() {
        let length = word_length(rest);
        let word = rest.get(..length).unwrap_or_default().to_lowercase().replace('’', "'");
        return (Kind::Word(word), length);
    }
    let kind = match first {
        '+' | '*' | '/' | '%' | '^' | '(' | ')' => Kind::Sign(first),
        '-' | '−' | '–' => Kind::Sign('-'),
        '×' | '·' | '⋅' => Kind::Sign('*'),
        '÷' => Kind::Sign('/'),
        ',' => Kind::Comma,
        '?' => Kind::End { question: true },
        '.' | '!' | ';' | '\n' => Kind::End { question: false },
        _ => Kind::Other,
    };
    (kind, first.len_utf8())
}

fn iso_date(rest: &str) -> Option<&str> {
    let date = rest.get(..10)?;
    let shaped = date.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let goes_on = rest.as_bytes().get(10).is_some_and(u8::is_ascii_alphanumeric);
    (shaped && !goes_on).then_some(date)
}

fn number(rest: &str) -> (Kind, usize) {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = digits(0);
    // Commas group digits only in threes: in "1, 2 and 3,400" just the last one does.
    while (1..=3).contains(&digits(0)) && bytes.get(length) == Some(&b',') && digits(length + 1) == 3 {
        length += 4;
    }
    if bytes.get(length) == Some(&b'.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    (Kind::Number(rest.get(..length).unwrap_or_default().replace(',', "")), length)
}

/// Returns whether an `x` multiplies: behind a number, before one.
fn is_times_sign(rest: &str, before: Option<&Token>) -> bool {
    let behind = before.is_some_and(|token| matches!(token.kind, Kind::Number(_) | Kind::Sign(')' | '%')));
    let next = rest.get(1..).unwrap_or_default().trim_start().chars().next();
    behind && next.is_some_and(|next| next.is_ascii_digit() || matches!(next, '(' | '.' | '-'))
}

fn word_length(rest: &str) -> usize {
    let mut length = 0;
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let joins = matches!(character, '\'' | '’' | '-' | '/');
        let next_is_letter = characters.peek().is_some_and(|(_, next)| next.is_alphabetic());
        if !(character.is_alphanumeric() || character == '_' || (joins && next_is_letter)) {
            break;
        }
        length = at + character.len_utf8();
    }
    length
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Turns `20 November 2026`, `20th of November 2026` and `November 20, 2026` into dates.
fn merge_dates(tokens: &[Token]) -> Vec<Token> {
    let mut merged = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while let Some((first, tail)) = rest.split_first() {
        if let Some((date, count)) = written_date(rest) {
            let end = rest.get(count - 1).map_or(first.range.end, |token| token.range.end);
            merged.push(Token { kind: Kind::Date(date), range: first.range.start..end });
            rest = rest.get(count..).unwrap_or_default();
        } else {
            merged.push(first.clone());
            rest = tail;
        }
    }
    merged
}

fn written_date(tokens: &[Token]) -> Option<(String, usize)> {
    let mut at = 0;
    let mut take = |wanted: &dyn Fn(&Token) -> Option<u32>| -> Option<u32> {
        let value = tokens.get(at).and_then(wanted)?;
        at += 1;
        Some(value)
    };
    let small = |token: &Token| token.number()?.parse().ok().filter(|day| (1..=31).contains(day));
    let long = |token: &Token| token.number().filter(|number| number.len() == 4)?.parse().ok();
    let ending = |token: &Token| token.is_word(&["st", "nd", "rd", "th", "of"]).then_some(0);
    let (day, month) = match take(&small) {
        Some(day) => {
            while take(&ending).is_some() {}
            (day, take(&month_of)?)
        }
        None => {
            let month = take(&month_of)?;
            let day = take(&small)?;
            while take(&ending).is_some() {}
            (day, month)
        }
    };
    let _ = take(&|token| (token.kind == Kind::Comma).then_some(0));
    let year = take(&long)?;
    Some((format!("{year:04}-{month:02}-{day:02}"), at))
}

fn month_of(token: &Token) -> Option<u32> {
    let word = token.word().filter(|word| word.len() >= 3)?;
    let place = MONTHS.iter().position(|month| *month == word || (word.len() == 3 && month.starts_with(word)))?;
    u32::try_from(place + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).into_iter().map(|token| token.kind).collect()
    }

    fn number(text: &str) -> Kind {
        Kind::Number(text.to_owned())
    }

    #[test]
    fn numbers_keep_their_decimals_and_lose_their_commas() {
        assert_eq!(kinds("2,340.5."), vec![number("2340.5"), Kind::End { question: false }]);
        assert_eq!(kinds("1, 234"), vec![number("1"), Kind::Comma, number("234")]);
        assert_eq!(kinds("3x4"), vec![number("3"), Kind::Sign('*'), number("4")]);
        assert_eq!(kinds("10−4"), vec![number("10"), Kind::Sign('-'), number("4")]);
    }

    #[test]
    fn dates_are_one_token_however_they_are_written() {
        for text in ["2026-11-20", "20 November 2026", "November 20, 2026", "20th of Nov 2026", "nov 20th 2026"] {
            assert_eq!(kinds(text), vec![Kind::Date("2026-11-20".to_owned())], "{text}");
        }
        assert_eq!(kinds("5 may 3"), vec![number("5"), Kind::Word("may".into()), number("3")]);
    }

    #[test]
    fn words_keep_apostrophes_hyphens_and_time_zones_whole() {
        let words: Vec<_> = kinds("What’s well-known in Europe/Paris").into_iter().collect();
        let expected = ["what's", "well-known", "in", "europe/paris"].map(|word| Kind::Word(word.to_owned()));
        assert_eq!(words, expected);
    }

    #[test]
    fn any_text_is_cut_without_a_gap_in_the_middle_of_a_character() {
        let text = "ä€😀 2026-1-1 -- x 3 ..5 '' 𝟘 ٣ 1,2,3,4567";
        for token in tokens(text) {
            assert!(text.get(token.range.clone()).is_some(), "{token:?}");
        }
    }
}
