//! Accounts whose balances lie in a bucket of JetStream: what nodes of a cluster serve in these tests.

use std::sync::Arc;
use std::time::Duration;

use beluga::core::{BoxFuture, Error, Result, TenantId};
use beluga::runtime::SystemRandom;
use beluga::runtime::cluster::{Cluster, ClusterSettings, KvCas, Leaving, Swap, Timing};
use beluga::runtime::wire::frame::Fence;
use beluga::runtime::{
    Activation, Activator, Actor, Address, Cx, Family, FamilyOptions, Handler, Message, Ref, Silent, Sink, Spec,
    StreamHandler, System, protocol,
};
use beluga::transports::nats::{ConnectSettings, Connection, NatsLink, NatsStore};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Adds to a balance, and says what it is.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "account.add", reply = u64)]
pub struct Add(pub u64);

/// Returns the node it runs on.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "account.place", reply = String)]
pub struct Place;

/// Counts up to a number.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "account.count", stream = u64)]
pub struct Count(pub u64);

protocol!(pub AccountProtocol: Add, Place; stream Count);

struct Account {
    key: String,
    node: String,
    fence: Option<Fence>,
    books: Arc<dyn KvCas>,
    /// The revision and the balance as this account knows them.
    known: Option<(Option<u64>, u64)>,
}

impl Account {
    /// Reads the balance; refuses if an account with a higher token wrote it.
    async fn load(&mut self) -> Result<(Option<u64>, u64)> {
        if let Some(known) = self.known {
            return Ok(known);
        }
        let entry = self.books.read(&self.key).await?;
        let known = match &entry {
            None => (None, 0),
            Some(entry) => {
                let (fence, balance): (Option<Fence>, u64) = serde_json::from_slice(&entry.value).unwrap();
                if fence > self.fence {
                    return Err(Error::unavailable("another node has the account"));
                }
                (Some(entry.revision), balance)
            }
        };
        self.known = Some(known);
        Ok(known)
    }
}

impl Actor for Account {
    type Protocol = AccountProtocol;
    const KIND: &'static str = "account";
}

impl Handler<Add> for Account {
    async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
        for _ in 0..3 {
            let (revision, balance) = self.load().await?;
            let value = Bytes::from(serde_json::to_vec(&(self.fence, balance + n)).unwrap());
            match self.books.swap(&self.key, revision, value).await {
                Swap::Written(revision) => {
                    self.known = Some((Some(revision), balance + n));
                    return Ok(balance + n);
                }
                // What was read was not the newest.
                Swap::Conflict => self.known = None,
                Swap::Unknown => {
                    self.known = None;
                    return Err(Error::unknown_outcome("the books do not answer"));
                }
            }
        }
        Err(Error::unavailable("the books are not up to date"))
    }
}

impl Handler<Place> for Account {
    async fn handle(&mut self, _place: Place, _cx: &mut Cx<Self>) -> Result<String> {
        Ok(self.node.clone())
    }
}

impl StreamHandler<Count> for Account {
    async fn handle(&mut self, Count(to): Count, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        for n in 1..=to {
            sink.send(n).await?;
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
    books: Arc<dyn KvCas>,
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
            let factory =
                move || Account { key: key.clone(), node: node.clone(), fence, books: Arc::clone(&books), known: None };
            Ok(Activation { supervisor: self.supervisor.clone(), spec: Spec::new(name, factory) })
        })
    }
}

/// A node of a cluster.
pub struct Member {
    pub system: System,
    pub cluster: Cluster,
    pub connection: Connection,
    accounts: Arc<Accounts>,
}

impl Member {
    /// Starts a node; it joins as soon as it is heard.
    pub async fn start(connect: &ConnectSettings, name: &str, timing: Timing) -> Self {
        let system = System::builder(name).build().unwrap();
        let random = SystemRandom::from_entropy();
        let connection = Connection::open(connect, &random).await.unwrap();
        let books: Arc<dyn KvCas> = Arc::new(NatsStore::open(&connection, "books", 1).await.unwrap());
        let store = Arc::new(NatsStore::open(&connection, "test", 1).await.unwrap());
        let link = Arc::new(NatsLink::new(connection.clone(), "test").unwrap());
        let supervisor = system.spawn("accounts", || Root).await.unwrap().address().unwrap();
        let family: Family<AccountProtocol> = system.family("account", FamilyOptions::default());
        let accounts = Arc::new(Accounts { supervisor, books, cluster: Mutex::default() });
        let settings = ClusterSettings { timing, grace: Duration::from_secs(2), ..ClusterSettings::new(name) };
        let cluster = Cluster::start(&system, link, store, settings).unwrap();
        *accounts.cluster.lock() = Some(cluster.clone());
        let (keys, activator) = (family.clone(), Arc::clone(&accounts));
        let resolve = move |_: &TenantId, key: &str| Ok(keys.resolve(key, Arc::clone(&activator) as Arc<_>));
        let leave = move |leaving: Leaving| -> BoxFuture<'static, ()> {
            let keys = family.clone();
            Box::pin(async move { keys.clear(|key| leaving.has(&TenantId::default(), key)).await })
        };
        cluster.serve("account", resolve, leave).unwrap();
        Self { system, cluster, connection, accounts }
    }

    /// Returns the reference of an account, wherever it is.
    pub fn account(&self, key: &str) -> Ref<AccountProtocol> {
        self.cluster.key("account", &TenantId::default(), key)
    }

    /// Ends the node without a word to the others.
    pub async fn stop(self) {
        let Member { system, cluster, connection, accounts } = self;
        accounts.cluster.lock().take();
        drop((cluster, accounts, connection));
        system.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}
