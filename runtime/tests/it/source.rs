//! An actor that streams in every way the tests need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beluga_core::{Error, Result};
use beluga_runtime::stream::{Broadcast, Heard};
use beluga_runtime::{Actor, Cx, Handler, Message, Ref, ReplyStream, Sink, StreamHandler, System, protocol};
use futures_util::StreamExt;

use crate::fixture::*;

/// Counts from 1 in so many jobs at a time, each up to the limit.
#[derive(Message)]
#[message(name = "source.produce", stream = u64)]
pub(crate) struct Produce {
    pub jobs: usize,
    pub limit: u64,
}

/// Sends as many items as it is told and then ends.
#[derive(Message)]
#[message(name = "source.then", stream = u64)]
pub(crate) struct Then(pub u64, pub End);

#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Finish,
    /// Finishes and does not return for long.
    FinishAndStay,
    Fail,
    ReturnError,
    Drop,
    Panic,
}

/// Starts a job that asks and has a job of its own, and sends nothing.
#[derive(Message)]
#[message(name = "source.family", stream = u64)]
pub(crate) struct Family(pub Ref<CounterProtocol>);

/// Follows the broadcast.
#[derive(Message)]
#[message(name = "source.follow", stream = Heard<u64>)]
pub(crate) struct Follow;

/// Says so many items to all who follow.
#[derive(Message)]
#[message(name = "source.say", reply = usize)]
pub(crate) struct Say(pub u64);

protocol!(pub(crate) SourceProtocol: Say; stream Produce, Then, Family, Follow);

#[derive(Clone, Default)]
pub(crate) struct Source {
    pub journal: Journal,
    pub sent: Arc<AtomicU64>,
    pub read: Arc<AtomicU64>,
    /// The most items sent and not read at any moment.
    pub ahead: Arc<AtomicU64>,
    pub news: Broadcast<u64>,
}

impl Source {
    pub(crate) async fn start(&self, system: &System, name: &str) -> Ref<SourceProtocol> {
        let own = self.clone();
        system.spawn(name, move || own.clone()).await.unwrap()
    }

    pub(crate) fn count(&self) -> (u64, u64) {
        (self.sent.load(Ordering::SeqCst), self.read.load(Ordering::SeqCst))
    }

    pub(crate) async fn read(&self, stream: &mut ReplyStream<u64>, items: u64) {
        for _ in 0..items {
            stream.next().await.unwrap().unwrap();
            self.read.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Actor for Source {
    type Protocol = SourceProtocol;
    const KIND: &'static str = "source";
}

impl StreamHandler<Produce> for Source {
    async fn handle(&mut self, Produce { jobs, limit }: Produce, sink: Sink<u64>, cx: &mut Cx<Self>) -> Result<()> {
        let own = self.clone();
        drop(cx.job("produce", "produce", cx.context(), move |job| async move {
            let each = (0..jobs).map(|number| {
                let (sink, own) = (sink.clone(), own.clone());
                job.job("produce", number.to_string(), job.context(), move |_| async move {
                    let _ended = Ended(own.journal.clone());
                    for item in 1..=limit {
                        sink.send(item).await?;
                        let sent = own.sent.fetch_add(1, Ordering::SeqCst) + 1;
                        own.ahead.fetch_max(sent - own.read.load(Ordering::SeqCst), Ordering::SeqCst);
                    }
                    Ok(())
                })
            });
            for ended in futures_util::future::join_all(each).await {
                ended?;
            }
            sink.finish();
            Ok(())
        }));
        Ok(())
    }
}

impl StreamHandler<Then> for Source {
    async fn handle(&mut self, Then(items, end): Then, sink: Sink<u64>, cx: &mut Cx<Self>) -> Result<()> {
        for item in 1..=items {
            sink.send(item).await?;
        }
        match end {
            End::Finish => sink.finish(),
            End::FinishAndStay => {
                sink.finish();
                cx.sleep(Duration::from_secs(60)).await?;
            }
            End::Fail => sink.fail(Error::not_found("no more")),
            End::ReturnError => return Err(Error::not_found("no more")),
            End::Drop => {}
            End::Panic => panic!("on purpose"),
        }
        Ok(())
    }
}

impl StreamHandler<Family> for Source {
    async fn handle(&mut self, Family(far): Family, sink: Sink<u64>, cx: &mut Cx<Self>) -> Result<()> {
        let journal = self.journal.clone();
        drop(cx.job("parent", "parent", cx.context(), move |job| async move {
            let (_ended, _sink) = (Ended(journal.clone()), sink);
            let child = job.job("child", "child", job.context(), move |_| async move {
                let _ended = Ended(journal);
                std::future::pending::<Result<()>>().await
            });
            far.ask(Wait(Duration::from_secs(600)))
                .with_context(job.context())
                .within(Duration::from_secs(900))
                .await?;
            child.await
        }));
        Ok(())
    }
}

impl StreamHandler<Follow> for Source {
    async fn handle(&mut self, _: Follow, sink: Sink<Heard<u64>>, cx: &mut Cx<Self>) -> Result<()> {
        let news = self.news.subscribe();
        drop(cx.job("follow", "follow", cx.context(), move |_| sink.send_all(news)));
        Ok(())
    }
}

impl Handler<Say> for Source {
    async fn handle(&mut self, Say(items): Say, _cx: &mut Cx<Self>) -> Result<usize> {
        for _ in 0..items {
            self.news.send(self.news.last() + 1)?;
        }
        Ok(self.news.readers())
    }
}

/// How many jobs the actor has.
pub(crate) fn jobs(system: &System, name: &str) -> usize {
    system.snapshot().unwrap().find(name).unwrap().children.len()
}
