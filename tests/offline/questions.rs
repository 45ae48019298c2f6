//! Questions with known answers, made from a seed: arithmetic by fractions of this file, dates by day numbers of this
//! file, so that neither the calculator nor the calendar library judges itself.

/// A question and what its answer must hold, one text per part.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) text: String,
    pub(crate) expected: Vec<String>,
}

/// Makes the questions of a seed, the same each time.
pub(crate) fn questions(seed: u64, count: usize) -> Vec<Question> {
    let mut random = Random(seed);
    (0..count).map(|_| question(&mut random)).collect()
}

fn question(random: &mut Random) -> Question {
    let (first, expected) = part(random);
    let mut expected = vec![expected];
    if random.below(2) == 0 {
        let ends = random.pick(&["?", "", "."]);
        return Question { text: format!("{}{ends}", capitalised(&first)), expected };
    }
    let (second, also) = part(random);
    expected.push(also);
    let joined = match random.below(4) {
        0 => format!("{}? {}?", capitalised(&first), capitalised(&second)),
        1 => format!("{}, and {second}?", capitalised(&first)),
        2 => format!("{} and {second}?", capitalised(&first)),
        _ => format!("{}. Also, {second}.", capitalised(&first)),
    };
    Question { text: joined, expected }
}

fn part(random: &mut Random) -> (String, String) {
    match random.below(10) {
        0..=1 => percentage(random),
        2..=5 => arithmetic(random),
        6..=8 => shifted_date(random),
        _ => weekday(random),
    }
}

fn percentage(random: &mut Random) -> (String, String) {
    let (percent, base) = (random.decimal(), random.decimal());
    let share = Fraction::new(percent.0, percent.1 * 100).times(base);
    let (rate, whole) = (percent.decimal(), base.decimal());
    let (text, value) = match random.below(5) {
        0 => (format!("what is {rate}% of {whole}"), share),
        1 => (format!("how much is {rate} percent of {whole}"), share),
        2 => (format!("calculate {rate}% of {whole}"), share),
        3 => (format!("what is {whole} increased by {rate}%"), base.plus(share)),
        _ => (format!("what is {whole} - {rate}%"), base.minus(share)),
    };
    (text, format!("is {}.", value.decimal()))
}

fn arithmetic(random: &mut Random) -> (String, String) {
    let expression = Expression::random(random, 3);
    let value = expression.value().expect("the generator makes no division by zero");
    let signs: [&str; 4] = match random.below(4) {
        0 => ["+", "-", "*", "/"],
        1 => ["+", "−", "×", "÷"],
        2 => ["plus", "minus", "times", "divided by"],
        _ => ["+", "-", "x", "/"],
    };
    let written = expression.written(&signs);
    let text = match random.below(6) {
        0 => format!("what is {written}"),
        1 => format!("what's {written}"),
        2 => format!("calculate {written}"),
        3 => format!("how much is {written}"),
        4 => format!("please compute {written}"),
        _ => format!("tell me what {written} is"),
    };
    (text, format!("is {}.", value.decimal()))
}

fn shifted_date(random: &mut Random) -> (String, String) {
    let start = random.below(200 * 365) - 30 * 365;
    let amount = 1 + random.below(400);
    let (unit, length) = if random.below(2) == 0 { ("days", 1) } else { ("weeks", 7) };
    let date = written_date(start, random.below(3));
    let (text, days) = match random.below(8) {
        0 => (format!("which weekday is {amount} {unit} after {date}"), amount * length),
        1 => (format!("what date is {amount} {unit} before {date}"), -amount * length),
        2 => (format!("what is the date {amount} {unit} from {date}"), amount * length),
        3 => (format!("what is {date} + {amount} {unit}"), amount * length),
        4 => (format!("what is {date} − {amount} {unit}"), -amount * length),
        5 => (format!("what do you get if you add {amount} {unit} to {date}"), amount * length),
        6 => (format!("what is {date} minus {amount} {unit}"), -amount * length),
        _ => (format!("what day is it {amount} {unit} after {date}"), amount * length),
    };
    let end = start + days;
    (text, format!("is {}, {}.", weekday_name(end), written_date(end, 0)))
}

fn weekday(random: &mut Random) -> (String, String) {
    let day = random.below(200 * 365) - 30 * 365;
    let date = written_date(day, random.below(3));
    let text = match random.below(4) {
        0 => format!("which weekday is {date}"),
        1 => format!("what day of the week is {date}"),
        2 => format!("on which weekday does {date} fall"),
        _ => format!("what day was {date}"),
    };
    (text, format!("{} is a {}.", written_date(day, 0), weekday_name(day)))
}

fn capitalised(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: i64) -> i64 {
        i64::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.below(i64::try_from(choices.len()).unwrap())).unwrap()]
    }

    /// Draws a number from 1 to 9999 with up to two decimals.
    fn decimal(&mut self) -> Fraction {
        let scale = [1, 1, 10, 100][usize::try_from(self.below(4)).unwrap()];
        Fraction::new(i128::from(1 + self.below(9999)), scale)
    }
}

/// A fraction, not reduced; the generator's numbers are small.
#[derive(Debug, Clone, Copy)]
struct Fraction(i128, i128);

