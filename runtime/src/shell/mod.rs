//! The shell round a user's value: it builds the value, drains the slot, catches panics and drops the value before the
//! exit is reported. Only building and polling one message is generic; the rest is in [`drain`].

mod dispatch;
mod drain;
mod hold;
mod nest;
mod resident;

use std::any::TypeId;
use std::sync::Arc;

use beluga_core::BoxFuture;

use crate::actor::Actor;
use crate::incarnation::Guard;
use crate::protocol::Protocol;

pub(crate) use dispatch::{ByHandler, Dispatch, Entry, Table};
pub(crate) use drain::{Drain, Notice};
pub(crate) use nest::{Nest, Polled};

/// An actor with a handler for every message of its protocol. Implemented by the kernel.
///
/// An actor whose protocol promises more than it handles does not start:
///
/// ```compile_fail,E0277
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, Spec, protocol};
/// # #[derive(Message)]
/// # #[message(name = "counter.add")]
/// # struct Add(u64);
/// # #[derive(Message)]
/// # #[message(name = "counter.total", reply = u64)]
/// # struct Total;
/// protocol!(CounterProtocol: Add, Total);
///
/// # struct Counter;
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// impl Handler<Add> for Counter {
///     async fn handle(&mut self, _: Add, _cx: &mut Cx<Self>) -> Result<()> { Ok(()) }
/// }
///
/// Spec::new("counter", || Counter); // The actor `Counter` does not handle `Total`.
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor that handles every message of its protocol",
    label = "a handler is missing",
    note = "implement `Actor`, and `Handler<M>` or `DeferredHandler<M>` for each message `M` of its protocol, \
            `StreamHandler<M>` for each one after `stream`"
)]
pub trait Serves: Actor {
    /// One entry per message, in the order of the protocol.
    #[doc(hidden)]
    const TABLE: &'static [Dispatch<Self>];
}

impl<A: Actor> Serves for A
where
    <A::Protocol as Protocol>::Messages: Table<A, ByHandler>,
{
    const TABLE: &'static [Dispatch<A>] = <<A::Protocol as Protocol>::Messages as Table<A, ByHandler>>::TABLE;
}

/// What a resident future starts with.
pub(crate) struct Launch {
    pub(crate) guard: Guard,
    /// Whether the supervisor waits for the word that it has started.
    pub(crate) report: bool,
}

/// Builds incarnations of one actor type.
pub(crate) trait Incarnate: Send + Sync {
    fn kind(&self) -> &'static str;
    /// Returns the identity of the protocol, which guards lookups by name.
    fn protocol(&self) -> TypeId;
    /// Returns the whole life of one incarnation. The guard is inside from the start, polled or not.
    fn resident(self: Arc<Self>, launch: Launch) -> BoxFuture<'static, ()>;
}

/// A factory with its actor type and dispatch table.
pub(crate) struct Recipe<A: Actor, F> {
    factory: F,
    table: &'static [Dispatch<A>],
}

impl<A, F> Recipe<A, F>
where
    A: Actor,
    F: Fn() -> A + Send + Sync + 'static,
{
    pub(crate) fn shared(factory: F, table: &'static [Dispatch<A>]) -> Arc<dyn Incarnate> {
        Arc::new(Self { factory, table })
    }
}

impl<A, F> Incarnate for Recipe<A, F>
where
    A: Actor,
    F: Fn() -> A + Send + Sync + 'static,
{
    fn kind(&self) -> &'static str {
        A::KIND
    }

    fn protocol(&self) -> TypeId {
        TypeId::of::<A::Protocol>()
    }

    fn resident(self: Arc<Self>, launch: Launch) -> BoxFuture<'static, ()> {
        let slot = Arc::clone(launch.guard.slot());
        let drain = Drain::new(launch);
        let table = self.table;
        Box::pin(resident::Named::new(&slot, resident::live(drain, table, move || (self.factory)())))
    }
}
