//! Makes agents of `[agents.X]`.

use std::sync::Arc;

use beluga_actors::agent::{Agent, AgentSpec, Agents, Persona};
use beluga_actors::memory::{CoreMemory, RecallMemory};
use beluga_actors::model::{FallbackModel, ModelRef};
use beluga_core::{AgentName, ChatModel, Result};

use super::models::ModelSet;
use super::{budgets, context};
use crate::config::{AgentSettings, Config, MemoryTier};

/// The tiers of memory of a node.
#[derive(Debug, Clone)]
pub(super) struct Memories {
    pub(super) core: CoreMemory,
    pub(super) recall: RecallMemory,
}

fn named(model: ModelRef) -> (String, Arc<dyn ChatModel>) {
    (model.name().to_owned(), Arc::new(model))
}

/// Builds the definitions of all agents. Nothing is started.
///
/// # Errors
/// `config` or `not_found` names what an agent refers to.
pub(super) async fn build(
    agents: &Agents,
    config: &Config,
    models: &ModelSet,
    memories: &Memories,
) -> Result<Vec<AgentSpec>> {
    let mut specs = Vec::with_capacity(config.agents.len());
    for (name, settings) in &config.agents {
        specs.push(spec(agents, name, settings, config, models, memories).await?);
    }
    Ok(specs)
}

/// Puts definitions in force: new agents are spawned, known ones replaced, others removed. Turns that run go on with
/// the old definition.
///
/// # Errors
/// What the supervisor answers.
pub(super) async fn apply(agents: &Agents, specs: Vec<AgentSpec>) -> Result<()> {
    let wanted: Vec<AgentName> = specs.iter().map(|spec| spec.name.clone()).collect();
    for spec in specs {
        if agents.get(&spec.name).is_ok() {
            agents.replace(spec)?;
        } else {
            agents.spawn(spec).await?;
        }
    }
    for agent in agents.list() {
        if !wanted.contains(agent.name()) {
            agents.remove(agent.name())?;
        }
    }
    Ok(())
}

async fn spec(
    agents: &Agents,
    name: &str,
    settings: &AgentSettings,
    config: &Config,
    models: &ModelSet,
    memories: &Memories,
) -> Result<AgentSpec> {
    let first = models.get(settings.model.as_deref().unwrap_or_default())?;
    let mut builder = Agent::builder(name).description(&settings.description).instructions(&settings.instructions);
    builder = if settings.fallback.is_empty() {
        builder.model(first)
    } else {
        let others = settings.fallback.iter().map(|name| models.get(name).map(named)).collect::<Result<_>>()?;
        let total = Some(config.limits.turn_timeout.get());
        builder.model(FallbackModel::new(named(first), others, total, agents.system().random()))
    };
    let persona = &settings.persona;
    builder = builder.persona(Persona {
        role: persona.role.clone(),
        goal: persona.goal.clone(),
        backstory: persona.backstory.clone(),
        traits: persona.traits.clone(),
    });
    for tool in &settings.tools {
        builder = builder.shared_tool(agents.tools().get(tool)?);
    }
    for handoff in &settings.handoffs {
        builder = builder.handoff(handoff.agent(), handoff.mode());
    }
    if config.remembers(settings, MemoryTier::Core) {
        builder = builder.memory(memories.core.clone());
        for tool in memories.core.tools() {
            builder = builder.shared_tool(agents.tools().get(&tool.definition().name)?);
        }
    }
    if config.remembers(settings, MemoryTier::Recall) {
        builder = builder.memory(memories.recall.clone());
        builder = builder.shared_tool(agents.tools().get(&memories.recall.tool().definition().name)?);
    }
    if let Some(budget) = &settings.budget {
        builder = builder.budget(budgets::limits(budget));
    }
    if let Some(of_agent) = &settings.context {
        builder = builder.context(context::window(name, settings, of_agent, config, models)?);
    }
    if let Some(rounds) = settings.max_iterations {
        builder = builder.max_iterations(rounds);
    }
    builder.build(agents).await
}
