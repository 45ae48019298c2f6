//! The process dies before and after every append of a turn with three tools.

use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::model::{Answer, Ask};
use crate::tools::Tools;
use crate::world::{LOOK_BACK, World, died, side_by_side, stream};

/// The appends of the turn: its start; the first answer; the results of two tools; the second answer; the result of
/// the third; the last answer with the end.
const APPENDS: u64 = 6;

/// A place to die at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Before(u64),
    After(u64),
}

use Point::{After, Before};

impl Point {
    fn fault(self) -> String {
        match self {
            Before(append) => format!("before:{append}"),
            After(append) => format!("after:{append}"),
        }
    }

    /// Whether the turn is in the journal and open.
    fn leaves_open(self) -> bool {
        self != Before(1) && self != After(APPENDS)
    }

    /// Whether the third tool may have run and nobody knows.
    fn leaves_doubt(self) -> bool {
        matches!(self, After(4) | Before(5))
    }

    /// Questions to the model that are asked a second time: their answers were not recorded.
    fn repeated_asks(self) -> usize {
        usize::from(matches!(self, Before(2 | 4 | APPENDS)))
    }
}

/// A pure and an idempotent tool at once, then one with an effect, then text.
fn three_tools(ask: &Ask, tools: &Tools) -> Answer {
    if ask.question() == LOOK_BACK {
        return Answer::pieces(["seen"]);
    }
    let get = json!({"url": tools.url("/stock")});
    let post = json!({"url": tools.url("/order"), "method": "POST", "body": {"pieces": 3}});
    match ask.rounds() {
        0 => Answer::pieces(["Let me ", "look. "]).call("calculator", json!({"expression": "6 * 7"})).call("http", get),
        1 => Answer::pieces(["I ", "order. "]).call("http", post),
        _ => Answer::pieces(["All ", "three ", "are ", "done."]),
    }
}

/// What a run without a crash leaves behind.
struct Reference {
    story: Vec<String>,
    history: Value,
}

fn reference() -> Reference {
    let world = World::new(three_tools);
    // The switch is set at the first append of the turn after, which shows how many this one makes.
    let node = world.dying(&Before(APPENDS + 1).fault());
    let mut ledger = Ledger::default();
    ledger.read(&mut stream(&node, "go", "k").unwrap());
    assert_eq!(ledger.count("done"), 1, "{APPENDS} appends are enough");
    assert_eq!((world.model.asked(), world.tools.count("GET"), world.tools.count("POST")), (3, 1, 1));
    assert!(stream(&node, "again", "other").is_none(), "the next append is that of the next turn");
    died(node, "the turn after");
    let node = world.node();
    ledger.check_every_cursor(&node, "reference");
    Reference { story: world.without_address(ledger.story()), history: world.history(&node) }
}

#[test]
fn a_run_without_a_crash_tells_the_whole_story() {
    let reference = reference();
    let names: Vec<&str> = reference.story.iter().map(|line| line.split(':').next().unwrap()).collect();
    let round = ["text", "usage", "tool_call", "tool_call", "tool_result", "tool_result"];
    let second = ["text", "usage", "tool_call", "tool_result", "text", "usage", "done"];
    assert_eq!(names, [&round[..], &second[..]].concat());
    assert!(reference.story[4].contains("42") && reference.story[5].contains("GET of /stock done"));
    let roles: Vec<&str> = reference.history.as_array().unwrap().iter().filter_map(|m| m["role"].as_str()).collect();
    let roles: Vec<&str> = roles.into_iter().filter(|role| *role != "system").collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant", "tool", "assistant"]);
}

#[test]
fn a_process_that_dies_before_an_append_is_taken_up_where_it_was() {
    let reference = reference();
    side_by_side((1..=APPENDS).map(Before).collect(), |point| die_at(point, &reference));
}

#[test]
fn a_process_that_dies_after_an_append_is_taken_up_where_it_was() {
    let reference = reference();
    side_by_side((1..=APPENDS).map(After).collect(), |point| die_at(point, &reference));
}

