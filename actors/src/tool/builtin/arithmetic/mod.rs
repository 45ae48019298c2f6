//! The `calculator` tool: exact arithmetic on decimals, with the operators people and models write.
//!
//! Numbers are fractions of 128-bit integers, so `0.1 + 0.2` is `0.3` and 17 % of 2340 is 397.8. There are no functions,
//! no names and no units.

mod number;
mod parser;
mod token;

use beluga_core::{Error, Result};
use beluga_macros::tool;
use schemars::JsonSchema;
use serde::Deserialize;

/// The longest expression, in characters.
pub const EXPRESSION_MAX_CHARS: usize = 1000;
/// The deepest nesting of parentheses, signs and powers.
pub const DEPTH_MAX: usize = 64;

/// The arguments of [`calculator`].
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CalculatorArguments {
    /// The expression, for example `17% of 2340`, `(3 + 4.5) × 2`, `200 + 10%`, `2^10` or `17 mod 5`.
    #[schemars(length(min = 1, max = 1000))]
    pub expression: String,
}

/// Calculates an arithmetic expression exactly and returns the number.
///
/// Knows + - * / ( ), powers (^), percent (17% of 2340; 200 + 10% is 220) and remainders (17 mod 5).
#[tool(effect = "pure")]
pub async fn calculator(arguments: CalculatorArguments) -> Result<String> {
    evaluate(&arguments.expression)
}

/// Calculates an expression and returns the number as a decimal.
///
/// Operators: `+ - − * × x · / ÷ % mod of ^ **` and parentheses; `^` binds tightest and to the right, then signs, then
/// the product operators, then sums. A `%` before an operand is the remainder (with the sign of the divisor), else it
/// divides by a hundred; as the whole right side of a sum it is a share of the left side. Digits may be grouped by
/// commas in threes.
///
/// A result whose decimals end is exact, up to 38 digits. One whose decimals do not end is rounded, half away from zero,
/// to 12 decimals, or to 12 significant digits below 1.
///
/// ```
/// use beluga_actors::tool::builtin::evaluate;
///
/// assert_eq!(evaluate("17% of 2340").unwrap(), "397.8");
/// assert_eq!(evaluate("0.1 + 0.2").unwrap(), "0.3");
/// assert_eq!(evaluate("200 + 10%").unwrap(), "220");
/// assert_eq!(evaluate("1 ÷ 3").unwrap(), "0.333333333333");
/// assert_eq!(evaluate("2 × (3 + ").unwrap_err().message(), "expected a number at character 9, where the expression ends");
/// assert_eq!(evaluate("1 / (2 - 2)").unwrap_err().message(), "division by zero at character 3");
/// ```
///
/// # Errors
/// `invalid_input` names the position of a syntax error, a division by zero, or a number beyond 128 bits.
pub fn evaluate(expression: &str) -> Result<String> {
    let value = parser::evaluate(expression)
        .map_err(|error| Error::invalid_input(error.to_string()).with_op("calculator.evaluate"))?;
    Ok(value.to_decimal())
}

#[cfg(test)]
mod tests {
    use super::*;
    use beluga_core::{Effect, Tool};

    fn value(expression: &str) -> String {
        evaluate(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn problem(expression: &str) -> String {
        evaluate(expression).unwrap_err().message().to_owned()
    }

    #[test]
    fn decimals_are_exact() {
        for (expression, expected) in [
            ("17% of 2340", "397.8"),
            ("0.1+0.2", "0.3"),
            ("1.10 * 3", "3.3"),
            ("1,234,567.89 + .11", "1234568"),
            ("1/8", "0.125"),
            ("-0", "0"),
            ("1 - 1.5", "-0.5"),
            ("10000000000000000 / 3", "3333333333333333.333333333333"),
            ("2/3", "0.666666666667"),
            ("-2/3", "-0.666666666667"),
            ("1/3000", "0.000333333333333"),
            ("1/1024", "0.0009765625"),
            ("0.00000000000000000001 * 1", "0.00000000000000000001"),
            ("99999999999999999999.5 + 0.5", "100000000000000000000"),
            ("1999999999999/2000000000001*1", "0.999999999999"),
            // Rounding carries into the whole part.
            ("2999999999999999/3000000000000001", "1"),
        ] {
            assert_eq!(value(expression), expected, "{expression}");
        }
    }

    #[test]
    fn operators_bind_as_on_paper() {
        for (expression, expected) in [
            ("2 + 3 × 4", "14"),
            ("(2 + 3) x 4", "20"),
            ("20 − 5 – 3", "12"),
            ("100 ÷ 10 ÷ 2", "5"),
            ("2^3^2", "512"),
            ("-2^2", "-4"),
            ("(-2)^2", "4"),
            ("2^-2", "0.25"),
            ("2**10", "1024"),
            ("--3", "3"),
            ("3 - -4", "7"),
            ("200 + 10%", "220"),
            ("200 - 10% - 10%", "162"),
            ("200 + 10% * 2", "200.2"),
            ("50%", "0.5"),
            ("10% of 20% of 300", "6"),
            ("17 percent of 100", "17"),
            ("17 % 5", "2"),
            ("17 mod 5 + 1", "3"),
            ("-7 mod 3", "2"),
            ("7.5 % (2)", "1.5"),
            ("1/4 of 200", "50"),
            ("0^0", "1"),
        ] {
            assert_eq!(value(expression), expected, "{expression}");
        }
    }

    #[test]
    fn an_error_names_its_position() {
        for (expression, expected) in [
            ("", "the expression is empty"),
            ("  ", "the expression is empty"),
            ("2 +", "expected a number at character 4, where the expression ends"),
            ("2 + * 3", "expected a number at character 5, found '*'"),
            ("(2 + 3", "expected ')' at character 7, where the expression ends"),
            ("2 + 3)", "expected an operator at character 6, found ')'"),
            ("2 $ 3", "expected an operator at character 3, found '$'"),
            ("sqrt(4)", "expected a number at character 1, found 's'"),
            ("2(3)", "expected an operator at character 2, found '('"),
            ("1,23", "a number's digits are grouped in threes at character 1"),
            ("1.2.3", "expected an operator at character 4, found '.'"),
            ("5 / 0", "division by zero at character 3"),
            ("5 mod 0", "division by zero at character 3"),
            ("0^-1", "division by zero at character 2"),
            ("2^0.5", "the exponent must be a whole number at character 2"),
            ("2^200", "the number is too large at character 2"),
            ("10^30 * 10^30", "the number is too large at character 7"),
        ] {
            assert_eq!(problem(expression), expected, "{expression}");
        }
    }

    #[test]
    fn length_and_depth_are_bounded() {
        assert!(problem(&"1+".repeat(600)).contains("longer than 1000 characters"));
        for opening in ["(", "-", "2^"] {
            assert!(problem(&opening.repeat(400)).contains("nested deeper than 64"), "{opening}");
        }
        assert_eq!(value(&format!("{}1{}", "(".repeat(60), ")".repeat(60))), "1");
    }

    #[test]
    fn the_tool_is_pure_and_says_what_it_takes() {
        let definition = calculator.definition();
        assert_eq!((definition.name.as_str(), definition.effect), ("calculator", Effect::Pure));
        assert_eq!(definition.input_schema["required"], serde_json::json!(["expression"]));
    }
}
