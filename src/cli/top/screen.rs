//! The terminal: taken over while the view is open, and given back however it ends.

use std::io;

use beluga_core::{Error, Result};
use beluga_runtime::task;
use ratatui::crossterm::event::{self, Event};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc;

/// How many events of the terminal wait for the view.
const EVENTS_AHEAD: usize = 64;

/// The terminal in raw mode, on its alternate screen. It is given back by the drop, and by a hook before the text of a
/// panic is written.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// `internal` if it does not let itself be taken.
    pub(super) fn open() -> Result<Self> {
        ratatui::try_init().map(Self).map_err(refused)
    }

    /// Draws anew what has changed, to the terminal's size of now.
    ///
    /// # Errors
    /// `internal` if the terminal is gone.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.0.draw(draw).map(drop).map_err(refused)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A panic's hook has done it, and its text must not be written over.
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}

fn refused(error: io::Error) -> Error {
    Error::internal("the terminal does not obey").with_source(error)
}

/// Reads keys on a thread of its own, because nothing can interrupt such a read.
///
/// # Errors
/// `internal` if no thread can be started.
pub(super) fn keys() -> Result<mpsc::Receiver<Event>> {
    let (sender, receiver) = mpsc::channel(EVENTS_AHEAD);
    task::spawn_thread("top.keys", move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
