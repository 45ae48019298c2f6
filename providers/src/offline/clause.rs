//! Cuts a text into parts that each want one thing.

use super::token::{Kind, Token, tokens};

/// A part of a text: its tokens and its words as they were written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<Token>,
}

/// Words that begin a part of their own behind a comma or an "and".
const STARTERS: &[&str] = &[
    "what",
    "what's",
    "whats",
    "which",
    "how",
    "when",
    "where",
    "who",
    "who's",
    "calculate",
    "compute",
    "tell",
    "give",
    "remember",
    "forget",
    "hand",
    "transfer",
    "connect",
    "do",
    "did",
    "can",
    "could",
    "please",
    "my",
    "i",
    "i'm",
    "call",
    "show",
    "work",
    "evaluate",
    "also",
    "then",
    "on",
];

const CONNECTORS: &[&str] = &["and", "then", "also", "plus"];

impl<'a> Clause<'a> {
    /// Cuts a text into sentences.
    pub(super) fn sentences(text: &'a str) -> Vec<Clause<'a>> {
        tokens(text)
            .split(|token| matches!(token.kind, Kind::End { .. }))
            .filter(|sentence| !sentence.is_empty())
            .map(|sentence| Clause::of(text, sentence))
            .collect()
    }

    fn of(text: &'a str, tokens: &[Token]) -> Self {
        let range = match (tokens.first(), tokens.last()) {
            (Some(first), Some(last)) => first.range.start..last.range.end,
            _ => 0..0,
        };
        let shift = range.start;
        let moved = |token: &Token| Token {
            kind: token.kind.clone(),
            range: token.range.start - shift..token.range.end - shift,
        };
        Clause { text: text.get(range).unwrap_or_default(), tokens: tokens.iter().map(moved).collect() }
    }

    /// Returns the parts certainly meant: behind a connector, where a new request begins.
    pub(super) fn parts(&self) -> Vec<Clause<'a>> {
        let mut parts = Vec::new();
        let mut start = 0;
        for (at, next) in self.cuts() {
            let starts = self.tokens.get(next).is_some_and(|token| token.is_word(STARTERS));
            if starts && at > start {
                parts.push(self.between(start, at));
                start = next;
            }
        }
        parts.push(self.between(start, self.tokens.len()));
        parts
    }

    /// Returns each way to cut in two at a connector, the first one first.
    pub(super) fn halves(&self) -> impl Iterator<Item = (Clause<'a>, Clause<'a>)> {
        self.cuts().into_iter().map(|(at, next)| (self.between(0, at), self.between(next, self.tokens.len())))
    }

    /// Returns where connectors stand: the end of what is before, the start of what is behind.
    fn cuts(&self) -> Vec<(usize, usize)> {
        let connects = |token: &Token| token.kind == Kind::Comma || token.is_word(CONNECTORS);
        let mut cuts = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let connectors = self.tokens.iter().skip(at).take_while(|token| connects(token)).count();
            let next = at + connectors;
            if connectors > 0 && at > 0 && next < self.tokens.len() {
                cuts.push((at, next));
            }
            at = next + 1;
        }
        cuts
    }

    fn between(&self, start: usize, end: usize) -> Clause<'a> {
        Clause::of(self.text, self.tokens.get(start..end).unwrap_or_default())
    }

    /// Returns whether the part holds this word.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        self.tokens.iter().any(|token| token.is_word(words))
    }

    /// Returns whether these words follow each other somewhere.
    pub(super) fn has_phrase(&self, phrase: &str) -> bool {
        self.behind(phrase).is_some()
    }

    /// Returns the text behind the first place where these words follow each other.
    pub(super) fn behind(&self, phrase: &str) -> Option<&'a str> {
        let words: Vec<&str> = phrase.split(' ').collect();
        let found = self
            .tokens
            .windows(words.len())
            .find(|window| window.iter().zip(&words).all(|(token, word)| token.word() == Some(word)))?;
        self.text.get(found.last()?.range.end..).map(str::trim)
    }

    /// Returns whether it asks or orders something, rather than telling.
    pub(super) fn is_request(&self) -> bool {
        let tells = ["my", "i", "i'm", "on"];
        self.tokens.len() > 1
            && self.tokens.first().is_some_and(|token| token.is_word(STARTERS) && !token.is_word(&tells))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<&str> {
        Clause::sentences(text).iter().flat_map(Clause::parts).map(|part| part.text).collect()
    }

    #[test]
    fn a_question_in_two_parts_is_cut_at_the_second_question_word() {
        assert_eq!(
            parts("What is 17% of 2340, and which weekday is 90 days after 2026-11-20?"),
            ["What is 17% of 2340", "which weekday is 90 days after 2026-11-20"]
        );
        assert_eq!(parts("My name is Ada and I live in Paris. Hi!"), ["My name is Ada", "I live in Paris", "Hi"]);
        assert_eq!(parts("What is the sum of 3 and 4"), ["What is the sum of 3 and 4"]);
        assert_eq!(parts(", and ?"), [", and"]);
    }
}
