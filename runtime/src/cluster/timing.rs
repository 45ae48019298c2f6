//! How long a cluster waits for what.

use std::time::Duration;

use beluga_core::{Error, Result};

/// The waits of a cluster. All nodes of one cluster have the same; the defaults suit nodes in one data centre.
///
/// They hold each other up: a node serves for at most [`lease`](Self::lease) after the heartbeat its peers last confirmed,
/// and nobody takes its shards before [`lease`](Self::lease) and [`margin`](Self::margin) have passed without one. The margin
/// pays for clocks that run apart: 300 ms on a second allow for 30 %.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::cluster::Timing;
///
/// let timing = Timing { suspect: Duration::from_secs(2), ..Timing::default() };
/// assert!(timing.check().unwrap_err().to_string().contains("suspect"), "a suspect is told before its lease ends");
/// assert!(Timing::default().check().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats.
    pub beat: Duration,
    /// Silence after which a member is suspected: its peers go on without its word.
    pub suspect: Duration,
    /// How long a confirmed heartbeat lets a node serve its shards.
    pub lease: Duration,
    /// How much longer than the lease a node waits before it takes a silent member out.
    pub margin: Duration,
    /// Between two renewals of a node's record in the store.
    pub renew: Duration,
    /// How long a renewal lets a node serve its shards; longer than the store's own elections (5 to 7 s measured with
    /// nats-server 2.9.10).
    pub membership: Duration,
    /// How long a record must not have been renewed before anybody may revoke it.
    pub revoke: Duration,
    /// Between two looks at the view when nothing says that there is a newer one.
    pub poll: Duration,
    /// Between two steps of a rebalance.
    pub rebalance: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            beat: Duration::from_millis(125),
            suspect: Duration::from_millis(500),
            lease: Duration::from_millis(1_000),
            margin: Duration::from_millis(300),
            renew: Duration::from_secs(2),
            membership: Duration::from_secs(15),
            revoke: Duration::from_secs(24),
            poll: Duration::from_secs(1),
            rebalance: Duration::from_secs(1),
        }
    }
}

impl Timing {
    /// Checks that the waits hold each other up.
    ///
    /// # Errors
    /// `config` names the wait that is too long or too short for its neighbour.
    pub fn check(&self) -> Result<()> {
        let rules = [
            ("beat", self.beat * 2, "suspect", self.suspect),
            ("suspect", self.suspect, "lease", self.lease),
            ("renew", self.renew * 2, "membership", self.membership),
            ("membership", self.membership + self.membership / 4, "revoke", self.revoke),
        ];
        for (short, least, long, have) in rules {
            if least >= have {
                return Err(Error::config(format!("cluster: {short} is too long for {long}"))
                    .with(short, format!("{least:?}"))
                    .with(long, format!("{have:?}")));
            }
        }
        if self.beat.is_zero() || self.margin < self.lease / 10 {
            return Err(Error::config("cluster: beat and margin must not be next to nothing"));
        }
        Ok(())
    }

    /// Returns the silence after which a member may be taken out.
    #[must_use]
    pub fn verdict(&self) -> Duration {
        self.lease + self.margin
    }
}
