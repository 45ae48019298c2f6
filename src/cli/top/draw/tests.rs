use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::testing::seen;
use super::*;

fn link() -> Link {
    Link { url: "http://127.0.0.1:8080".to_owned(), lost: None }
}

fn drawn(view: &mut View, link: &Link, width: u16, height: u16, has_color: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, &seen(), link, Theme { has_color })).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let cells: Vec<&str> = buffer.content.iter().map(|cell| cell.symbol()).collect();
    cells.chunks(width).map(|line| line.concat().trim_end().to_owned()).collect()
}

fn shown(view: &mut View, width: u16, height: u16) -> Vec<String> {
    lines(&drawn(view, &link(), width, height, true))
}

fn press(view: &mut View, code: KeyCode) {
    view.on_key(KeyEvent::new(code, KeyModifiers::NONE), &seen());
}

#[test]
fn a_terminal_of_eighty_columns_shows_it_all() {
    let expected = [
        "beluga  http://127.0.0.1:8080  up 1m01s",
        "12 actors  1 job  4.0 msg/s  4 waiting  4 dead letters (0/s)  2 restarts  1",
        "breaker open  0 gated  1 paused",
        "NAME                            STATE     MSG/S       QUEUE  OLDEST HANDLER  RST",
        "▾ beluga                        running       0",
        "  ▾ tools                       running       0",
        "      clock                     running     4.0",
        "    ▾ http                      paused        0     1/0/3/0    1.2s   1m01s    2",
        "        execution               running                                2.5s",
        "    agents (+7 not shown)       running       0",
        "",
        " 2 asks in flight, 1 trouble ───────────────────────────────────────────────────",
        "breaker   tools/http is open",
        "ask       outside → agents agent.ask for 3.0s, 27.0s left",
        "ask       agents → tools/http tool.execute for 1.2s, holds its handler",
        "────────────────────────────────────────────────────────────────────────────────",
        "q quit  ? help  enter look  / filter  s sort  p pause  r restart  x stop  K kill",
    ];
    assert_eq!(shown(&mut View::default(), 80, 17), expected);
}

#[test]
fn a_wide_terminal_has_all_columns_and_the_detail_beside_them() {
    let mut view = View::default();
    let wide = shown(&mut view, 140, 20);
    assert!(wide[2].contains("KIND") && wide[2].contains("BREAKER"), "{wide:#?}");
    assert!(wide[1].ends_with("2 restarts  1 breaker open  0 gated  1 paused"), "{wide:#?}");
    press(&mut view, KeyCode::Enter);
    let inspected = shown(&mut view, 140, 20);
    assert!(inspected[2].contains("NAME") && inspected[2].contains("┌ actor ─"), "{inspected:#?}");
    assert!(inspected[3].contains("▾ beluga") && inspected[3].contains("│beluga"), "{inspected:#?}");
    let below = shown(&mut view, 80, 24);
    assert!(below.iter().any(|line| line.starts_with("┌ actor ─")), "{below:#?}");
}

#[test]
fn every_size_can_be_drawn_in_every_mode() {
    for key in [' ', '/', '?', 'x'] {
        for (width, height) in [(1, 1), (3, 2), (10, 4), (20, 6), (40, 10), (300, 100)] {
            let mut view = View::default();
            press(&mut view, KeyCode::Enter);
            press(&mut view, KeyCode::Char(key));
            let drawn = shown(&mut view, width, height);
            assert_eq!(drawn.len(), usize::from(height));
        }
    }
    let small = shown(&mut View::default(), 24, 5);
    assert_eq!(&small[1..3], ["NAME", "▾ beluga"], "{small:#?}");
}

#[test]
fn the_cursor_is_visible_in_a_short_table() {
    let mut view = View::default();
    press(&mut view, KeyCode::End);
    let drawn = shown(&mut view, 60, 6);
    assert!(drawn[4].contains("agents"), "{drawn:#?}");
    press(&mut view, KeyCode::Home);
    assert!(shown(&mut view, 60, 6)[2].contains("beluga"));
}

#[test]
fn a_node_that_is_away_is_said_so_over_what_was_seen_last() {
    let lost = Some((Duration::from_secs(5), "no connection".to_owned()));
    let link = Link { lost, ..link() };
    let drawn = lines(&drawn(&mut View::default(), &link, 100, 17, true));
    assert_eq!(drawn[0], "beluga  http://127.0.0.1:8080  NO ANSWER for 5.0s: no connection; trying again");
    assert!(drawn.iter().any(|line| line.contains("clock")));
}

#[test]
fn questions_filters_and_notices_stand_at_the_foot() {
    let foot = |view: &mut View| shown(view, 100, 12).pop().unwrap();
    let typed = |keys: &str| {
        let mut view = View::default();
        keys.chars().for_each(|key| press(&mut view, KeyCode::Char(key)));
        view
    };
    assert_eq!(foot(&mut typed("jjx")), "stop tools/clock for good? what waits for it is lost (y/n)");
    assert_eq!(foot(&mut typed("/tool")), "/tool▏ enter keeps it, esc clears it");
    let mut view = typed("");
    view.notice = Some(("conflict: no".to_owned(), true));
    assert_eq!(foot(&mut view), "conflict: no");
    let mut view = typed("?");
    let help = shown(&mut view, 100, 30);
    assert!(help.iter().any(|line| line.contains("stop for good")) && help.iter().any(|line| line.contains("┌ keys")));
}

#[test]
fn without_colour_nothing_is_coloured() {
    let colored = |has_color| {
        let buffer = drawn(&mut View::default(), &link(), 100, 20, has_color);
        buffer.content.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert_eq!(colored(false), 0);
    assert!(colored(true) > 0);
}
