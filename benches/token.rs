//! From the socket's bytes to an agent's event: CPU time per streamed token, beside a hand-written loop.
//!
//! Run it with `cargo bench --bench token [-- --quick]`. A vendor of OpenAI's dialect on a thread of its own writes long
//! answers, as fast as they are taken, in writes of one or of sixteen events. Three readers on one other thread take them
//! in turn, interleaved: a loop over `reqwest` that cuts events at blank lines and parses the piece of text and nothing
//! else; the provider alone (`ChatModel::stream`); and an agent's events (`AgentRef::stream`): provider, supervised model
//! with its default policy, session with its journal in memory, turn, event hub. CPU time is that of all threads but the
//! vendor's, divided by tokens; what an answer costs once is in it, spread over its tokens.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, clippy::cast_precision_loss, missing_docs)]

mod meter;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use beluga_actors::agent::{Agent, AgentRef, Agents};
use beluga_actors::model::{ModelPolicy, Models};
use beluga_actors::session::{Invoke, Settings, Stores};
use beluga_core::{
    CallContext, ChatMessage, ChatModel, Event, Host, ModelChunk, ModelRegistry, ModelRequest, ProviderConfig,
    SessionId,
};
use beluga_providers::http::{HttpClient, Network};
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_runtime::System;
use futures_util::StreamExt;
use meter::{Accounts, Samples, switch};
use serde::Deserialize;
use wire::{Answer, Answering, Question, vendor};

/// The tokens of an answer.
const TOKENS: usize = 2_000;
/// The goal, in microseconds of CPU time per token.
const GOAL_US: f64 = 3.0;
/// The name of the vendor's thread.
const VENDOR: &str = "vendor";
/// How many events the vendor puts into one write.
const WRITES: [usize; 2] = [1, 16];

fn main() {
    let (repeats, answers) = if switch("--quick") { (5, 20) } else { (11, 100) };
    let address = start_vendor();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut figures = vec![[Samples::default(), Samples::default(), Samples::default()]; WRITES.len()];
    runtime.block_on(async {
        let system = System::builder("bench").seed(1).build().unwrap();
        let readers = Readers::start(&system, address).await;
        for each in WRITES {
            readers.warm(each).await;
        }
        for repeat in 0..repeats {
            for (each, figures) in WRITES.into_iter().zip(&mut figures) {
                for (kind, figure) in figures.iter_mut().enumerate() {
                    let before = Accounts::now();
                    for number in 0..answers {
                        readers.read(kind, each, &format!("{repeat}-{each}-{number}")).await;
                    }
                    let after = Accounts::now();
                    let spent = after.since(&before) - after.of_thread(VENDOR, &before);
                    figure.push(spent.as_secs_f64() * 1e6 / (answers * TOKENS) as f64);
                }
            }
        }
        drop(readers);
        system.shutdown(Duration::from_secs(30)).await.unwrap();
    });
    println!(
        "CPU us per token, {TOKENS} tokens an answer, medians of {repeats} interleaved repeats (lowest to highest)"
    );
    println!("{:<18}{:>26}{:>26}{:>26}", "", "reqwest and a loop", "the provider alone", "an agent's events");
    for (each, [by_hand, provider, agent]) in WRITES.iter().zip(&figures) {
        println!("{:<18}{:>26}{:>26}{:>26}", format!("{each} in a write"), by_hand, provider, agent);
        let met = if agent.median() <= GOAL_US { "met" } else { "missed" };
        println!(
            "  goal of {GOAL_US} us: {met}; the agent's way costs {:.2} us more than the loop",
            agent.median() - by_hand.median()
        );
    }
}

/// Starts the vendor on a thread of its own. The question names how many events go into one write.
fn start_vendor() -> SocketAddr {
    let (tell, told) = mpsc::channel();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let script = |question: Question, answer: Answer| -> Answering { Box::pin(answer_all(question, answer)) };
            tell.send(vendor(Arc::new(script)).await).unwrap();
            std::future::pending::<()>().await;
        });
    };
    std::thread::Builder::new().name(VENDOR.to_owned()).spawn(run).unwrap();
    told.recv().unwrap()
}

async fn answer_all(question: Question, mut answer: Answer) -> std::io::Result<()> {
    let each: usize = question.text().parse().unwrap();
    let texts = vec![" token"; each];
    for _ in 0..TOKENS / each {
        answer.pieces(&texts).await?;
    }
    answer.end("stop").await
}

