//! The typed reference to core memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    BoxFuture, CallContext, Exchange, Memory, MemoryOwner, MemoryQuery, Recollection, Result, StateStore, Tool,
};
use beluga_runtime::{Activation, Activator, Address, Family, FamilyOptions, Ref, Spec, System};

use super::actor::CoreActor;
use super::message::{Block, Blocks, CoreProtocol, Edit, EditBlock, Forget, Read};
use super::tools;
use crate::memory::observe::{DELETE_MEMORY, LOAD_MEMORY, MemorySpan, UPSERT_MEMORY, context_of};

/// How long an owner's actor stays in memory without a message.
const IDLE_AFTER: Duration = Duration::from_secs(300);

/// The most owners in memory.
const OWNERS_MAX: usize = 10_000;

/// Core memory of every owner of a node. A tier for [`AgentBuilder::memory`](crate::agent::AgentBuilder::memory); its
/// [`tools`](Self::tools) let the agent edit it.
#[derive(Clone)]
pub struct CoreMemory {
    family: Family<CoreProtocol>,
    state: Arc<dyn StateStore>,
    supervisor: Address,
    span: MemorySpan,
}

impl CoreMemory {
    /// Starts core memory in a system, kept in a state store.
    ///
    /// # Errors
    /// `conflict` if the system has it already.
    pub async fn start(system: &System, state: Arc<dyn StateStore>) -> Result<Self> {
        let supervisor = crate::memory::supervisor(system).await?;
        let family = system.family("core_memory", FamilyOptions { idle_after: IDLE_AFTER, max_active: OWNERS_MAX });
        Ok(Self { family, state, supervisor, span: MemorySpan::new("core", system.random()) })
    }

    /// Returns `core_memory_append` and `core_memory_replace`: they edit the memory of whichever agent calls them.
    #[must_use]
    pub fn tools(&self) -> Vec<Arc<dyn Tool>> {
        tools::all(self)
    }

    /// Returns a block of an owner.
    ///
    /// # Errors
    /// What the state store answers.
    pub async fn block(&self, owner: &MemoryOwner, block: Block) -> Result<String> {
        Ok(self.owner(owner).ask(Read).await?.block(block).to_owned())
    }

    /// Adds a line to a block. The same key adds once.
    ///
    /// # Errors
    /// `invalid_input` if the block would grow too long.
    pub async fn append(&self, owner: &MemoryOwner, block: Block, text: String, key: Option<String>) -> Result<()> {
        self.edit(owner, block, Edit::Append(text), key, context_of(owner)).await
    }

    /// Replaces the one place of a block that reads `old`.
    ///
    /// # Errors
    /// `invalid_input` if `old` does not stand there exactly once, or the block would grow too long.
    pub async fn replace(
        &self,
        owner: &MemoryOwner,
        block: Block,
        (old, new): (String, String),
        key: Option<String>,
    ) -> Result<()> {
        self.edit(owner, block, Edit::Replace { old, new }, key, context_of(owner)).await
    }

    pub(super) async fn edit(
        &self,
        owner: &MemoryOwner,
        block: Block,
        edit: Edit,
        key: Option<String>,
        context: CallContext,
    ) -> Result<()> {
        let edit = async |context| {
            self.owner(owner).ask(EditBlock { block, edit, key }).with_context(&context).await.map(drop)
        };
        self.span.record(UPSERT_MEMORY, owner, context, edit).await
    }

    fn owner(&self, owner: &MemoryOwner) -> Ref<CoreProtocol> {
        let activator = OwnerActivator { memory: self.clone(), owner: owner.clone() };
        self.family.resolve(owner_key(owner), Arc::new(activator))
    }
}

impl fmt::Debug for CoreMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoreMemory").field("active", &self.family.len()).finish_non_exhaustive()
    }
}

/// Names an owner's actor.
pub(crate) fn owner_key(owner: &MemoryOwner) -> String {
    format!("{}.{}", owner.tenant, owner.agent)
}

struct OwnerActivator {
    memory: CoreMemory,
    owner: MemoryOwner,
}

impl Activator<CoreProtocol> for OwnerActivator {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<CoreProtocol>>> {
        let (owner, state) = (self.owner.clone(), Arc::clone(&self.memory.state));
        let spec = Spec::new(format!("core.{key}"), move || CoreActor::new(owner.clone(), Arc::clone(&state))).kept();
        let supervisor = self.memory.supervisor.clone();
        Box::pin(async move { Ok(Activation { supervisor, spec }) })
    }
}

impl Memory for CoreMemory {
    /// Does nothing: core memory changes only where the agent edits it.
    fn save(&self, _exchange: Exchange) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn load(&self, query: MemoryQuery) -> BoxFuture<'static, Result<String>> {
        let memory = self.clone();
        Box::pin(async move {
            let MemoryQuery { owner, context, .. } = query;
            let read = async |context| Ok(prompt(&*memory.owner(&owner).ask(Read).with_context(&context).await?));
            memory.span.record(LOAD_MEMORY, &owner, context, read).await
        })
    }

    /// Finds nothing: core memory is in the prompt already.
    fn search(&self, _query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        let memory = self.clone();
        Box::pin(async move {
            let forget = async |context| memory.owner(&owner).ask(Forget).with_context(&context).await;
            memory.span.record(DELETE_MEMORY, &owner, context_of(&owner), forget).await
        })
    }
}

fn prompt(blocks: &Blocks) -> String {
    let mut parts = Vec::new();
    if !blocks.persona.is_empty() {
        parts.push(format!("# Core memory: persona\n{}", blocks.persona));
    }
    if !blocks.human.is_empty() {
        parts.push(format!("# Core memory: human\n{}", blocks.human));
    }
    parts.join("\n\n")
}
