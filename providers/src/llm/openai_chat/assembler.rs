//! Tool calls put together from deltas, also from vendors that send `index` and `id` missing, doubled or changing.

use std::collections::VecDeque;

use beluga_core::{Error, FinishReason, ModelChunk, PartNotes, Result, ToolCall};
use serde_json::value::RawValue;

use super::super::wire::{Kept, Rest};

/// The most calls of one answer.
const CALLS_MAX: usize = 256;

/// One delta of one call, as the wire has it. Empty text means absent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CallDelta<'a> {
    pub(super) index: Option<i64>,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
}

/// Puts tool calls together. Which call a delta belongs to:
///
/// 1. an id seen before: that call;
/// 2. else a new id: a new call — unless it names no tool and its index is taken, for some proxies make up an id per
///    delta;
/// 3. else, without an id: the newest call of that index, or the current call; a name that cannot continue it begins a
///    new one.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    calls: Vec<Draft>,
    current: usize,
}

#[derive(Debug, Default)]
struct Draft {
    index: Option<i64>,
    id: String,
    name: String,
    arguments: String,
    /// The sort of call, where it is no function.
    kind: Option<String>,
    kept: Kept,
}

impl Draft {
    fn into_call(self, id: String, family: &str) -> ToolCall {
        let mut call = ToolCall::new(id, self.name, self.arguments);
        let mut notes = PartNotes::of(family);
        let mut kept = self.kept;
        notes.extra = kept.finish();
        notes.word = self.kind;
        call.notes = notes.boxed();
        call
    }
}

impl Assembler {
    /// Takes a delta, hands on what a progress display wants to know, and returns the place of its call.
    pub(super) fn push(&mut self, delta: CallDelta<'_>, out: &mut VecDeque<ModelChunk>) -> Result<usize> {
        let at = match self.place(&delta) {
            Some(at) => at,
            None if self.calls.len() >= CALLS_MAX => {
                return Err(Error::provider_unavailable(format!("the answer has more than {CALLS_MAX} tool calls")));
            }
            None => {
                self.calls.push(Draft { index: delta.index, ..Draft::default() });
                self.calls.len() - 1
            }
        };
        self.current = at;
        let Some(call) = self.calls.get_mut(at) else { return Ok(at) };
        if call.id.is_empty() {
            call.id.push_str(delta.id);
        }
        let is_named_now = call.name.is_empty() && !delta.name.is_empty();
        if is_named_now {
            call.name.push_str(delta.name);
        }
        call.arguments.push_str(delta.arguments);
        if is_named_now || !delta.arguments.is_empty() {
            out.push_back(ModelChunk::ToolCallDelta {
                index: u32::try_from(at).unwrap_or(u32::MAX),
                name: is_named_now.then(|| call.name.clone()),
                arguments: delta.arguments.to_owned(),
            });
        }
        Ok(at)
    }

    /// Takes what else a delta said of the call at this place.
    pub(super) fn note(&mut self, at: usize, kind: Option<&str>, rest: &Rest<'_>) {
        if let Some(call) = self.calls.get_mut(at) {
            call.kind = call.kind.take().or_else(|| kind.map(str::to_owned));
            call.kept.take(rest, &[]);
        }
    }

    fn place(&self, delta: &CallDelta<'_>) -> Option<usize> {
        let of_index = || match delta.index {
            Some(index) => self.calls.iter().rposition(|call| call.index == Some(index)),
            None => None,
        };
        if !delta.id.is_empty() {
            if let Some(seen) = self.calls.iter().position(|call| call.id == delta.id) {
                return Some(seen);
            }
            return if delta.name.is_empty() { of_index() } else { None };
        }
        let at = of_index().or_else(|| {
            let is_new_index = delta.index.is_some() && !delta.name.is_empty();
            (!is_new_index && !self.calls.is_empty()).then_some(self.current)
        })?;
        let call = self.calls.get(at)?;
        let is_whole = || call.arguments.ends_with('}') && serde_json::from_str::<&RawValue>(&call.arguments).is_ok();
        let begins_another = !delta.name.is_empty() && !call.name.is_empty() && (call.name != delta.name || is_whole());
        (!begins_another).then_some(at)
    }

