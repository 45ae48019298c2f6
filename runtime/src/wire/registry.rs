//! What may be called from outside: the protocols of named actors, and the kinds that have keys.

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use beluga_core::{Error, Result, TenantId};
use parking_lot::RwLock;

use super::{Egress, Ingress, Target, WireEntry, WireProtocol, WireType};
use crate::actor::Actor;
use crate::delivery::Route;
use crate::ground::Ground;
use crate::naming::check_name;
use crate::reference::Ref;
use crate::system::System;
use crate::wire::ingress::Gate;
use crate::wire::remote::Remote;

/// The most protocols whose actors may be called by name.
pub const PROTOCOLS_MAX: usize = 4096;

/// The most kinds whose keys may be called.
pub const KINDS_MAX: usize = 1024;

/// Finds the route of a key.
type Resolver = Arc<dyn Fn(&TenantId, &str) -> Result<Route> + Send + Sync>;

/// A kind that has keys.
#[derive(Clone)]
struct Kind {
    entries: &'static [WireEntry],
    protocol: TypeId,
    resolve: Resolver,
}

/// What one system lets in.
#[derive(Default)]
pub(crate) struct Registry {
    protocols: RwLock<HashMap<TypeId, &'static [WireEntry]>>,
    kinds: RwLock<BTreeMap<&'static str, Kind>>,
}

impl Registry {
    fn register<P: WireProtocol>(&self) -> Result<()> {
        check_entries(P::ENTRIES)?;
        let mut protocols = self.protocols.write();
        if protocols.len() >= PROTOCOLS_MAX && !protocols.contains_key(&TypeId::of::<P>()) {
            return Err(Error::overloaded("too many protocols").with("protocols_max", PROTOCOLS_MAX));
        }
        protocols.insert(TypeId::of::<P>(), P::ENTRIES);
        Ok(())
    }

    fn serve<P: WireProtocol>(&self, kind: &'static str, resolve: Resolver) -> Result<()> {
        check_name(kind)?;
        check_entries(P::ENTRIES)?;
        let mut kinds = self.kinds.write();
        if kinds.contains_key(kind) {
            return Err(Error::conflict("the kind is served already").with("kind", kind));
        }
        if kinds.len() >= KINDS_MAX {
            return Err(Error::overloaded("too many kinds").with("kinds_max", KINDS_MAX));
        }
        kinds.insert(kind, Kind { entries: P::ENTRIES, protocol: TypeId::of::<P>(), resolve });
        Ok(())
    }

    /// Finds where a target is on this node, and what it understands.
    pub(super) fn find(&self, ground: &Ground, target: &Target) -> Result<(Route, &'static [WireEntry])> {
        match target {
            Target::Key { tenant, kind, key } => {
                let served = self.kind(kind)?;
                Ok((served.route(tenant, key)?, served.entries))
            }
            Target::Named { name, slot, .. } => {
                let found = ground.find(name).filter(|found| *slot == 0 || found.id() == *slot);
                let found = found.ok_or_else(|| Error::not_found("no actor has this name").with("name", name))?;
                let entries = self.protocols.read().get(&found.protocol()).copied();
                let closed = || Error::unsupported("the actor is not open to other nodes").with("name", name);
                Ok((Route::Slot(found), entries.ok_or_else(closed)?))
            }
        }
    }

    /// Finds where a target is on this node, for a reference of the protocol `P`.
    pub(super) fn route<P: WireProtocol>(&self, ground: &Ground, target: &Target) -> Result<Route> {
        let protocol = match target {
            Target::Key { kind, .. } => self.kind(kind)?.protocol,
            Target::Named { name, .. } => {
                let found = ground.find(name);
                found.ok_or_else(|| Error::not_found("no actor has this name").with("name", name))?.protocol()
            }
        };
        if protocol != TypeId::of::<P>() {
            return Err(Error::unsupported("the target speaks another protocol"));
        }
        self.find(ground, target).map(|(route, _)| route)
    }

    fn kind(&self, kind: &str) -> Result<Kind> {
        let served = self.kinds.read().get(kind).cloned();
        served.ok_or_else(|| Error::not_found("no such kind is served here").with("kind", kind))
    }
}