impl Fraction {
    fn new(numerator: i128, denominator: i128) -> Self {
        let (mut left, mut right) = (numerator.abs(), denominator.abs());
        while right != 0 {
            (left, right) = (right, left % right);
        }
        let sign = denominator.signum();
        Self(sign * numerator / left.max(1), sign * denominator / left.max(1))
    }

    fn plus(self, other: Self) -> Self {
        Self::new(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }

    fn minus(self, other: Self) -> Self {
        self.plus(Self(-other.0, other.1))
    }

    fn times(self, other: Self) -> Self {
        Self::new(self.0 * other.0, self.1 * other.1)
    }

    fn over(self, other: Self) -> Option<Self> {
        (other.0 != 0).then(|| Self::new(self.0 * other.1, self.1 * other.0))
    }

    /// Writes the decimal: exact where it ends, else to 12 decimals, or 12 significant digits below 1.
    fn decimal(self) -> String {
        let mut rest = self.1;
        for factor in [2, 5] {
            while rest % factor == 0 {
                rest /= factor;
            }
        }
        let mut scale = 0u32;
        if rest == 1 {
            while self.0 * 10i128.pow(scale) % self.1 != 0 {
                scale += 1;
            }
        } else {
            scale = 12;
            let mut bound = self.0.abs() * 10;
            while self.0.abs() < self.1 && bound < self.1 {
                bound *= 10;
                scale += 1;
            }
        }
        let scaled = self.0.abs() * 10i128.pow(scale);
        let rounded = (scaled * 2 + self.1) / (self.1 * 2);
        let digits = format!("{rounded:0>width$}", width = scale as usize + 1);
        let (whole, decimals) = digits.split_at(digits.len() - scale as usize);
        let decimals = decimals.trim_end_matches('0');
        let sign = if self.0 < 0 && rounded != 0 { "-" } else { "" };
        if decimals.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals}") }
    }
}

/// An expression with its own idea of what it is worth.
#[derive(Debug)]
enum Expression {
    Number(Fraction),
    Operation { operator: usize, left: Box<Expression>, right: Box<Expression> },
}

impl Expression {
    /// Makes an expression of 1 to `operators` operators.
    fn random(random: &mut Random, operators: i64) -> Self {
        let right_operators = random.below(operators);
        let left_operators = random.below(operators - right_operators);
        let side = |random: &mut Random, operators: i64| match operators {
            0 => Expression::Number(Fraction::new(
                i128::from(1 + random.below(500)),
                [1, 1, 1, 10][usize::try_from(random.below(4)).unwrap()],
            )),
            _ => Expression::random(random, operators),
        };
        let left = Box::new(side(random, left_operators));
        let right = Box::new(side(random, right_operators));
        let operator = usize::try_from(random.below(4)).unwrap();
        // A division by something that happens to be zero becomes a sum.
        let operator = if operator == 3 && right.value().is_none_or(|value| value.0 == 0) { 0 } else { operator };
        Expression::Operation { operator, left, right }
    }

    fn value(&self) -> Option<Fraction> {
        match self {
            Expression::Number(number) => Some(*number),
            Expression::Operation { operator, left, right } => {
                let (left, right) = (left.value()?, right.value()?);
                match operator {
                    0 => Some(left.plus(right)),
                    1 => Some(left.minus(right)),
                    2 => Some(left.times(right)),
                    _ => left.over(right),
                }
            }
        }
    }

    fn written(&self, signs: &[&str; 4]) -> String {
        match self {
            Expression::Number(number) => number.decimal(),
            Expression::Operation { operator, left, right } => {
                let left = left.bracketed(signs, *operator, false);
                let right = right.bracketed(signs, *operator, true);
                format!("{left} {} {right}", signs[*operator])
            }
        }
    }

    /// Brackets what binds less than the operator around it, and on the right side what binds the same.
    fn bracketed(&self, signs: &[&str; 4], around: usize, right: bool) -> String {
        let text = self.written(signs);
        let Expression::Operation { operator, .. } = self else { return text };
        let (own, around) = (operator / 2, around / 2);
        if own < around || (right && own == around) { format!("({text})") } else { text }
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Writes a day number (days since 1970-01-01) in one of three forms.
fn written_date(day: i64, form: i64) -> String {
    let (year, month, day) = civil_from_days(day);
    let name = MONTHS[usize::try_from(month - 1).unwrap()];
    match form {
        0 => format!("{year:04}-{month:02}-{day:02}"),
        1 => format!("{day} {name} {year}"),
        _ => format!("{name} {day}, {year}"),
    }
}

/// After Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
fn civil_from_days(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// 1970-01-01 was a Thursday.
fn weekday_name(day: i64) -> &'static str {
    const NAMES: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    NAMES[usize::try_from(day.rem_euclid(7)).unwrap()]
}

#[test]
fn the_generator_knows_its_own_answers() {
    assert_eq!(written_date(20_777, 0), "2026-11-20");
    assert_eq!(weekday_name(20_777 + 90), "Thursday");
    assert_eq!(written_date(20_777 + 90, 0), "2027-02-18");
    assert_eq!(Fraction::new(2, 3).decimal(), "0.666666666667");
    assert_eq!(Fraction::new(-1, 3000).decimal(), "-0.000333333333333");
    assert_eq!(Fraction::new(10, 3).decimal(), "3.333333333333");
    assert_eq!(Fraction::new(3978, 10).decimal(), "397.8");
    assert_eq!(Fraction::new(5, 4).times(Fraction::new(4, 1)).decimal(), "5");
}
