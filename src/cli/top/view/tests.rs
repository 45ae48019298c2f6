use super::super::snapshot::{Documents, Snapshot};
use super::super::testing::{at, documents, seen};
use super::*;
use serde_json::json;

fn press(view: &mut View, seen: &Seen, keys: &str) -> Wish {
    let mut wish = Wish::Draw;
    for letter in keys.chars() {
        let code = match letter {
            '↓' => KeyCode::Down,
            '↑' => KeyCode::Up,
            '←' => KeyCode::Left,
            '→' => KeyCode::Right,
            '⏎' => KeyCode::Enter,
            '⎋' => KeyCode::Esc,
            '⌫' => KeyCode::Backspace,
            '⇟' => KeyCode::PageDown,
            '⇞' => KeyCode::PageUp,
            letter => KeyCode::Char(letter),
        };
        wish = view.on_key(KeyEvent::new(code, KeyModifiers::NONE), seen);
    }
    wish
}

fn names(view: &View, seen: &Seen) -> Vec<String> {
    view.rows(seen).into_iter().map(|row| format!("{}{}", " ".repeat(row.indent), row.name)).collect()
}

fn selected(view: &View, seen: &Seen) -> String {
    view.selected(seen).map(|node| node.name.clone()).unwrap_or_default()
}

#[test]
fn the_cursor_moves_and_stays_inside() {
    let (mut view, seen) = (View::default(), seen());
    assert_eq!(selected(&view, &seen), "beluga");
    press(&mut view, &seen, "j↓");
    assert_eq!(selected(&view, &seen), "tools/clock");
    press(&mut view, &seen, "↑k↑↑");
    assert_eq!(selected(&view, &seen), "beluga");
    press(&mut view, &seen, "G");
    assert_eq!(selected(&view, &seen), "agents");
    press(&mut view, &seen, "↓g");
    assert_eq!(selected(&view, &seen), "beluga");
    view.scroll(0, 6, 3);
    press(&mut view, &seen, "⇟");
    assert_eq!(selected(&view, &seen), "tools/http");
    press(&mut view, &seen, "⇟⇟⇞");
    assert_eq!(selected(&view, &seen), "tools/clock");
}

#[test]
fn the_cursor_stays_with_its_actor_and_at_its_place_when_that_is_gone() {
    let (mut view, first) = (View::default(), seen());
    press(&mut view, &first, "↓↓↓");
    assert_eq!(selected(&view, &first), "tools/http");
    let mut changed = documents();
    changed.tree["children"].as_array_mut().unwrap().insert(0, json!({"id": 77, "name": "early"}));
    let moved = Seen { snapshot: Snapshot::read(changed, at(0)), rates: None };
    assert_eq!(selected(&view, &moved), "tools/http");
    let mut changed = documents();
    changed.tree["children"][0]["children"].as_array_mut().unwrap().remove(1);
    let gone = Seen { snapshot: Snapshot::read(changed, at(0)), rates: None };
    assert_eq!(selected(&view, &gone), "agents", "the row that took its place");
    let empty = Seen { snapshot: Snapshot::read(Documents::default(), at(0)), rates: None };
    assert_eq!(selected(&view, &empty), "");
    press(&mut view, &empty, "j↓ G←→pxK⏎");
}

#[test]
fn branches_are_folded_and_unfolded() {
    let (mut view, seen) = (View::default(), seen());
    let all = ["beluga", " tools", "  clock", "  http", "   execution", " agents (+7 not shown)"];
    assert_eq!(names(&view, &seen), all);
    press(&mut view, &seen, "↓ ");
    assert_eq!(names(&view, &seen), ["beluga", " tools", " agents (+7 not shown)"]);
    assert_eq!(view.rows(&seen)[1].folded, Some(true));
    press(&mut view, &seen, "→");
    assert_eq!(names(&view, &seen), all);
    press(&mut view, &seen, "↓↓↓");
    assert_eq!(selected(&view, &seen), "tools/http/execution");
    press(&mut view, &seen, "←");
    assert_eq!(selected(&view, &seen), "tools/http", "a leaf is left for what is above it");
    press(&mut view, &seen, "←←");
    assert_eq!((selected(&view, &seen), names(&view, &seen).len()), ("tools".to_owned(), 5));
    press(&mut view, &seen, "← ");
    assert_eq!(names(&view, &seen).len(), 5, "what is folded inside stays folded");
}

