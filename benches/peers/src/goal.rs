//! What Beluga shall reach.

use std::fmt;

use crate::case::System;
use crate::plan::Row;

/// A bound that the median of Beluga shall keep.
pub(crate) struct Goal {
    case: &'static str,
    workers: usize,
    bound: Bound,
}

enum Bound {
    /// At most so many times the figure of a peer.
    Times(f64, System),
    /// At most so much.
    Most(f64, &'static str),
    /// At most so many nanoseconds more than in another case.
    MoreThan(f64, &'static str),
}

const fn times(case: &'static str, workers: usize, factor: f64, system: System) -> Goal {
    Goal { case, workers, bound: Bound::Times(factor, system) }
}

const fn most(case: &'static str, most: f64, unit: &'static str) -> Goal {
    Goal { case, workers: 1, bound: Bound::Most(most, unit) }
}

pub(crate) const GOALS: [Goal; 15] = [
    times("tell", 1, 1.0, System::MpscBounded),
    times("tell", 1, 0.5, System::Ractor),
    times("tell4", 2, 0.55, System::Ractor),
    times("tell4", 2, 0.35, System::Kameo),
    times("ask", 1, 0.8, System::Ractor),
    times("ask64", 2, 0.85, System::Ractor),
    times("pingpong", 1, 0.7, System::Ractor),
    times("spawn", 1, 1.4, System::Ractor),
    most("batch", 12.0, "ns"),
    most("batch_each", 12.0, "ns"),
    most("idle_bytes", 9_000.0, "bytes"),
    most("passivated_bytes", 300.0, "bytes"),
    most("restart", 15_000.0, "ns"),
    Goal { case: "tell_context", workers: 1, bound: Bound::MoreThan(15.0, "tell") },
    most("hop_span", 1_000.0, "ns"),
];

impl Goal {
    /// Returns what was measured and whether it is enough; `None` if it was not measured.
    pub(crate) fn check(&self, rows: &[Row]) -> Option<(String, bool)> {
        let median = |case: &str, system| {
            let mut rows = rows.iter().filter(|row| row.system == system && row.workers == self.workers);
            rows.find(|row| row.case.name == case).map(|row| row.figure.median)
        };
        let own = median(self.case, System::Beluga)?;
        Some(match self.bound {
            Bound::Times(factor, peer) => {
                let ratio = own / median(self.case, peer)?;
                (format!("{ratio:.2}"), ratio <= factor)
            }
            Bound::Most(most, unit) => (format!("{own:.1} {unit}"), own <= most),
            Bound::MoreThan(most, base) => {
                let more = own - median(base, System::Beluga)?;
                (format!("{more:.1} ns"), more <= most)
            }
        })
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, workers, bound } = self;
        match bound {
            Bound::Times(factor, peer) => write!(f, "`{case}`, workers {workers}: at most {factor} x {}", peer.name()),
            Bound::Most(most, unit) => write!(f, "`{case}`: at most {most} {unit}"),
            Bound::MoreThan(most, base) => write!(f, "`{case}`: at most {most} ns above `{base}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{CASES, Case};
    use crate::plan::Figure;

    fn rows(figure: impl Fn(&Case, System) -> f64) -> Vec<Row> {
        let each =
            |case: &'static Case| case.workers.iter().flat_map(|workers| case.systems.iter().map(|s| (*s, *workers)));
        let all = CASES.iter().flat_map(|case| each(case).map(move |(system, workers)| (case, system, workers)));
        let figure = |case, system| Figure::of(vec![figure(case, system)]).unwrap();
        all.map(|(case, system, workers)| Row { case, system, workers, figure: figure(case, system) }).collect()
    }

    #[test]
    fn every_goal_is_about_something_that_is_measured() {
        let rows = rows(|_, _| 10.0);
        for goal in &GOALS {
            assert!(goal.check(&rows).is_some(), "{goal}");
            assert!(goal.check(&[]).is_none(), "{goal}");
        }
    }

    #[test]
    fn a_goal_is_met_up_to_its_bound() {
        let system = |beluga| move |_: &Case, system| if system == System::Beluga { beluga } else { 100.0 };
        let half = times("tell", 1, 0.5, System::Ractor);
        assert_eq!(half.check(&rows(system(50.0))), Some(("0.50".to_owned(), true)));
        assert_eq!(half.check(&rows(system(51.0))), Some(("0.51".to_owned(), false)));
        let more = Goal { case: "tell_context", workers: 1, bound: Bound::MoreThan(15.0, "tell") };
        let costs = |extra| move |case: &Case, _| if case.name == "tell_context" { 80.0 + extra } else { 80.0 };
        assert_eq!(more.check(&rows(costs(15.0))), Some(("15.0 ns".to_owned(), true)));
        assert_eq!(more.check(&rows(costs(16.0))), Some(("16.0 ns".to_owned(), false)));
    }
}