/// The three ways an answer is read.
struct Readers {
    address: SocketAddr,
    client: reqwest::Client,
    model: Arc<dyn ChatModel>,
    agent: AgentRef,
}

impl Readers {
    async fn start(system: &System, address: SocketAddr) -> Self {
        let mut registry = ModelRegistry::new("provider kind");
        let client = HttpClient::new(Network::LoopbackOnly).unwrap();
        beluga_providers::llm::register_with(&mut registry, &client).unwrap();
        let config = ProviderConfig {
            base_url: Some(format!("http://{address}/v1")),
            model: Some("played".to_owned()),
            ..ProviderConfig::new("openai-compatible")
        };
        let host: Arc<dyn Host> = system.host();
        let model = registry.get("openai-compatible").unwrap().build(&config, host).unwrap();
        let stores = Stores {
            journal: Arc::new(MemoryJournal::new()),
            messages: Arc::new(MemoryMessages::new()),
            state: Arc::new(MemoryState::new()),
        };
        let agents = Agents::start(system, &stores, Settings::default()).await.unwrap();
        let models = Models::start(system).await.unwrap();
        let supervised = models.spawn("played", Arc::clone(&model), ModelPolicy::default()).await.unwrap();
        let agent = Agent::builder("assistant").model(supervised).spawn(&agents).await.unwrap();
        Self { address, client: by_hand_client(), model, agent }
    }

    async fn warm(&self, each: usize) {
        for kind in 0..3 {
            self.read(kind, each, &format!("warm-{each}-{kind}")).await;
        }
    }

    /// Reads one answer to its end.
    async fn read(&self, kind: usize, each: usize, session: &str) {
        let tokens = match kind {
            0 => self.by_hand(each).await,
            1 => self.by_provider(each).await,
            _ => self.by_agent(each, session).await,
        };
        assert_eq!(tokens, TOKENS);
    }

    async fn by_hand(&self, each: usize) -> usize {
        let body = serde_json::json!({
            "model": "played", "stream": true, "messages": [{"role": "user", "content": each.to_string()}],
        });
        let url = format!("http://{}/v1/chat/completions", self.address);
        let response = self.client.post(url).json(&body).send().await.unwrap();
        let (mut stream, mut buffer) = (response.bytes_stream(), Vec::new());
        let (mut tokens, mut text) = (0, String::new());
        while let Some(bytes) = stream.next().await {
            buffer.extend_from_slice(&bytes.unwrap());
            let mut start = 0;
            while let Some(length) = buffer[start..].windows(2).position(|two| two == b"\n\n") {
                let data = buffer[start..start + length].strip_prefix(b"data: ").unwrap();
                start += length + 2;
                if data == b"[DONE]" {
                    continue;
                }
                let chunk: Chunk<'_> = serde_json::from_slice(data).unwrap();
                if let Some(piece) = chunk.choices.first().and_then(|choice| choice.delta.content) {
                    text.push_str(piece);
                    tokens += 1;
                }
            }
            buffer.drain(..start);
        }
        assert_eq!(text.len(), TOKENS * " token".len());
        tokens
    }

    async fn by_provider(&self, each: usize) -> usize {
        let messages = vec![Arc::new(ChatMessage::user(each.to_string()))];
        let request = Arc::new(ModelRequest { messages, ..ModelRequest::default() });
        let mut chunks = self.model.stream(request, CallContext::new());
        let mut tokens = 0;
        while let Some(chunk) = chunks.next().await {
            tokens += usize::from(matches!(chunk.unwrap(), ModelChunk::Text { .. }));
        }
        tokens
    }

    async fn by_agent(&self, each: usize, session: &str) -> usize {
        let invoke = Invoke::text(each.to_string()).with_session(SessionId::parse(session).unwrap());
        let mut events = self.agent.stream(invoke).await.unwrap();
        let mut tokens = 0;
        while let Some(event) = events.next().await {
            match event.unwrap().event {
                Event::Text { text, .. } => tokens += text.matches(" token").count(),
                Event::Error { .. } => panic!("the turn failed"),
                _ => {}
            }
        }
        tokens
    }
}

/// Makes the client of the hand-written loop: as the providers' in what costs time.
fn by_hand_client() -> reqwest::Client {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).tcp_nodelay(true).no_proxy().build().unwrap()
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default)]
    content: Option<&'a str>,
}
