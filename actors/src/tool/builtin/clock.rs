//! The `clock` tool: today's date and time, and arithmetic on calendar dates.
//!
//! Dates are those of the Gregorian calendar, years -9999 to 9999, written `YYYY-MM-DD`. Time zones are IANA names from
//! the data compiled in, or fixed offsets.

use std::sync::Arc;

use beluga_core::{Effect, Error, Host, Result};
use jiff::civil::{Date, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp, Unit as JiffUnit, Zoned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::typed::FunctionTool;

const DESCRIPTION: &str = "Tells the date and time, and calculates with dates. Operations: now (current date, time and \
    weekday), date_add (the date and weekday `amount` units after `date`; negative for before), weekday (of `date`), \
    days_between (days from `date` to `until`). A missing date is today.";

// Field docs go to the model; the variants explain themselves in the description.
#[derive(Debug, Deserialize, JsonSchema)]
struct ClockArguments {
    /// What to do.
    operation: Operation,
    /// A date as YYYY-MM-DD; today if absent.
    date: Option<String>,
    /// How many units date_add adds; negative goes back.
    amount: Option<i64>,
    /// The unit of amount.
    #[serde(default)]
    unit: Unit,
    /// The end date of days_between as YYYY-MM-DD; today if absent.
    until: Option<String>,
    /// An IANA time zone such as Europe/Paris, or an offset such as +02:00; decides what today is.
    #[serde(default = "utc")]
    timezone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Now,
    DateAdd,
    Weekday,
    DaysBetween,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Unit {
    #[default]
    Days,
    Weeks,
    Months,
    Years,
}

/// What the clock answers, as a JSON object with only the members that apply.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weekday: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// Makes the `clock` tool; `now` and today are the host's calendar time.
///
/// A month or year that is too short gives its last day: one month after 2027-01-31 is 2027-02-28. Bad arguments are
/// `invalid_input` and name the field.
#[must_use]
pub fn clock(host: Arc<dyn Host>) -> FunctionTool {
    let run = move |arguments: ClockArguments, _cx| {
        let answer = answer(&arguments, &*host);
        std::future::ready(answer)
    };
    FunctionTool::new("clock", DESCRIPTION, run).with_effect(Effect::Pure)
}

fn answer(arguments: &ClockArguments, host: &dyn Host) -> Result<Answer> {
    check_applies(arguments)?;
    let zone = time_zone(&arguments.timezone)?;
    let today = || now_in(host, zone.clone()).map(|now| now.date());
    let date = |field: &'static str, text: &Option<String>| match text.as_deref().map(str::trim) {
        None | Some("today") => today(),
        Some(text) => parse_date(field, text),
    };
    match arguments.operation {
        Operation::Now => Ok(now(&now_in(host, zone)?, &arguments.timezone)),
        Operation::Weekday => Ok(dated(date("date", &arguments.date)?)),
        Operation::DateAdd => {
            let amount = arguments.amount.ok_or_else(|| invalid("amount: missing; date_add needs it"))?;
            add(date("date", &arguments.date)?, amount, arguments.unit).map(dated)
        }
        Operation::DaysBetween => {
            if arguments.date.is_none() && arguments.until.is_none() {
                return Err(invalid("date: missing; days_between needs date, until or both"));
            }
            days_between(date("date", &arguments.date)?, date("until", &arguments.until)?)
        }
    }
}

/// Refuses arguments that the operation would ignore: the model meant another operation.
fn check_applies(arguments: &ClockArguments) -> Result<()> {
    let operation = arguments.operation;
    if arguments.amount.is_some() && operation != Operation::DateAdd {
        return Err(invalid("amount: only date_add takes it"));
    }
    if arguments.until.is_some() && operation != Operation::DaysBetween {
        return Err(invalid("until: only days_between takes it"));
    }
    if arguments.date.is_some() && operation == Operation::Now {
        return Err(invalid("date: now takes none; use weekday or date_add"));
    }
    Ok(())
}

fn now_in(host: &dyn Host, zone: TimeZone) -> Result<Zoned> {
    let timestamp = Timestamp::try_from(host.wall())
        .map_err(|error| Error::internal("the host's calendar time is out of range").with_source(error))?;
    Ok(timestamp.to_zoned(zone))
}

fn now(now: &Zoned, timezone: &str) -> Answer {
    Answer {
        date: Some(now.date().to_string()),
        time: Some(now.strftime("%H:%M:%S").to_string()),
        weekday: Some(weekday_name(now.weekday())),
        timezone: Some(timezone.to_owned()),
        offset: Some(now.strftime("%:z").to_string()),
        ..Answer::default()
    }
}

fn dated(date: Date) -> Answer {
    Answer { date: Some(date.to_string()), weekday: Some(weekday_name(date.weekday())), ..Answer::default() }
}

fn add(date: Date, amount: i64, unit: Unit) -> Result<Date> {
    let span = match unit {
        Unit::Days => Span::new().try_days(amount),
        Unit::Weeks => Span::new().try_weeks(amount),
        Unit::Months => Span::new().try_months(amount),
        Unit::Years => Span::new().try_years(amount),
    };
    span.and_then(|span| date.checked_add(span))
        .map_err(|_| invalid("amount: the result is outside the years -9999 to 9999"))
}

fn days_between(date: Date, until: Date) -> Result<Answer> {
    let span = date
        .until((JiffUnit::Day, until))
        .map_err(|error| Error::internal("the difference of two dates").with_source(error))?;
    Ok(Answer {
        days: Some(span.get_days()),
        date: Some(date.to_string()),
        until: Some(until.to_string()),
        ..Answer::default()
    })
}

fn parse_date(field: &'static str, text: &str) -> Result<Date> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut parts = digits.split('-');
    let mut part = |length: usize| -> Option<i16> {
        parts.next().filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
    };
    let (year, month, day) = (part(4), part(2), part(2));
    let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else {
        return Err(invalid(format!("{field}: expected a date as YYYY-MM-DD")));
    };
    let narrow = |number: i16| i8::try_from(number).unwrap_or(0);
    Date::new(sign * year, narrow(month), narrow(day))
        .map_err(|_| invalid(format!("{field}: the calendar has no such date")))
}

fn time_zone(name: &str) -> Result<TimeZone> {
    let name = name.trim();
    if let Some(offset) = fixed_offset(name) {
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(name).map_err(|_| {
        invalid("timezone: unknown; expected an IANA name such as Europe/Paris, or an offset such as +02:00")
    })
}

fn fixed_offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-" | "−", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let number = |text: &str| text.parse::<i32>().ok().filter(|_| text.len() <= 2);
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|minutes| (0..60).contains(minutes))?);
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

