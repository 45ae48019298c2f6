//! Exact fractions of 128-bit integers, and their decimal form.

/// Decimals a result gets whose decimals do not end; below 1, significant digits.
const DECIMALS_ROUNDED: usize = 12;
/// Decimals up to which an ending fraction is written out: the longest a 128-bit denominator can need.
const DECIMALS_EXACT_MAX: usize = 127;

/// A fraction in lowest terms; the denominator is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    numerator: i128,
    denominator: i128,
}

impl Number {
    pub(super) const ZERO: Self = Self { numerator: 0, denominator: 1 };
    pub(super) const ONE: Self = Self { numerator: 1, denominator: 1 };
    pub(super) const HUNDRED: Self = Self { numerator: 100, denominator: 1 };

    /// Makes a number of its digits and the count of those behind the point; `None` beyond 128 bits.
    pub(super) fn of_digits(digits: &str, decimals: usize) -> Option<Self> {
        let numerator = digits.parse().ok()?;
        let denominator = 10i128.checked_pow(u32::try_from(decimals).ok()?)?;
        Self::reduced(numerator, denominator)
    }

    fn reduced(numerator: i128, denominator: i128) -> Option<Self> {
        let divisor =
            i128::try_from(greatest_common_divisor(numerator.unsigned_abs(), denominator.unsigned_abs())).ok()?;
        let (numerator, denominator) = (numerator.checked_div(divisor)?, denominator.checked_div(divisor)?);
        if denominator < 0 {
            return Some(Self { numerator: numerator.checked_neg()?, denominator: denominator.checked_neg()? });
        }
        Some(Self { numerator, denominator })
    }

    pub(super) fn is_zero(self) -> bool {
        self.numerator == 0
    }

    pub(super) fn negated(self) -> Option<Self> {
        Some(Self { numerator: self.numerator.checked_neg()?, ..self })
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let divisor =
            i128::try_from(greatest_common_divisor(self.denominator.unsigned_abs(), other.denominator.unsigned_abs()))
                .ok()?;
        let (own, others) = (other.denominator / divisor, self.denominator / divisor);
        let numerator = self.numerator.checked_mul(own)?.checked_add(other.numerator.checked_mul(others)?)?;
        Self::reduced(numerator, self.denominator.checked_mul(own)?)
    }

    pub(super) fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.negated()?)
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        // Reducing crosswise first keeps products small that only look large.
        let left = Self::reduced(self.numerator, other.denominator)?;
        let right = Self::reduced(other.numerator, self.denominator)?;
        let numerator = left.numerator.checked_mul(right.numerator)?;
        Self::reduced(numerator, left.denominator.checked_mul(right.denominator)?)
    }

    /// Divides; the divisor is not zero.
    pub(super) fn divided_by(self, divisor: Self) -> Option<Self> {
        self.times(Self::reduced(divisor.denominator, divisor.numerator)?)
    }

    /// Returns the remainder with the sign of the divisor, which is not zero.
    pub(super) fn modulo(self, divisor: Self) -> Option<Self> {
        let quotient = self.divided_by(divisor)?;
        let whole = quotient.numerator.div_euclid(quotient.denominator);
        self.minus(divisor.times(Self { numerator: whole, denominator: 1 })?)
    }

    /// Returns the value as an exponent: whole and small enough that a power of it can fit.
    pub(super) fn as_whole(self) -> Option<i128> {
        (self.denominator == 1).then_some(self.numerator)
    }

    /// Raises to a whole power; the base is not zero if the exponent is negative.
    pub(super) fn power(self, exponent: i128) -> Option<Self> {
        if self == Self::ONE || exponent == 0 {
            return Some(Self::ONE);
        }
        if self == (Self { numerator: -1, denominator: 1 }) {
            return if exponent % 2 == 0 { Some(Self::ONE) } else { Some(self) };
        }
        if self.is_zero() {
            return Some(Self::ZERO);
        }
        let exponent_abs = u32::try_from(exponent.unsigned_abs()).ok()?;
        let raised = Self {
            numerator: self.numerator.checked_pow(exponent_abs)?,
            denominator: self.denominator.checked_pow(exponent_abs)?,
        };
        if exponent < 0 { Self::ONE.divided_by(raised) } else { Some(raised) }
    }

    /// Writes the number as a decimal without trailing zeros.
    pub(super) fn to_decimal(self) -> String {
        let denominator = self.denominator.unsigned_abs();
        let whole = self.numerator.unsigned_abs() / denominator;
        let mut rest = self.numerator.unsigned_abs() % denominator;
        let ends = without_factor(without_factor(denominator, 2), 5) == 1;
        let mut digits: Vec<u8> = Vec::new();
        let mut significant = 0;
        while rest != 0 {
            let enough = if whole == 0 { significant } else { digits.len() } >= DECIMALS_ROUNDED;
            if digits.len() >= DECIMALS_EXACT_MAX || (!ends && enough) {
                break;
            }
            let (digit, next) = next_digit(rest, denominator);
            significant += usize::from(digit != 0 || significant > 0);
            digits.push(digit);
            rest = next;
        }
        let round_up = rest != 0 && next_digit(rest, denominator).0 >= 5;
        let whole = if round_up && carry(&mut digits) { whole.saturating_add(1) } else { whole };
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let sign = if self.numerator < 0 && (whole != 0 || !digits.is_empty()) { "-" } else { "" };
        let point = if digits.is_empty() { "" } else { "." };
        let decimals: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        format!("{sign}{whole}{point}{decimals}")
    }
}

/// Returns ten times `rest` divided by `denominator`, and what is left. Adds up, since the product may not fit.
fn next_digit(rest: u128, denominator: u128) -> (u8, u128) {
    let (mut digit, mut sum) = (0, 0u128);
    for _ in 0..10 {
        // Both are below the denominator, which is below 2^127.
        sum += rest;
        if sum >= denominator {
            sum -= denominator;
            digit += 1;
        }
    }
    (digit, sum)
}

/// Adds one to the last digit; returns whether a one is carried out of the first.
fn carry(digits: &mut [u8]) -> bool {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return false;
        }
        *digit = 0;
    }
    true
}

fn without_factor(mut number: u128, factor: u128) -> u128 {
    while number.is_multiple_of(factor) && number > 1 {
        number /= factor;
    }
    number
}

fn greatest_common_divisor(mut left: u128, mut right: u128) -> u128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left.max(1)
}
