//! Finds the arithmetic in a part and writes it as an expression of the `calculator`.

use super::clause::Clause;
use super::token::{Kind, Token, number_word};

/// Arithmetic to be calculated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) expression: String,
    /// What the answer calls it: the expression, or words for it.
    pub(super) label: String,
    /// What stands behind the value.
    pub(super) suffix: &'static str,
}

impl Sum {
    fn plain(expression: String) -> Self {
        Self { label: expression.clone(), expression, suffix: "" }
    }
}

/// Words that say a number is a date's or a time's; what they stand beside is no sum.
const CALENDAR: &[&str] = &[
    "day",
    "days",
    "week",
    "weeks",
    "month",
    "months",
    "year",
    "years",
    "weekday",
    "date",
    "today",
    "tomorrow",
    "yesterday",
];

/// Reads a part as arithmetic, if all of its numbers belong to it.
pub(super) fn read(clause: &Clause<'_>) -> Option<Sum> {
    if clause.has(CALENDAR) || clause.tokens.iter().any(|token| token.date().is_some()) {
        return None;
    }
    let tokens = clause.tokens.as_slice();
    percentage(tokens).or_else(|| list(tokens)).or_else(|| named(tokens)).or_else(|| infix(tokens).map(Sum::plain))
}

/// An operand: arithmetic without a word in it, and how many tokens it takes.
struct Run {
    expression: String,
    length: usize,
    operators: usize,
}

/// Reads `A + B` and its spoken forms anywhere in a part.
fn infix(tokens: &[Token]) -> Option<String> {
    let mut found = None;
    let mut rest = tokens;
    while !rest.is_empty() {
        match run(rest) {
            Some(run) => {
                rest = rest.get(run.length..).unwrap_or_default();
                if found.replace(run).is_some() {
                    return None;
                }
            }
            None => rest = rest.get(1..).unwrap_or_default(),
        }
    }
    found.filter(|run| run.operators > 0).map(|run| run.expression)
}

