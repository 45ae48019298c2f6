//! Messages of this version and of the one before.

use beluga_core::{Code, Result};
use beluga_runtime::wire::{Codec, Manner, WireCall};
use beluga_runtime::{Actor, Cx, Handler, Message, protocol, testkit};
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

    protocol!(pub(super) BookProtocol: Order);
}

/// What the second version knows of the first.
#[derive(Deserialize)]
struct OrderV1 {
    title: String,
}

impl From<OrderV1> for Order {
    fn from(OrderV1 { title }: OrderV1) -> Self {
        Self { titles: vec![title], is_gift: false }
    }
}

#[derive(Debug, Message, Serialize, Deserialize)]
#[message(name = "book.order", version = 2, reply = String, upgrade_from = OrderV1)]
struct Order {
    titles: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_gift: bool,
}

protocol!(BookProtocol: Order);

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
fn a_newer_sender_hears_from_an_older_node_that_nothing_was_executed() {
    testkit::run(1, |near| async move {
        struct Old;
        impl Actor for Old {
            type Protocol = before::BookProtocol;
            const KIND: &'static str = "shop";
        }
        impl Handler<before::Order> for Old {
            async fn handle(&mut self, _: before::Order, _cx: &mut Cx<Self>) -> Result<String> {
                Ok(String::new())
            }
        }
        let far = testkit::system("far", 2);
        far.register::<Old>().unwrap();
        far.spawn("shop", || Old).await.unwrap();
        let (first, _second) = link(&near, &far);
        let new = near.remote::<BookProtocol>("shop", named("shop"), first.egress());
        let error = new.ask(Order { titles: Vec::new(), is_gift: false }).await.unwrap_err();
        assert_eq!((error.code(), error.get("newest")), (Code::Unsupported, Some("1")));
        near.shutdown(GRACE).await.unwrap();
        far.shutdown(GRACE).await.unwrap();
    });
}
