//! Families of models: what is known of a model is known of its dated versions too.

/// A row of a table that is about one family of models.
pub(crate) trait OfFamily {
    /// The provider as OpenTelemetry names it; any where absent.
    fn provider(&self) -> Option<&str>;

    /// The family: a model id without its date; [`ANY`] is every model without a row of its own.
    fn family(&self) -> &str;
}

/// The family of every model.
pub(crate) const ANY: &str = "*";

/// Returns the first row for a model, those that name it before those for any.
pub(crate) fn find<'a, R: OfFamily>(rows: &'a [R], provider: &str, model: &str) -> Option<&'a R> {
    let of_provider = |row: &&R| row.provider().is_none_or(|name| name == provider);
    let named = rows.iter().filter(of_provider).find(|row| is_of_family(model, row.family()));
    named.or_else(|| rows.iter().filter(of_provider).find(|row| row.family() == ANY))
}

/// The fewest digits of a date or a version: `-001` is one, the `-5` of a newer model is none.
const VERSION_DIGITS_MIN: usize = 3;

/// Returns whether a model id is a family, or a dated member of it.
fn is_of_family(model: &str, family: &str) -> bool {
    let Some(rest) = model.strip_prefix(family) else { return false };
    let Some(version) = rest.strip_prefix(['-', '@', ':']) else { return rest.is_empty() };
    let digits = version.bytes().filter(u8::is_ascii_digit).count();
    let is_date = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && digits >= VERSION_DIGITS_MIN;
    version == "latest" || is_date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_not_its_smaller_sister() {
        for (model, is_member) in [
            ("gpt-5", true),
            ("gpt-5-2025-08-07", true),
            ("gpt-5-latest", true),
            ("gpt-5-mini", false),
            ("gpt-5.4", false),
            ("gpt-50", false),
            ("gpt-5-", false),
            ("gpt-5-1", false),
            ("gpt-5-001", true),
            ("gpt", false),
        ] {
            assert_eq!(is_of_family(model, "gpt-5"), is_member, "{model}");
        }
    }
}