impl Kind {
    fn route(&self, tenant: &str, key: &str) -> Result<Route> {
        let tenant = TenantId::parse(tenant)?;
        check_name(key)?;
        (self.resolve)(&tenant, key)
    }
}

/// A name stands for one message of a protocol.
fn check_entries(entries: &[WireEntry]) -> Result<()> {
    for (index, entry) in entries.iter().enumerate() {
        let name = entry.wire_type.name;
        if entries.iter().skip(index + 1).any(|other| other.wire_type.name == name) {
            return Err(Error::conflict("two messages of the protocol have one name").with("message", name));
        }
    }
    Ok(())
}

impl System {
    /// Lets other nodes call the actors of this protocol by their names. A second call changes nothing.
    ///
    /// See [`wire`](crate::wire) for an example.
    ///
    /// # Errors
    /// `conflict` if two messages of the protocol have one name, `overloaded` beyond [`PROTOCOLS_MAX`] protocols.
    pub fn register<A>(&self) -> Result<()>
    where
        A: Actor,
        A::Protocol: WireProtocol,
    {
        self.ground().wire.register::<A::Protocol>()
    }

    /// Lets other nodes and clients call the keys of a kind. `resolve` says, for a tenant and a key of at most 256 bytes, who
    /// takes the call: a virtual actor ([`Family::resolve`](crate::Family::resolve)), a pool, one actor for all. It must not
    /// block.
    ///
    /// ```
    /// use beluga_runtime::wire::Target;
    /// # use beluga_core::Result;
    /// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Message, Serialize, Deserialize)]
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
    /// # beluga_runtime::testkit::run(1, |system| async move {
    /// let counter = system.spawn("counter", Counter::default).await?;
    /// system.serve("counter", move |_tenant, _key| Ok(counter.clone()))?;
    /// let served: Vec<_> = system.served().into_iter().map(|(kind, types)| (kind, types[0].name)).collect();
    /// assert_eq!(served, [("counter", "counter.add")]);
    /// # system.shutdown_gracefully().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `conflict` if the kind is served already or two messages of the protocol have one name, `invalid_input` for a bad name,
    /// `overloaded` beyond [`KINDS_MAX`] kinds.
    pub fn serve<P: WireProtocol>(
        &self,
        kind: &'static str,
        resolve: impl Fn(&TenantId, &str) -> Result<Ref<P>> + Send + Sync + 'static,
    ) -> Result<()> {
        let resolve = move |tenant: &TenantId, key: &str| resolve(tenant, key).map(|found| found.route);
        self.ground().wire.serve::<P>(kind, Arc::new(resolve))
    }

    /// Returns the kinds whose keys may be called, with their messages; sorted by kind.
    #[must_use]
    pub fn served(&self) -> Vec<(&'static str, Vec<WireType>)> {
        let kinds = self.ground().wire.kinds.read();
        let types = |entries: &'static [WireEntry]| entries.iter().map(|entry| entry.wire_type).collect();
        kinds.iter().map(|(kind, served)| (*kind, types(served.entries))).collect()
    }

    /// Returns the way in for encoded calls. It keeps the system's names and settings, and no actor alive.
    #[must_use]
    pub fn ingress(&self) -> Arc<dyn Ingress> {
        Arc::new(Gate::new(self.ground()))
    }

    /// Makes a reference to an actor that is, or may be, on another node. It works as any other one: tell, ask, stream, forward;
    /// dropping an ask or a stream cancels the call there, deadline and context go along.
    ///
    /// What is different: a lost connection may leave the outcome unknown (`unknown_outcome`); a tell that is dropped before it
    /// is ready may have been sent; a producer may be ahead by twice the stream's window, once on each side; and the messages
    /// of a batch arrive in order but not together.
    ///
    /// Where the target is served here ([`Egress::is_here`]) a message goes to its actor as it is.
    #[must_use]
    pub fn remote<P: WireProtocol>(&self, kind: &'static str, target: Target, egress: Arc<dyn Egress>) -> Ref<P> {
        Ref::to_route(Route::Virtual(Arc::new(Remote::new::<P>(self.ground(), kind, target, egress))))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocols, kinds) = (self.protocols.read().len(), self.kinds.read().len());
        f.debug_struct("Registry").field("protocols", &protocols).field("kinds", &kinds).finish()
    }
}