#[test]
fn a_filter_keeps_what_matches_with_what_is_above() {
    let (mut view, seen) = (View::default(), seen());
    press(&mut view, &seen, "/EXECX⌫");
    assert_eq!(names(&view, &seen), ["beluga", " tools", "  http", "   execution"]);
    press(&mut view, &seen, "⏎↓");
    assert_eq!(selected(&view, &seen), "tools", "keys move again after enter");
    press(&mut view, &seen, "⎋/paused⏎");
    assert_eq!(names(&view, &seen), ["beluga", " tools", "  http"], "states match too");
    press(&mut view, &seen, "⎋");
    assert_eq!(names(&view, &seen).len(), 6);
    press(&mut view, &seen, "/nothing");
    assert_eq!((names(&view, &seen).len(), selected(&view, &seen)), (0, String::new()));
    press(&mut view, &seen, "q⎋");
    assert_eq!(names(&view, &seen).len(), 6, "escape leaves the filter and clears it");
    let long = format!("/{}", "x".repeat(500));
    press(&mut view, &seen, &long);
    assert_eq!(view.filter.chars().count(), FILTER_MAX_CHARS);
}

#[test]
fn rows_are_sorted_by_what_was_chosen() {
    let (mut view, seen) = (View::default(), seen());
    let first = |view: &View| names(view, &seen)[0].clone();
    for (sort, top) in [
        (Sort::Rate, "tools/clock"),
        (Sort::Queue, "tools/http"),
        (Sort::Handler, "tools/http"),
        (Sort::Restarts, "tools/http"),
        (Sort::Tree, "beluga"),
    ] {
        press(&mut view, &seen, "s");
        assert_eq!((view.sort, first(&view).as_str()), (sort, top));
    }
    press(&mut view, &seen, "s/tool");
    assert_eq!(names(&view, &seen), ["tools/clock", "tools", "tools/http", "tools/http/execution"]);
}

#[test]
fn keys_change_the_selected_actor_and_a_stop_is_confirmed() {
    let (mut view, seen) = (View::default(), seen());
    let change = |change: Change| Wish::Change(change, 3, "tools/clock".to_owned());
    press(&mut view, &seen, "↓↓");
    assert_eq!(press(&mut view, &seen, "p"), change(Change::Pause));
    assert_eq!(press(&mut view, &seen, "r"), change(Change::Restart));
    assert_eq!(press(&mut view, &seen, "K"), change(Change::Kill));
    assert_eq!((press(&mut view, &seen, "x"), view.mode.clone()), (Wish::Draw, Mode::Confirm(3, "tools/clock".into())));
    assert_eq!(press(&mut view, &seen, "n"), Wish::Draw);
    assert_eq!(view.mode, Mode::Browse);
    assert_eq!(press(&mut view, &seen, "xy"), change(Change::Stop));
    assert_eq!(press(&mut view, &seen, "x⎋y"), Wish::Draw, "another key is a no");
    press(&mut view, &seen, "↓");
    assert_eq!(press(&mut view, &seen, "p"), Wish::Change(Change::Resume, 4, "tools/http".to_owned()));
    press(&mut view, &seen, "↓");
    assert_eq!(press(&mut view, &seen, "K"), Wish::Draw);
    assert!(view.notice.as_ref().unwrap().1, "a job is no actor");
    press(&mut view, &seen, "k");
    assert!(view.notice.is_none());
}

#[test]
fn keys_that_look_quit_or_ask_for_help() {
    let (mut view, seen) = (View::default(), seen());
    assert_eq!((press(&mut view, &seen, "⏎"), view.inspects), (Wish::Look, true));
    assert_eq!(press(&mut view, &seen, "↓"), Wish::Look, "another actor is inspected");
    assert_eq!((press(&mut view, &seen, "⎋"), view.inspects), (Wish::Draw, false));
    assert_eq!((press(&mut view, &seen, "?"), view.mode.clone()), (Wish::Draw, Mode::Help));
    assert_eq!(
        (press(&mut view, &seen, "q"), view.mode.clone()),
        (Wish::Draw, Mode::Browse),
        "any key leaves the help"
    );
    assert_eq!(press(&mut view, &seen, "q"), Wish::Quit);
    press(&mut view, &seen, "/");
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(view.on_key(interrupt, &seen), Wish::Quit, "in every mode");
}

#[test]
fn the_window_follows_the_cursor() {
    let mut view = View::default();
    assert_eq!(view.scroll(0, 100, 10), 0);
    assert_eq!(view.scroll(9, 100, 10), 0);
    assert_eq!(view.scroll(10, 100, 10), 1);
    assert_eq!(view.scroll(99, 100, 10), 90);
    assert_eq!(view.scroll(50, 100, 10), 50);
    assert_eq!(view.scroll(99, 100, 30), 70, "a larger window is filled");
    assert_eq!(view.scroll(4, 5, 30), 0);
    assert_eq!(view.scroll(0, 0, 0), 0);
}
