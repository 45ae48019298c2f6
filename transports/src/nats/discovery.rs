//! Discovery as NATS micro services do it: `$SRV.PING`, `$SRV.INFO`, `$SRV.STATS` (ADR-32, read 2026-11).
//!
//! The shapes are the client library's own types; answering is done here, because an error has a body and a stream many
//! replies, and both are to be counted.

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use async_nats::datetime::{DateTime, from_nanos};
use async_nats::service::{Info, PingResponse, Stats, endpoint};
use async_nats::{Client, HeaderMap, Subscriber};
use beluga_core::{Error, Result};
use beluga_runtime::time;
use futures_util::StreamExt;
use futures_util::stream::{SelectAll, select_all};

use super::contract;
use super::face::Face;

/// The name of the service: every node is an instance of it.
pub const SERVICE: &str = "beluga";

/// The version of the contract, not of the program.
const VERSION: &str = "1.0.0";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Ping,
    Info,
    Stats,
}

/// Answers who this node is.
pub(super) struct Discovery {
    face: Face,
    id: String,
    started: DateTime,
    questions: SelectAll<Questions>,
}

type Questions = std::pin::Pin<Box<dyn futures_core::Stream<Item = (Asked, async_nats::Message)> + Send>>;

impl Discovery {
    /// Subscribes.
    pub(super) async fn open(face: &Face) -> Result<Self> {
        let id = format!("{:032x}", face.0.random.next_u128());
        let client = face.connection().client();
        let mut questions: Vec<Questions> = Vec::new();
        for (asked, word) in [(Asked::Ping, "PING"), (Asked::Info, "INFO"), (Asked::Stats, "STATS")] {
            for subscription in subscribe(client, word, &id).await? {
                questions.push(Box::pin(subscription.map(move |message| (asked, message))));
            }
        }
        let since = time::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = from_nanos(i128::try_from(since.as_nanos()).unwrap_or_default())
            .map_err(|error| Error::internal("the calendar time is out of range").with_source(error))?;
        Ok(Self { face: face.clone(), id, started, questions: select_all(questions) })
    }

    /// Answers until the connection ends.
    pub(super) async fn serve(mut self) {
        while let Some((asked, message)) = self.questions.next().await {
            let Some(reply) = message.reply else { continue };
            let body = match asked {
                Asked::Ping => serde_json::to_vec(&self.ping()),
                Asked::Info => serde_json::to_vec(&self.info()),
                Asked::Stats => serde_json::to_vec(&self.stats()),
            };
            match body {
                Ok(body) => {
                    if let Err(error) = self.face.answer(&reply, HeaderMap::new(), body.into()).await {
                        tracing::debug!(%error, "a question who is there was not answered");
                    }
                }
                Err(error) => tracing::error!(%error, "an answer to discovery is no JSON"),
            }
        }
    }

    fn ping(&self) -> PingResponse {
        PingResponse {
            kind: "io.nats.micro.v1.ping_response".to_owned(),
            name: SERVICE.to_owned(),
            id: self.id.clone(),
            version: VERSION.to_owned(),
            metadata: self.metadata(),
        }
    }

    fn info(&self) -> Info {
        let endpoints = self.face.0.counts.all().into_iter().flat_map(|(endpoint, _)| {
            self.face.subjects(endpoint).into_iter().map(move |subject| endpoint::Info {
                name: endpoint.name().to_owned(),
                subject,
                queue_group: endpoint.queue_group().to_owned(),
                metadata: contract::metadata(endpoint),
            })
        });
        Info {
            kind: "io.nats.micro.v1.info_response".to_owned(),
            name: SERVICE.to_owned(),
            id: self.id.clone(),
            description: "agents and their sessions; the schemas stand in the endpoints' metadata".to_owned(),
            version: VERSION.to_owned(),
            metadata: self.metadata(),
            endpoints: endpoints.collect(),
        }
    }

    fn stats(&self) -> Stats {
        let endpoints = self.face.0.counts.all().into_iter().flat_map(|(endpoint, count)| {
            // What an endpoint did is told once, not for each form of its subject.
            self.face.subjects(endpoint).into_iter().take(1).map(move |subject| endpoint::Stats {
                name: endpoint.name().to_owned(),
                subject,
                requests: count.requests,
                errors: count.errors,
                processing_time: count.processing,
                average_processing_time: count
                    .processing
                    .checked_div(u32::try_from(count.requests).unwrap_or(u32::MAX))
                    .unwrap_or_default(),
                last_error: count
                    .last_error
                    .clone()
                    .map(|(code, status)| async_nats::service::error::Error { code: code.into(), status }),
                data: None,
                queue_group: endpoint.queue_group().to_owned(),
            })
        });
        Stats {
            kind: "io.nats.micro.v1.stats_response".to_owned(),
            name: SERVICE.to_owned(),
            id: self.id.clone(),
            version: VERSION.to_owned(),
            started: self.started,
            endpoints: endpoints.collect(),
        }
    }

    /// Names the agents that may be called now.
    fn metadata(&self) -> HashMap<String, String> {
        let agents: Vec<String> = self.face.0.agents.list().iter().map(|agent| agent.name().to_string()).collect();
        let system = self.face.0.agents.system().name().to_owned();
        HashMap::from([("agents".to_owned(), agents.join(",")), ("node".to_owned(), system)])
    }
}

/// Subscribes to the three forms of a question: to all services, to this one, to this instance.
async fn subscribe(client: &Client, word: &str, id: &str) -> Result<Vec<Subscriber>> {
    let mut all = Vec::new();
    for subject in [format!("$SRV.{word}"), format!("$SRV.{word}.{SERVICE}"), format!("$SRV.{word}.{SERVICE}.{id}")] {
        let subscription = client.subscribe(subject).await;
        all.push(subscription.map_err(|error| Error::unavailable("the nats connection is closed").with_source(error))?);
    }
    Ok(all)
}
