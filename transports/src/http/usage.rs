//! What was spent, by whom and on what.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, Request, State};
use beluga_actors::budget::{UsageQuery, UsageReport};
use beluga_core::{CallContext, Code, Error, TenantId};
use serde::Deserialize;

use super::access;
use super::face::Face;
use super::problem::{Answer, Failure};

/// Which usage is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedUsage {
    /// Only of this tenant.
    tenant: Option<String>,
    /// Only of this agent.
    agent: Option<String>,
    /// Only of this model.
    model: Option<String>,
}

/// `GET /api/v1/usage`
pub(super) async fn usage(
    State(face): State<Face>,
    Extension(context): Extension<CallContext>,
    query: Result<Query<WantedUsage>, QueryRejection>,
    request: Request,
) -> Answer<Json<UsageReport>> {
    face.0.rates.read.admit(&context).await?;
    let Query(wanted) = query.map_err(|_| wrong_query())?;
    let budgets = face.0.agents.budgets().ok_or_else(|| Error::unsupported("this node has no budgets"))?;
    let wanted_tenant = wanted.tenant.map(TenantId::parse).transpose()?;
    let tenant = if access::operates(&face, &request).is_ok() {
        wanted_tenant
    } else if wanted_tenant.as_ref().is_none_or(|tenant| tenant == context.tenant()) {
        Some(context.tenant().clone())
    } else {
        return Err(Error::new(Code::PermissionDenied, "the usage of another tenant is its own affair").into());
    };
    Ok(Json(budgets.usage(&UsageQuery { tenant, agent: wanted.agent, model: wanted.model })))
}

fn wrong_query() -> Failure {
    let error = Error::invalid_input("the query may hold tenant, agent and model");
    Failure(error.with("field", "tenant, agent, model"))
}
