//! The commands of the binary.
//!
//! Exit codes: 0 done; 1 the turn or the command failed; 2 usage, configuration, or no node where one is needed.
#![allow(clippy::print_stdout, clippy::print_stderr)] // The room that talks to people.

mod args;
mod ask;
mod chat;
mod client;
mod cluster;
mod node;
mod place;
mod render;
mod top;
mod tree;
mod usage;

use std::process::ExitCode;

use beluga::config::{Config, ConfigError, Environment, Sources};
use beluga::telemetry::{self, Telemetry, TelemetrySettings};
use beluga_core::{Code, Error};
use clap::Parser as _;

use args::{Cli, Command, Common, SchemaOf};

/// The exit code of a usage or configuration error, or of a missing node.
const USAGE: u8 = 2;

/// Why a command ended badly.
enum Failure {
    /// The turn or the command failed: exit code 1.
    Failed(Error),
    /// The caller has to change something: exit code 2.
    Usage(String),
    /// It has been told already: exit code 1.
    Told,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.code() {
            Code::Config => Failure::Usage(error.to_string()),
            _ => Failure::Failed(error),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Usage(error.to_string())
    }
}

/// Runs the command line of the process.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::process();
    match dispatch(cli, &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => {
            eprintln!("beluga: {error}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(text)) => {
            eprintln!("beluga: {text}");
            ExitCode::from(USAGE)
        }
        Err(Failure::Told) => ExitCode::FAILURE,
    }
}

fn dispatch(cli: Cli, environment: &Environment) -> Result<(), Failure> {
    if let Command::Schema { of } = cli.command {
        let schema = match of {
            SchemaOf::Config => beluga::config::schema::<Config>(),
            SchemaOf::Nats => beluga::transports::nats::asyncapi(),
        };
        println!("{}", serde_json::to_string_pretty(&schema).unwrap_or_default());
        return Ok(());
    }
    let filter = match cli.command {
        Command::Node(_) => "info",
        // A line of the log would stand in the middle of the screen.
        Command::Top(_) => "off",
        _ => "error",
    };
    let telemetry = start_telemetry(&cli.common, environment, filter)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(Error::from(error)))?;
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Ask(options) => ask::run(&cli.common, environment, options).await,
            Command::Chat(options) => chat::run(&cli.common, environment, options, &telemetry).await,
            Command::Node(options) => Box::pin(node::run(&cli.common, environment, options, &telemetry)).await,
            Command::Cluster(options) => cluster::show(&cli.common, environment, &options).await,
            Command::Drain(options) => cluster::drain(&cli.common, environment, &options).await,
            Command::Top(options) => top::run(&cli.common, environment, options).await,
            Command::Tree { json } => tree::run(&cli.common, environment, json).await,
            Command::Usage(options) => usage::run(&cli.common, environment, &options).await,
            Command::Schema { .. } => Ok(()),
        }
    });
    // A reader of standard input may block for ever; nothing else is left to wait for.
    runtime.shutdown_background();
    telemetry.shutdown();
    outcome
}

fn start_telemetry(common: &Common, environment: &Environment, default: &str) -> Result<Telemetry, Failure> {
    let filter = common.log.clone().or_else(|| environment.get("RUST_LOG").map(str::to_owned));
    let filter = filter.unwrap_or_else(|| default.to_owned());
    Ok(telemetry::init(&TelemetrySettings { filter, format: common.log_format }, environment)?)
}

/// The sources of the configuration: the named file, else `beluga.toml` if there is one, and the environment.
fn sources(common: &Common, environment: &Environment) -> Result<Sources, Failure> {
    let sources = Sources::new(environment.clone());
    match common.config_file() {
        Some(path) => Ok(sources.file(&path)?),
        None => Ok(sources),
    }
}

fn load(common: &Common, environment: &Environment) -> Result<Config, Failure> {
    Ok(Config::load(&sources(common, environment)?)?)
}
