//! `beluga top`: what a node is doing, live, and the keys to change it.
//!
//! Everything comes from the node over HTTP. [`view`] holds what is shown and what keys do, [`draw`] puts it into cells,
//! [`source`] asks the node, and the loop here brings them together. A node that goes away is shown as such and looked
//! for at every interval, also under the address of its successor.

mod detail;
mod draw;
mod plain;
mod rates;
mod screen;
mod snapshot;
mod source;
mod table;
#[cfg(test)]
mod testing;
mod text;
mod view;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use beluga::config::Environment;
use beluga_core::{BoxFuture, Error, Result};
use beluga_runtime::time;
use ratatui::crossterm::event::{Event, KeyEventKind};

use super::Failure;
use super::args::{Common, TopOptions};
use super::node::Stop;
use super::place::no_answer;
use draw::Theme;
use rates::Rates;
use screen::Screen;
use snapshot::Snapshot;
use source::{Looked, Source};
use view::{Seen, View, Wish};

/// How the node is reached.
#[derive(Debug)]
struct Link {
    url: String,
    /// For how long it has not answered, and why.
    lost: Option<(Duration, String)>,
}

/// Runs the command.
pub(super) async fn run(common: &Common, environment: &Environment, options: TopOptions) -> Result<(), Failure> {
    let source = Source::find(common, environment).await?;
    let first = Snapshot::read(source.look(None).await.map_err(no_answer)?, time::now());
    let mut top = Top {
        view: View::default(),
        seen: Seen { snapshot: first, rates: None },
        link: Link { url: source.url(), lost: None },
        lost_since: None,
        theme: Theme { has_color: environment.get("NO_COLOR").is_none_or(str::is_empty) },
    };
    if options.once || !std::io::stdout().is_terminal() {
        print!("{}", plain::write(&top.seen));
        return Ok(());
    }
    let mut screen = Screen::open()?;
    let outcome = top.watch(source, &mut screen, options.interval).await;
    drop(screen);
    outcome
}

/// The state of the command.
struct Top {
    view: View,
    seen: Seen,
    link: Link,
    lost_since: Option<Instant>,
    theme: Theme,
}

impl Top {
    /// Draws, listens and asks until the user leaves.
    async fn watch(&mut self, mut source: Source<'_>, screen: &mut Screen, interval: Duration) -> Result<(), Failure> {
        let (mut keys, mut stop) = (screen::keys()?, Stop::new()?);
        let mut next = time::now() + interval;
        let mut look: Option<BoxFuture<'_, Looked<'_>>> = None;
        let mut change: Option<BoxFuture<'_, Result<String>>> = None;
        loop {
            screen.draw(|frame| draw::draw(frame, &mut self.view, &self.seen, &self.link, self.theme))?;
            tokio::select! {
                event = keys.recv() => {
                    let event = event.ok_or_else(|| Error::internal("the terminal cannot be read any more"))?;
                    match self.on_event(&event) {
                        Wish::Draw => {}
                        Wish::Quit => return Ok(()),
                        Wish::Look => next = time::now(),
                        Wish::Change(..) if change.is_some() => {
                            self.view.notice = Some(("the last change is still under way".to_owned(), true));
                        }
                        Wish::Change(what, id, name) => change = Some(source.clone().change(what, id, name)),
                    }
                }
                looked = settled(&mut look) => {
                    look = None;
                    next = time::now() + interval;
                    source = self.take(looked);
                }
                changed = settled(&mut change) => {
                    change = None;
                    next = time::now();
                    self.view.notice = Some(match changed {
                        Ok(done) => (done, false),
                        Err(error) => (error.to_string(), true),
                    });
                }
                () = time::sleep_until(next), if look.is_none() => {
                    look = Some(source.clone().look_again(self.inspected()));
                }
                () = stop.wait() => return Ok(()),
            }
        }
    }

    /// Takes what the terminal told. A resize needs nothing but the drawing that follows.
    fn on_event(&mut self, event: &Event) -> Wish {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.view.on_key(*key, &self.seen),
            _ => Wish::Draw,
        }
    }

    /// Takes the outcome of a look; what was seen last stays as long as there is nothing newer.
    fn take<'a>(&mut self, looked: Looked<'a>) -> Source<'a> {
        let now = time::now();
        self.link.url = looked.source.url();
        match looked.outcome {
            Ok(documents) => {
                let snapshot = Snapshot::read(documents, now);
                // A gap in between would show an average of what nobody saw.
                let rates = self.lost_since.is_none().then(|| Rates::between(&self.seen.snapshot, &snapshot)).flatten();
                self.seen = Seen { snapshot, rates };
                (self.link.lost, self.lost_since) = (None, None);
            }
            Err(error) => {
                let since = *self.lost_since.get_or_insert(now);
                self.link.lost = Some((now.saturating_duration_since(since), error.to_string()));
            }
        }
        looked.source
    }

    /// Returns the actor whose detail is shown.
    fn inspected(&self) -> Option<u64> {
        let node = self.view.selected(&self.seen).filter(|_| self.view.inspects)?;
        (!node.is_job()).then_some(node.id)
    }
}

/// Waits for what is under way; for ever if nothing is.
async fn settled<T>(pending: &mut Option<BoxFuture<'_, T>>) -> T {
    match pending {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
