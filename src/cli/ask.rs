//! `beluga ask`: one question, one answer.

use std::io::Read as _;

use beluga::config::Environment;
use beluga_actors::session::Reply;
use beluga_core::{Error, Problem, SessionId};
use futures_util::StreamExt as _;

use super::Failure;
use super::args::{AskOptions, Common};
use super::place::{self, Place, Turn};
use super::render::{Ending, Printer};

/// The longest question read from standard input, in bytes.
const INPUT_MAX_BYTES: u64 = 1024 * 1024;

/// Runs the command.
pub(super) async fn run(common: &Common, environment: &Environment, options: AskOptions) -> Result<(), Failure> {
    match ask(common, environment, &options).await {
        Err(Failure::Failed(error)) if options.json => {
            print_problem(&error.problem());
            Err(Failure::Told)
        }
        outcome => outcome,
    }
}

async fn ask(common: &Common, environment: &Environment, options: &AskOptions) -> Result<(), Failure> {
    let session = options.session.as_deref().map(SessionId::parse).transpose()?;
    let text = question(&options.text)?;
    let place = place::open(common, environment).await?;
    let outcome = converse(&place, options, &text, session).await;
    place.close().await;
    outcome
}

fn question(text: &str) -> Result<String, Failure> {
    let mut question = text.to_owned();
    if text == "-" {
        question.clear();
        let read = std::io::stdin().take(INPUT_MAX_BYTES + 1).read_to_string(&mut question);
        read.map_err(|error| Failure::Usage(format!("standard input is no text: {error}")))?;
        if u64::try_from(question.len()).unwrap_or(u64::MAX) > INPUT_MAX_BYTES {
            return Err(Failure::Usage(format!("the question is longer than {INPUT_MAX_BYTES} bytes")));
        }
    }
    if question.trim().is_empty() {
        return Err(Failure::Usage("the question is empty".to_owned()));
    }
    Ok(question)
}

async fn converse(place: &Place, options: &AskOptions, text: &str, session: Option<SessionId>) -> Result<(), Failure> {
    let agent = place.agent(options.agent.as_deref()).await?;
    let mut turn = place.start(&agent, text, session.as_ref()).await?;
    let mut printer = Printer::new(!options.json);
    loop {
        let event = tokio::select! {
            event = turn.events.next() => event,
            _ = tokio::signal::ctrl_c() => {
                printer.end_line();
                // Otherwise the next process would take the turn up again.
                place.cancel(&turn.session).await?;
                return Err(Error::cancelled("the turn was cancelled").into());
            }
        };
        let event = event.ok_or_else(|| Error::unknown_outcome("the events ended before the turn"))??;
        match printer.event(&event) {
            None => {}
            Some(Ending::Done { result, usage }) if options.json => {
                let reply = Reply { result, session: turn.session, turn: event.turn, usage };
                println!("{}", serde_json::to_string(&reply).unwrap_or_default());
                return Ok(());
            }
            Some(Ending::Done { .. }) => return Ok(()),
            Some(Ending::Failed(problem)) => return Err(failed(options.json, &problem, &turn)),
        }
    }
}

fn failed(json: bool, problem: &Problem, turn: &Turn) -> Failure {
    if json {
        print_problem(problem);
    } else {
        eprintln!("beluga: {}: {} (session: {})", problem.code, problem.detail, turn.session);
    }
    Failure::Told
}

fn print_problem(problem: &Problem) {
    println!("{}", serde_json::to_string(problem).unwrap_or_default());
}