fn weekday_name(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid_input(message).with_op("clock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::typed::support;
    use beluga_core::{BoxFuture, Tool};
    use serde_json::{Value, json};
    use std::time::{Duration, Instant, SystemTime};

    /// A machine whose calendar stands still at 2026-11-20 23:30:00 UTC.
    #[derive(Debug)]
    struct StandingStill;

    impl Host for StandingStill {
        fn now(&self) -> Instant {
            unreachable!("the clock reads calendar time only")
        }
        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_217_400)
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            unreachable!("the clock does not wait")
        }
        fn random(&self) -> u64 {
            unreachable!("the clock draws no numbers")
        }
        fn spawn(&self, _: &'static str, _: BoxFuture<'static, ()>) {
            unreachable!("the clock spawns nothing")
        }
        fn spawn_thread(&self, _: &'static str, _: Box<dyn FnOnce() + Send>) -> Result<()> {
            unreachable!("the clock spawns nothing")
        }
        fn block(&self, _: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
            unreachable!("the clock does not block")
        }
    }

    fn ask(arguments: Value) -> Result<Value> {
        let answer = answer(&support::parse(arguments)?, &StandingStill)?;
        Ok(serde_json::to_value(answer).unwrap())
    }

    fn problem(arguments: Value) -> String {
        ask(arguments).unwrap_err().message().to_owned()
    }

    #[test]
    fn dates_are_added_and_named() {
        for (amount, unit, date, expected, weekday) in [
            (90, "days", "2026-11-20", "2027-02-18", "Thursday"),
            (-1, "days", "2024-03-01", "2024-02-29", "Thursday"),
            (2, "weeks", "2026-12-25", "2027-01-08", "Friday"),
            (1, "months", "2027-01-31", "2027-02-28", "Sunday"),
            (-1, "years", "2024-02-29", "2023-02-28", "Tuesday"),
        ] {
            let arguments = json!({"operation": "date_add", "date": date, "amount": amount, "unit": unit});
            assert_eq!(ask(arguments).unwrap(), json!({"date": expected, "weekday": weekday}), "{amount} {unit}");
        }
        let week = ask(json!({"operation": "date_add", "amount": 7})).unwrap();
        assert_eq!(week["date"], "2026-11-27", "no date is today, no unit is days");
    }

    #[test]
    fn today_depends_on_the_time_zone() {
        let now = |zone: &str| ask(json!({"operation": "now", "timezone": zone})).unwrap();
        assert_eq!(
            now("UTC"),
            json!({"date": "2026-11-20", "time": "23:30:00", "weekday": "Friday", "timezone": "UTC", "offset": "+00:00"})
        );
        assert_eq!(
            (now("Europe/Paris")["date"].as_str(), now("Europe/Paris")["offset"].as_str()),
            (Some("2026-11-21"), Some("+01:00"))
        );
        assert_eq!(
            (now("-05:30")["time"].as_str(), now("+9")["date"].as_str()),
            (Some("18:00:00"), Some("2026-11-21"))
        );
        let weekday = json!({"operation": "weekday", "date": "today", "timezone": "Asia/Tokyo"});
        assert_eq!(ask(weekday).unwrap(), json!({"date": "2026-11-21", "weekday": "Saturday"}));
    }

    #[test]
    fn days_between_dates_are_counted_with_their_sign() {
        let days = |date: &str, until: &str| {
            ask(json!({"operation": "days_between", "date": date, "until": until})).unwrap()["days"].clone()
        };
        assert_eq!(days("2026-11-20", "2027-02-18"), 90);
        assert_eq!(days("2027-02-18", "2026-11-20"), -90);
        assert_eq!(ask(json!({"operation": "days_between", "until": "2026-12-25"})).unwrap()["days"], 35);
    }

    #[test]
    fn a_bad_value_names_its_field() {
        for (arguments, field) in [
            (json!({"operation": "weekday", "date": "20.11.2026"}), "date: expected a date as YYYY-MM-DD"),
            (json!({"operation": "weekday", "date": "2026-02-30"}), "date: the calendar has no such date"),
            (json!({"operation": "weekday", "date": "2026-02-3"}), "date: expected"),
            (json!({"operation": "date_add"}), "amount: missing"),
            (json!({"operation": "date_add", "amount": i64::MAX}), "amount: the result is outside"),
            (json!({"operation": "date_add", "amount": 1_000_000, "unit": "years"}), "amount: the result is outside"),
            (json!({"operation": "weekday", "amount": 3}), "amount: only date_add takes it"),
            (json!({"operation": "now", "timezone": "Mars/Olympus"}), "timezone: unknown"),
            (json!({"operation": "now", "timezone": "+99:99"}), "timezone: unknown"),
            (json!({"operation": "days_between"}), "date: missing"),
            (json!({"operation": "days_between", "until": "x"}), "until: expected"),
            (json!({"operation": "tick"}), "operation: unknown variant"),
        ] {
            let message = problem(arguments);
            assert!(message.starts_with(field), "{message}");
        }
    }

    #[test]
    fn the_schema_lists_operations_and_units_as_plain_enumerations() {
        let tool = clock(Arc::new(StandingStill));
        let schema = &tool.definition().input_schema;
        assert_eq!(schema["properties"]["operation"]["enum"], json!(["now", "date_add", "weekday", "days_between"]));
        assert_eq!(schema["properties"]["unit"]["default"], json!("days"));
        assert_eq!(schema["required"], json!(["operation"]));
        assert_eq!(tool.definition().effect, Effect::Pure);
    }
}
