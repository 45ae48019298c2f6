//! What is measured: the cases, the systems, and who takes part in what.

/// A system under measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    MpscBounded,
    MpscUnbounded,
    Ractor,
    Kameo,
    Actix,
    Beluga,
}

impl System {
    const ALL: [System; 6] =
        [System::MpscBounded, System::MpscUnbounded, System::Ractor, System::Kameo, System::Actix, System::Beluga];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            System::MpscBounded => "tokio_mpsc_bounded",
            System::MpscUnbounded => "tokio_mpsc_unbounded",
            System::Ractor => "ractor",
            System::Kameo => "kameo",
            System::Actix => "actix",
            System::Beluga => "beluga",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.name() == name)
    }
}

/// What one operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Producers tell one actor, each a share.
    Tell { producers: u64 },
    /// One producer tells batches; an operation is one item.
    Batch,
    /// So many tasks ask one actor, each one ask after the other.
    Ask { at_a_time: u64 },
    /// Two actors pass a message to and fro; an operation is one hop.
    Pingpong,
    /// An actor is started, asked once and stopped.
    Spawn,
    /// An actor panics and runs again.
    Restart,
    /// Live actors that have nothing to do.
    Idle,
    /// Virtual actors that left memory.
    Passivated,
    /// A recorded span of a hop.
    HopSpan,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    CpuNs,
    /// The median of single events, by the wall clock on one thread that has nothing else to do.
    MedianNs,
    Bytes,
}

impl Unit {
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Unit::CpuNs => "CPU ns per operation",
            Unit::MedianNs => "ns, p50",
            Unit::Bytes => "bytes per actor",
        }
    }
}

/// One case.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    /// How many threads run tasks; what the goals speak of comes first.
    pub(crate) workers: &'static [usize],
    pub(crate) systems: &'static [System],
    pub(crate) about: &'static str,
}

impl Case {
    pub(crate) fn named(name: &str) -> Option<&'static Case> {
        CASES.iter().find(|case| case.name == name)
    }

    pub(crate) const fn unit(&self) -> Unit {
        match self.work {
            Work::Idle | Work::Passivated => Unit::Bytes,
            Work::Restart => Unit::MedianNs,
            _ => Unit::CpuNs,
        }
    }
}

const ALL: &[System] = &System::ALL;
const BELUGA: &[System] = &[System::Beluga];

/// A message with many items handled in one call is what every system has. Items that are told together and handled one by
/// one (`batch_each`) are a case of Beluga alone.
pub(crate) const CASES: [Case; 13] = [
    Case {
        name: "tell",
        work: Work::Tell { producers: 1 },
        workers: &[1, 2],
        systems: ALL,
        about: "One producer tells a counter and yields every 256 messages.",
    },
    Case {
        name: "tell4",
        work: Work::Tell { producers: 4 },
        workers: &[2, 1],
        systems: ALL,
        about: "Four producers tell one counter; each yields every 256 messages.",
    },
    Case {
        name: "ask",
        work: Work::Ask { at_a_time: 1 },
        workers: &[1, 2],
        systems: ALL,
        about: "One ask after the other. Beluga's has a deadline and can be cancelled; the others' have neither.",
    },
    Case {
        name: "ask64",
        work: Work::Ask { at_a_time: 64 },
        workers: &[2, 1],
        systems: ALL,
        about: "64 tasks ask one counter, each one ask after the other.",
    },
    Case {
        name: "pingpong",
        work: Work::Pingpong,
        workers: &[1],
        systems: ALL,
        about: "Two actors pass a message to and fro; an operation is one hop.",
    },
    Case {
        name: "spawn",
        work: Work::Spawn,
        workers: &[1],
        systems: ALL,
        about: "An actor is started, asked once and stopped; each step is awaited. Beluga's has a unique name and a supervisor.",
    },
    Case {
        name: "batch",
        work: Work::Batch,
        workers: &[1],
        systems: ALL,
        about: "Messages of 64 items, each message handled by one call; an operation is one item.",
    },
    Case {
        name: "restart",
        work: Work::Restart,
        workers: &[1],
        systems: &[System::Ractor, System::Kameo, System::Beluga],
        about: "From a panic in a handler to the start of the replacement: the first restart of a fresh actor. Beluga's counts \
                restarts and has a breaker; kameo's counts restarts; ractor's supervisor spawns anew. Neither channels nor \
                actix outlive a panic. It is the wall-clock time of the median restart on one thread, not an account of CPU time.",
    },
    Case {
        name: "idle_bytes",
        work: Work::Idle,
        workers: &[1],
        systems: ALL,
        about: "What the resident set grows by per actor that was told four messages, asked once, and has nothing to do. \
                Beluga's has used all its four lanes.",
    },
    Case {
        name: "batch_each",
        work: Work::Batch,
        workers: &[1],
        systems: BELUGA,
        about: "As `batch`, but of 64 messages told together, each of which is handled by a call of its own.",
    },
    Case {
        name: "tell_context",
        work: Work::Tell { producers: 1 },
        workers: &[1],
        systems: BELUGA,
        about: "As `tell`, on behalf of a call that carries an unsampled trace.",
    },
    Case {
        name: "hop_span",
        work: Work::HopSpan,
        workers: &[1],
        systems: BELUGA,
        about: "A sampled hop: its span opened with one attribute more, its fields taken over by a `tracing` layer, closed.",
    },
    Case {
        name: "passivated_bytes",
        work: Work::Passivated,
        workers: &[1],
        systems: BELUGA,
        about: "What the resident set grows by per virtual actor that was asked once and left memory, while its ref is held.",
    },
];
