//! Who goes first: what a turn waits for, and recall, which may wait but not for ever.

use beluga_core::Recollection;

use super::super::RECALL_QUEUE_MAX;
use super::super::command::{Command, Work};
use super::super::queue::{Next, Queue};
use super::*;

fn urgent(queue: &Queue) {
    queue.push(Command::new(Work::Append(append("a", 0, "x"))).0).unwrap();
}

fn patient(messages: u64) -> Command {
    let entries: Vec<Recollection> = (0..messages).map(|n| recall::entry(n, "x")).collect();
    Command::new(Work::Remember { owner: recall::owner("a"), entries }).0
}

/// Runs one batch: how many commands, and whether they were recall's.
fn batch(queue: &Queue, has_background: bool) -> (Next, usize, bool) {
    let mut batch = Vec::new();
    let next = queue.next(&mut batch, false, has_background);
    (next, batch.len(), batch.first().is_some_and(Command::is_patient))
}

#[test]
fn appends_go_before_recall_that_came_first() {
    let queue = Queue::default();
    queue.push(patient(1)).unwrap();
    urgent(&queue);
    urgent(&queue);
    assert_eq!(batch(&queue, false), (Next::Batch, 2, false));
    assert_eq!(batch(&queue, false), (Next::Batch, 1, true));
}

#[test]
fn recall_gets_its_turn_under_a_load_that_never_pauses() {
    let queue = Queue::default();
    queue.push(patient(1)).unwrap();
    let mut before = 0;
    loop {
        urgent(&queue);
        match batch(&queue, false) {
            (Next::Batch, _, true) => break,
            _ => before += 1,
        }
    }
    assert_eq!(before, 16);
    assert_eq!(batch(&queue, false), (Next::Batch, 1, false));
    assert_eq!(batch(&queue, true), (Next::Background, 0, false));
}

#[test]
fn messages_are_indexed_in_small_transactions() {
    let queue = Queue::default();
    for messages in [30, 30, 30, 200, 1] {
        queue.push(patient(messages)).unwrap();
    }
    let sizes: Vec<usize> = (0..4).map(|_| batch(&queue, false).1).collect();
    assert_eq!(sizes, [2, 1, 1, 1]);
}

#[test]
fn recall_has_a_bound_of_its_own() {
    let queue = Queue::default();
    for _ in 0..RECALL_QUEUE_MAX {
        queue.push(patient(1)).unwrap();
    }
    assert_eq!(queue.push(patient(1)).unwrap_err().code(), beluga_core::Code::Overloaded);
    urgent(&queue);
}
