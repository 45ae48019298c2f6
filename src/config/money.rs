//! An amount of money as people write it in a file: dollars.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount of US dollars, kept in whole millionths; at most a billion dollars.
///
/// ```
/// use beluga::config::Usd;
///
/// let price: Usd = serde_json::from_str("2.5").unwrap();
/// assert_eq!((price.micro(), price.to_string().as_str()), (2_500_000, "2.5"));
/// assert!(serde_json::from_str::<Usd>("-1").is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Usd(u64);

/// The largest amount, in dollars.
const USD_MAX: f64 = 1e9;

/// Millionths of a dollar.
const MICRO: f64 = 1e6;

impl Usd {
    /// Makes an amount of millionths of a dollar.
    #[must_use]
    pub const fn from_micro(micro: u64) -> Self {
        Self(micro)
    }

    /// Returns the amount in millionths of a dollar.
    #[must_use]
    pub const fn micro(self) -> u64 {
        self.0
    }

    #[allow(clippy::cast_precision_loss)] // The largest amount has 50 bits.
    fn dollars(self) -> f64 {
        self.0 as f64 / MICRO
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dollars())
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        if !(0.0..=USD_MAX).contains(&dollars) {
            return Err(serde::de::Error::custom("an amount of dollars is 0 to 1000000000"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked above.
        Ok(Self((dollars * MICRO).round() as u64))
    }
}

impl JsonSchema for Usd {
    fn schema_name() -> Cow<'static, str> {
        "Usd".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": USD_MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_cent_is_kept_and_a_fraction_of_a_millionth_rounded() {
        for (text, micro) in [("0.0028", 2_800), ("15", 15_000_000), ("0.1", 100_000), ("0.0000004", 0), ("0", 0)] {
            let usd: Usd = serde_json::from_str(text).unwrap();
            assert_eq!(usd.micro(), micro, "{text}");
        }
        let back: Usd = serde_json::from_str(&serde_json::to_string(&Usd::from_micro(37_500)).unwrap()).unwrap();
        assert_eq!(back.micro(), 37_500);
    }
}