/// Reads the longest run of arithmetic that starts here, holds a number and does not end with an operator.
fn run(tokens: &[Token]) -> Option<Run> {
    let mut writer = Writer::default();
    let mut at = 0;
    while let Some((piece, length)) = tokens.get(at..).and_then(|rest| piece(rest, &writer)) {
        writer.push(piece);
        at += length;
        if writer.is_whole() {
            writer.kept = Some((writer.expression.clone(), at, writer.operators));
        }
    }
    let (expression, length, operators) = writer.kept?;
    Some(Run { expression, length, operators })
}

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Number(String),
    Binary(&'static str),
    Percent,
    Power(&'static str),
    Open,
    Close,
}

#[derive(Default)]
struct Writer {
    expression: String,
    last: Option<Piece>,
    numbers: usize,
    operators: usize,
    depth: usize,
    kept: Option<(String, usize, usize)>,
}

impl Writer {
    fn push(&mut self, piece: Piece) {
        let signs = self.wants_operand() && matches!(piece, Piece::Binary("-" | "+"));
        match &piece {
            Piece::Number(number) => {
                self.expression.push_str(number);
                self.numbers += 1;
            }
            Piece::Binary(sign) if signs => self.expression.push_str(sign),
            Piece::Binary(operator) => {
                self.expression.push_str(&format!(" {operator} "));
                self.operators += 1;
            }
            Piece::Percent => self.expression.push('%'),
            Piece::Power(power) => {
                self.expression.push_str(power);
                self.operators += 1;
            }
            Piece::Open => {
                self.expression.push('(');
                self.depth += 1;
            }
            Piece::Close => {
                self.expression.push(')');
                self.depth = self.depth.saturating_sub(1);
            }
        }
        self.last = Some(piece);
    }

    /// Returns whether a number or a sign may follow, rather than an operator.
    fn wants_operand(&self) -> bool {
        matches!(self.last, None | Some(Piece::Binary(_) | Piece::Open | Piece::Power("^")))
    }

    fn is_whole(&self) -> bool {
        self.numbers > 0 && !self.wants_operand()
    }
}

/// Reads one piece and how many tokens it takes; `None` ends the run.
fn piece(tokens: &[Token], writer: &Writer) -> Option<(Piece, usize)> {
    let first = tokens.first()?;
    let wants_operand = writer.wants_operand();
    match &first.kind {
        Kind::Number(number) if wants_operand => Some((Piece::Number(number.clone()), 1)),
        Kind::Sign('(') if wants_operand => Some((Piece::Open, 1)),
        Kind::Sign('-') if wants_operand => Some((Piece::Binary("-"), 1)),
        Kind::Sign(')') if !wants_operand && writer.depth > 0 => Some((Piece::Close, 1)),
        Kind::Sign(sign) if !wants_operand => sign_piece(*sign, tokens),
        Kind::Word(_) if !wants_operand => word_piece(tokens),
        Kind::Word(word) if number_word(word).is_some() => Some((Piece::Number(number_word(word)?.to_string()), 1)),
        Kind::Word(word) if word == "minus" && writer.numbers > 0 => Some((Piece::Binary("-"), 1)),
        _ => None,
    }
}

fn sign_piece(sign: char, tokens: &[Token]) -> Option<(Piece, usize)> {
    match sign {
        '+' => Some((Piece::Binary("+"), 1)),
        '-' => Some((Piece::Binary("-"), 1)),
        '*' if tokens.get(1).is_some_and(|next| next.kind == Kind::Sign('*')) => Some((Piece::Power("^"), 2)),
        '*' => Some((Piece::Binary("*"), 1)),
        '/' => Some((Piece::Binary("/"), 1)),
        '%' => Some((Piece::Percent, 1)),
        '^' => Some((Piece::Power("^"), 1)),
        _ => None,
    }
}

/// Spoken operators, longer ones first.
const SPOKEN: &[(&[&str], Piece)] = &[
    (&["raised", "to", "the", "power", "of"], Piece::Power("^")),
    (&["to", "the", "power", "of"], Piece::Power("^")),
    (&["multiplied", "by"], Piece::Binary("*")),
    (&["divided", "by"], Piece::Binary("/")),
    (&["per", "cent"], Piece::Percent),
    (&["plus"], Piece::Binary("+")),
    (&["minus"], Piece::Binary("-")),
    (&["less"], Piece::Binary("-")),
    (&["times"], Piece::Binary("*")),
    (&["over"], Piece::Binary("/")),
    (&["mod"], Piece::Binary("mod")),
    (&["modulo"], Piece::Binary("mod")),
    (&["percent"], Piece::Percent),
    (&["squared"], Piece::Power("^2")),
    (&["cubed"], Piece::Power("^3")),
    (&["of"], Piece::Binary("of")),
];

fn word_piece(tokens: &[Token]) -> Option<(Piece, usize)> {
    let (words, piece) = SPOKEN.iter().find(|(words, _)| starts_with(tokens, words))?;
    Some((piece.clone(), words.len()))
}

fn starts_with(tokens: &[Token], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words.iter()).all(|(token, word)| token.word() == Some(word))
}

