//! The laws of the message store.

use beluga_core::{
    AgentName, CallContext, MemoryOwner, MemoryQuery, MessageStore, Recollection, Role, SessionId, TenantId, TurnId,
};

use crate::Outcome::{Kept, Skipped};
use crate::every;

fn owner(tenant: &str, agent: &str) -> MemoryOwner {
    MemoryOwner { tenant: TenantId::parse(tenant).unwrap(), agent: AgentName::parse(agent).unwrap() }
}

fn ada() -> MemoryOwner {
    owner("acme", "ada")
}

fn said(session: &str, turn: u64, role: Role, text: &str) -> Recollection {
    Recollection {
        session: SessionId::parse(session).unwrap(),
        turn: TurnId::parse(turn.to_string()).unwrap(),
        role,
        text: text.to_owned(),
        at_ms: 1000 + turn,
        score: 0.0,
    }
}

fn query(owner: MemoryOwner, text: &str, limit: usize, session: Option<&str>) -> MemoryQuery {
    let session = session.map(|session| SessionId::parse(session).unwrap());
    MemoryQuery { owner, text: text.to_owned(), limit, session, context: CallContext::new() }
}

async fn found(messages: &dyn MessageStore, query: MemoryQuery) -> Vec<String> {
    messages.search(query).await.unwrap().into_iter().map(|hit| hit.text).collect()
}

#[tokio::test]
async fn append_of_the_same_message_twice_keeps_one() {
    every("append_of_the_same_message_twice_keeps_one", async |store| {
        let messages = store.messages();
        let question = said("s", 1, Role::User, "where is the red key");
        let answer = said("s", 1, Role::Assistant, "the red key is under the mat");
        messages.append(ada(), vec![question.clone(), question.clone(), answer.clone()]).await.unwrap();
        messages.append(ada(), vec![answer.clone(), question.clone()]).await.unwrap();
        let all = messages.all(ada(), question.session.clone(), 9).await.unwrap();
        assert_eq!(all, [question, answer]);
        assert_eq!(found(&*messages, query(ada(), "key", 9, None)).await.len(), 2);
        Kept
    })
    .await;
}

#[tokio::test]
async fn search_never_leaves_the_owner() {
    every("search_never_leaves_the_owner", async |store| {
        let messages = store.messages();
        let owners = [ada(), owner("acme", "bob"), owner("other", "ada")];
        for (n, owner) in owners.iter().enumerate() {
            let text = format!("the secret of number{n}");
            messages.append(owner.clone(), vec![said("s", 1, Role::User, &text)]).await.unwrap();
        }
        for (n, owner) in owners.iter().enumerate() {
            for text in ["secret", "", "number0 number1 number2", "the OR secret"] {
                let hits = found(&*messages, query(owner.clone(), text, 9, None)).await;
                assert_eq!(hits, [format!("the secret of number{n}")], "{text:?}");
            }
            let session = SessionId::parse("s").unwrap();
            assert_eq!(messages.all(owner.clone(), session, 9).await.unwrap().len(), 1);
        }
        Kept
    })
    .await;
}

#[tokio::test]
async fn a_deleted_owner_is_found_no_more() {
    every("a_deleted_owner_is_found_no_more", async |store| {
        let messages = store.messages();
        for owner in [ada(), owner("acme", "bob")] {
            let entries = (0..700).map(|n| said("s", n, Role::User, "a blue boat")).collect();
            messages.append(owner, entries).await.unwrap();
        }
        messages.clear(ada()).await.unwrap();
        for text in ["boat", ""] {
            assert!(found(&*messages, query(ada(), text, 9, None)).await.is_empty());
        }
        assert!(messages.all(ada(), SessionId::parse("s").unwrap(), 9).await.unwrap().is_empty());
        assert_eq!(found(&*messages, query(owner("acme", "bob"), "boat", 999, None)).await.len(), 700);
        messages.clear(ada()).await.unwrap();
        messages.append(ada(), vec![said("s", 1, Role::User, "a new boat")]).await.unwrap();
        assert_eq!(found(&*messages, query(ada(), "boat", 9, None)).await, ["a new boat"]);
        Kept
    })
    .await;
}

