//! Nodes with accounts: keyed actors whose balance lies in a store that refuses old tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxFuture, CallContext, Error, Result, TenantId};
use beluga_runtime::cluster::{Cluster, ClusterSettings};
use beluga_runtime::wire::frame::Fence;
use beluga_runtime::{
    Activation, Activator, Actor, Address, Cx, Family, FamilyOptions, Handler, Message, Ref, Silent, Sink, Spec,
    StreamHandler, System, protocol, testkit, time,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::net::Net;

/// Adds to a balance, and says what it is.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "account.add", reply = u64)]
pub(crate) struct Add(pub u64);

/// Notes a number in order.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "account.note", reply = ())]
pub(crate) struct Note(pub u64);

/// Returns the node it runs on.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "account.place", reply = String)]
pub(crate) struct Place;

/// Works for a while, and says whether it was let.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "account.work", reply = ())]
pub(crate) struct Work(pub u64);

/// Counts up to a number.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "account.count", stream = u64)]
pub(crate) struct Count(pub u64);

protocol!(pub(crate) AccountProtocol: Add, Note, Place, Work; stream Count);

/// What survives nodes: balances and notes by key, each with the token of whoever wrote last.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) balances: BTreeMap<String, (Option<Fence>, u64)>,
    pub(crate) notes: BTreeMap<String, Vec<u64>>,
    pub(crate) works: Works,
    /// How far the producers of streams came.
    pub(crate) counted: u64,
}

/// How many works came to their end, and how many were dropped before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Works {
    pub(crate) ended: usize,
    pub(crate) dropped: usize,
}

struct Account {
    key: String,
    node: String,
    fence: Option<Fence>,
    books: Arc<Mutex<Books>>,
}

impl Account {
    fn write(&self) -> Result<parking_lot::MutexGuard<'_, Books>> {
        let mut books = self.books.lock();
        let (last, _) = books.balances.entry(self.key.clone()).or_default();
        if *last > self.fence {
            return Err(Error::conflict("another node has the account").with("node", &self.node));
        }
        *last = self.fence;
        Ok(books)
    }
}

impl Actor for Account {
    type Protocol = AccountProtocol;
    const KIND: &'static str = "account";
}

impl Handler<Add> for Account {
    async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
        let mut books = self.write()?;
        let (_, balance) = books.balances.get_mut(&self.key).unwrap();
        *balance += n;
        Ok(*balance)
    }
}

impl Handler<Note> for Account {
    async fn handle(&mut self, Note(n): Note, _cx: &mut Cx<Self>) -> Result<()> {
        let mut books = self.write()?;
        books.notes.entry(self.key.clone()).or_default().push(n);
        Ok(())
    }
}

impl Handler<Place> for Account {
    async fn handle(&mut self, _place: Place, _cx: &mut Cx<Self>) -> Result<String> {
        Ok(self.node.clone())
    }
}

struct Dropped(Arc<Mutex<Books>>, bool);

impl Drop for Dropped {
    fn drop(&mut self) {
        let works = &mut self.0.lock().works;
        if self.1 {
            works.ended += 1;
        } else {
            works.dropped += 1;
        }
    }
}

impl Handler<Work> for Account {
    async fn handle(&mut self, Work(millis): Work, cx: &mut Cx<Self>) -> Result<()> {
        let mut dropped = Dropped(Arc::clone(&self.books), false);
        time::within(cx.context(), time::sleep(Duration::from_millis(millis))).await?;
        dropped.1 = true;
        Ok(())
    }
}

impl StreamHandler<Count> for Account {
    async fn handle(&mut self, Count(to): Count, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        for n in 1..=to {
            sink.send(n).await?;
            self.books.lock().counted = n;
        }
        sink.finish();
        Ok(())
    }
}

struct Root;

impl Actor for Root {
    type Protocol = Silent;
    const KIND: &'static str = "accounts";
}

struct Accounts {
    supervisor: Address,
    books: Arc<Mutex<Books>>,
    cluster: Mutex<Option<Cluster>>,
}

