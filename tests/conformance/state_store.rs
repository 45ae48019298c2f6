//! The laws of the state store.

use beluga_core::{Code, STATE_VALUE_MAX_BYTES, StateKey, StateScope, TenantId};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};

use crate::Outcome::{Kept, Skipped};
use crate::every;

fn key(tenant: &str, scope: StateScope, name: &str) -> StateKey {
    StateKey { tenant: TenantId::parse(tenant).unwrap(), scope, name: name.to_owned() }
}

fn global(name: &str) -> StateKey {
    key("acme", StateScope::Global, name)
}

#[tokio::test]
async fn get_after_an_acknowledged_set_returns_it() {
    every("get_after_an_acknowledged_set_returns_it", async |store| {
        let state = store.state();
        assert_eq!(state.get(global("n")).await.unwrap(), None);
        let deep = json!({"list": [1, -2.5, "three", null, true], "big": u64::MAX, "": {"ä": "\u{0}\""}});
        for value in [json!(1), deep, Value::Null, json!("x".repeat(STATE_VALUE_MAX_BYTES - 2))] {
            state.set(global("n"), value.clone()).await.unwrap();
            assert!(state.get(global("n")).await.unwrap() == Some(value));
        }
        state.delete(global("n")).await.unwrap();
        assert_eq!(state.get(global("n")).await.unwrap(), None);
        state.delete(global("n")).await.unwrap();
        Kept
    })
    .await;
}

#[tokio::test]
async fn a_value_above_the_limit_is_refused() {
    every("a_value_above_the_limit_is_refused", async |store| {
        let state = store.state();
        state.set(global("n"), json!(1)).await.unwrap();
        let error = state.set(global("n"), json!("x".repeat(STATE_VALUE_MAX_BYTES - 1))).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidInput);
        assert_eq!(state.get(global("n")).await.unwrap(), Some(json!(1)));
        Kept
    })
    .await;
}

#[tokio::test]
async fn keys_of_another_tenant_or_scope_are_other_keys() {
    every("keys_of_another_tenant_or_scope_are_other_keys", async |store| {
        let state = store.state();
        let keys = [
            global("n"),
            global("N"),
            global(""),
            key("other", StateScope::Global, "n"),
            key("acme", StateScope::Agent("a".to_owned()), "n"),
            key("acme", StateScope::Agent("a/n".to_owned()), ""),
            key("acme", StateScope::Session("a".to_owned()), "n"),
        ];
        for (n, key) in keys.iter().enumerate() {
            state.set(key.clone(), json!(n)).await.unwrap();
        }
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(state.get(key.clone()).await.unwrap(), Some(json!(n)), "{key:?}");
        }
        state.delete(keys[0].clone()).await.unwrap();
        assert_eq!(state.get(keys[0].clone()).await.unwrap(), None);
        for (n, key) in keys.iter().enumerate().skip(1) {
            assert_eq!(state.get(key.clone()).await.unwrap(), Some(json!(n)), "{key:?}");
        }
        Kept
    })
    .await;
}

#[tokio::test]
async fn watch_yields_every_change_after_it_started() {
    every("watch_yields_every_change_after_it_started", async |store| {
        let state = store.state();
        state.set(global("n"), json!("before")).await.unwrap();
        let mut first = state.watch(global("n"));
        let mut other = state.watch(global("other"));
        for n in 0..20 {
            state.set(global("n"), json!(n)).await.unwrap();
        }
        let mut late = state.watch(global("n"));
        state.delete(global("n")).await.unwrap();
        state.delete(global("n")).await.unwrap();
        state.set(global("n"), json!("after")).await.unwrap();
        for n in 0..20 {
            assert_eq!(first.next().await.unwrap().unwrap(), Some(json!(n)));
        }
        for watch in [&mut first, &mut late] {
            assert_eq!(watch.next().await.unwrap().unwrap(), None);
            assert_eq!(watch.next().await.unwrap().unwrap(), Some(json!("after")));
            assert!(watch.next().now_or_never().is_none());
        }
        assert!(other.next().now_or_never().is_none());
        Kept
    })
    .await;
}

#[tokio::test]
async fn a_slow_watcher_ends_with_overloaded() {
    every("a_slow_watcher_ends_with_overloaded", async |store| {
        let state = store.state();
        let mut slow = state.watch(global("n"));
        for n in 0..500 {
            state.set(global("n"), json!(n)).await.unwrap();
        }
        let ends = loop {
            match slow.next().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(ends.code(), Code::Overloaded);
        assert!(slow.next().await.is_none());
        let mut again = state.watch(global("n"));
        state.set(global("n"), json!("again")).await.unwrap();
        assert_eq!(again.next().await.unwrap().unwrap(), Some(json!("again")));
        Kept
    })
    .await;
}

#[tokio::test]
async fn acknowledged_values_survive() {
    every("acknowledged_values_survive", async |store| {
        let state = store.state();
        state.set(global("kept"), json!([1, 2])).await.unwrap();
        state.set(global("gone"), json!(1)).await.unwrap();
        state.delete(global("gone")).await.unwrap();
        drop(state);
        let store = match store.reopened().await {
            Ok(store) => store,
            Err(why) => return Skipped(why),
        };
        assert_eq!(store.state().get(global("kept")).await.unwrap(), Some(json!([1, 2])));
        assert_eq!(store.state().get(global("gone")).await.unwrap(), None);
        Kept
    })
    .await;
}
