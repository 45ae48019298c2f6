//! The lower bound most people know: a task that reads a tokio channel. It survives no panic.

use std::future::Future;
use std::marker::PhantomData;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::peer::Peer;

/// The bound of Beluga's lanes.
const CAPACITY: usize = 1024;

pub(crate) enum Message {
    Add(u64),
    Items(Vec<u64>),
    Total(oneshot::Sender<u64>),
    Bounce(u64, oneshot::Sender<()>),
}

/// One of tokio's two channels.
pub(crate) trait Channel: Send + Sync + 'static {
    type Sender: Clone + Send + Sync + 'static;
    type Receiver: Send + 'static;

    fn pair() -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, message: Message) -> impl Future<Output = ()> + Send;
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<Message>> + Send;
}

/// Senders wait for a place.
#[derive(Default)]
pub(crate) struct Bounded;

impl Channel for Bounded {
    type Sender = mpsc::Sender<Message>;
    type Receiver = mpsc::Receiver<Message>;

    fn pair() -> (Self::Sender, Self::Receiver) {
        mpsc::channel(CAPACITY)
    }

    async fn send(sender: &Self::Sender, message: Message) {
        drop(sender.send(message).await);
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<Message> {
        receiver.recv().await
    }
}

/// Senders never wait.
#[derive(Default)]
pub(crate) struct Unbounded;

impl Channel for Unbounded {
    type Sender = mpsc::UnboundedSender<Message>;
    type Receiver = mpsc::UnboundedReceiver<Message>;

    fn pair() -> (Self::Sender, Self::Receiver) {
        mpsc::unbounded_channel()
    }

    async fn send(sender: &Self::Sender, message: Message) {
        drop(sender.send(message));
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<Message> {
        receiver.recv().await
    }
}

#[derive(Default)]
pub(crate) struct Mpsc<C>(PhantomData<C>);

impl<C: Channel> Peer for Mpsc<C> {
    type Counter = C::Sender;
    type End = JoinHandle<()>;

    async fn counter(&self, _: u64) -> (C::Sender, JoinHandle<()>) {
        let (sender, mut receiver) = C::pair();
        let task = tokio::spawn(async move {
            let mut total = 0_u64;
            while let Some(message) = C::receive(&mut receiver).await {
                match message {
                    Message::Add(n) => total += n,
                    Message::Items(items) => total += items.into_iter().sum::<u64>(),
                    Message::Total(reply) => drop(reply.send(total)),
                    Message::Bounce(..) => {}
                }
            }
        });
        (sender, task)
    }

    async fn tell(counter: &C::Sender, n: u64) {
        C::send(counter, Message::Add(n)).await;
    }

    async fn tell_items(counter: &C::Sender, items: Vec<u64>) {
        C::send(counter, Message::Items(items)).await;
    }

    async fn total(counter: &C::Sender) -> u64 {
        let (reply, answer) = oneshot::channel();
        C::send(counter, Message::Total(reply)).await;
        answer.await.unwrap_or(u64::MAX)
    }

    async fn stop(counter: C::Sender, task: JoinHandle<()>) {
        drop(counter);
        task.await.expect("the counter panicked");
    }

    async fn bounce(&self, hops: u64) {
        let (left, left_receiver) = C::pair();
        let (right, right_receiver) = C::pair();
        let players = [player::<C>(left_receiver, right), player::<C>(right_receiver, left.clone())];
        let (done, ended) = oneshot::channel();
        C::send(&left, Message::Bounce(hops, done)).await;
        ended.await.expect("the message was lost");
        for player in players {
            // Each holds the other's sender.
            player.abort();
        }
    }
}

fn player<C: Channel>(mut receiver: C::Receiver, other: C::Sender) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(message) = C::receive(&mut receiver).await {
            match message {
                Message::Bounce(0, done) => done.send(()).expect("somebody waits"),
                Message::Bounce(left, done) => C::send(&other, Message::Bounce(left - 1, done)).await,
                Message::Add(_) | Message::Items(_) | Message::Total(_) => {}
            }
        }
    })
}
