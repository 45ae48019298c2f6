//! What may be said to an actor. A [`Ref`](crate::Ref) is typed by a protocol, not by the actor that implements it.

use std::marker::PhantomData;

/// A set of messages. Declare it with [`protocol!`](crate::protocol!); callers link the protocol only.
///
/// See [`protocol!`](crate::protocol!) for an example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a protocol",
    label = "not a protocol",
    note = "declare one: `protocol!(NameProtocol: Message, Other; stream Third)`",
    note = "a reference is typed by what may be said to an actor, not by the actor: `Ref<NameProtocol>`"
)]
pub trait Protocol: Send + Sync + 'static {
    /// The messages as a tuple; a streaming one stands as [`Streaming<M>`].
    type Messages: 'static;
    /// The names of the messages, in the order of the tuple.
    const NAMES: &'static [&'static str];
}

/// Says that a protocol contains a message. Implemented by [`protocol!`](crate::protocol!).
///
/// As a bound it lets code work with every actor that takes a message:
///
/// ```
/// # use beluga_runtime::{Accepts, Ref};
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
/// # #[derive(Message)]
/// # #[message(name = "counter.add", reply = u64)]
/// # struct Add(u64);
/// # protocol!(CounterProtocol: Add);
/// # #[derive(Default)]
/// # struct Counter { total: u64 }
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
/// #         self.total += n;
/// #         Ok(self.total)
/// #     }
/// # }
/// async fn add_twice<P: Accepts<Add>>(actor: &Ref<P>, n: u64) -> Result<u64> {
///     actor.tell(Add(n)).await?;
///     actor.ask(Add(n)).await
/// }
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let counter = system.spawn("counter", Counter::default).await?;
/// assert_eq!(add_twice(&counter, 4).await?, 8);
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
///
/// What a protocol does not contain cannot be sent:
///
/// ```compile_fail,E0277
/// # use beluga_runtime::{Message, Ref, protocol};
/// # #[derive(Message)]
/// # #[message(name = "counter.add")]
/// # struct Add(u64);
/// # #[derive(Message)]
/// # #[message(name = "counter.sub")]
/// # struct Sub(u64);
/// # #[derive(Message)]
/// # #[message(name = "counter.reset")]
/// # struct Reset;
/// protocol!(CounterProtocol: Add, Sub);
///
/// async fn reset(counter: &Ref<CounterProtocol>) {
///     counter.tell(Reset).await; // The protocol `CounterProtocol` has no message `Reset`.
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the protocol `{Self}` has no message `{M}`",
    label = "this actor does not take `{M}`",
    note = "add it to the `protocol!` declaration and give the actor a handler for it"
)]
pub trait Accepts<M>: Protocol {
    /// The position in [`Protocol::Messages`].
    const INDEX: usize;
}

/// Marks a streaming message in [`Protocol::Messages`].
///
/// See [`protocol!`](crate::protocol!) for an example.
#[derive(Debug)]
pub struct Streaming<M>(PhantomData<fn(M)>);

/// Declares a protocol: `protocol!(pub CounterProtocol: Add, Get; stream Watch);`, at most 32 messages.
///
/// ```
/// use beluga_runtime::{Accepts, Message, Protocol, protocol};
///
/// #[derive(Message)]
/// #[message(name = "counter.add", reply = u64)]
/// pub struct Add(u64);
/// #[derive(Message)]
/// #[message(name = "counter.watch", stream = u64)]
/// pub struct Watch;
///
/// protocol!(
///     /// What a counter understands.
///     pub CounterProtocol: Add; stream Watch
/// );
/// assert_eq!(CounterProtocol::NAMES, ["counter.add", "counter.watch"]);
/// assert_eq!(<CounterProtocol as Accepts<Watch>>::INDEX, 1);
/// ```
#[macro_export]
macro_rules! protocol {
    ($(#[$meta:meta])* $vis:vis $name:ident : $($message:ty),* $(,)? $(; stream $($streaming:ty),+ $(,)?)?) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        $vis enum $name {}

        impl $crate::Protocol for $name {
            type Messages = ($($message,)* $($($crate::Streaming<$streaming>,)+)?);
            const NAMES: &'static [&'static str] = &[
                $(<$message as $crate::Message>::NAME,)*
                $($(<$streaming as $crate::StreamMessage>::NAME,)+)?
            ];
        }

        $crate::__protocol_index!($name, 0_usize; $($message,)* $($($streaming,)+)?);
    };
}

/// Numbers the messages of a protocol. Not part of the API.
#[doc(hidden)]
#[macro_export]
macro_rules! __protocol_index {
    ($name:ident, $index:expr;) => {};
    ($name:ident, $index:expr; $message:ty, $($rest:ty,)*) => {
        impl $crate::Accepts<$message> for $name { const INDEX: usize = $index; }
        $crate::__protocol_index!($name, $index + 1; $($rest,)*);
    };
}

protocol!(
    /// The protocol of an actor that is spoken to by nobody: a supervisor of others.
    pub Silent:
);