/// Forms whose words stand around the operands. `a` and `b` are the operands in the order they are spoken.
const NAMED: &[(&[&str], &[&str], &str)] = &[
    (&["difference", "between"], &["and"], "a - b"),
    (&["difference", "of"], &["and"], "a - b"),
    (&["quotient", "of"], &["and"], "a / b"),
    (&["remainder", "of"], &["divided", "by"], "a mod b"),
    (&["remainder", "when"], &["is", "divided", "by"], "a mod b"),
    (&["add"], &["to"], "b + a"),
    (&["add"], &["and"], "a + b"),
    (&["subtract"], &["from"], "b - a"),
    (&["take"], &["from"], "b - a"),
    (&["take"], &["away", "from"], "b - a"),
    (&["multiply"], &["by"], "a * b"),
    (&["multiply"], &["with"], "a * b"),
    (&["multiply"], &["and"], "a * b"),
    (&["divide"], &["by"], "a / b"),
    (&["increase"], &["by"], "a + b"),
    (&["raise"], &["by"], "a + b"),
    (&["decrease"], &["by"], "a - b"),
    (&["reduce"], &["by"], "a - b"),
    (&["lower"], &["by"], "a - b"),
    (&[], &["subtracted", "from"], "b - a"),
    (&[], &["added", "to"], "b + a"),
    (&[], &["increased", "by"], "a + b"),
    (&[], &["decreased", "by"], "a - b"),
    (&[], &["reduced", "by"], "a - b"),
    (&[], &["off"], "b - a"),
    (&[], &["more", "than"], "b + a"),
    (&[], &["less", "than"], "b - a"),
];

/// Fractions by name, behind which one operand stands.
const FRACTIONS: &[(&[&str], &str)] = &[
    (&["half", "of"], "a / 2"),
    (&["third", "of"], "a / 3"),
    (&["quarter", "of"], "a / 4"),
    (&["tenth", "of"], "a / 10"),
    (&["twice"], "a * 2"),
    (&["double"], "a * 2"),
    (&["triple"], "a * 3"),
];

/// Forms with a list of operands behind them, and the operator between those.
const LISTS: &[(&[&str], &str)] = &[
    (&["sum", "of"], "+"),
    (&["total", "of"], "+"),
    (&["product", "of"], "*"),
    (&["average", "of"], "average"),
    (&["mean", "of"], "average"),
];

fn list(tokens: &[Token]) -> Option<Sum> {
    LISTS.iter().find_map(|(before, operator)| {
        let at = (0..tokens.len()).find(|at| tokens.get(*at..).is_some_and(|rest| starts_with(rest, before)))?;
        let mut length = before.len();
        let mut operands = Vec::new();
        while let Some(operand) = tokens.get(at + length..).and_then(run) {
            length += operand.length;
            operands.push(bracketed(&operand));
            let rest = tokens.get(at + length..).unwrap_or_default();
            length += rest.iter().take_while(|token| token.kind == Kind::Comma || token.is_word(&["and"])).count();
        }
        if operands.len() < 2 || !alone(tokens, at, length) {
            return None;
        }
        Some(Sum::plain(match *operator {
            "average" => format!("({}) / {}", operands.join(" + "), operands.len()),
            operator => operands.join(&format!(" {operator} ")),
        }))
    })
}

fn named(tokens: &[Token]) -> Option<Sum> {
    let form = NAMED.iter().find_map(|(before, between, template)| {
        let (left, right) = operands(tokens, before, between)?;
        Some(Sum::plain(fill(template, &left, Some(&right))))
    });
    form.or_else(|| {
        FRACTIONS.iter().find_map(|(before, template)| {
            let (at, operand) = operand_behind(tokens, before)?;
            alone(tokens, at, before.len() + operand.length).then(|| Sum::plain(fill(template, &operand, None)))
        })
    })
}

/// Reads `what percent of A is B` and `B is what percent of A`.
fn percentage(tokens: &[Token]) -> Option<Sum> {
    for word in ["percent", "percentage"] {
        let forms: [(&[&str], &[&str], bool); 3] = [
            (&[word, "of"], &["is"], false),
            (&[], &["is", "what", word, "of"], true),
            (&[], &["as", "a", word, "of"], true),
        ];
        for (before, between, part_first) in forms {
            let asks = !before.is_empty() && !tokens.iter().any(|token| token.is_word(&["what", "which"]));
            let Some((left, right)) = operands(tokens, before, between).filter(|_| !asks) else { continue };
            let (part, whole) = if part_first { (left, right) } else { (right, left) };
            let expression = format!("{} / {} * 100", bracketed(&part), bracketed(&whole));
            let label = format!("{} of {}", part.expression, whole.expression);
            return Some(Sum { expression, label, suffix: "%" });
        }
    }
    None
}

