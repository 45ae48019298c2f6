//! Finds the calendar question in a part and writes it as arguments of the `clock`.

use serde_json::{Map, Value, json};

use super::clause::Clause;
use super::token::{Kind, Token, number_word};

/// A question about dates or the time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Date {
    pub(super) arguments: Value,
    pub(super) asks: Asks,
}

/// What the answer is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asks {
    /// The date that is the subject, named by these words.
    Day { label: String },
    /// The weekday of this date.
    Weekday { label: String },
    /// The days between two dates.
    Between,
    /// Today's date.
    Today,
    /// The time of day.
    Time,
}

/// Reads a part as a question about dates, if all of its numbers belong to it.
pub(super) fn read(clause: &Clause<'_>) -> Option<Date> {
    let dates: Vec<Base> = clause.tokens.iter().filter_map(Base::of).collect();
    let durations = durations(&clause.tokens);
    let loose = clause.tokens.iter().filter(|token| token.number().is_some()).count();
    if loose > durations.iter().filter(|duration| duration.has_digits).count() {
        return None;
    }
    let zone = zone(clause);
    let mut date = match (dates.as_slice(), durations.as_slice()) {
        ([from, to], []) => between(clause, from, to)?,
        ([date], []) => one_date(clause, date)?,
        ([], []) => now(clause)?,
        ([], [_, ..]) => shifted(clause, &Base::Today, &durations, true)?,
        ([base], [_, ..]) => shifted(clause, base, &durations, false)?,
        _ => return None,
    };
    if let (Some(zone), Value::Object(arguments)) = (zone, &mut date.arguments) {
        arguments.insert("timezone".to_owned(), Value::String(zone));
    }
    Some(date)
}

/// A date a question starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    On(String),
    Today,
    Tomorrow,
    Yesterday,
}

impl Base {
    fn of(token: &Token) -> Option<Self> {
        match &token.kind {
            Kind::Date(date) => Some(Base::On(date.clone())),
            Kind::Word(word) => match word.trim_end_matches("'s") {
                "today" | "now" => Some(Base::Today),
                "tomorrow" => Some(Base::Tomorrow),
                "yesterday" => Some(Base::Yesterday),
                _ => None,
            },
            _ => None,
        }
    }

    fn label(&self) -> &str {
        match self {
            Base::On(date) => date,
            Base::Today => "today",
            Base::Tomorrow => "tomorrow",
            Base::Yesterday => "yesterday",
        }
    }

    /// Returns how many days it lies ahead of the date it is told from.
    fn shift(&self) -> i64 {
        match self {
            Base::Tomorrow => 1,
            Base::Yesterday => -1,
            Base::On(_) | Base::Today => 0,
        }
    }

    fn insert(&self, field: &str, arguments: &mut Map<String, Value>) {
        if let Base::On(date) = self {
            arguments.insert(field.to_owned(), Value::String(date.clone()));
        }
    }
}

/// A length of time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Duration {
    amount: i64,
    unit: &'static str,
    words: String,
    has_digits: bool,
}

fn durations(tokens: &[Token]) -> Vec<Duration> {
    let pairs = tokens.iter().zip(tokens.iter().skip(1));
    pairs.filter_map(|(amount, unit)| duration(amount, unit)).collect()
}

fn duration(amount: &Token, unit: &Token) -> Option<Duration> {
    let unit = match unit.word()? {
        "day" | "days" => "days",
        "week" | "weeks" => "weeks",
        "month" | "months" => "months",
        "year" | "years" => "years",
        "fortnight" | "fortnights" => "fortnights",
        _ => return None,
    };
    let (number, has_digits) = match &amount.kind {
        Kind::Number(number) => (number.parse().ok()?, true),
        Kind::Word(word) if word == "a" || word == "an" => (1, false),
        Kind::Word(word) => (i64::from(number_word(word)?), false),
        _ => return None,
    };
    let plural = if number == 1 { unit.trim_end_matches('s') } else { unit };
    let words = format!("{number} {plural}");
    let (amount, unit) = if unit == "fortnights" { (number * 2, "weeks") } else { (number, unit) };
    Some(Duration { amount, unit, words, has_digits })
}

/// Adds durations up, as days where their units differ.
fn total(durations: &[Duration], shift: i64) -> Option<(i64, &'static str)> {
    let unit = durations.first()?.unit;
    if shift == 0 && durations.iter().all(|duration| duration.unit == unit) {
        let amounts = durations.iter().map(|duration| duration.amount);
        return Some((amounts.fold(0i64, i64::saturating_add), unit));
    }
    let mut days = 0i64;
    for duration in durations {
        let length = match duration.unit {
            "days" => 1,
            "weeks" => 7,
            _ => return None,
        };
        days = days.checked_add(duration.amount.checked_mul(length)?)?;
    }
    Some((days, "days"))
}

