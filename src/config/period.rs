//! A length of time as people write it in a file: `500ms`, `30s`, `5m`, `2h`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`, at most one year.
///
/// ```
/// use beluga::config::Period;
/// use std::time::Duration;
///
/// assert_eq!(Period::parse("90s").unwrap().get(), Duration::from_secs(90));
/// assert_eq!(Period::parse("2h").unwrap().to_string(), "2h");
/// assert!(Period::parse("soon").is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

/// The longest period, one year.
const PERIOD_MAX: Duration = Duration::from_secs(366 * 86_400);

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl Period {
    /// Makes a period of whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Makes a period of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Parses the text form; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let length = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?);
        (length <= PERIOD_MAX).then_some(Self(length))
    }

    /// Returns the length.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let exact = UNITS.iter().rev().find(|(_, unit)| millis != 0 && millis.is_multiple_of(*unit));
        let (name, unit) = exact.copied().unwrap_or(("ms", 1));
        write!(f, "{}{name}", millis / unit)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a period is a number and ms, s, m, h or d, at most a year"))
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]{1,15}(ms|s|m|h|d)$",
            "description": "A whole number and ms, s, m, h or d, such as \"30s\"."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_length_agree_both_ways() {
        for text in ["1ms", "1500ms", "30s", "5m", "2h", "3d"] {
            assert_eq!(Period::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Period::parse("60s").unwrap().to_string(), "1m");
        for text in ["", "s", "5", "5 s", "-1s", "1.5s", "99999999999999999999s", "999999d", "5S"] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
    }
}
