//! What vendors demand of the schema of an answer, as data.

use std::sync::{Arc, LazyLock};

use beluga_core::{SchemaSupport, StrictSchema};

use super::profile::Profile;

/// One row: the profile, whether every property must be required, and the keywords it refuses.
struct Row(&'static str, bool, &'static [&'static str]);

/// OpenAI, structured outputs, supported schemas (platform.openai.com/docs/guides/structured-outputs, as of 2026-11), and
/// what its fine-tuned models refuse besides.
const OPENAI_REFUSES: &[&str] = &[
    "default",
    "minLength",
    "maxLength",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "patternProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
];

/// Anthropic, structured outputs, limitations (platform.claude.com/docs, as of 2026-11).
const ANTHROPIC_REFUSES: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "minItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "patternProperties",
    "unevaluatedProperties",
    "contains",
];

const ROWS: [Row; 4] = [
    Row("openai", true, OPENAI_REFUSES),
    Row("openai-responses", true, OPENAI_REFUSES),
    Row("azure", true, OPENAI_REFUSES),
    Row("anthropic", false, ANTHROPIC_REFUSES),
];

type Rules = Vec<(&'static str, Arc<StrictSchema>)>;

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let rules = |row: &Row| StrictSchema {
        all_required: row.1,
        refused: row.2.iter().map(|keyword| (*keyword).to_owned()).collect(),
    };
    ROWS.iter().map(|row| (row.0, Arc::new(rules(row)))).collect()
});

/// Returns how a vendor takes the schema of an answer: enforced where its rules are known.
pub(super) fn schema_support(profile: &Profile) -> SchemaSupport {
    if !profile.json_schema {
        return SchemaSupport::None;
    }
    let rules = RULES.iter().find(|(name, _)| *name == profile.name);
    rules.map_or(SchemaSupport::Taken, |(_, rules)| SchemaSupport::Enforced(Arc::clone(rules)))
}

#[cfg(test)]
mod tests {
    use super::super::profiles::{ANTHROPIC, DEEPSEEK, OPENAI, OPENAI_COMPATIBLE};
    use super::*;

    #[test]
    fn a_schema_is_enforced_where_the_rules_are_known() {
        assert!(matches!(schema_support(&OPENAI), SchemaSupport::Enforced(rules) if rules.all_required));
        assert!(matches!(schema_support(&ANTHROPIC), SchemaSupport::Enforced(rules) if !rules.all_required));
        assert_eq!(schema_support(&OPENAI_COMPATIBLE), SchemaSupport::Taken);
        assert_eq!(schema_support(&DEEPSEEK), SchemaSupport::None);
    }
}
