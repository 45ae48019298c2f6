//! Bytes that must never change.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::Codec;

/// Checks that a value is written as exactly these bytes, and that what is read back is written the same.
///
/// A message with `codec = "b2"` needs such a test: bincode reads some types wrong without an error, and a field that moves
/// changes the meaning of old bytes. Blanks in `hex` are skipped.
///
/// ```
/// use beluga_runtime::testkit::golden;
/// use beluga_runtime::wire::Codec;
///
/// golden(Codec::B2, &(7_u64, "hi".to_owned()), "07 02 6869");
/// ```
///
/// # Panics
/// If the bytes are others, or read back as something else.
#[allow(clippy::panic)] // Failing the test is what it is for.
pub fn golden<T: Serialize + DeserializeOwned>(codec: Codec, value: &T, hex: &str) {
    let bytes = codec.encode(value).unwrap_or_else(|error| panic!("{error}"));
    let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected: String = hex.chars().filter(|digit| !digit.is_whitespace()).collect();
    assert!(text(&bytes) == expected, "in {codec} it is written as\n{}\nand should be\n{expected}", text(&bytes));
    let read = codec.decode::<T>(&bytes).and_then(|read| codec.encode(&read));
    match read {
        Ok(again) if again == bytes => {}
        Ok(again) => panic!("in {codec} it reads back as something else, which is written as\n{}", text(&again)),
        Err(error) => panic!("in {codec} it reads back as something else: {error}"),
    }
}
