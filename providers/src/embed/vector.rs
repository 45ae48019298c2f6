//! Vectors as vendors write them, and what is checked of them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beluga_core::{Error, Extra, Result};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use crate::llm::fault;

/// A vector: numbers, or base64 of little-endian 32-bit floats.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Vector(pub(super) Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VectorVisitor;
        impl<'de> Visitor<'de> for VectorVisitor {
            type Value = Vector;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vector")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vector, A::Error> {
                let mut vector = Vec::with_capacity(1024);
                while let Some(number) = numbers.next_element::<f32>()? {
                    vector.push(number);
                }
                vector.shrink_to_fit();
                Ok(Vector(vector))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vector, E> {
                from_base64(text).map(Vector).ok_or_else(|| E::custom("no base64 of floats"))
            }
        }
        deserializer.deserialize_any(VectorVisitor)
    }
}

fn from_base64(text: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (floats, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| floats.iter().map(|float| f32::from_le_bytes(*float)).collect())
}

/// Puts vectors at the places the vendor names; without places they stand in order.
///
/// # Errors
/// `provider_unavailable` if a place is named twice or left out.
pub(super) fn placed(vectors: Vec<(Option<usize>, Vec<f32>)>) -> Result<Vec<Vec<f32>>> {
    let mut rows: Vec<Option<Vec<f32>>> = Vec::new();
    rows.resize_with(vectors.len(), || None);
    for (arrived, (index, vector)) in vectors.into_iter().enumerate() {
        let row = rows.get_mut(index.unwrap_or(arrived)).filter(|row| row.is_none());
        *row.ok_or_else(|| fault::nonsense("a vector's place is taken or out of bounds"))? = Some(vector);
    }
    rows.into_iter().map(|row| row.ok_or_else(|| fault::nonsense("a vector is missing"))).collect()
}

/// Keeps what a vendor says of single vectors, under the name of their list.
pub(super) fn keep_items(extra: &mut Extra, list: &str, items: Vec<Extra>) {
    if items.iter().any(|item| !item.is_empty()) {
        extra.insert(list.to_owned(), items.into_iter().map(Value::Object).collect());
    }
}

/// Checks the vectors of one call: as many as texts, all of one length, which is the wanted one where one is wanted, and
/// every number finite. Returns their length.
///
/// # Errors
/// `provider_unavailable` for a wrong number of vectors or a number that is none; `decode` for a wrong length.
pub(super) fn check(vectors: &[Vec<f32>], texts: usize, wanted: Option<usize>) -> Result<usize> {
    if vectors.len() != texts {
        let have = vectors.len();
        return Err(Error::provider_unavailable(format!("the vendor gave {have} vectors for {texts} texts")));
    }
    let length = wanted.or_else(|| vectors.first().map(Vec::len)).unwrap_or_default();
    if let Some(other) = vectors.iter().find(|vector| vector.len() != length) {
        let have = other.len();
        return Err(Error::decode(format!(
            "the vendor's vectors have {have} dimensions, not {length}: set dimensions to what the model gives"
        )));
    }
    if length == 0 || vectors.iter().flatten().any(|number| !number.is_finite()) {
        return Err(fault::nonsense("a vector is empty or holds what is no number"));
    }
    Ok(length)
}

/// Brings a vector to length one; a vector of zeros stays.
pub(super) fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        for number in vector {
            // The quotient lies between -1 and 1.
            #[allow(clippy::cast_possible_truncation, reason = "a vector's numbers have 32 bits")]
            let scaled = (f64::from(*number) / length) as f32;
            *number = scaled;
        }
    }
}

#[cfg(test)]
mod tests {
    use beluga_core::Code;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_base64_are_the_same_vector() {
        let numbers: Vector = serde_json::from_str("[1, -0.5, 2.5e-3]").unwrap();
        let bytes: Vec<u8> = numbers.0.iter().flat_map(|number| number.to_le_bytes()).collect();
        let text = serde_json::to_string(&STANDARD.encode(bytes)).unwrap();
        assert_eq!(serde_json::from_str::<Vector>(&text).unwrap(), numbers);
        for wrong in ["\"AAAA\"", "\"?\"", "{}", "[\"1\"]", "[null]"] {
            assert!(serde_json::from_str::<Vector>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn vectors_stand_where_the_vendor_says() {
        let row = |index, number| (index, vec![number]);
        assert_eq!(placed(vec![row(Some(1), 1.0), row(Some(0), 0.0)]).unwrap(), [[0.0], [1.0]]);
        assert_eq!(placed(vec![row(None, 1.0), row(None, 0.0)]).unwrap(), [[1.0], [0.0]]);
        assert!(placed(vec![row(Some(0), 1.0), row(Some(0), 0.0)]).is_err());
        assert!(placed(vec![row(Some(2), 1.0)]).is_err());
    }

    #[test]
    fn count_length_and_numbers_are_checked() {
        let code = |vectors: &[Vec<f32>], texts, wanted| check(vectors, texts, wanted).map_err(|error| error.code());
        assert_eq!(code(&[vec![1.0, 2.0]], 1, None), Ok(2));
        assert_eq!(code(&[vec![1.0, 2.0]], 2, None), Err(Code::ProviderUnavailable));
        assert_eq!(code(&[vec![1.0, 2.0]], 1, Some(3)), Err(Code::Decode));
        assert_eq!(code(&[vec![1.0, 2.0], vec![1.0]], 2, None), Err(Code::Decode));
        assert_eq!(code(&[vec![f32::NAN]], 1, None), Err(Code::ProviderUnavailable));
        assert_eq!(code(&[vec![]], 1, None), Err(Code::ProviderUnavailable));
    }

    proptest! {
        #[test]
        fn a_normalised_vector_has_length_one(mut vector in prop::collection::vec(-1e6_f32..1e6, 1..64)) {
            prop_assume!(vector.iter().any(|number| number.abs() > 1e-3));
            normalise(&mut vector);
            let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
            prop_assert!((length - 1.0).abs() < 1e-5, "{length}");
        }
    }
}
