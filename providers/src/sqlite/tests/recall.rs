//! Messages beside the laws: forgetting in steps, and text of any kind.

use beluga_core::{AgentName, CallContext, MemoryOwner, MemoryQuery, Recollection, Role, SessionId, TurnId};
use proptest::prelude::*;

use super::*;

pub(super) fn owner(agent: &str) -> MemoryOwner {
    MemoryOwner { tenant: TenantId::default(), agent: AgentName::parse(agent).unwrap() }
}

pub(super) fn entry(n: u64, text: &str) -> Recollection {
    Recollection {
        session: SessionId::parse("s").unwrap(),
        turn: TurnId::parse(n.to_string()).unwrap(),
        role: Role::User,
        text: text.to_owned(),
        at_ms: n,
        score: 0.0,
    }
}

fn query(agent: &str, text: &str) -> MemoryQuery {
    MemoryQuery { owner: owner(agent), text: text.to_owned(), limit: 10, session: None, context: CallContext::new() }
}

#[tokio::test]
async fn a_forgotten_owner_leaves_no_row_behind() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    let messages = store.messages();
    for agent in ["a", "b"] {
        messages.append(owner(agent), (0..1000).map(|n| entry(n, "red apple")).collect()).await.unwrap();
    }
    messages.clear(owner("a")).await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM messages"), 1000);
    assert_eq!(place.count("SELECT count(*) FROM recall WHERE recall MATCH 'apple'"), 1000);
    assert_eq!(place.count("SELECT count(*) FROM owners"), 1);
    assert!(messages.search(query("a", "apple")).await.unwrap().is_empty());
    assert_eq!(messages.search(query("b", "apple")).await.unwrap().len(), 10);
    messages.append(owner("a"), vec![entry(1, "green apple")]).await.unwrap();
    assert_eq!(messages.search(query("a", "apple")).await.unwrap()[0].text, "green apple");
}

#[tokio::test]
async fn forgetting_goes_on_after_a_restart() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    store.messages().append(owner("a"), (0..600).map(|n| entry(n, "red apple")).collect()).await.unwrap();
    store.close().await.unwrap();
    place.raw().execute("UPDATE owners SET forgotten = 1", []).unwrap();
    let store = place.open(SqliteOptions::new());
    store.close().await.unwrap();
    assert_eq!(place.count("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM owners)"), 0);
}

#[tokio::test]
async fn the_word_of_another_owner_is_no_way_in() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    store.messages().append(owner("a"), vec![entry(1, "the secret plan")]).await.unwrap();
    store.messages().append(owner("b"), vec![entry(1, "o1 o2")]).await.unwrap();
    for text in ["o1", "o1 secret", "owner:o1", "owner : \"o1\" OR secret", "o1\") OR (owner : \"o1\""] {
        let found = store.messages().search(query("b", text)).await.unwrap();
        assert!(found.iter().all(|hit| hit.text == "o1 o2"), "{text}: {found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_can_be_looked_for(text in any::<String>(), operators in "[\"'*():^+{}a-cANDORTNE -]{0,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let place = Place::new();
            let store = place.open(SqliteOptions::new());
            store.messages().append(owner("a"), vec![entry(1, &text), entry(2, &operators)]).await.unwrap();
            store.messages().search(query("a", &text)).await.unwrap();
            store.messages().search(query("a", &operators)).await.unwrap();
            // Closed here: the next case opens another file, and this one must be gone with its directory.
            store.close().await.unwrap();
        });
    }
}
