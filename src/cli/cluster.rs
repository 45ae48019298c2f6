//! `beluga cluster` and `beluga drain`: who is in the cluster, and who is to leave it.

use beluga::config::Environment;
use beluga_runtime::cluster::{ClusterReport, MemberReport, MemberState};
use serde_json::json;

use super::Failure;
use super::args::{ClusterOptions, Common, DrainOptions};
use super::place;

/// Runs `beluga cluster`.
pub(super) async fn show(common: &Common, environment: &Environment, options: &ClusterOptions) -> Result<(), Failure> {
    let node = place::need_node(common, environment).await?;
    let report = node.get("api/v1/cluster").await.map_err(place::no_answer)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        return Ok(());
    }
    let report: ClusterReport = serde_json::from_value(report)
        .map_err(|error| beluga_core::Error::decode("the node's cluster cannot be read").with_source(error))?;
    print!("{}", table(&report));
    Ok(())
}

/// Runs `beluga drain`.
pub(super) async fn drain(common: &Common, environment: &Environment, options: &DrainOptions) -> Result<(), Failure> {
    let node = place::need_node(common, environment).await?;
    let told = node.post("api/v1/cluster/drain", &json!({ "node": options.node })).await.map_err(place::no_answer)?;
    let name = told.get("node").and_then(serde_json::Value::as_str).unwrap_or_default();
    println!("{name} hands over its shards and leaves the cluster");
    Ok(())
}

/// Writes the report as people read it.
fn table(report: &ClusterReport) -> String {
    let mut rows = vec![["NODE", "EPOCH", "STATE", "WEIGHT", "SHARDS", "LEAVING"].map(str::to_owned)];
    rows.extend(report.members.iter().map(|member| line(member, report)));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    let version = report.version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    text.push_str(&format!("\nview {version}, {} shards", report.shards));
    if report.shards_unowned > 0 {
        text.push_str(&format!(", {} of them with nobody", report.shards_unowned));
    }
    if !report.is_ready {
        text.push_str(&format!("\n{} serves nothing at the moment", report.node.name));
    }
    text.push('\n');
    text
}

fn line(member: &MemberReport, report: &ClusterReport) -> [String; 6] {
    let state = match (member.state, &member.suspected_by) {
        (_, Some(by)) => format!("suspected by {by}"),
        (MemberState::Joining, None) => "joining".to_owned(),
        (MemberState::Up, None) => "up".to_owned(),
        (MemberState::Draining, None) => "draining".to_owned(),
    };
    let is_here = member.node == report.node;
    [
        format!("{}{}", member.node.name, if is_here { " *" } else { "" }),
        member.node.epoch.to_string(),
        state,
        member.weight.to_string(),
        member.shards.to_string(),
        member.leaving.to_string(),
    ]
}
