//! Handles of contexts that a thread keeps for the next message told with the same one.
//!
//! A clone of a context and its drop are two atomic operations on memory that all messages of a call share. Whoever handles
//! such a message leaves its handle in the purse of its thread, and who tells the next one takes it out again.
//!
//! A thread keeps handles of one context at a time, at most [`HANDLES_MAX`], until it handles a message with another one or
//! ends. They keep nothing but the context alive.

use std::cell::RefCell;

use beluga_core::CallContext;

/// How many handles a thread keeps; what a drain handles between two looks at the clock many times over.
const HANDLES_MAX: usize = 256;

thread_local! {
    static PURSE: RefCell<Vec<CallContext>> = const { RefCell::new(Vec::new()) };
}

/// Returns a handle of the context.
#[inline]
pub(super) fn take(context: &CallContext) -> CallContext {
    let kept = PURSE.try_with(|purse| purse.try_borrow_mut().ok()?.pop_if(|kept| kept.same(context)));
    match kept {
        Ok(Some(kept)) => kept,
        _ => context.clone(),
    }
}

/// Keeps a handle that is no longer needed, or drops it.
#[inline]
pub(super) fn put(context: CallContext) {
    // Refused while the thread ends; the handle is dropped then.
    let _ = PURSE.try_with(|purse| {
        let Ok(mut handles) = purse.try_borrow_mut() else { return };
        if handles.last().is_none_or(|kept| kept.same(&context)) {
            if handles.len() < HANDLES_MAX {
                handles.push(context);
            }
        } else {
            handles.clear();
            handles.push(context);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_handles_of_the_last_context_only_and_not_many() {
        let (one, two) = (CallContext::new(), CallContext::new());
        let children = || one.cancel_token().children();
        let child = one.child();
        for _ in 0..=HANDLES_MAX {
            put(child.clone());
        }
        PURSE.with_borrow(|handles| assert_eq!(handles.len(), HANDLES_MAX));
        assert!(take(&child).same(&child) && take(&two).same(&two));
        drop(child);
        assert_eq!(children(), 1, "it is in the purse");
        put(two.clone());
        assert_eq!(children(), 0);
        PURSE.with_borrow(|handles| assert!(handles.len() == 1 && handles[0].same(&two)));
    }
}
