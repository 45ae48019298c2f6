//! The figures for people.

use std::fmt::Write;

use crate::case::{CASES, Case, System};
use crate::goal::GOALS;
use crate::place;
use crate::plan::{Outcome, Plan, Row};

const HEAD: &str = "# Beluga's kernel beside its peers

Written by `benches/peers/run`. One run on one machine; compare only inside it. Medians of interleaved repeats, lowest and
highest in brackets. CPU time is that of all threads of the process. Every sample is a process of its own, and all systems of
a case do the same number of operations. Built with the profile `bench`: release with thin link-time optimisation. Actix has a
binary of its own, as actix-rt turns on tokio's feature `parking_lot`, which changes what others cost at two workers.
";

/// Returns the report in Markdown.
pub(crate) fn markdown(outcome: &Outcome, plan: Plan, quick: bool) -> String {
    let mut text = HEAD.to_owned();
    let command = if quick { "./benches/peers/run --quick" } else { "./benches/peers/run" };
    let mut facts = place::facts();
    facts.push(("command", format!("`{command}`, {} repeats", plan.repeats)));
    text.push_str("\n| | |\n|---|---|\n");
    for (what, which) in facts {
        line(&mut text, format_args!("| {what} | {which} |"));
    }
    if outcome.failures > 0 {
        line(&mut text, format_args!("\n**{} samples gave no figure.**", outcome.failures));
    }
    goals(&mut text, &outcome.rows);
    for case in &CASES {
        table(&mut text, case, &outcome.rows);
    }
    text
}

fn goals(text: &mut String, rows: &[Row]) {
    text.push_str("\n## Goals\n\n| goal | measured | |\n|---|---|---|\n");
    for goal in &GOALS {
        match goal.check(rows) {
            Some((measured, met)) => {
                line(text, format_args!("| {goal} | {measured} | {} |", if met { "met" } else { "**missed**" }));
            }
            None => line(text, format_args!("| {goal} | not measured | |")),
        }
    }
}

fn table(text: &mut String, case: &Case, rows: &[Row]) {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.case.name == case.name).collect();
    if rows.is_empty() {
        return;
    }
    line(text, format_args!("\n## {}\n\n{}\n", case.name, case.about));
    line(text, format_args!("| system | workers | {} | beluga / system |\n|---|---|---|---|", case.unit().title()));
    for row in &rows {
        let own = rows.iter().find(|own| own.system == System::Beluga && own.workers == row.workers);
        let ratio = match own {
            Some(own) if row.system != System::Beluga => format!("{:.2}", own.figure.median / row.figure.median),
            _ => String::new(),
        };
        let Row { system, workers, figure, .. } = row;
        line(text, format_args!("| {} | {workers} | {figure} | {ratio} |", system.name()));
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a string does not fail.
    let _ = writeln!(text, "{arguments}");
}
