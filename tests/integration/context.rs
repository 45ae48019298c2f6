//! Conversations that are fitted to a budget.

use beluga_actors::context::{ContextWindow, Sliding, Truncate};
use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_core::{Code, Role};

use crate::kit::{Node, session};

#[tokio::test(start_paused = true)]
async fn the_model_is_shown_what_fits_and_the_journal_keeps_all() {
    let (node, model) = (Node::start().await, ScriptedModel::new((0..4).map(|_| Answer::text("Yes."))));
    let agent = node
        .agent(&model, |agent| agent.instructions("Be short.").context(ContextWindow::new(Sliding::new(2), 1_000)))
        .await;
    for number in 0..4 {
        agent.ask(format!("question {number}")).session(session("s")).await.unwrap();
    }
    let shown: Vec<String> = model.requests()[3].messages.iter().map(|message| message.text()).collect();
    assert_eq!(shown, ["Be short.", "question 2", "Yes.", "question 3"]);
    let kept = agent.session(session("s")).conversation().await.unwrap();
    assert!(format!("{kept:?}").contains("question 0"), "the journal keeps the whole");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_question_above_the_budget_ends_its_turn_and_the_next_is_answered() {
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::text("Yes.")]));
    let agent = node.agent(&model, |agent| agent.context(ContextWindow::new(Truncate, 100))).await;
    let error = agent.ask("word ".repeat(300)).session(session("s")).await.unwrap_err();
    assert_eq!(error.code(), Code::ContextLength);
    assert_eq!(agent.ask("Short?").session(session("s")).await.unwrap().result, "Yes.");
    let request = &model.requests()[0];
    assert!(request.messages.iter().all(|message| message.role == Role::User && message.text() == "Short?"));
    node.stop().await;
}