    /// Returns whether there are calls.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Ends the answer: hands on the whole calls, in the order they began, and returns those that the limit or the filter
    /// cut, which must not run. A call without an id gets one made of `seed`.
    pub(super) fn finish(
        &mut self,
        reason: &FinishReason,
        seed: u64,
        family: &str,
        out: &mut VecDeque<ModelChunk>,
    ) -> Result<Vec<ToolCall>> {
        let may_be_cut = matches!(reason, FinishReason::Length | FinishReason::ContentFilter);
        let mut cut = Vec::new();
        for (at, mut call) in std::mem::take(&mut self.calls).into_iter().enumerate() {
            // The input of a custom tool is free text: nobody can tell whether it was cut.
            let is_cut =
                may_be_cut && (call.kind.is_some() || serde_json::from_str::<&RawValue>(&call.arguments).is_err());
            if call.name.is_empty() && !is_cut {
                return Err(super::super::fault::nonsense("a tool call without a name"));
            }
            let id = match std::mem::take(&mut call.id) {
                id if id.is_empty() => format!("call_{seed:016x}_{at}"),
                id => id,
            };
            let call = call.into_call(id, family);
            if is_cut { cut.push(call) } else { out.push_back(ModelChunk::ToolCall(call)) }
        }
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delta<'a>(index: Option<i64>, id: &'a str, name: &'a str, arguments: &'a str) -> CallDelta<'a> {
        CallDelta { index, id, name, arguments }
    }

    fn assemble(deltas: &[CallDelta<'_>]) -> Vec<(String, String, String)> {
        let mut assembler = Assembler::default();
        let mut out = VecDeque::new();
        for delta in deltas {
            assembler.push(*delta, &mut out).unwrap();
        }
        out.clear();
        assert_eq!(assembler.finish(&FinishReason::ToolCalls, 7, "openai", &mut out).unwrap(), []);
        out.into_iter()
            .map(|chunk| match chunk {
                ModelChunk::ToolCall(call) => (call.id, call.name, call.arguments),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn indexed_deltas_may_interleave() {
        let calls = assemble(&[
            delta(Some(0), "a", "x", ""),
            delta(Some(1), "b", "y", ""),
            delta(Some(0), "", "", "{\"n\":"),
            delta(Some(1), "", "", "{}"),
            delta(Some(0), "", "", "1}"),
        ]);
        assert_eq!(calls, [call("a", "x", "{\"n\":1}"), call("b", "y", "{}")]);
    }

    #[test]
    fn calls_that_all_have_index_zero_stay_apart() {
        let calls = assemble(&[
            delta(Some(0), "a", "x", "{"),
            delta(Some(0), "", "", "}"),
            delta(Some(0), "b", "x", "{"),
            delta(Some(0), "", "", "\"k\":2}"),
        ]);
        assert_eq!(calls, [call("a", "x", "{}"), call("b", "x", "{\"k\":2}")]);
    }

    #[test]
    fn an_id_repeated_on_every_delta_is_one_call_with_or_without_index() {
        for index in [None, Some(0), Some(3)] {
            let calls =
                assemble(&[delta(index, "a", "x", "{"), delta(index, "a", "x", "}"), delta(index, "b", "y", "{}")]);
            assert_eq!(calls, [call("a", "x", "{}"), call("b", "y", "{}")]);
        }
    }

    #[test]
    fn a_fresh_id_on_every_delta_of_one_index_is_one_call() {
        let calls = assemble(&[delta(Some(0), "a", "x", "{"), delta(Some(0), "b", "", "}")]);
        assert_eq!(calls, [call("a", "x", "{}")]);
    }

    #[test]
    fn without_ids_a_name_that_cannot_continue_begins_a_call() {
        let calls = assemble(&[
            delta(None, "", "x", "{}"),
            delta(None, "", "x", "{\"a\":"),
            delta(None, "", "", "1}"),
            delta(None, "", "y", "{}"),
        ]);
        let ids = ["call_0000000000000007_0", "call_0000000000000007_1", "call_0000000000000007_2"];
        assert_eq!(calls, [call(ids[0], "x", "{}"), call(ids[1], "x", "{\"a\":1}"), call(ids[2], "y", "{}")]);
    }

    #[test]
    fn a_call_cut_by_the_limit_is_set_aside() {
        let mut assembler = Assembler::default();
        let mut out = VecDeque::new();
        assembler.push(delta(Some(0), "a", "x", "{}"), &mut out).unwrap();
        assembler.push(delta(Some(1), "b", "y", "{\"text\":\"ha"), &mut out).unwrap();
        out.clear();
        let cut = assembler.finish(&FinishReason::Length, 0, "openai", &mut out).unwrap();
        assert_eq!((out.len(), cut[0].arguments.as_str()), (1, "{\"text\":\"ha"));
    }

    #[test]
    fn endless_calls_are_refused() {
        let mut assembler = Assembler::default();
        let mut out = VecDeque::new();
        let error = (0..=CALLS_MAX)
            .find_map(|at| assembler.push(delta(None, &at.to_string(), "x", ""), &mut out).err())
            .unwrap();
        assert_eq!(error.code(), beluga_core::Code::ProviderUnavailable);
    }

    proptest! {
        /// Well-formed calls survive whatever a vendor forgets, as long as a call can be told from its neighbour.
        #[test]
        fn cut_arguments_come_together_again(
            calls in prop::collection::vec(("[a-z]{1,4}", prop::collection::vec("[a-z0-9é]{0,3}", 0..6)), 1..5),
            with_index in prop::bool::ANY,
            same_index in prop::bool::ANY,
            repeat_id in prop::bool::ANY,
        ) {
            let mut deltas = Vec::new();
            let ids: Vec<String> = (0..calls.len()).map(|at| format!("id{at}")).collect();
            for (at, (name, pieces)) in calls.iter().enumerate() {
                let index = with_index.then_some(if same_index { 0 } else { i64::try_from(at).unwrap() });
                deltas.push(delta(index, &ids[at], name, ""));
                for piece in pieces {
                    deltas.push(delta(index, if repeat_id { &ids[at] } else { "" }, "", piece));
                }
            }
            let want: Vec<_> =
                calls.iter().enumerate().map(|(at, (name, pieces))| call(&ids[at], name, &pieces.concat())).collect();
            prop_assert_eq!(assemble(&deltas), want);
        }
    }
}
