//! Counts the depth and the elements of what is being decoded.
//!
//! bincode follows a recursive type as deep as the bytes say, one byte a level, and reads as many units as they claim. JSON
//! and CBOR count lists and tables, and follow a newtype of an option of itself without end. The guard stands between the
//! type and the codec and refuses all of it.

use std::cell::Cell;
use std::fmt;

use beluga_core::Error;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::DEPTH_MAX;

/// What is left of depth and elements.
pub(super) struct Limits {
    depth: Cell<usize>,
    elements: Cell<usize>,
    passed: Cell<Option<&'static str>>,
}

impl Limits {
    pub(super) fn new(depth: usize, elements: usize) -> Self {
        Self { depth: Cell::new(depth), elements: Cell::new(elements), passed: Cell::new(None) }
    }

    /// Returns the error of the limit that was passed, if one was.
    pub(super) fn passed(&self) -> Option<Error> {
        self.passed.get().map(Error::decode)
    }

    /// Goes one level deeper.
    fn enter<E: serde::de::Error>(&self) -> Result<Entered<'_>, E> {
        let Some(left) = self.depth.get().checked_sub(1) else {
            return Err(self.pass("the payload is nested too deeply"));
        };
        self.depth.set(left);
        Ok(Entered(self))
    }

    /// Counts an element. Each has a byte of its own, but for units.
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let Some(left) = self.elements.get().checked_sub(1) else {
            return Err(self.pass("the payload claims more elements than it has"));
        };
        self.elements.set(left);
        Ok(())
    }

    #[cold]
    fn pass<E: serde::de::Error>(&self, limit: &'static str) -> E {
        self.passed.set(Some(limit));
        E::custom(limit)
    }
}

/// One level; left when it drops.
struct Entered<'l>(&'l Limits);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.depth.set(self.0.depth.get() + 1);
    }
}

/// Anything of serde's, under the limits.
pub(super) struct Guarded<'l, T> {
    inner: T,
    limits: &'l Limits,
    /// Whether the elements are as many as the bytes say, and not as many as the type has.
    is_counted: bool,
}

impl<'l, T> Guarded<'l, T> {
    pub(super) fn new(inner: T, limits: &'l Limits) -> Self {
        Self { inner, limits, is_counted: false }
    }

    fn counted(inner: T, limits: &'l Limits, is_counted: bool) -> Self {
        Self { inner, limits, is_counted }
    }
}

/// A value whose depth is counted, for a reader that is given no more than a type.
pub(super) struct Nested<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
        let limits = Limits::new(DEPTH_MAX, usize::MAX);
        T::deserialize(Guarded::new(decoder, &limits)).map(Self)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Guarded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Guarded::new(decoder, self.limits))
    }
}

macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*))*) => {$(
        fn $name<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$name($($argument,)* Guarded::new(visitor, self.limits))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Guarded<'_, D> {
    type Error = D::Error;

    forward! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64() deserialize_char() deserialize_str() deserialize_string() deserialize_bytes()
        deserialize_byte_buf() deserialize_option() deserialize_unit() deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str) deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) deserialize_identifier()
        deserialize_ignored_any()
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_seq(Guarded::counted(visitor, self.limits, true))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(Guarded::counted(visitor, self.limits, true))
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! give {
    ($($name:ident($type:ty))*) => {$(
        fn $name<E: serde::de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$name(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Guarded<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    give! {
        visit_bool(bool) visit_i8(i8) visit_i16(i16) visit_i32(i32) visit_i64(i64) visit_i128(i128) visit_u8(u8)
        visit_u16(u16) visit_u32(u32) visit_u64(u64) visit_u128(u128) visit_f32(f32) visit_f64(f64) visit_char(char)
        visit_str(&str) visit_borrowed_str(&'de str) visit_string(String) visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, decoder: D) -> Result<V::Value, D::Error> {
        let _level = self.limits.enter::<D::Error>()?;
        self.inner.visit_some(Guarded::new(decoder, self.limits))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, decoder: D) -> Result<V::Value, D::Error> {
        let _level = self.limits.enter::<D::Error>()?;
        self.inner.visit_newtype_struct(Guarded::new(decoder, self.limits))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        let _level = self.limits.enter::<A::Error>()?;
        self.inner.visit_seq(Guarded::counted(elements, self.limits, self.is_counted))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        let _level = self.limits.enter::<A::Error>()?;
        self.inner.visit_map(Guarded::counted(entries, self.limits, self.is_counted))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        let _level = self.limits.enter::<A::Error>()?;
        self.inner.visit_enum(Guarded::new(variant, self.limits))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let element = self.inner.next_element_seed(Guarded::new(seed, self.limits))?;
        if self.is_counted && element.is_some() {
            self.limits.count::<A::Error>()?;
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        // What is claimed may be reserved: never more than there can be.
        self.inner.size_hint().map(|claimed| claimed.min(self.limits.elements.get()))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let key = self.inner.next_key_seed(Guarded::new(seed, self.limits))?;
        if self.is_counted && key.is_some() {
            self.limits.count::<A::Error>()?;
        }
        Ok(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(Guarded::new(seed, self.limits))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|claimed| claimed.min(self.limits.elements.get()))
    }
}

impl<'de, 'l, A: EnumAccess<'de>> EnumAccess<'de> for Guarded<'l, A> {
    type Error = A::Error;
    type Variant = Guarded<'l, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Guarded::new(variant, self.limits)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Guarded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(Guarded::new(seed, self.limits))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, Guarded::new(visitor, self.limits))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Guarded::new(visitor, self.limits))
    }
}
