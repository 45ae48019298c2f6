//! `beluga usage`: what was spent on a node.

use beluga::config::Environment;
use beluga_actors::budget::{BudgetStatus, UsageReport, UsageRow};
use beluga_core::{Spend, SpendLimits};

use super::Failure;
use super::args::{Common, UsageOptions};
use super::place;

/// Runs the command.
pub(super) async fn run(common: &Common, environment: &Environment, options: &UsageOptions) -> Result<(), Failure> {
    let node = place::need_node(common, environment).await?;
    let report = node.get(&path(options)).await.map_err(place::no_answer)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        return Ok(());
    }
    let report: UsageReport = serde_json::from_value(report)
        .map_err(|error| beluga_core::Error::decode("the node's usage cannot be read").with_source(error))?;
    print!("{}", table(&report));
    Ok(())
}

fn path(options: &UsageOptions) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (key, value) in [("tenant", &options.tenant), ("agent", &options.agent), ("model", &options.model)] {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    format!("api/v1/usage?{}", query.finish())
}

/// The heads of the columns.
const HEADS: [&str; 9] = ["TENANT", "AGENT", "MODEL", "REQUESTS", "IN", "CACHED", "OUT", "COST", "RESERVED"];

/// The columns before the numbers, which are aligned to the right.
const NAMES: usize = 3;

/// Writes the report as people read it.
fn table(report: &UsageReport) -> String {
    let mut rows: Vec<[String; 9]> = vec![HEADS.map(str::to_owned)];
    rows.extend(report.usage.iter().map(line));
    if report.usage.len() > 1 {
        let mut total = line(&report.total);
        total[..NAMES].clone_from_slice(&["total", "", ""].map(str::to_owned));
        rows.push(total);
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..HEADS.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < NAMES { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    let limited = report.budgets.iter().filter(|budget| !budget.limits.is_none());
    for budget in limited {
        text.push_str(&format!("\n{} {}: {}", budget.level, budget.name, left(budget)));
    }
    if report.total.unpriced_requests > 0 {
        let unpriced = report.total.unpriced_requests;
        text.push_str(&format!("\n{unpriced} requests have an unknown cost: set the price of their model in [prices]"));
    }
    if report.total.estimated_requests > 0 {
        let estimated = report.total.estimated_requests;
        text.push_str(&format!("\n{estimated} requests ended before their tokens were told; they are estimated"));
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn line(row: &UsageRow) -> [String; 9] {
    [
        row.tenant.clone(),
        row.agent.clone(),
        format!("{}/{}", row.provider, row.model),
        row.requests.to_string(),
        row.input_tokens.to_string(),
        row.cached_tokens.to_string(),
        row.output_tokens.to_string(),
        cost(row),
        row.reserved_tokens.to_string(),
    ]
}

/// Writes a cost; one that is unknown in part is at least what is known of it.
fn cost(row: &UsageRow) -> String {
    match (row.unpriced_requests, row.requests) {
        (0, _) => dollars(row.cost_micro_usd),
        (unpriced, requests) if unpriced == requests => "unknown".to_owned(),
        _ => format!("≥{}", dollars(row.cost_micro_usd)),
    }
}

fn dollars(micro: u64) -> String {
    format!("${}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}s", millis / 1_000, millis % 1_000)
}

/// Writes what of each limited thing is spent, reserved and allowed.
fn left(budget: &BudgetStatus) -> String {
    let SpendLimits { requests, tokens, cost_micro_usd, time_ms } = budget.limits;
    let part = |name: &str, limit: Option<u64>, of: fn(&Spend) -> u64, shown: fn(u64) -> String| {
        let (spent, reserved, limit) = (shown(of(&budget.spent)), shown(of(&budget.reserved)), shown(limit?));
        Some(format!("{name} {spent} spent, {reserved} reserved of {limit}"))
    };
    let number = |number: u64| number.to_string();
    let parts = [
        part("requests", requests, |spend| spend.requests, number),
        part("tokens", tokens, |spend| spend.tokens, number),
        part("cost", cost_micro_usd, |spend| spend.cost_micro_usd, dollars),
        part("time", time_ms, |spend| spend.time_ms, seconds),
    ];
    let mut text = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
    if let Some(resets) = budget.resets_in_ms {
        text.push_str(&format!("; anew in {}", seconds(resets)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use beluga_actors::budget::Level;

    #[test]
    fn a_report_names_costs_limits_and_what_is_unknown() {
        let row = UsageRow {
            tenant: "acme".into(),
            agent: "support".into(),
            provider: "openai".into(),
            model: "gpt-5-mini".into(),
            requests: 3,
            input_tokens: 1_200,
            output_tokens: 80,
            cost_micro_usd: 1_234_567,
            ..UsageRow::default()
        };
        let unknown = UsageRow { model: "mine".into(), cost_micro_usd: 0, unpriced_requests: 3, ..row.clone() };
        let total = UsageRow { requests: 6, cost_micro_usd: 1_234_567, unpriced_requests: 3, ..UsageRow::default() };
        let limits = SpendLimits { tokens: Some(5_000), cost_micro_usd: Some(2_000_000), ..SpendLimits::NONE };
        let budget = |level, limits| BudgetStatus {
            level,
            name: "acme".into(),
            limits,
            spent: Spend { tokens: 1_280, cost_micro_usd: 1_234_567, ..Spend::ZERO },
            reserved: Spend { tokens: 100, ..Spend::ZERO },
            over: Spend::ZERO,
            resets_in_ms: Some(90_000),
        };
        let budgets = vec![budget(Level::Tenant, limits), budget(Level::Node, SpendLimits::NONE)];
        let text = table(&UsageReport { usage: vec![row, unknown], total, budgets });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "TENANT  AGENT    MODEL              REQUESTS    IN  CACHED  OUT        COST  RESERVED");
        assert_eq!(lines[1], "acme    support  openai/gpt-5-mini         3  1200       0   80   $1.234567         0");
        assert!(
            lines[2].contains("unknown") && lines[3].starts_with("total") && lines[3].contains("≥$1.234567"),
            "{text}"
        );
        let told = "tenant acme: tokens 1280 spent, 100 reserved of 5000; cost $1.234567 spent, $0.000000 reserved of \
                    $2.000000; anew in 90.000s";
        assert_eq!(lines[5], told);
        assert!(!text.contains("node acme") && text.contains("3 requests have an unknown cost"), "{text}");
    }
}