impl Activator<AccountProtocol> for Accounts {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<AccountProtocol>>> {
        let (key, books) = (key.to_owned(), Arc::clone(&self.books));
        let cluster = self.cluster.lock().clone();
        Box::pin(async move {
            let cluster = cluster.ok_or_else(|| Error::internal("no cluster yet"))?;
            let fence = cluster.serves(&TenantId::default(), "account", &key);
            let node = cluster.me().name.to_string();
            let name = key.clone();
            let factory = move || Account { key: key.clone(), node: node.clone(), fence, books: Arc::clone(&books) };
            Ok(Activation { supervisor: self.supervisor.clone(), spec: Spec::new(name, factory) })
        })
    }
}

/// A node.
pub(crate) struct Node {
    pub(crate) system: System,
    pub(crate) cluster: Cluster,
    pub(crate) family: Family<AccountProtocol>,
    accounts: Arc<Accounts>,
}

impl Node {
    /// Starts a node; its system is the test's own or a new one.
    pub(crate) async fn start(system: System, name: &str, net: &Net, books: &Arc<Mutex<Books>>) -> Node {
        let supervisor = system.spawn("accounts", || Root).await.unwrap().address().unwrap();
        let family: Family<AccountProtocol> = system.family("account", FamilyOptions::default());
        let accounts = Arc::new(Accounts { supervisor, books: Arc::clone(books), cluster: Mutex::default() });
        let settings = ClusterSettings { shards: 64, grace: Duration::from_secs(2), ..ClusterSettings::new(name) };
        let cluster = Cluster::start(&system, net.link(name), net.store(), settings).unwrap();
        *accounts.cluster.lock() = Some(cluster.clone());
        let (keys, activator) = (family.clone(), Arc::clone(&accounts));
        let resolve = move |_: &TenantId, key: &str| Ok(keys.resolve(key, Arc::clone(&activator) as Arc<_>));
        let keys = family.clone();
        let leave = move |leaving: beluga_runtime::cluster::Leaving| -> BoxFuture<'static, ()> {
            let keys = keys.clone();
            Box::pin(async move { keys.clear(|key| leaving.has(&TenantId::default(), key)).await })
        };
        cluster.serve("account", resolve, leave).unwrap();
        Node { system, cluster, family, accounts }
    }

    /// Returns the reference of an account, wherever it is.
    pub(crate) fn account(&self, key: &str) -> Ref<AccountProtocol> {
        self.cluster.key("account", &TenantId::default(), key)
    }

    /// Ends it without a word.
    pub(crate) async fn crash(self) {
        let Node { system, cluster, accounts, family } = self;
        accounts.cluster.lock().take();
        drop((cluster, accounts, family));
        drop(system.shutdown(Duration::from_secs(5)).await);
    }
}

/// Runs a test with a cluster of three.
pub(crate) fn cluster<F, R>(seed: u64, test: F)
where
    F: FnOnce(Net, Arc<Mutex<Books>>, Vec<Node>) -> R,
    R: Future<Output = Vec<Node>>,
{
    testkit::run(seed, |system| async move {
        let (net, books) = (Net::new(seed), Arc::default());
        let mut nodes = vec![Node::start(system.clone(), "n0", &net, &books).await];
        for name in ["n1", "n2"] {
            let system = System::builder(name).seed(seed).build()?;
            nodes.push(Node::start(system, name, &net, &books).await);
        }
        for node in &nodes {
            node.cluster.joined().await;
        }
        // Until all have their share.
        time::sleep(Duration::from_secs(15)).await;
        for node in test(net, books, nodes).await {
            node.crash().await;
        }
        system.shutdown_gracefully().await
    })
    .unwrap();
}

/// Makes a context that ends in so many milliseconds.
pub(crate) fn within(millis: u64) -> CallContext {
    CallContext::new().with_timeout(time::now(), Duration::from_millis(millis))
}
