//! Virtual actors: one per key. The first message wakes it, idleness or a newcomer sends it away, its notes stay.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use beluga::core::BoxFuture;
use beluga::prelude::*;
use beluga::runtime::{Activation, Activator, Address, FamilyOptions, Silent, Spec, StopReason, time};
use parking_lot::Mutex;

#[derive(Message)]
#[message(name = "notebook.note", reply = usize)]
struct Note(&'static str);

protocol!(NotebookProtocol: Note);

type Shelf = Arc<Mutex<HashMap<String, Vec<String>>>>; // Where notes are kept: here a map, in earnest a database.

struct Notebook {
    owner: String,
    notes: Vec<String>,
    shelf: Shelf,
}

impl Actor for Notebook {
    type Protocol = NotebookProtocol;
    const KIND: &'static str = "notebook";

    async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
        self.notes = self.shelf.lock().get(&self.owner).cloned().unwrap_or_default();
        println!("  + {} comes with {} notes", self.owner, self.notes.len());
        Ok(())
    }

    async fn stopping(&mut self, _cx: &mut Cx<Self>, reason: StopReason) {
        println!("  - {} leaves: {reason:?}", self.owner);
    }
}

impl Handler<Note> for Notebook {
    async fn handle(&mut self, Note(text): Note, _cx: &mut Cx<Self>) -> Result<usize> {
        self.notes.push(text.to_owned());
        self.shelf.lock().insert(self.owner.clone(), self.notes.clone()); // Before it is acknowledged.
        Ok(self.notes.len())
    }
}

/// Says what a key stands for: who supervises it, and what it is started from. It may refuse.
struct Notebooks(Address, Shelf);

impl Activator<NotebookProtocol> for Notebooks {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<NotebookProtocol>>> {
        let (owner, shelf) = (key.to_owned(), Arc::clone(&self.1));
        let build = move || Notebook { owner: owner.clone(), notes: Vec::new(), shelf: Arc::clone(&shelf) };
        let activation = Activation { supervisor: self.0.clone(), spec: Spec::new(key, build) };
        Box::pin(async move { Ok(activation) })
    }
}

struct Desk; // Supervises them.
impl Actor for Desk {
    type Protocol = Silent;
    const KIND: &'static str = "desk";
}

#[tokio::main]
async fn main() -> Result<()> {
    let system = System::builder("notes").build()?;
    let notebooks = Arc::new(Notebooks(system.spawn("desk", || Desk).await?.address()?, Shelf::default()));
    let family = system.family("notebook", FamilyOptions { idle_after: Duration::from_millis(300), max_active: 2 });
    for (owner, text) in [("ann", "milk"), ("ben", "tea"), ("ann", "eggs"), ("cem", "oil"), ("ben", "rice")] {
        let count = family.resolve(owner, notebooks.clone()).ask(Note(text)).await?; // The reference is but a key.
        println!("{owner} has {count} notes, in memory are {:?}", family.active());
    }
    time::sleep(Duration::from_secs(1)).await;
    println!("after a second without a message: {:?}", family.active());
    println!("ann has {} notes", family.resolve("ann", notebooks).ask(Note("salt")).await?);
    system.shutdown_gracefully().await
}
