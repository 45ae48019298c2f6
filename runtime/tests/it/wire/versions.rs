//! Messages of this version and of the one before.

use beluga_core::{Code, Result};
use beluga_runtime::wire::frame::Frame;
use beluga_runtime::wire::{Codec, Manner, WireCall};
use beluga_runtime::{Actor, Cx, Handler, Message, Sink, StreamHandler, protocol, testkit};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::actors::*;
use super::loopback::link;
use crate::fixture::GRACE;

/// The first version, as a node wrote it that was not upgraded yet.
mod before {
    use super::*;

    #[derive(Debug, Message, Serialize, Deserialize)]
    #[message(name = "book.order", version = 1, reply = String)]
    pub(super) struct Order {
        pub title: String,
    }

    /// Names the titles one by one.
    #[derive(Debug, Message, Serialize, Deserialize)]
    #[message(name = "book.browse", version = 1, stream = String)]
    pub(super) struct Browse {
        pub shelf: String,
    }

    protocol!(pub(super) BookProtocol: Order; stream Browse);

    /// The actor as it was.
    pub(super) struct Shop;

    impl Actor for Shop {
        type Protocol = BookProtocol;
        const KIND: &'static str = "shop";
    }

    impl Handler<Order> for Shop {
        async fn handle(&mut self, Order { title }: Order, _cx: &mut Cx<Self>) -> Result<String> {
            Ok(format!("old {title}"))
        }
    }

    impl StreamHandler<Browse> for Shop {
        async fn handle(&mut self, Browse { shelf }: Browse, sink: Sink<String>, _cx: &mut Cx<Self>) -> Result<()> {
            sink.send(format!("old {shelf}")).await?;
            sink.finish();
            Ok(())
        }
    }
}

/// What the second version knows of the first.
#[derive(Serialize, Deserialize)]
struct OrderV1 {
    title: String,
}

impl From<OrderV1> for Order {
    fn from(OrderV1 { title }: OrderV1) -> Self {
        Self { titles: vec![title], is_gift: false }
    }
}

impl From<&Order> for OrderV1 {
    fn from(order: &Order) -> Self {
        Self { title: order.titles.join(" & ") }
    }
}

#[derive(Debug, Message, Serialize, Deserialize)]
#[message(name = "book.order", version = 2, reply = String, upgrade_from = OrderV1, downgrade)]
struct Order {
    titles: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_gift: bool,
}

#[derive(Serialize, Deserialize)]
struct BrowseV1 {
    shelf: String,
}

impl From<BrowseV1> for Browse {
    fn from(BrowseV1 { shelf }: BrowseV1) -> Self {
        Self { shelves: vec![shelf] }
    }
}

impl From<&Browse> for BrowseV1 {
    fn from(browse: &Browse) -> Self {
        Self { shelf: browse.shelves.join(" & ") }
    }
}

#[derive(Debug, Message, Serialize, Deserialize)]
#[message(name = "book.browse", version = 2, stream = String, upgrade_from = BrowseV1, downgrade)]
struct Browse {
    shelves: Vec<String>,
}

protocol!(BookProtocol: Order; stream Browse);

struct Shop;

impl Actor for Shop {
    type Protocol = BookProtocol;
    const KIND: &'static str = "shop";
}

impl Handler<Order> for Shop {
    async fn handle(&mut self, Order { titles, is_gift }: Order, _cx: &mut Cx<Self>) -> Result<String> {
        Ok(format!("{} gift: {is_gift}", titles.join(", ")))
    }
}

impl StreamHandler<Browse> for Shop {
    async fn handle(&mut self, Browse { shelves }: Browse, sink: Sink<String>, _cx: &mut Cx<Self>) -> Result<()> {
        for shelf in shelves {
            sink.send(shelf).await?;
        }
        sink.finish();
        Ok(())
    }
}

#[test]
fn a_node_that_was_not_upgraded_yet_is_understood() {
    testkit::run(1, |near| async move {
        let far = testkit::system("far", 2);
        far.register::<Shop>().unwrap();
        far.spawn("shop", || Shop).await.unwrap();
        let (first, _second) = link(&near, &far);
        let old = near.remote::<before::BookProtocol>("shop", named("shop"), first.egress());
        assert_eq!(old.ask(before::Order { title: "A".to_owned() }).await.unwrap(), "A gift: false");
        let new = near.remote::<BookProtocol>("shop", named("shop"), first.egress());
        let order = Order { titles: vec!["A".to_owned(), "B".to_owned()], is_gift: true };
        assert_eq!(new.ask(order).await.unwrap(), "A, B gift: true");
        near.shutdown(GRACE).await.unwrap();
        far.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn versions_beyond_both_neighbours_are_refused_with_those_that_are_known() {
    testkit::run(1, |near| async move {
        let far = testkit::system("far", 2);
        far.register::<Shop>().unwrap();
        far.spawn("shop", || Shop).await.unwrap();
        for version in [0, 3, u16::MAX] {
            let call = WireCall {
                target: named("shop").into(),
                manner: Manner::Ask,
                message: "book.order".into(),
                version,
                codec: Codec::Json,
                payload: r#"{"title": "A", "titles": []}"#.into(),
                context: beluga_core::CallContext::new(),
                sender: 0,
            };
            let error = far.ingress().call(call).await.unwrap_err();
            assert_eq!(error.code(), Code::Unsupported);
            assert_eq!((error.get("oldest"), error.get("newest")), (Some("1"), Some("2")));
        }
        near.shutdown(GRACE).await.unwrap();
        far.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_node_that_was_not_upgraded_yet_is_spoken_to_in_its_version() {
    testkit::run(1, |near| async move {
        let far = testkit::system("far", 2);
        far.register::<before::Shop>().unwrap();
        far.spawn("shop", || before::Shop).await.unwrap();
        let (first, second) = link(&near, &far);
        let new = near.remote::<BookProtocol>("shop", named("shop"), first.egress());
        let order = || Order { titles: vec!["A".to_owned(), "B".to_owned()], is_gift: false };
        assert_eq!(new.ask(order()).await.unwrap(), "old A & B");
        new.tell(order()).await.unwrap();
        let browse = Browse { shelves: vec!["x".to_owned(), "y".to_owned()] };
        let titles: Vec<String> = new.stream(browse).open().try_collect().await.unwrap();
        assert_eq!(titles, ["old x & y"]);
        let versions: Vec<u16> = second
            .seen
            .lock()
            .iter()
            .filter_map(|frame| match frame {
                Frame::Call(call) => Some(call.version),
                _ => None,
            })
            .collect();
        assert_eq!(versions, [2, 1, 2, 1, 2, 1]);
        near.shutdown(GRACE).await.unwrap();
        far.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_newer_sender_without_an_older_form_hears_that_nothing_was_executed() {
    #[derive(Debug, Message, Serialize, Deserialize)]
    #[message(name = "book.order", version = 2, reply = String)]
    struct Newer;
    protocol!(NewerProtocol: Newer);
    testkit::run(1, |near| async move {
        let far = testkit::system("far", 2);
        far.register::<before::Shop>().unwrap();
        far.spawn("shop", || before::Shop).await.unwrap();
        let (first, _second) = link(&near, &far);
        let newer = near.remote::<NewerProtocol>("shop", named("shop"), first.egress());
        let error = newer.ask(Newer).await.unwrap_err();
        assert_eq!((error.code(), error.get("newest")), (Code::Unsupported, Some("1")));
        near.shutdown(GRACE).await.unwrap();
        far.shutdown(GRACE).await.unwrap();
    });
}