fn die_at(point: Point, reference: &Reference) {
    let place = point.fault();
    let world = World::new(three_tools);
    let node = world.dying(&place);
    let mut ledger = Ledger::default();
    if let Some(mut reader) = stream(&node, "go", "k") {
        ledger.read(&mut reader);
    }
    died(node, &place);
    assert_eq!(ledger.count("done"), 0, "{place}: what is not acknowledged is not shown");

    let node = world.node();
    let asks = 3 + point.repeated_asks();
    if point.leaves_open() {
        // Nobody asks for the session: the node takes it up.
        world.model.wait_asked(asks);
    }
    if point == Before(1) {
        // Nothing was acknowledged and nothing is there; the caller repeats itself.
        node.get("/api/v1/sessions/s/events").problem(404, "not_found");
        ledger.read(&mut stream(&node, "go", "k").unwrap());
    }
    ledger.follow(&node);
    check_end(&world, &node, &ledger, &place);
    let posts = if point == After(4) { 0 } else { 1 };
    let gets = if point == Before(3) { 2 } else { 1 };
    let counted = (world.model.asked(), world.tools.count("GET"), world.tools.count("POST"));
    assert_eq!(counted, (asks, gets, posts), "{place}: nothing finished is done again");
    assert_eq!(ledger.has_unknown(), point.leaves_doubt(), "{place}");
    check_history(&world, &node, &ledger, reference, &place);
}

#[test]
fn a_process_that_dies_again_while_it_goes_on_is_taken_up_again() {
    let reference = reference();
    let firsts = (1..=APPENDS).flat_map(|append| [Before(append), After(append)]);
    let firsts = firsts.filter(|point| point.leaves_open());
    // The first append of the successor says that it goes on, the second what it did.
    let cases = firsts.flat_map(|first| [(first, After(1)), (first, Before(2))]);
    side_by_side(cases.collect(), |(first, second)| die_twice(first, second, &reference));
}

fn die_twice(first: Point, second: Point, reference: &Reference) {
    let place = format!("{}, then {}", first.fault(), second.fault());
    let world = World::new(three_tools);
    let node = world.dying(&first.fault());
    let mut ledger = Ledger::default();
    if let Some(mut reader) = stream(&node, "go", "k") {
        ledger.read(&mut reader);
    }
    died(node, &place);
    died(world.dying(&second.fault()), &place);
    let node = world.node();
    ledger.follow(&node);
    check_end(&world, &node, &ledger, &place);
    assert!(world.tools.count("GET") <= 3, "{place}");
    assert!(world.tools.count("POST") == 1 || ledger.has_unknown(), "{place}");
    assert_eq!(ledger.has_unknown(), first.leaves_doubt(), "{place}");
    check_history(&world, &node, &ledger, reference, &place);
}

/// Checks what holds wherever the process died.
fn check_end(world: &World, node: &crate::support::NodeProcess, ledger: &Ledger, place: &str) {
    assert_eq!(ledger.count("done"), 1, "{place}: {:#?}", ledger.seen);
    let posts: Vec<_> = world.tools.effects().into_iter().filter(|effect| effect.0 == "POST").collect();
    assert!(posts.len() <= 1, "{place}: a once tool never runs twice: {posts:?}");
    assert!(posts.iter().all(|post| post.2.as_deref().is_some_and(|key| key.starts_with("s/t1/"))), "{posts:?}");
    ledger.check_every_cursor(node, place);
    let before = world.model.asked();
    let mut repeated = Ledger::default();
    repeated.read(&mut stream(node, "go", "k").unwrap());
    assert_eq!(repeated.story(), ledger.story(), "{place}: the key gives the first outcome");
    assert_eq!(world.model.asked(), before, "{place}: a repeated key starts nothing");
}

fn check_history(
    world: &World,
    node: &crate::support::NodeProcess,
    ledger: &Ledger,
    reference: &Reference,
    place: &str,
) {
    let history = world.history(node);
    if !ledger.has_unknown() {
        assert_eq!(world.without_address(ledger.story()), reference.story, "{place}");
        assert_eq!(history, reference.history, "{place}");
        return;
    }
    assert!(world.model.asks().last().unwrap().is_told_unknown(), "{place}: the model knows of the doubt");
    let (mine, expected) = (history.as_array().unwrap(), reference.history.as_array().unwrap());
    assert_eq!(mine.len(), expected.len(), "{place}");
    for (mine, expected) in mine.iter().zip(expected) {
        // Only the result in doubt differs.
        let is_doubt = mine.to_string().contains("unknown_outcome");
        assert!(mine == expected || is_doubt && mine["role"] == "tool", "{place}: {mine} and {expected}");
    }
}
