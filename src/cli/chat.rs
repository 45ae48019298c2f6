//! `beluga chat`: a conversation, line by line.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use beluga::config::Environment;
use beluga::node::Listen;
use beluga::telemetry::Telemetry;
use beluga_core::{AgentName, Event, HandoffMode, Result, SessionId};
use beluga_runtime::task;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::Failure;
use super::args::{ChatOptions, Common};
use super::place::{self, Place};
use super::render::{Ending, Printer};

/// How many lines are read ahead of the conversation.
const LINES_AHEAD: usize = 16;

/// Runs the command.
pub(super) async fn run(
    common: &Common,
    environment: &Environment,
    options: ChatOptions,
    telemetry: &Telemetry,
) -> Result<(), Failure> {
    let session = options.session.as_deref().map(SessionId::parse).transpose()?;
    let mut place = place::open(common, environment).await?;
    if let Place::Local(node) = &mut place {
        // A chat owns the directory for long: others reach the agents through it meanwhile.
        node.listen(Listen::loopback(telemetry)).await?;
        node.resume().await?;
    }
    let agent = match place.agent(options.agent.as_deref()).await {
        Ok(agent) => agent,
        Err(error) => {
            place.close().await;
            return Err(error.into());
        }
    };
    let terminal = std::io::stdin().is_terminal();
    let mut chat = Chat { place, agent, session, terminal };
    let outcome = chat.converse().await;
    chat.place.close().await;
    outcome
}

struct Chat {
    place: Place,
    agent: AgentName,
    session: Option<SessionId>,
    terminal: bool,
}

impl Chat {
    async fn converse(&mut self) -> Result<(), Failure> {
        let mut lines = read_lines()?;
        if self.terminal {
            eprintln!("Talking to {}. /exit or Ctrl-D ends; Ctrl-C cancels a turn.", self.agent);
        }
        let mut interrupted = false;
        loop {
            self.prompt();
            let line = tokio::select! {
                line = lines.recv() => line,
                _ = tokio::signal::ctrl_c() => {
                    if interrupted {
                        return Ok(());
                    }
                    interrupted = true;
                    eprintln!("\nCtrl-C again, or /exit, ends.");
                    continue;
                }
            };
            let Some(line) = line else { return Ok(()) };
            match line.trim() {
                "" => {}
                "/exit" | "/quit" => return Ok(()),
                command if command.starts_with('/') => eprintln!("Unknown command; there is /exit."),
                text => {
                    if self.turn(text).await? == Next::Exit {
                        return Ok(());
                    }
                }
            }
            interrupted = false;
        }
    }

    fn prompt(&self) {
        if self.terminal {
            print!("{}> ", self.agent);
            let _ = std::io::stdout().flush();
        }
    }

    /// Runs one turn. A failed turn is told and the conversation goes on.
    async fn turn(&mut self, text: &str) -> Result<Next> {
        let mut turn = match self.place.start(&self.agent, text, self.session.as_ref()).await {
            Ok(turn) => turn,
            Err(error) => {
                eprintln!("beluga: {error}");
                return Ok(Next::Go);
            }
        };
        self.session = Some(turn.session.clone());
        let mut printer = Printer::new(true);
        let mut cancelled = false;
        loop {
            let event = tokio::select! {
                event = turn.events.next() => event,
                _ = tokio::signal::ctrl_c() => {
                    printer.end_line();
                    if cancelled {
                        return Ok(Next::Exit);
                    }
                    cancelled = true;
                    self.place.cancel(&turn.session).await?;
                    continue;
                }
            };
            let event = match event {
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    printer.end_line();
                    eprintln!("beluga: {error}");
                    return Ok(Next::Go);
                }
                None => return Ok(Next::Go),
            };
            if let Event::Handoff { to, mode: HandoffMode::Transfer, .. } = &event.event {
                self.agent = to.clone();
            }
            match printer.event(&event) {
                None => {}
                Some(Ending::Done { .. }) => return Ok(Next::Go),
                Some(Ending::Failed(problem)) => {
                    eprintln!("beluga: {}: {}", problem.code, problem.detail);
                    return Ok(Next::Go);
                }
            }
        }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Exit,
}

/// Reads standard input on a thread of its own, because nothing can interrupt such a read.
fn read_lines() -> Result<mpsc::Receiver<String>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    task::spawn_thread("chat.input", move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
