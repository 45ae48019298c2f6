//! Evaluates tokens by recursive descent: sums of products of signed powers.

use std::fmt;

use super::number::Number;
use super::token::{Kind, Token, tokens};
use super::{DEPTH_MAX, EXPRESSION_MAX_CHARS};

/// Why an expression has no value. Positions count characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("the expression is empty")]
    Empty,
    #[error("the expression is longer than {EXPRESSION_MAX_CHARS} characters")]
    TooLong,
    #[error("the expression is nested deeper than {DEPTH_MAX} at character {position}")]
    TooDeep { position: usize },
    #[error("expected {expected} at character {position}, {found}")]
    Unexpected { expected: &'static str, position: usize, found: Found },
    #[error("a number's digits are grouped in threes at character {position}")]
    Grouping { position: usize },
    #[error("division by zero at character {position}")]
    DivisionByZero { position: usize },
    #[error("the exponent must be a whole number at character {position}")]
    Exponent { position: usize },
    #[error("the number is too large at character {position}")]
    TooLarge { position: usize },
}

/// What stood where something else was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found(Option<char>);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(character) => write!(f, "found {character:?}"),
            None => f.write_str("where the expression ends"),
        }
    }
}

/// Returns the value of an expression.
pub(super) fn evaluate(expression: &str) -> Result<Number, Problem> {
    let tokens = tokens(expression)?;
    if tokens.is_empty() {
        return Err(Problem::Empty);
    }
    let mut parser = Parser { tokens: &tokens, next: 0, depth: 0, end: expression.trim_end().chars().count() + 1 };
    let value = parser.sum()?;
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.expected("an operator")),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    depth: usize,
    /// The position just behind the last character.
    end: usize,
}

/// A product and whether it is nothing but a percentage, which a sum takes of its left side.
struct Product {
    value: Number,
    is_percentage: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.next).copied()
    }

    fn take(&mut self, wanted: impl Fn(Kind) -> bool) -> Option<Token> {
        let token = self.peek().filter(|token| wanted(token.kind))?;
        self.next += 1;
        Some(token)
    }

    fn expected(&self, expected: &'static str) -> Problem {
        let (position, found) = self.peek().map_or((self.end, None), |token| (token.position, Some(token.first)));
        Problem::Unexpected { expected, position, found: Found(found) }
    }

    fn sum(&mut self) -> Result<Number, Problem> {
        let mut left = self.product()?.value;
        while let Some(operator) = self.take(|kind| matches!(kind, Kind::Plus | Kind::Minus)) {
            let right = self.product()?;
            let too_large = Problem::TooLarge { position: operator.position };
            let amount = if right.is_percentage { left.times(right.value) } else { Some(right.value) };
            let amount = amount.ok_or(too_large)?;
            let result = if operator.kind == Kind::Plus { left.plus(amount) } else { left.minus(amount) };
            left = result.ok_or(too_large)?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Product, Problem> {
        let mut left = self.signed()?;
        while let Some(operator) = self.product_operator() {
            let right = self.signed()?.value;
            let position = operator.position;
            let result = match operator.kind {
                Kind::Times | Kind::Of => left.value.times(right),
                _ if right.is_zero() => return Err(Problem::DivisionByZero { position }),
                Kind::Divide => left.value.divided_by(right),
                _ => left.value.modulo(right),
            };
            left = Product { value: result.ok_or(Problem::TooLarge { position })?, is_percentage: false };
        }
        Ok(left)
    }

    fn product_operator(&mut self) -> Option<Token> {
        self.take(|kind| {
            // A percent sign that is left here stands before an operand: the remainder.
            matches!(kind, Kind::Times | Kind::Of | Kind::Divide | Kind::Modulo | Kind::Percent)
        })
    }

    fn signed(&mut self) -> Result<Product, Problem> {
        let Some(sign) = self.take(|kind| matches!(kind, Kind::Plus | Kind::Minus)) else { return self.power() };
        self.nested(sign.position, |parser| {
            let signed = parser.signed()?;
            if sign.kind == Kind::Plus {
                return Ok(signed);
            }
            let value = signed.value.negated().ok_or(Problem::TooLarge { position: sign.position })?;
            Ok(Product { value, ..signed })
        })
    }

    fn power(&mut self) -> Result<Product, Problem> {
        let base = self.percentage()?;
        let Some(operator) = self.take(|kind| kind == Kind::Power) else { return Ok(base) };
        let position = operator.position;
        let exponent = self.nested(position, Parser::signed)?.value;
        let exponent = exponent.as_whole().ok_or(Problem::Exponent { position })?;
        if base.value.is_zero() && exponent < 0 {
            return Err(Problem::DivisionByZero { position });
        }
        let value = base.value.power(exponent).ok_or(Problem::TooLarge { position })?;
        Ok(Product { value, is_percentage: false })
    }

    fn percentage(&mut self) -> Result<Product, Problem> {
        let mut value = self.operand()?;
        let mut is_percentage = false;
        while let Some(percent) = self.peek().filter(|token| token.kind == Kind::Percent) {
            let behind = self.tokens.get(self.next + 1).map(|token| token.kind);
            if matches!(behind, Some(Kind::Number(_) | Kind::Open)) {
                break;
            }
            self.next += 1;
            let hundredth = value.divided_by(Number::HUNDRED);
            value = hundredth.ok_or(Problem::TooLarge { position: percent.position })?;
            is_percentage = true;
        }
        Ok(Product { value, is_percentage })
    }

    fn operand(&mut self) -> Result<Number, Problem> {
        let Some(token) = self.take(|kind| matches!(kind, Kind::Number(_) | Kind::Open)) else {
            return Err(self.expected("a number"));
        };
        if let Kind::Number(value) = token.kind {
            return Ok(value);
        }
        let value = self.nested(token.position, Parser::sum)?;
        match self.take(|kind| kind == Kind::Close) {
            Some(_) => Ok(value),
            None => Err(self.expected("')'")),
        }
    }

    fn nested<T>(
        &mut self,
        position: usize,
        parse: impl FnOnce(&mut Self) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        if self.depth >= DEPTH_MAX {
            return Err(Problem::TooDeep { position });
        }
        self.depth += 1;
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }
}
