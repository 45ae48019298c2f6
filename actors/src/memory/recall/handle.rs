//! The typed reference to recall memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxFuture, Exchange, Memory, MemoryOwner, MemoryQuery, MessageStore, Recollection, Result, Tool};
use beluga_runtime::{Activation, Activator, Address, Family, FamilyOptions, Ref, Spec, System};

use super::actor::RecallActor;
use super::message::{Forget, RecallProtocol, Save, Search};
use super::tool::RecallSearch;
use crate::memory::core::owner_key;
use crate::memory::observe::{DELETE_MEMORY, MemorySpan, SEARCH_MEMORY, context_of};

/// How long an owner's actor stays in memory without a message.
const IDLE_AFTER: Duration = Duration::from_secs(300);

/// The most owners in memory.
const OWNERS_MAX: usize = 10_000;

/// Recall memory of every owner of a node. A tier for [`AgentBuilder::memory`](crate::agent::AgentBuilder::memory); its
/// [`tool`](Self::tool) lets the agent search it.
#[derive(Clone)]
pub struct RecallMemory {
    family: Family<RecallProtocol>,
    messages: Arc<dyn MessageStore>,
    supervisor: Address,
    span: MemorySpan,
}

impl RecallMemory {
    /// Starts recall memory in a system, kept in a message store.
    ///
    /// # Errors
    /// `conflict` if the system has it already.
    pub async fn start(system: &System, messages: Arc<dyn MessageStore>) -> Result<Self> {
        let supervisor = crate::memory::supervisor(system).await?;
        let family = system.family("recall_memory", FamilyOptions { idle_after: IDLE_AFTER, max_active: OWNERS_MAX });
        Ok(Self { family, messages, supervisor, span: MemorySpan::new("recall", system.random()) })
    }

    /// Returns `recall_search`: it searches the memory of whichever agent calls it.
    #[must_use]
    pub fn tool(&self) -> Arc<dyn Tool> {
        Arc::new(RecallSearch::new(self.clone()))
    }

    fn owner(&self, owner: &MemoryOwner) -> Ref<RecallProtocol> {
        let activator = OwnerActivator { memory: self.clone(), owner: owner.clone() };
        self.family.resolve(owner_key(owner), Arc::new(activator))
    }
}

impl fmt::Debug for RecallMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecallMemory").field("active", &self.family.len()).finish_non_exhaustive()
    }
}

struct OwnerActivator {
    memory: RecallMemory,
    owner: MemoryOwner,
}

impl Activator<RecallProtocol> for OwnerActivator {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<RecallProtocol>>> {
        let (owner, messages) = (self.owner.clone(), Arc::clone(&self.memory.messages));
        let span = self.memory.span.clone();
        let spec = Spec::new(format!("recall.{key}"), move || {
            RecallActor::new(owner.clone(), Arc::clone(&messages), span.clone())
        })
        .kept();
        let supervisor = self.memory.supervisor.clone();
        Box::pin(async move { Ok(Activation { supervisor, spec }) })
    }
}

impl Memory for RecallMemory {
    /// Hands the exchange to the owner's actor; it is indexed behind searches.
    fn save(&self, exchange: Exchange) -> BoxFuture<'static, Result<()>> {
        let actor = self.owner(&exchange.owner);
        Box::pin(async move {
            let context = exchange.context.clone();
            actor.tell_with(Save(exchange), &context).await
        })
    }

    /// Brings nothing into the prompt: the agent searches when it needs to.
    fn load(&self, _query: MemoryQuery) -> BoxFuture<'static, Result<String>> {
        Box::pin(async { Ok(String::new()) })
    }

    fn search(&self, query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        let memory = self.clone();
        Box::pin(async move {
            let (owner, context) = (query.owner.clone(), query.context.clone());
            let search = async |context| memory.owner(&owner).ask(Search(query)).with_context(&context).await;
            memory.span.record(SEARCH_MEMORY, &owner, context, search).await
        })
    }

    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        let memory = self.clone();
        Box::pin(async move {
            let forget = async |context| memory.owner(&owner).ask(Forget).with_context(&context).await;
            memory.span.record(DELETE_MEMORY, &owner, context_of(&owner), forget).await
        })
    }
}