const FORWARD: &[&str] = &["after", "from", "later", "past", "following", "hence", "plus", "add", "in", "since"];
const BACKWARD: &[&str] = &["before", "prior", "earlier", "ago", "minus", "subtract", "preceding", "back"];

/// Reads `90 days after D`, `D + 2 weeks`, `subtract 3 days from D`, `in 5 days`, `3 weeks ago`.
fn shifted(clause: &Clause<'_>, base: &Base, durations: &[Duration], implied: bool) -> Option<Date> {
    let signs = |sign: char| clause.tokens.iter().any(|token| token.kind == Kind::Sign(sign));
    let back = clause.has(BACKWARD) || signs('-');
    let ahead = clause.has(FORWARD) || signs('+');
    let told_from_now = clause.has(&["in", "ago", "hence", "later", "earlier", "back"]);
    if !(back || ahead) || (implied && !told_from_now) {
        return None;
    }
    let (amount, unit) = total(durations, base.shift())?;
    let amount = if back { amount.checked_neg()? } else { amount };
    let mut arguments = Map::new();
    arguments.insert("operation".to_owned(), json!("date_add"));
    base.insert("date", &mut arguments);
    arguments.insert("amount".to_owned(), json!(amount.checked_add(base.shift())?));
    arguments.insert("unit".to_owned(), json!(unit));
    let words: Vec<&str> = durations.iter().map(|duration| duration.words.as_str()).collect();
    let direction = if back { "before" } else { "after" };
    let label = match (base, back) {
        (Base::Today, false) => format!("{} from today", words.join(" and ")),
        (base, _) => format!("{} {direction} {}", words.join(" and "), base.label()),
    };
    Some(Date { arguments: Value::Object(arguments), asks: Asks::Day { label } })
}

fn between(clause: &Clause<'_>, from: &Base, to: &Base) -> Option<Date> {
    let counts = clause.has(&["days", "long", "many", "difference", "far"]);
    if !counts
        || !clause.has(&["between", "from", "until", "till", "to", "and"])
        || from.shift() != 0
        || to.shift() != 0
    {
        return None;
    }
    if from == to && *from == Base::Today {
        return None;
    }
    let mut arguments = Map::new();
    arguments.insert("operation".to_owned(), json!("days_between"));
    from.insert("date", &mut arguments);
    to.insert("until", &mut arguments);
    Some(Date { arguments: Value::Object(arguments), asks: Asks::Between })
}

/// Reads a question with one date in it: its weekday, or how far away it is.
fn one_date(clause: &Clause<'_>, date: &Base) -> Option<Date> {
    if clause.has(&["days", "long", "far"]) && matches!(date, Base::On(_)) {
        let since = clause.has(&["since", "ago", "passed"]);
        let ahead = clause.has(&["until", "till", "to", "away", "left"]);
        if !since && !ahead {
            return None;
        }
        let mut arguments = Map::new();
        arguments.insert("operation".to_owned(), json!("days_between"));
        date.insert(if since { "date" } else { "until" }, &mut arguments);
        return Some(Date { arguments: Value::Object(arguments), asks: Asks::Between });
    }
    let is_bare = date.shift() != 0 && clause.tokens.len() <= 3 && clause.has(&["what", "what's", "when"]);
    let asks_day = is_bare || clause.has(&["weekday", "day", "date", "date's", "falls", "fall"]);
    if !asks_day {
        return if *date == Base::Today { now(clause) } else { None };
    }
    match date {
        Base::Today => Some(today()),
        Base::On(label) => Some(Date {
            arguments: json!({"operation": "weekday", "date": label}),
            asks: Asks::Weekday { label: label.clone() },
        }),
        base => {
            let arguments = json!({"operation": "date_add", "amount": base.shift(), "unit": "days"});
            Some(Date { arguments, asks: Asks::Day { label: base.label().to_owned() } })
        }
    }
}

fn today() -> Date {
    Date { arguments: json!({"operation": "now"}), asks: Asks::Today }
}

