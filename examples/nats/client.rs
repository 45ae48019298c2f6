//! Talks to a Beluga node with the plain Rust client: `cargo run --example nats_client -- nats://127.0.0.1:4222`, beside
//! `beluga node --nats nats://127.0.0.1:4222`. It knows nothing of Beluga but the subjects.

#![allow(clippy::indexing_slicing, reason = "JSON answers null for what is not there")]

use async_nats::{Client, HeaderMap, Message};
use futures_util::StreamExt;
use serde_json::{Value, json};

const ROOT: &str = "beluga.v1.default";

type Failure = Box<dyn std::error::Error>;

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.headers.as_ref()?.get(name).map(|value| value.as_str())
}

async fn call(client: &Client, agent: &str, input: &str) -> Result<Value, Failure> {
    let body = json!({ "input": input }).to_string();
    let reply = client.request(format!("{ROOT}.agent.{agent}.call"), body.into()).await?;
    if let Some(error) = header(&reply, "Nats-Service-Error") {
        println!("error: {error}");
    }
    Ok(serde_json::from_slice(&reply.payload)?)
}

/// Prints a turn piece by piece. With credit the node is never more than four messages ahead.
async fn stream(client: &Client, agent: &str, input: &str) -> Result<(), Failure> {
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await?;
    let mut headers = HeaderMap::new();
    headers.insert("Beluga-Credit", "4");
    let body = json!({ "input": input }).to_string();
    let subject = format!("{ROOT}.agent.{agent}.stream");
    client.publish_with_reply_and_headers(subject, inbox, headers, body.into()).await?;
    while let Some(message) = messages.next().await {
        if let Some(end) = header(&message, "Beluga-Eos") {
            println!("\nended: {end}");
            break;
        }
        if header(&message, "Beluga-Event") == Some("text") {
            let event: Value = serde_json::from_slice(&message.payload)?;
            print!("{}", event["text"].as_str().unwrap_or_default());
        }
        if let Some(control) = message.reply {
            client.publish(control, r#"{"credit":1}"#.into()).await?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let client = async_nats::connect(url).await?;
    println!("call: {}", call(&client, "assistant", "What is 17% of 2340?").await?["result"]);
    stream(&client, "assistant", "What is 2 + 3?").await?;
    println!("problem: {}", call(&client, "nobody", "Hello?").await?["code"]);
    Ok(())
}
