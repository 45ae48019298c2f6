//! The command line as types.

use std::path::{Path, PathBuf};
use std::time::Duration;

use beluga::config::Period;
use beluga::telemetry::LogFormat;
use clap::{Args, Parser, Subcommand};

/// The configuration file taken when none is named.
const CONFIG_FILE: &str = "beluga.toml";

const EXAMPLES: &str = "\
Examples:
  beluga ask \"What is 17% of 2340?\"
  beluga ask --session trip --agent assistant \"Which weekday is 90 days after 2026-11-20?\"
  beluga chat
  beluga node --http 127.0.0.1:8080
  beluga tree
  beluga usage --tenant acme
  beluga cluster
  beluga top --interval 500ms
  beluga schema config > beluga.schema.json
  beluga node --nats nats://127.0.0.1:4222

Without a configuration there is one agent, `assistant`. Its model is chosen by the environment:
ANTHROPIC_API_KEY, OPENAI_API_KEY, OPENAI_BASE_URL, GROQ_API_KEY, DEEPSEEK_API_KEY, GEMINI_API_KEY, in this order; with
none of them a small built-in offline model answers. OPENAI_MODEL names the model behind OPENAI_BASE_URL. Any setting can be overridden: BELUGA__HTTP__ADDR sets http.addr.

Exit codes: 0 done; 1 the turn or the command failed; 2 usage, configuration, or no node where one is needed.";

const TOP_KEYS: &str = "\
Keys:
  arrows, j k, PgUp PgDn, g G   move           enter   inspect the selected actor
  space, left, right            fold           /       filter by name, kind or state
  s   sort by tree, msg/s, queue, handler age, restarts
  p   pause, or resume          r   restart    x   stop for good (asks)    K   kill
  q   quit                      ?   help

A paused actor takes no message; what is sent to it waits. A restart keeps the queue and is no failure; a kill is one, and
its supervisor decides. The node is found as for `beluga tree`; one that goes away is looked for again. Changing a node
needs its token, or, where there is none, a node of this machine.
Without a terminal on standard output one snapshot is printed. NO_COLOR turns colours off.";

/// Supervised, durable, streaming AI agents.
#[derive(Debug, Parser)]
#[command(name = "beluga", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// The configuration file [default: beluga.toml, if there is one].
    #[arg(long, global = true, value_name = "FILE", env = "BELUGA_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// The data directory. The process that owns it serves the others.
    #[arg(long, global = true, value_name = "DIR", env = "BELUGA_DATA", default_value = "./beluga-data")]
    pub(super) data: PathBuf,
    /// The address of a node to talk to, such as http://127.0.0.1:8080; its token is read from BELUGA_TOKEN.
    #[arg(long, global = true, value_name = "URL", env = "BELUGA_URL")]
    pub(super) url: Option<String>,
    /// What is logged, as a level or as directives: info,beluga_actors=debug.
    #[arg(long, global = true, value_name = "FILTER", env = "BELUGA_LOG")]
    pub(super) log: Option<String>,
    /// How log lines look [default: text on a terminal, json otherwise].
    #[arg(long, global = true, value_enum, value_name = "FORMAT", env = "BELUGA_LOG_FORMAT")]
    pub(super) log_format: Option<LogFormat>,
}

impl Common {
    /// Returns the configuration file to read, if there is one.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| Path::new(CONFIG_FILE).exists().then(|| PathBuf::from(CONFIG_FILE)))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Ask one question and print the answer as it comes.
    Ask(AskOptions),
    /// Talk to an agent, line by line.
    Chat(ChatOptions),
    /// Run a node until it is told to stop.
    Node(NodeOptions),
    /// Show the tree of a running node.
    Tree {
        /// Print the tree as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what was spent on a running node: tokens and cost by tenant, agent and model, and the budgets.
    Usage(UsageOptions),
    /// Show the cluster of a running node: members, their shards, who is suspected.
    Cluster(ClusterOptions),
    /// Let a node of the cluster hand over its sessions and leave. Its process goes on and serves nothing; stop it then.
    Drain(DrainOptions),
    /// Watch a running node live, and pause, restart, stop or kill its actors.
    #[command(after_help = TOP_KEYS)]
    Top(TopOptions),
    /// Print a contract: a JSON Schema, or AsyncAPI.
    Schema {
        /// What of.
        #[arg(value_enum)]
        of: SchemaOf,
    },
}

/// The options of `usage`.
#[derive(Debug, Args)]
pub(super) struct UsageOptions {
    /// Only this tenant.
    #[arg(long, value_name = "ID")]
    pub(super) tenant: Option<String>,
    /// Only this agent.
    #[arg(long, value_name = "NAME")]
    pub(super) agent: Option<String>,
    /// Only this model.
    #[arg(long, value_name = "ID")]
    pub(super) model: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The options of `cluster`.
#[derive(Debug, Args)]
pub(super) struct ClusterOptions {
    /// Print the report as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The options of `drain`.
#[derive(Debug, Args)]
pub(super) struct DrainOptions {
    /// The name of the node; the one that is asked where absent.
    #[arg(value_name = "NODE")]
    pub(super) node: Option<String>,
}

/// The options of `top`.
#[derive(Debug, Args)]
pub(super) struct TopOptions {
    /// The time between two looks at the node, 100ms to 1h.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(super) interval: Duration,
    /// Print one snapshot as text and exit.
    #[arg(long)]
    pub(super) once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(100)..=Duration::from_secs(3_600);
    let given = Period::parse(text).map(Period::get).filter(|given| bounds.contains(given));
    given.ok_or_else(|| "a whole number and ms, s, m or h, from 100ms to 1h".to_owned())
}

/// What `schema` can print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum SchemaOf {
    /// The schema of beluga.toml.
    Config,
    /// The subjects and messages of the NATS face, as AsyncAPI.
    Nats,
}

/// The options of `ask`.
#[derive(Debug, Args)]
pub(super) struct AskOptions {
    /// The question; "-" reads it from standard input.
    pub(super) text: String,
    /// The agent [default: assistant, or the only one].
    #[arg(long, value_name = "NAME")]
    pub(super) agent: Option<String>,
    /// The session to go on with, or to begin.
    #[arg(long, value_name = "ID")]
    pub(super) session: Option<String>,
    /// Print {result, session, turn, usage}, or the problem, as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The options of `chat`.
#[derive(Debug, Args)]
pub(super) struct ChatOptions {
    /// The agent [default: assistant, or the only one].
    #[arg(long, value_name = "NAME")]
    pub(super) agent: Option<String>,
    /// The session to go on with, or to begin.
    #[arg(long, value_name = "ID")]
    pub(super) session: Option<String>,
}

/// The options of `node`.
#[derive(Debug, Args)]
pub(super) struct NodeOptions {
    /// Where to listen [default: 127.0.0.1:8080]; port 0 takes a free one and prints it.
    #[arg(long, value_name = "ADDR", env = "BELUGA_HTTP_ADDR")]
    pub(super) http: Option<String>,
    /// The node's name.
    #[arg(long, value_name = "NAME", env = "BELUGA_NAME", default_value = "beluga")]
    pub(super) name: String,
    /// Listen beyond this machine without a token: whoever reaches the port may use the agents.
    #[arg(long)]
    pub(super) insecure_http: bool,
    /// A NATS server to serve the agents over, such as nats://127.0.0.1:4222; [nats] says who the node is there.
    #[arg(long, value_name = "URL", env = "BELUGA_NATS_URL")]
    pub(super) nats: Option<String>,
}