/// Reads a question about the present.
fn now(clause: &Clause<'_>) -> Option<Date> {
    let asks = clause.has(&["what", "what's", "which", "tell", "current"]);
    let time = clause.has_phrase("time is it")
        || clause.has_phrase("the time")
        || clause.has_phrase("current time")
        || (clause.has(&["time"]) && clause.has(&["now"]));
    if asks && time {
        return Some(Date { arguments: json!({"operation": "now"}), asks: Asks::Time });
    }
    let phrases = ["day is it", "weekday is it", "date is it", "day of the week is it", "current date", "the date"];
    (asks && phrases.iter().any(|phrase| clause.has_phrase(phrase))).then(today)
}

/// Cities people ask the time of, with their zones; others are asked for by the zone's own name.
const CITIES: [(&str, &str); 16] = [
    ("utc", "UTC"),
    ("london", "Europe/London"),
    ("paris", "Europe/Paris"),
    ("berlin", "Europe/Berlin"),
    ("madrid", "Europe/Madrid"),
    ("rome", "Europe/Rome"),
    ("oslo", "Europe/Oslo"),
    ("moscow", "Europe/Moscow"),
    ("tokyo", "Asia/Tokyo"),
    ("singapore", "Asia/Singapore"),
    ("beijing", "Asia/Shanghai"),
    ("delhi", "Asia/Kolkata"),
    ("sydney", "Australia/Sydney"),
    ("new york", "America/New_York"),
    ("chicago", "America/Chicago"),
    ("los angeles", "America/Los_Angeles"),
];

fn zone(clause: &Clause<'_>) -> Option<String> {
    let named = clause.tokens.iter().find(|token| token.word().is_some_and(|word| word.contains('/')));
    if let Some(token) = named {
        return clause.text.get(token.range.clone()).map(str::to_owned);
    }
    CITIES.iter().find(|(city, _)| clause.has_phrase(city)).map(|(_, zone)| (*zone).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Option<Value> {
        read(&Clause::sentences(text)[0]).map(|date| date.arguments)
    }

    #[test]
    fn dates_are_shifted_both_ways() {
        let add = |date: &str, amount: i64, unit: &str| {
            Some(json!({"operation": "date_add", "date": date, "amount": amount, "unit": unit}))
        };
        for (text, expected) in [
            ("which weekday is 90 days after 2026-11-20?", add("2026-11-20", 90, "days")),
            ("What date is 2 weeks before 2026-11-20", add("2026-11-20", -2, "weeks")),
            ("subtract 3 days from 2026-11-20", add("2026-11-20", -3, "days")),
            ("add a month to 2026-11-20", add("2026-11-20", 1, "months")),
            ("2026-11-20 + 5 years", add("2026-11-20", 5, "years")),
            ("2026-11-20 − 5 days", add("2026-11-20", -5, "days")),
            ("2 weeks and 3 days from 20 November 2026", add("2026-11-20", 17, "days")),
            ("in 5 days", Some(json!({"operation": "date_add", "amount": 5, "unit": "days"}))),
            ("what day was it three weeks ago", Some(json!({"operation": "date_add", "amount": -3, "unit": "weeks"}))),
            ("two days after tomorrow", Some(json!({"operation": "date_add", "amount": 3, "unit": "days"}))),
        ] {
            assert_eq!(arguments(text), expected, "{text}");
        }
    }

    #[test]
    fn weekdays_differences_and_the_present_are_asked_for() {
        for (text, expected) in [
            ("What day of the week is 2026-11-20?", json!({"operation": "weekday", "date": "2026-11-20"})),
            ("On which weekday does 2026-11-20 fall", json!({"operation": "weekday", "date": "2026-11-20"})),
            (
                "How many days are between 2026-11-20 and 2027-02-18",
                json!({"operation": "days_between", "date": "2026-11-20", "until": "2027-02-18"}),
            ),
            ("how many days until 2027-02-18", json!({"operation": "days_between", "until": "2027-02-18"})),
            ("What is the date today?", json!({"operation": "now"})),
            ("What's today's date", json!({"operation": "now"})),
            ("What time is it in Europe/Paris?", json!({"operation": "now", "timezone": "Europe/Paris"})),
            ("what's the time in New York", json!({"operation": "now", "timezone": "America/New_York"})),
            ("what is yesterday", json!({"operation": "date_add", "amount": -1, "unit": "days"})),
            ("what day is tomorrow", json!({"operation": "date_add", "amount": 1, "unit": "days"})),
        ] {
            assert_eq!(arguments(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_question_about_dates_is_none() {
        for text in
            ["I waited 3 days", "2 months and 3 days after 2026-01-01", "on 2026-01-01 we met", "5 + 3", "all day"]
        {
            assert_eq!(arguments(text), None, "{text}");
        }
    }
}
