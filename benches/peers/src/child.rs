//! The child: takes one sample, prints one number and is gone.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::beluga::{self, Batched, Beluga, Contextual};
use crate::case::{Case, System, Work};
use crate::drive::drive;
use crate::peer::Peer;
#[cfg(feature = "actix")]
use crate::peers::Actix;
use crate::peers::{Bounded, Kameo, Mpsc, Ractor, Unbounded};
use crate::{meter, restart};

/// The first word of a child's command line.
pub(crate) const SWITCH: &str = "--sample";

/// What stands for the operations if their cost is wanted.
const TRIAL: u64 = 0;

/// A child that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Actors that are made, and used, before memory is looked at: tables have their first size by then.
const IDLE_WARM_UP: u64 = 1_000;

/// Actors whose memory is measured.
const IDLE_ACTORS: u64 = 30_000;

/// One sample of one system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub(crate) case: &'static Case,
    pub(crate) system: System,
    pub(crate) workers: usize,
    pub(crate) operations: u64,
}

impl Job {
    /// Returns the job that only finds out what an operation costs, in wall time.
    pub(crate) fn trial(self) -> Self {
        Self { operations: TRIAL, ..self }
    }

    /// Returns the command line of the child.
    pub(crate) fn words(self) -> [String; 5] {
        let Self { case, system, workers, operations } = self;
        [SWITCH.into(), case.name.into(), system.name().into(), workers.to_string(), operations.to_string()]
    }

    fn parse(words: &[String]) -> Option<Self> {
        let [case, system, workers, operations] = words else { return None };
        Some(Self {
            case: Case::named(case)?,
            system: System::named(system)?,
            workers: workers.parse().ok()?,
            operations: operations.parse().ok()?,
        })
    }
}

pub(crate) fn run(words: &[String]) -> ExitCode {
    let Some(job) = Job::parse(words) else {
        eprintln!("not a job: {words:?}");
        return ExitCode::from(2);
    };
    std::thread::spawn(|| {
        std::thread::sleep(PATIENCE);
        eprintln!("no figure within {PATIENCE:?}");
        std::process::exit(3);
    });
    match (job.system, job.case.name) {
        (System::MpscBounded, _) => on_tokio(job, |job| sample(job, Mpsc::<Bounded>::default())),
        (System::MpscUnbounded, _) => on_tokio(job, |job| sample(job, Mpsc::<Unbounded>::default())),
        (System::Ractor, _) => on_tokio(job, |job| sample(job, Ractor)),
        (System::Kameo, _) => on_tokio(job, |job| sample(job, Kameo)),
        #[cfg(feature = "actix")]
        (System::Actix, _) => Actix::enter(job.workers, |actix| sample(job, actix)),
        #[cfg(not(feature = "actix"))]
        (System::Actix, _) => {
            eprintln!("this binary is built without actix");
            ExitCode::from(2)
        }
        (System::Beluga, "batch_each") => on_tokio(job, async |job| sample(job, Batched::new()).await),
        (System::Beluga, "tell_context") => on_tokio(job, async |job| sample(job, Contextual::new()).await),
        (System::Beluga, "passivated_bytes") => on_tokio(job, async |_| beluga::passivated_bytes().await),
        (System::Beluga, "hop_span") => on_tokio(job, async |job| timed(job, async |n| beluga::hop_spans(n)).await),
        (System::Beluga, _) => on_tokio(job, async |job| sample(job, Beluga::new()).await),
    }
}

/// Runs a sample on a runtime as users of tokio have it: of the current thread, or with so many workers.
fn on_tokio<F: Future<Output = f64>>(job: Job, sample: impl FnOnce(Job) -> F) -> ExitCode {
    let mut builder = match job.workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(job.workers).enable_all().build().expect("a runtime starts");
    runtime.block_on(async { answer(sample(job).await) })
}

/// Prints the figure and leaves at once: how long the actors that are left take to go is nobody's figure.
pub(crate) fn answer(figure: f64) -> ! {
    println!("{figure}");
    std::process::exit(0)
}

/// Takes one sample. Called in the runtime, outside its workers.
async fn sample<P: Peer>(job: Job, peer: P) -> f64 {
    let peer = Arc::new(peer);
    match job.case.work {
        Work::Idle => idle_bytes(&*peer).await,
        Work::Restart => restart::median(&*peer).await,
        work => {
            let driven = async |operations| {
                let peer = Arc::clone(&peer);
                let driver = P::spawn(async move { drive(&*peer, work, operations).await });
                driver.await.expect("the driver panicked");
            };
            timed(job, driven).await
        }
    }
}

async fn timed(job: Job, work: impl AsyncFn(u64)) -> f64 {
    if job.operations == TRIAL {
        meter::trial(work).await
    } else {
        meter::cpu_per_operation(job.operations, work).await
    }
}

async fn idle_bytes<P: Peer>(peer: &P) -> f64 {
    // Room for the handles is touched before, so that it is not counted; what a handle points to is.
    let mut held = Vec::new();
    held.resize_with(usize::try_from(IDLE_WARM_UP + IDLE_ACTORS).expect("it fits"), || None);
    let mut before = 0;
    for (number, place) in (0..).zip(&mut held) {
        if number == IDLE_WARM_UP {
            before = meter::resident_bytes();
        }
        let (counter, end) = peer.counter(number).await;
        P::use_all(&counter).await;
        assert_eq!(P::total(&counter).await, 4, "a message was lost");
        *place = Some((counter, end));
    }
    let grown = meter::resident_bytes() - before;
    drop(held);
    grown as f64 / IDLE_ACTORS as f64
}
