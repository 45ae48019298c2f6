//! The cluster as one node knows it, and nodes that are told to leave it.

use axum::Json;
use axum::extract::{Extension, State};
use beluga_core::{CallContext, Error, Result};
use beluga_runtime::cluster::{Cluster, ClusterReport};
use bytes::Bytes;
use serde_json::{Value, json};

use super::face::Face;
use super::problem::Answer;
use crate::request::{object, refuse_others, text};

/// `GET /api/v1/cluster`
pub(super) async fn show(
    State(face): State<Face>,
    Extension(context): Extension<CallContext>,
) -> Answer<Json<ClusterReport>> {
    face.0.rates.read.admit(&context).await?;
    Ok(Json(cluster(&face)?.report()))
}

/// `POST /api/v1/cluster/drain`: `{"node": NAME}` lets a node hand over its shards and leave; this one where it names none.
pub(super) async fn drain(State(face): State<Face>, body: Bytes) -> Answer<Json<Value>> {
    let cluster = cluster(&face)?;
    let mut fields = if body.is_empty() { serde_json::Map::new() } else { object(&body)? };
    let node = text(&mut fields, "node")?.unwrap_or_else(|| cluster.me().name.to_string());
    refuse_others(&fields, "node")?;
    cluster.drain(&node).await?;
    tracing::info!(node, "an operator told a node to leave the cluster");
    Ok(Json(json!({ "node": node, "leaves": true })))
}

fn cluster(face: &Face) -> Result<&Cluster> {
    face.0.cluster.as_ref().ok_or_else(|| Error::unsupported("this node is in no cluster: set [cluster] name"))
}
