//! The plan of a run: how much of what, in which order.

use std::fmt;
use std::process::{Command, Stdio};

use crate::case::{Case, System, Work};
use crate::child::Job;
use crate::drive::GRAIN;

/// How often each sample is taken, and how long it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) repeats: usize,
    /// The wall time of an average sample, in milliseconds.
    sample_ms: f64,
}

/// Median and range of the samples of one figure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    lowest: f64,
    highest: f64,
}

/// One figure of one system.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    pub(crate) system: System,
    pub(crate) workers: usize,
    pub(crate) figure: Figure,
}

/// What a run found out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Row>,
    /// Samples that gave no figure.
    pub(crate) failures: usize,
}

/// The same work for all systems that take part in a case.
struct Round {
    case: &'static Case,
    workers: usize,
    operations: u64,
    samples: Vec<(System, Vec<f64>)>,
}

impl Plan {
    pub(crate) const FULL: Plan = Plan { repeats: 5, sample_ms: 400.0 };
    pub(crate) const QUICK: Plan = Plan { repeats: 3, sample_ms: 150.0 };

    /// Takes all samples. Within a repeat every system runs once, in turn, in every case, so that a change of the machine's
    /// mood meets all of them.
    pub(crate) fn measure(self, cases: &[&'static Case]) -> Outcome {
        let mut failures = 0;
        let mut rounds: Vec<Round> = cases
            .iter()
            .flat_map(|case| case.workers.iter().map(move |workers| (*case, *workers)))
            .map(|(case, workers)| self.round(case, workers, &mut failures))
            .collect();
        for repeat in 1..=self.repeats {
            for round in &mut rounds {
                eprintln!("repeat {repeat} of {}: {}, workers: {}", self.repeats, round.case.name, round.workers);
                failures += round.sample();
            }
        }
        let rows = rounds.into_iter().flat_map(Round::rows).collect();
        Outcome { rows, failures }
    }

    /// Finds out how many operations all systems of a round do in the time they have together.
    fn round(self, case: &'static Case, workers: usize, failures: &mut usize) -> Round {
        let samples = case.systems.iter().map(|system| (*system, Vec::new())).collect();
        let mut round = Round { case, workers, operations: GRAIN, samples };
        if matches!(case.work, Work::Restart | Work::Idle | Work::Passivated) {
            return round;
        }
        let trials: Vec<Option<f64>> = case.systems.iter().map(|system| take(round.job(*system).trial())).collect();
        *failures += trials.iter().filter(|trial| trial.is_none()).count();
        let costs: Vec<f64> = trials.into_iter().flatten().filter(|cost| *cost > 0.0).collect();
        let together_ns = self.sample_ms * 1e6 * costs.len() as f64;
        round.operations = grains(together_ns / costs.iter().sum::<f64>());
        round
    }
}

/// Returns a count of operations with even shares, at least one grain.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A cast saturates, and a grain is the least.
fn grains(operations: f64) -> u64 {
    (operations as u64 / GRAIN * GRAIN).max(GRAIN)
}

impl Round {
    fn job(&self, system: System) -> Job {
        Job { case: self.case, system, workers: self.workers, operations: self.operations }
    }

    /// Takes one sample of each system; returns how many gave no figure.
    fn sample(&mut self) -> usize {
        let jobs: Vec<Job> = self.samples.iter().map(|(system, _)| self.job(*system)).collect();
        let mut failures = 0;
        for (job, (_, samples)) in jobs.into_iter().zip(&mut self.samples) {
            match take(job) {
                Some(sample) => samples.push(sample),
                None => failures += 1,
            }
        }
        failures
    }

    fn rows(self) -> impl Iterator<Item = Row> {
        let Self { case, workers, samples, .. } = self;
        samples
            .into_iter()
            .filter_map(move |(system, samples)| Some(Row { case, system, workers, figure: Figure::of(samples)? }))
    }
}

/// What the binary that measures actix is called. It stands beside this one.
const WITH_ACTIX: &str = "beluga-peers-actix";

/// Lets a child take one sample.
fn take(job: Job) -> Option<f64> {
    let program = std::env::current_exe().map(|this| match job.system {
        System::Actix => this.with_file_name(WITH_ACTIX),
        _ => this,
    });
    let output = program.and_then(|program| Command::new(program).args(job.words()).stderr(Stdio::inherit()).output());
    let figure = output.ok().filter(|output| output.status.success());
    let figure = figure.and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse().ok());
    if figure.is_none() {
        eprintln!("no figure of {:?}", job.words());
    }
    figure
}

impl Figure {
    pub(crate) fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let median = *samples.get(samples.len() / 2)?;
        Some(Self { median, lowest: *samples.first()?, highest: *samples.last()? })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, lowest, highest } = self;
        let digits = usize::from(*median < 20.0);
        write!(f, "{median:.digits$} ({lowest:.digits$} to {highest:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_with_its_range() {
        let figure = Figure::of(vec![30.0, 100.0, 20.0]).unwrap();
        assert_eq!(figure.to_string(), "30 (20 to 100)");
        assert_eq!(Figure::of(vec![2.5]).unwrap().to_string(), "2.5 (2.5 to 2.5)");
        assert!(Figure::of(Vec::new()).is_none());
    }

    #[test]
    fn operations_come_in_even_shares_and_never_as_none() {
        assert_eq!([1000.0, 256.0, 3.0, -1.0, f64::NAN].map(grains), [768, 256, 256, 256, 256]);
    }
}
