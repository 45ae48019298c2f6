use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    AnswerDraft, CallContext, ChatMessage, ChatModel, Error, FinishReason, GenerateOptions, MessageNotes, ModelAnswer,
    ModelChunk, ModelRequest, Result, TenantId, Usage,
};
use beluga_runtime::time;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;

use super::*;
use crate::model::LayeredModel;
use crate::testkit::{Answer, FunctionModel, ScriptedModel};

fn cached(model: impl ChatModel, settings: CacheSettings) -> (LayeredModel, ExactCache) {
    let (cache, info) = (ExactCache::new(settings), model.info());
    (LayeredModel::new(model, &[cache.layer(&info)]), cache)
}

fn request(text: &str) -> ModelRequest {
    ModelRequest { messages: vec![Arc::new(ChatMessage::user(text))], ..ModelRequest::default() }
}

async fn ask(model: &LayeredModel, text: &str) -> Result<ModelAnswer> {
    model.generate(Arc::new(request(text)), CallContext::new()).await
}

/// A model that answers with the number of its call.
fn counting() -> FunctionModel {
    let calls = std::sync::atomic::AtomicU64::new(0);
    FunctionModel::new(move |_| {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        Answer::pieces(["call ".to_owned(), call.to_string()])
    })
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_the_same_stream_and_costs_nothing() {
    let (model, cache) = cached(counting(), CacheSettings::default());
    let chunks = async || {
        let stream = model.stream(Arc::new(request("a")), CallContext::new());
        stream.map(Result::unwrap).collect::<Vec<_>>().await
    };
    let (made, kept) = (chunks().await, chunks().await);
    let told = |chunks: &[ModelChunk]| {
        chunks.iter().filter(|chunk| !matches!(chunk, ModelChunk::Usage(_))).cloned().collect::<Vec<_>>()
    };
    assert_eq!(told(&made), told(&kept));
    let usage = |chunks: Vec<ModelChunk>| {
        let mut draft = AnswerDraft::default();
        chunks.into_iter().for_each(|chunk| draft.push(chunk));
        draft.finish().unwrap().usage
    };
    assert_eq!((usage(made).total_tokens(), usage(kept)), (2, Usage::default()));
    assert_eq!((cache.stats().hits, cache.stats().misses, cache.stats().entries), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn tenant_model_policy_and_whatever_shapes_the_answer_are_part_of_the_key() {
    let model = counting();
    let cache = ExactCache::new(CacheSettings::default());
    let layered = LayeredModel::new(model.clone(), &[cache.layer(&model.info())]);
    let base = request("a");
    let with = |change: fn(&mut ModelRequest)| {
        let mut request = request("a");
        change(&mut request);
        request
    };
    let tenant = |id: &str| CallContext::new().with_tenant(TenantId::parse(id).unwrap());
    let others = [
        (request("b"), CallContext::new()),
        (request("a"), tenant("acme")),
        (with(|request| request.options.model = Some("other".into())), CallContext::new()),
        (with(|request| request.options.temperature = Some(0.5)), CallContext::new()),
        (with(|request| request.options.extra = json!({"seed": 1}).as_object().unwrap().clone()), CallContext::new()),
        (with(|request| request.messages.push(Arc::new(ChatMessage::user("")))), CallContext::new()),
        (with(|request| request.messages[0] = Arc::new(ChatMessage::assistant("a"))), CallContext::new()),
        (
            with(|request| {
                let notes = MessageNotes { name: Some("ann".into()), ..MessageNotes::default() };
                Arc::make_mut(&mut request.messages[0]).notes = notes.boxed();
            }),
            CallContext::new(),
        ),
    ];
    layered.generate(Arc::new(base), CallContext::new()).await.unwrap();
    for (number, (request, context)) in others.into_iter().enumerate() {
        layered.generate(Arc::new(request), context).await.unwrap();
        assert_eq!(model.calls(), number + 2, "{number}");
    }
    let calls = model.calls();
    let same: [fn(&mut ModelRequest); 3] = [
        |request| drop(request.options.metadata.insert("run".into(), "17".into())),
        |request| request.cache.conversation = true,
        |request| Arc::make_mut(&mut request.messages[0]).usage = Some(Usage { input_tokens: 5, ..Usage::default() }),
    ];
    for change in same {
        layered.generate(Arc::new(with(change)), CallContext::new()).await.unwrap();
    }
    assert_eq!(model.calls(), calls, "what cannot change the answer is no part of it");
    let other_policy = ExactCache::new(CacheSettings { policy: "2".into(), ..CacheSettings::default() });
    let info = model.info();
    let keys = [&cache, &other_policy]
        .map(|cache| super::key::Key::of(&CallContext::new(), &info, &cache.settings().policy, &request("a")).unwrap());
    assert_ne!(keys[0], keys[1]);
    let extra = |text: &str| {
        let extra = serde_json::from_str(text).unwrap();
        let options = GenerateOptions { extra, ..GenerateOptions::default() };
        super::key::Key::of(&CallContext::new(), &info, "", &ModelRequest { options, ..ModelRequest::default() })
            .unwrap()
    };
    assert_eq!(extra(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#), extra(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#));
}

#[tokio::test(start_paused = true)]
async fn errors_cut_answers_and_abandoned_ones_are_not_kept() {
    let finished = |reason| ModelChunk::Finished { reason, raw_usage: None };
    let text = || ModelChunk::Text { text: "half".into() };
    let script = ScriptedModel::new([
        Answer::error(Error::provider_unavailable("down")),
        Answer::text("half").then_error(Error::provider_unavailable("cut")),
        Answer::chunks([text()]),
        Answer::chunks([text(), finished(FinishReason::Length)]),
        Answer::chunks([text(), finished(FinishReason::ContentFilter)]),
        Answer::chunks([text(), finished(FinishReason::Other("paused".into()))]),
        Answer::text("half").then_hang(),
        Answer::text("whole"),
        Answer::text("never"),
    ]);
    let (model, cache) = cached(script.clone(), CacheSettings::default());
    for _ in 0..6 {
        let _ = ask(&model, "a").await;
    }
    let mut left = model.stream(Arc::new(request("a")), CallContext::new());
    while !matches!(left.next().await, Some(Ok(ModelChunk::Text { .. }))) {}
    drop(left);
    assert_eq!(cache.stats().entries, 0);
    for _ in 0..3 {
        assert_eq!(ask(&model, "a").await.unwrap().message.text(), "whole");
    }
    assert_eq!(script.remaining(), 1);
}

#[tokio::test(start_paused = true)]
async fn entries_bytes_and_age_are_bounded_and_the_least_used_leaves_first() {
    let model = counting();
    let (layered, cache) = cached(model.clone(), CacheSettings { entries: 2, ..CacheSettings::default() });
    for text in ["a", "b", "a", "c", "a", "b"] {
        ask(&layered, text).await.unwrap();
    }
    assert_eq!((model.calls(), cache.stats().entries), (4, 2), "b made room for c, and had to be asked again");
    let (layered, cache) = cached(
        FunctionModel::new(|request| Answer::text("x".repeat(request.messages[0].text().parse().unwrap()))),
        CacheSettings { bytes: 8_000, ..CacheSettings::default() },
    );
    ask(&layered, "1000").await.unwrap();
    assert_eq!(cache.stats().entries, 0, "more than an eighth");
    for length in 400..450 {
        ask(&layered, &length.to_string()).await.unwrap();
        assert!(cache.stats().bytes <= 8_000);
    }
    assert!(cache.stats().entries > 5);
    cache.clear();
    assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
    let model = counting();
    let (layered, cache) =
        cached(model.clone(), CacheSettings { ttl: Duration::from_secs(60), ..CacheSettings::default() });
    for _ in 0..5 {
        ask(&layered, "a").await.unwrap();
        time::sleep(Duration::from_secs(25)).await;
    }
    assert_eq!((model.calls(), cache.stats().entries), (2, 1), "at 0, 25 and 50 s, and anew at 75");
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_together_ask_once_and_a_failed_one_makes_nobody_wait_twice() {
    let settings = || CacheSettings { single_flight: true, ..CacheSettings::default() };
    let model = FunctionModel::new(|_| Answer::text("well").after(Duration::from_secs(3)));
    let (layered, _) = cached(model.clone(), settings());
    let began = time::now();
    let answers = join_all((0..50).map(|_| ask(&layered, "a"))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().message.text() == "well"));
    assert_eq!((model.calls(), time::now() - began), (1, Duration::from_secs(3)));

    let down = || Answer::error(Error::provider_unavailable("down")).after(Duration::from_secs(3));
    let model = FunctionModel::new(move |_| down());
    let (layered, _) = cached(model.clone(), settings());
    let began = time::now();
    assert!(join_all((0..50).map(|_| ask(&layered, "a"))).await.iter().all(Result::is_err));
    assert_eq!((model.calls(), time::now() - began), (50, Duration::from_secs(6)));

    let model = ScriptedModel::new([Answer::text("half").then_hang(), Answer::text("well")]);
    let (layered, _) = cached(model, settings());
    let mut leader = layered.stream(Arc::new(request("a")), CallContext::new());
    leader.next().await.unwrap().unwrap();
    let (answer, ()) = futures_util::join!(ask(&layered, "a"), async {
        time::sleep(Duration::from_secs(1)).await;
        drop(leader);
    });
    assert_eq!(answer.unwrap().message.text(), "well", "whoever waited for one that was left asks itself");
}
