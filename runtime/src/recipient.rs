//! A reference to whoever takes one message type, whatever else it understands.

use std::fmt;
use std::marker::PhantomData;

use beluga_core::{CallContext, Result};

use crate::address::Address;
use crate::ask::Ask;
use crate::call::{CallPacket, Carried};
use crate::delivery::{Post, Route};
use crate::message::Message;
use crate::protocol::{Accepts, Protocol};
use crate::reference::{Ref, Tell};

/// A reference to an actor that takes `M`, without its protocol. Cheap to clone; stays valid over restarts.
///
/// For lists of receivers of different kinds, and for code that is to know one message of them and no more.
///
/// ```
/// # use beluga_runtime::{Actor, Cx, Handler, Message, Recipient, System, protocol};
/// # use beluga_core::Result;
/// # #[derive(Message)]
/// # #[message(name = "note.write", reply = usize)]
/// # struct Write(String);
/// # protocol!(DiaryProtocol: Write);
/// # #[derive(Default)]
/// # struct Diary(Vec<String>);
/// # impl Actor for Diary { type Protocol = DiaryProtocol; const KIND: &'static str = "diary"; }
/// # impl Handler<Write> for Diary {
/// #     async fn handle(&mut self, Write(text): Write, _cx: &mut Cx<Self>) -> Result<usize> {
/// #         self.0.push(text);
/// #         Ok(self.0.len())
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let system = System::builder("example").build()?;
/// let diary = system.spawn("diary", Diary::default).await?;
/// let writers: Vec<Recipient<Write>> = vec![diary.recipient(), (&diary).into()];
/// for writer in &writers {
///     writer.tell(Write("a line".to_owned())).await?;
/// }
/// assert_eq!(writers[0].ask(Write("the last".to_owned())).await?, 3);
/// # system.shutdown(std::time::Duration::from_secs(5)).await
/// # }).unwrap();
/// ```
pub struct Recipient<M> {
    route: Route,
    index: usize,
    message: PhantomData<fn(M)>,
}

impl<P: Protocol> Ref<P> {
    /// Returns a reference that knows one message of the protocol only.
    #[must_use]
    pub fn recipient<M: Message>(&self) -> Recipient<M>
    where
        P: Accepts<M>,
    {
        Recipient { route: self.route.clone(), index: P::INDEX, message: PhantomData }
    }
}

impl<P: Accepts<M>, M: Message> From<&Ref<P>> for Recipient<M> {
    fn from(actor: &Ref<P>) -> Self {
        actor.recipient()
    }
}

impl<M: Message> Recipient<M> {
    /// Tells a message. See [`Ref::tell`].
    ///
    /// # Errors
    /// As [`Ref::tell`].
    pub fn tell(&self, message: M) -> Tell<'_> {
        self.post(message, Carried::Nothing)
    }

    /// Tells a message on behalf of a call. See [`Ref::tell_with`].
    pub fn tell_with(&self, message: M, context: &CallContext) -> Tell<'_> {
        self.post(message, Carried::on_behalf_of(context))
    }

    /// Tells a message without waiting. See [`Ref::try_tell`].
    ///
    /// # Errors
    /// As [`Ref::try_tell`].
    pub fn try_tell(&self, message: M) -> Result<()> {
        self.route.try_send(CallPacket::told(self.index, message, Carried::Nothing))
    }

    /// Asks. See [`Ref::ask`].
    ///
    /// # Errors
    /// As [`Ref::ask`].
    pub fn ask(&self, message: M) -> Ask<M> {
        Ask::new(self.route.clone(), self.index, message)
    }

    /// Returns the path of the actor, or the kind and key of a virtual one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.route.name()
    }

    /// Returns the place of the actor; `None` for a virtual one that is not active.
    #[must_use]
    pub fn active(&self) -> Option<Address> {
        self.route.active().map(Address)
    }

    fn post(&self, message: M, carried: Carried) -> Tell<'_> {
        Tell::new(&self.route, Post::New(CallPacket::told(self.index, message, carried)))
    }
}

impl<M> Clone for Recipient<M> {
    fn clone(&self) -> Self {
        Self { route: self.route.clone(), index: self.index, message: PhantomData }
    }
}

impl<M: Message> fmt::Debug for Recipient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({} of {})", M::NAME, self.route.name())
    }
}
