//! `beluga node`: runs until it is told to stop.

use std::io::Write as _;
use std::time::Duration;

use beluga::config::{Config, Environment, Sources};
use beluga::node::{Claim, Connect, DataDir, Listen, Node};
use beluga::telemetry::Telemetry;
use beluga_core::{Error, Result};

use super::args::{Common, NodeOptions};
use super::{Failure, sources};

/// How long a node waits for the lock of one that was killed a moment ago.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(1);

/// The exit code of a node that was told twice.
const HURRIED: i32 = 1;

/// Runs the command.
pub(super) async fn run(
    common: &Common,
    environment: &Environment,
    options: NodeOptions,
    telemetry: &Telemetry,
) -> Result<(), Failure> {
    let sources = sources(common, environment)?;
    let mut config = Config::load(&sources)?;
    if let Some(address) = options.http {
        config.http.addr = address;
    }
    if let Some(server) = options.nats {
        config.nats.servers = vec![server];
    }
    let mut stop = Stop::new()?;
    let directory = match DataDir::claim_after(&common.data, PREDECESSOR_PATIENCE).await? {
        Claim::Ours(directory) => directory,
        Claim::Theirs(owner) => return Err(DataDir::taken(&common.data, owner.as_ref()).into()),
    };
    tracing::debug!(config = %config.masked(), "the configuration in force");
    let _upkeep = telemetry.metrics().upkeep();
    let mut node = Node::start(config, environment, directory, &options.name).await?;
    let serving =
        Serving { common, sources: &sources, telemetry, insecure: options.insecure_http, name: &options.name };
    let outcome = serving.run(&mut node, &mut stop).await;
    let ended = tokio::select! {
        ended = node.shutdown() => ended,
        () = stop.wait() => {
            tracing::warn!("told to stop a second time; leaving at once");
            std::process::exit(HURRIED);
        }
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "the end was not clean");
    }
    outcome
}

/// What a node serves with.
struct Serving<'a> {
    common: &'a Common,
    sources: &'a Sources,
    telemetry: &'a Telemetry,
    insecure: bool,
    name: &'a str,
}

impl Serving<'_> {
    /// Listens, connects, and waits for the word to stop.
    async fn run(self, node: &mut Node, stop: &mut Stop) -> Result<(), Failure> {
        let (sources, common) = (self.sources, self.common);
        let listen = Listen::configured(node.config(), sources.environment(), self.telemetry)?;
        let url = node.listen(Listen { insecure: self.insecure, ..listen }).await?;
        say(&format!("listening on {url}"));
        let sampler = self.telemetry.sampler();
        if let Some(connect) = Connect::configured(node.config(), sources.environment(), self.name, sampler)? {
            let servers = node.config().nats.servers.len();
            node.connect(connect).await?;
            say(&format!("serving over nats ({servers} configured)"));
        }
        let resumed = node.resume().await?;
        if resumed > 0 {
            tracing::info!(turns = resumed, "open turns are taken up again");
        }
        if let Some(path) = common.config_file() {
            node.watch(&path, sources)?;
        }
        tracing::info!(%url, "the node is ready");
        stop.wait().await;
        tracing::info!("told to stop; running turns may end");
        Ok(())
    }
}

/// Says something to whoever started the node; a node goes on when nobody listens any more.
fn say(line: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        tracing::debug!(%error, "nobody reads the standard output");
    }
}

/// The signals that end a node, or a view of one.
pub(super) struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    #[cfg(unix)]
    pub(super) fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let refuse = |error: std::io::Error| Error::internal("signals cannot be watched").with_source(error);
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(refuse)?,
            interrupt: signal(SignalKind::interrupt()).map_err(refuse)?,
        })
    }

    #[cfg(not(unix))]
    pub(super) fn new() -> Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next signal.
    #[cfg(unix)]
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn wait(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
