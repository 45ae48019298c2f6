//! The time from a panic to the start of the replacement.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::peer::Peer;

/// Restarts of a sample.
const RESTARTS: u64 = 500;

/// Restarts before, unmeasured: the first panics of a process look up how to unwind.
const WARM_UP: u64 = 50;

/// What the panics say.
const WANTED: &str = "a panic that is wanted";

/// The actor's end: every incarnation holds it.
#[derive(Clone)]
pub(crate) struct Fuse {
    panicked: Arc<Mutex<Option<Instant>>>,
    times: mpsc::UnboundedSender<Duration>,
}

impl Fuse {
    /// Panics, and takes the time of it.
    #[allow(clippy::panic)] // It is what is measured.
    pub(crate) fn blow(&self) -> ! {
        *self.panicked.lock().expect("nobody panics with it locked") = Some(Instant::now());
        panic!("{WANTED}")
    }

    /// Says that an incarnation has started. The first one follows no panic.
    pub(crate) fn started(&self) {
        let panicked = self.panicked.lock().expect("nobody panics with it locked").take();
        if let Some(panicked) = panicked {
            self.times.send(panicked.elapsed()).expect("somebody waits");
        }
    }
}

/// The measuring end.
pub(crate) struct Stopwatch {
    fuse: Fuse,
    times: mpsc::UnboundedReceiver<Duration>,
}

impl Stopwatch {
    fn new() -> Self {
        let (sender, times) = mpsc::unbounded_channel();
        Self { fuse: Fuse { panicked: Arc::default(), times: sender }, times }
    }

    pub(crate) fn fuse(&self) -> Fuse {
        self.fuse.clone()
    }

    /// Waits for the start that follows a panic.
    pub(crate) async fn time(&mut self) -> Duration {
        self.times.recv().await.expect("this end holds a sender")
    }
}

/// Returns the time of the median restart, in nanoseconds.
pub(crate) async fn median<P: Peer>(peer: &P) -> f64 {
    silence();
    let mut stopwatch = Stopwatch::new();
    let mut times = Vec::new();
    for number in 0..WARM_UP + RESTARTS {
        let time = peer.restart(number, &mut stopwatch).await;
        if number >= WARM_UP {
            times.push(time);
        }
    }
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |median| median.as_nanos() as f64)
}

/// Printing a panic takes longer than a restart; wanted ones are not printed.
fn silence() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(WANTED) {
            usual(panic);
        }
    }));
}
