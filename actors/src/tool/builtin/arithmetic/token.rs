//! Splits an expression into numbers, operators and parentheses, each with its position.

use super::EXPRESSION_MAX_CHARS;
use super::number::Number;
use super::parser::Problem;

/// A token and the character it starts at, from 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) position: usize,
    /// The first character as it was written, for messages.
    pub(super) first: char,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Number(Number),
    Plus,
    Minus,
    Times,
    Of,
    Divide,
    Modulo,
    Percent,
    Power,
    Open,
    Close,
    /// A character or word that means nothing here.
    Unknown,
}

/// Splits an expression.
pub(super) fn tokens(expression: &str) -> Result<Vec<Token>, Problem> {
    let characters: Vec<char> = expression.chars().collect();
    if characters.len() > EXPRESSION_MAX_CHARS {
        return Err(Problem::TooLong);
    }
    let mut tokens = Vec::new();
    let mut rest = characters.as_slice();
    while let Some((&first, tail)) = rest.split_first() {
        if first.is_whitespace() {
            rest = tail;
            continue;
        }
        let position = characters.len() - rest.len() + 1;
        let (kind, length) = token(rest, first).ok_or(Problem::TooLarge { position })?;
        let Some(kind) = kind else { return Err(Problem::Grouping { position }) };
        tokens.push(Token { kind, position, first });
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(tokens)
}

/// Reads one token: its kind (none if a number is badly grouped) and length. `None` if a number is too large.
fn token(rest: &[char], first: char) -> Option<(Option<Kind>, usize)> {
    let starts_decimals = first == '.' && rest.get(1).is_some_and(char::is_ascii_digit);
    if first.is_ascii_digit() || starts_decimals {
        return number(rest);
    }
    if first.is_alphabetic() {
        let length = rest.iter().take_while(|character| character.is_alphabetic()).count();
        let word: String = rest.iter().take(length).flat_map(|character| character.to_lowercase()).collect();
        let kind = match word.as_str() {
            "x" => Kind::Times,
            "of" => Kind::Of,
            "mod" => Kind::Modulo,
            "percent" => Kind::Percent,
            _ => Kind::Unknown,
        };
        return Some((Some(kind), length));
    }
    let kind = match first {
        '+' => Kind::Plus,
        '-' | '−' | '–' => Kind::Minus,
        '*' if rest.get(1) == Some(&'*') => return Some((Some(Kind::Power), 2)),
        '*' | '×' | '·' | '⋅' => Kind::Times,
        '/' | '÷' => Kind::Divide,
        '%' => Kind::Percent,
        '^' => Kind::Power,
        '(' => Kind::Open,
        ')' => Kind::Close,
        _ => Kind::Unknown,
    };
    Some((Some(kind), 1))
}

fn number(rest: &[char]) -> Option<(Option<Kind>, usize)> {
    let whole_length = rest.iter().take_while(|character| character.is_ascii_digit() || **character == ',').count();
    let mut digits: String = rest.iter().take(whole_length).collect();
    // A comma at the end belongs to the sentence around the number; the parser refuses it as an operator.
    digits.truncate(digits.trim_end_matches(',').len());
    let mut length = digits.len();
    if digits.contains(',') {
        let mut groups = digits.split(',');
        let leading = groups.next().unwrap_or_default();
        if leading.is_empty() || leading.len() > 3 || groups.any(|group| group.len() != 3) {
            return Some((None, length));
        }
        digits.retain(|character| character != ',');
    }
    let whole_digits = digits.len();
    let mut decimals = 0;
    if rest.get(length) == Some(&'.') && rest.get(length + 1).is_some_and(char::is_ascii_digit) {
        let behind = rest.iter().skip(length + 1).take_while(|character| character.is_ascii_digit());
        digits.extend(behind);
        decimals = digits.len() - whole_digits;
        length += 1 + decimals;
    }
    Number::of_digits(&digits, decimals).map(|number| (Some(Kind::Number(number)), length))
}