#[tokio::test]
async fn search_returns_the_best_matches_first() {
    every("search_returns_the_best_matches_first", async |store| {
        let messages = store.messages();
        let texts = [
            "nothing of interest was said here about the weather",
            "Zebra zebra ZEBRA in the garden",
            "a zebra and a very long story about many other things that have nothing to do with it at all",
            "the garden in the evening",
            "tea in the kitchen",
        ];
        let entries = texts.iter().zip(1..).map(|(text, turn)| said("s", turn, Role::User, text)).collect();
        messages.append(ada(), entries).await.unwrap();
        messages.append(ada(), vec![said("t", 9, Role::User, "zebra")]).await.unwrap();
        let others = (10..40).map(|turn| said("t", turn, Role::User, "bread and butter")).collect();
        messages.append(ada(), others).await.unwrap();
        let hits = messages.search(query(ada(), "zebra?", 9, Some("s"))).await.unwrap();
        assert_eq!(hits.iter().map(|hit| hit.text.as_str()).collect::<Vec<_>>(), [texts[1], texts[2]]);
        assert!(hits[0].score > hits[1].score, "{hits:?}");
        assert_eq!(found(&*messages, query(ada(), "zebra garden", 1, Some("s"))).await, [texts[1]]);
        assert_eq!(found(&*messages, query(ada(), "zebra", 9, None)).await.len(), 3);
        assert!(found(&*messages, query(ada(), "giraffe", 9, None)).await.is_empty());
        assert!(found(&*messages, query(ada(), "zebra", 0, None)).await.is_empty());
        Kept
    })
    .await;
}

#[tokio::test]
async fn any_text_is_a_query() {
    every("any_text_is_a_query", async |store| {
        let messages = store.messages();
        messages.append(ada(), vec![said("s", 1, Role::User, "Das Café öffnet um acht")]).await.unwrap();
        let long = "word ".repeat(10_000);
        for text in ["\"", "'; DROP TABLE messages; --", "NEAR(", "a* OR ^b", "{x} : y", "\0", "-café", "CAFÉ)", &long]
        {
            messages.search(query(ada(), text, 9, None)).await.unwrap();
        }
        for text in ["café", "\"CAFÉ\"", "-café:*", "ÖFFNET"] {
            assert_eq!(found(&*messages, query(ada(), text, 9, None)).await.len(), 1, "{text:?}");
        }
        Kept
    })
    .await;
}

#[tokio::test]
async fn an_empty_query_returns_the_newest() {
    every("an_empty_query_returns_the_newest", async |store| {
        let messages = store.messages();
        let entries = [3, 1, 2].map(|turn| said("s", turn, Role::User, &format!("turn {turn}")));
        messages.append(ada(), entries.to_vec()).await.unwrap();
        messages.append(ada(), vec![said("t", 4, Role::User, "turn 4")]).await.unwrap();
        assert_eq!(found(&*messages, query(ada(), "", 3, None)).await, ["turn 4", "turn 3", "turn 2"]);
        assert_eq!(found(&*messages, query(ada(), " ?! ", 2, Some("s"))).await, ["turn 3", "turn 2"]);
        let all = messages.all(ada(), SessionId::parse("s").unwrap(), 2).await.unwrap();
        assert_eq!(all.iter().map(|hit| hit.text.as_str()).collect::<Vec<_>>(), ["turn 2", "turn 3"]);
        Kept
    })
    .await;
}

#[tokio::test]
async fn acknowledged_messages_survive() {
    every("acknowledged_messages_survive", async |store| {
        let entry = said("s", 1, Role::Tool, "forty-two");
        store.messages().append(ada(), vec![entry.clone()]).await.unwrap();
        let store = match store.reopened().await {
            Ok(store) => store,
            Err(why) => return Skipped(why),
        };
        assert_eq!(store.messages().all(ada(), entry.session.clone(), 9).await.unwrap(), [entry]);
        assert_eq!(found(&*store.messages(), query(ada(), "two", 9, None)).await, ["forty-two"]);
        Kept
    })
    .await;
}
