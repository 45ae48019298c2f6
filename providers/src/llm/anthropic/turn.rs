//! System prompt and turns, on their way out.

use std::borrow::Cow;

use beluga_core::{CacheHints, ChatMessage, Extra, Layout, ModelRequest, Part, Result, Role};

use super::super::profile::Profile;
use super::block_out::{SHORTEST, WireBlock, WireContent, blocks};

/// How many turns of the user are marked: the last one, and the one before it, at which the previous request ended.
const TURNS_MARKED: usize = 2;

/// A conversation as the dialect has it.
#[derive(Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Option<WireContent<'a>>,
    pub(super) turns: Vec<WireTurn<'a>>,
}

#[derive(serde::Serialize)]
pub(super) struct WireTurn<'a> {
    role: &'a str,
    content: WireContent<'a>,
    #[serde(flatten)]
    extra: Option<&'a Extra>,
}

/// Writes the conversation of a request.
pub(super) fn conversation<'a>(
    profile: &Profile,
    request: &'a ModelRequest,
    hints: CacheHints,
) -> Result<Conversation<'a>> {
    let mut turns: Vec<WireTurn<'a>> = Vec::with_capacity(request.messages.len());
    let mut system: Vec<&ChatMessage> = Vec::new();
    for message in &request.messages {
        let notes = message.notes.as_deref();
        // Newer models take instructions in the middle; a message that came from there says so.
        let in_place = notes.and_then(|notes| notes.role_word.as_deref().filter(|_| notes.family == profile.name));
        if message.role == Role::System && in_place.is_none() {
            system.push(message);
            continue;
        }
        let role = match message.role {
            Role::Assistant => "assistant",
            _ => in_place.unwrap_or("user"),
        };
        push_turn(profile, message, role, &mut turns)?;
    }
    if hints.conversation {
        mark_conversation(&mut turns);
    }
    Ok(Conversation { system: prompt(profile, &system, hints.system_parts), turns })
}

fn push_turn<'a>(
    profile: &Profile,
    message: &'a ChatMessage,
    role: &'a str,
    turns: &mut Vec<WireTurn<'a>>,
) -> Result<()> {
    let layout = message.notes.as_ref().and_then(|notes| notes.layout);
    let extra = message.notes.as_ref().and_then(|notes| notes.extra_of(profile.name));
    if layout == Some(Layout::Joined) {
        turns.push(WireTurn { role, content: WireContent::Text(Cow::Owned(message.text())), extra });
        return Ok(());
    }
    let blocks = blocks(profile, message)?;
    match turns.last_mut() {
        _ if layout.is_some() => turns.push(WireTurn { role, content: WireContent::Blocks(blocks), extra }),
        _ if blocks.is_empty() => {}
        // Results of tools and the user's next words are one turn.
        Some(WireTurn { role: have, content: WireContent::Blocks(turn), .. }) if *have == role => turn.extend(blocks),
        _ => turns.push(WireTurn { role, content: WireContent::Blocks(blocks), extra }),
    }
    Ok(())
}

/// Writes the system prompt: as blocks where something is marked or was a block before, else as one text.
fn prompt<'a>(profile: &Profile, messages: &[&'a ChatMessage], lasting_parts: usize) -> Option<WireContent<'a>> {
    let is_listed = messages.iter().any(|message| {
        message.notes.as_ref().and_then(|notes| notes.layout) == Some(Layout::Listed)
            || profile.prompt_cache
                && message.parts.iter().any(|part| part.notes().is_some_and(|notes| notes.cache.is_some()))
    });
    if is_listed {
        let parts = messages.iter().flat_map(|message| &message.parts);
        let blocks = parts.filter_map(|part| {
            let notes = part.notes();
            let mark = notes.and_then(|notes| notes.cache.clone()).filter(|_| profile.prompt_cache);
            Some(WireBlock::text(part.as_text()?, mark))
        });
        return Some(WireContent::Blocks(blocks.collect()));
    }
    let mut lasting = String::new();
    let mut rest = String::new();
    for (at, message) in messages.iter().enumerate() {
        if !(lasting.is_empty() && rest.is_empty()) {
            rest.push_str("\n\n");
        }
        for (part_at, text) in message.parts.iter().map(Part::as_text).enumerate() {
            let to = if at == 0 && part_at < lasting_parts { &mut lasting } else { &mut rest };
            to.push_str(text.unwrap_or_default());
        }
    }
    match (lasting.is_empty(), rest.is_empty()) {
        (true, true) => None,
        (true, false) => Some(WireContent::Text(Cow::Owned(rest))),
        (false, _) => Some(WireContent::Blocks(lasting_blocks(lasting, rest))),
    }
}

fn lasting_blocks<'a>(lasting: String, rest: String) -> Vec<WireBlock<'a>> {
    let lasting = WireBlock::text(lasting, Some(SHORTEST));
    let rest = (!rest.is_empty()).then(|| WireBlock::text(rest, None));
    std::iter::once(lasting).chain(rest).collect()
}

fn mark_conversation(turns: &mut [WireTurn<'_>]) {
    for turn in turns.iter_mut().rev().filter(|turn| turn.role == "user").take(TURNS_MARKED) {
        let WireContent::Blocks(blocks) = &mut turn.content else { continue };
        if let Some(mark) = blocks.last_mut().and_then(WireBlock::mark_of_turn) {
            mark.get_or_insert(SHORTEST);
        }
    }
}
