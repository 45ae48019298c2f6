//! Layers of an application: functions from a thing to a thing of its kind.

use std::any::type_name;
use std::fmt;
use std::sync::Arc;

/// A function from a `T` to a `T` that does the same and more: an application's own middleware.
///
/// `T` is a [`SharedService`](super::SharedService) for models and an `Arc<dyn Tool>` for tools. A clone is the same
/// function.
///
/// ```
/// use beluga_runtime::service::{Layer, layered};
///
/// let quote = Layer::new(|text: String| format!("\"{text}\""));
/// let shout = Layer::new(|text: String| text.to_uppercase() + "!");
/// assert_eq!(layered("hi".to_owned(), &[quote, shout]), "\"HI!\"", "the first is the outermost");
/// ```
pub struct Layer<T>(Arc<dyn Fn(T) -> T + Send + Sync>);

impl<T> Layer<T> {
    /// Makes a layer of a function. It is called once each time the stack is built: at every start of an actor.
    pub fn new(wrap: impl Fn(T) -> T + Send + Sync + 'static) -> Self {
        Self(Arc::new(wrap))
    }

    /// Puts the layer round `inner`.
    #[must_use]
    pub fn wrap(&self, inner: T) -> T {
        (self.0)(inner)
    }
}

impl<T> Clone for Layer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Layer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layer").field(&type_name::<T>()).finish()
    }
}

/// Puts layers round `inner`; the first becomes the outermost, which sees a call first and its outcome last.
///
/// See [`Layer`] for an example.
#[must_use]
pub fn layered<T>(inner: T, layers: &[Layer<T>]) -> T {
    layers.iter().rev().fold(inner, |inner, layer| layer.wrap(inner))
}