/// Finds `before A between B`, with no number outside.
fn operands(tokens: &[Token], before: &[&str], between: &[&str]) -> Option<(Run, Run)> {
    let (at, left) = operand_behind(tokens, before)?;
    let middle = at + before.len() + left.length;
    let rest = tokens.get(middle..)?;
    if !starts_with(rest, between) {
        return None;
    }
    let right = run(rest.get(between.len()..)?)?;
    let length = before.len() + left.length + between.len() + right.length;
    alone(tokens, at, length).then_some((left, right))
}

fn operand_behind(tokens: &[Token], before: &[&str]) -> Option<(usize, Run)> {
    (0..tokens.len()).find_map(|at| {
        let rest = tokens.get(at..).filter(|rest| starts_with(rest, before))?;
        Some((at, run(rest.get(before.len()..)?)?))
    })
}

/// Returns whether there is no number outside of these tokens.
fn alone(tokens: &[Token], at: usize, length: usize) -> bool {
    let outside = tokens.iter().take(at).chain(tokens.iter().skip(at + length));
    !outside.into_iter().any(|token| token.number().is_some())
}

fn fill(template: &str, first: &Run, second: Option<&Run>) -> String {
    let words = template.split(' ').map(|word| match (word, second) {
        ("a", _) => bracketed(first),
        ("b", Some(second)) => bracketed(second),
        (other, _) => other.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn bracketed(run: &Run) -> String {
    if run.operators > 0 { format!("({})", run.expression) } else { run.expression.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(text: &str) -> Option<String> {
        read(&Clause::sentences(text)[0]).map(|sum| sum.expression)
    }

    #[test]
    fn arithmetic_is_read_from_signs_and_words() {
        for (text, expected) in [
            ("What is 17% of 2340?", "17% of 2340"),
            ("what's 17 percent of 2,340", "17% of 2340"),
            ("Calculate (3 + 4.5) × 2 ÷ 3", "(3 + 4.5) * 2 / 3"),
            ("12 times 3 minus 4", "12 * 3 - 4"),
            ("How much is 7 multiplied by -3?", "7 * -3"),
            ("-(2 - 5) ^ 2", "-(2 - 5)^2"),
            ("the sum of 3 and 4", "3 + 4"),
            ("subtract 3 from 10 - 2", "(10 - 2) - 3"),
            ("subtract 3 - 1 from 10", "10 - (3 - 1)"),
            ("divide 1 + 2 by 4", "(1 + 2) / 4"),
            ("increase 200 by 10%", "200 + 10%"),
            ("15% off 80", "80 - 15%"),
            ("a quarter of 90", "90 / 4"),
            ("double 21", "21 * 2"),
            ("what percent of 80 is 20?", "20 / 80 * 100"),
            ("20 is what percent of 80?", "20 / 80 * 100"),
            ("2 to the power of 10", "2^10"),
            ("5 squared plus 1", "5^2 + 1"),
            ("the average of 3, 8 and 1 + 2", "(3 + 8 + (1 + 2)) / 3"),
            ("17 mod 5", "17 mod 5"),
            ("what is five plus twelve", "5 + 12"),
            ("(3 + 4", "(3 + 4"),
        ] {
            assert_eq!(expression(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_sum_is_none() {
        for text in [
            "I have 5 apples",
            "3 + 4 and 5 + 6",
            "7 plus apples and 3",
            "room 4 is 2 + 2",
            "2 days after 2026-01-01",
            "what day is 12/25/2026",
            "hello",
            "-5",
            "the sum of 3",
        ] {
            assert_eq!(expression(text), None, "{text}");
        }
    }
}
