//! How long a server asks to be left alone.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::Timestamp;

/// The date forms of HTTP: the current one and the two obsolete ones every recipient must accept (RFC 9110 §5.6.7).
const DATE_FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"];

/// Returns how long the server asks to wait; `None` if it does not say, or says something unreadable.
///
/// `retry-after-ms` (milliseconds, OpenAI and Azure) goes before `Retry-After` (RFC 9110 §10.2.3: seconds, here also
/// fractional, or a date). A date counts from the server's own `Date`, so that a wrong clock here does not matter, and
/// only without one from `wall`. A date in the past is zero.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("retry-after", "1.5".parse().unwrap());
/// let wait = beluga_providers::http::retry_after(&headers, SystemTime::UNIX_EPOCH);
/// assert_eq!(wait, Some(Duration::from_millis(1500)));
/// ```
#[must_use]
pub fn retry_after(headers: &HeaderMap, wall: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Some(seconds) = number(value) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = date(value)?;
    let from = match text(DATE.as_str()).and_then(date) {
        Some(date) => date,
        None => Timestamp::try_from(wall).ok()?,
    };
    Some(Duration::try_from(until.duration_since(from)).unwrap_or(Duration::ZERO))
}

/// Parses a finite number that is not negative.
fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

fn date(text: &str) -> Option<Timestamp> {
    DATE_FORMS.iter().find_map(|form| {
        let parsed = jiff::fmt::strtime::parse(form, text).ok()?;
        let zoned = parsed.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pairs: &[(&'static str, &'static str)]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
    }

    #[test]
    fn seconds_may_be_whole_or_fractional() {
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after", "0.25")]), Some(Duration::from_millis(250)));
        assert_eq!(wait(&[("retry-after-ms", "12.5"), ("retry-after", "7")]), Some(Duration::from_micros(12_500)));
    }

    #[test]
    fn a_date_counts_from_the_servers_clock_and_else_from_ours() {
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(wait(&[("retry-after", date)]), Some(Duration::from_secs(10)));
        let server = ("date", "Sun, 06 Nov 1994 08:49:07 GMT");
        assert_eq!(wait(&[("retry-after", date), server]), Some(Duration::from_secs(40)));
        assert_eq!(wait(&[("retry-after", "Sunday, 06-Nov-94 08:49:47 GMT")]), Some(Duration::from_secs(10)));
        assert_eq!(wait(&[("retry-after", "Sun Nov  6 08:49:47 1994")]), Some(Duration::from_secs(10)));
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")]), Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_says_nothing() {
        for text in ["", "soon", "-1", "NaN", "inf", "1e300"] {
            assert_eq!(wait(&[("retry-after", text)]), None, "{text}");
        }
        assert_eq!(wait(&[]), None);
    }
}
