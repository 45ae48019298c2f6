//! Masking: what may be printed of a configuration.

use serde_json::Value;

/// The keys whose values are masked, compared without case, `-` and `_`.
const SECRET_KEYS: [&str; 8] =
    ["apikey", "secret", "password", "token", "accesstoken", "privatekey", "authorization", "clientsecret"];

/// Masks a secret: more than 4 characters keep the first and the last two, anything shorter is `****`.
///
/// ```
/// assert_eq!(beluga_core::mask("sk-abcdef"), "sk****ef");
/// assert_eq!(beluga_core::mask("abcd"), "****");
/// ```
#[must_use]
pub fn mask(secret: &str) -> String {
    let characters: Vec<char> = secret.chars().collect();
    match characters.as_slice() {
        [first, second, .., before, last] if characters.len() > 4 => format!("{first}{second}****{before}{last}"),
        _ => "****".to_owned(),
    }
}

/// Masks every secret in a document, at any depth. A secret that is an object or a list is masked whole.
///
/// ```
/// let mut config = serde_json::json!({"providers": [{"api_key": "sk-abcdef", "model": "m"}], "Token": {"a": 1}});
/// beluga_core::mask_document(&mut config);
/// assert_eq!(config, serde_json::json!({"providers": [{"api_key": "sk****ef", "model": "m"}], "Token": "****"}));
/// ```
pub fn mask_document(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                let plain: String =
                    key.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect();
                if SECRET_KEYS.contains(&plain.as_str()) {
                    *value = match &*value {
                        Value::Null => Value::Null,
                        Value::String(secret) => Value::String(mask(secret)),
                        _ => Value::String("****".to_owned()),
                    };
                } else {
                    mask_document(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_document),
        _ => {}
    }
}
