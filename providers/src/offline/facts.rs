//! What the user told about themselves, and questions about it: the session's memory, read from the history.

use beluga_core::{ChatMessage, Role};

use super::clause::Clause;
use super::intent;

/// Something the user told about themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// `my NAME is VALUE`.
    Property { name: String, value: String },
    /// `I VERB REST`, such as `I live in Paris`.
    Habit { verb: String, rest: String },
}

/// A question about what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// What is my NAME?
    Property(String),
    /// Where do I VERB?
    Habit(String),
    /// What did I say about these words?
    Said(String),
    /// What do you know about these words?
    Known(String),
    /// What was my first message?
    First,
    /// What was my last message?
    Last,
}

const VERBS: &[&str] =
    &["live", "like", "love", "prefer", "work", "study", "have", "own", "speak", "play", "hate", "need"];

/// The longest name of a property, in words: "favourite programming language of all".
const NAME_MAX_WORDS: usize = 5;

/// Reads a part as something told.
pub(super) fn statement(clause: &Clause<'_>) -> Option<Fact> {
    if clause.tokens.first()?.is_word(&["my"]) {
        return property(clause);
    }
    for phrase in ["i am called", "i'm called", "i am named", "call me", "you can call me"] {
        if let Some(value) = clause.behind(phrase).filter(|value| !value.is_empty()) {
            return Some(Fact::Property { name: "name".to_owned(), value: tidy(value) });
        }
    }
    let verb = clause.tokens.get(1).and_then(|token| token.word()).filter(|verb| VERBS.contains(verb))?;
    let rest = clause.text.get(clause.tokens.get(1)?.range.end..).map(tidy)?;
    let is_told = clause.tokens.first()?.is_word(&["i"]) && !rest.is_empty();
    is_told.then(|| Fact::Habit { verb: verb.to_owned(), rest })
}

fn property(clause: &Clause<'_>) -> Option<Fact> {
    let at = clause.tokens.iter().position(|token| token.is_word(&["is", "are", "was"]))?;
    let first = clause.tokens.get(1)?;
    let last = clause.tokens.get(at.checked_sub(1)?)?;
    if !(2..=NAME_MAX_WORDS + 1).contains(&at) {
        return None;
    }
    let name = clause.text.get(first.range.start..last.range.end)?.to_lowercase();
    let value = clause.text.get(clause.tokens.get(at)?.range.end..).map(tidy)?;
    (!value.is_empty()).then_some(Fact::Property { name, value })
}

/// Reads a part as a question about what was said.
pub(super) fn question(clause: &Clause<'_>) -> Option<Question> {
    let asks =
        clause.has(&["what", "what's", "whats", "which", "who", "who's", "where", "do", "did", "tell", "remember"]);
    if !asks {
        return None;
    }
    if clause.has(&["my", "i"]) && clause.has(&["question", "message", "request", "ask", "say", "thing"]) {
        if clause.has(&["first"]) {
            return Some(Question::First);
        }
        if clause.has(&["last", "previous", "before"]) && clause.behind("about").is_none() {
            return Some(Question::Last);
        }
    }
    for phrase in
        ["did i say about", "did i tell you about", "did i mention about", "have i said about", "i said about"]
    {
        if let Some(topic) = clause.behind(phrase).filter(|topic| !topic.is_empty()) {
            return Some(Question::Said(topic.to_owned()));
        }
    }
    for phrase in ["you know about", "you remember about", "you remember of", "do you remember"] {
        if let Some(topic) = clause.behind(phrase).filter(|topic| !topic.is_empty()) {
            return Some(Question::Known(topic.to_owned()));
        }
    }
    if clause.has_phrase("who am i") || clause.has_phrase("am i called") {
        return Some(Question::Property("name".to_owned()));
    }
    let counts = clause.has(&["many", "much"]);
    if let Some(verb) = ["do i", "did i"].iter().find_map(|phrase| clause.behind(phrase)) {
        let verb = verb.split(' ').next().unwrap_or_default().to_lowercase();
        return (VERBS.contains(&verb.as_str()) && !counts).then_some(Question::Habit(verb));
    }
    let name = ["is my", "are my", "was my", "what's my", "whats my", "who's my", "know my", "remember my", "me my"]
        .iter()
        .find_map(|phrase| clause.behind(phrase))?;
    (!name.is_empty()).then(|| Question::Property(name.to_lowercase()))
}

/// What was said in the session so far, and what memory wrote into the prompt.
#[derive(Debug)]
pub(super) struct Said<'a> {
    /// The user's messages before the current one, oldest first.
    earlier: Vec<String>,
    current: &'a str,
    /// The lines of the system messages.
    prompt: Vec<String>,
}

impl<'a> Said<'a> {
    /// Reads what stands before `current`, the message being answered.
    pub(super) fn of<'m>(messages: impl Iterator<Item = &'m ChatMessage>, current: &'a str) -> Self {
        let (mut earlier, mut prompt) = (Vec::new(), Vec::new());
        for message in messages {
            match message.role {
                Role::User => earlier.push(message.text()),
                Role::System => prompt.extend(message.text().lines().map(str::to_owned)),
                Role::Assistant | Role::Tool => {}
            }
        }
        Self { earlier, current, prompt }
    }

    /// Answers a question from the session and the prompt; `None` if nothing is known.
    pub(super) fn answer(&self, question: &Question) -> Option<String> {
        match question {
            Question::Property(name) => {
                let value = self.newest(|fact| matches!(fact, Fact::Property { name: have, .. } if have == name))?;
                Some(told(&value))
            }
            Question::Habit(verb) => {
                let fact = self.newest(|fact| matches!(fact, Fact::Habit { verb: have, .. } if have == verb))?;
                Some(told(&fact))
            }
            Question::First => self.earlier.first().map(|text| format!("Your first message was: “{}”", text.trim())),
            Question::Last => self.earlier.last().map(|text| format!("Your last message was: “{}”", text.trim())),
            Question::Said(topic) | Question::Known(topic) => self.about(topic),
        }
    }

    /// Returns the newest fact of this sort: told in the session, else written in the prompt.
    fn newest(&self, wanted: impl Fn(&Fact) -> bool) -> Option<Fact> {
        let spoken = std::iter::once(self.current).chain(self.earlier.iter().rev().map(String::as_str));
        spoken
            .chain(self.prompt.iter().rev().map(String::as_str))
            .find_map(|text| facts(text).into_iter().rev().find(|fact| wanted(fact)))
    }

    fn about(&self, topic: &str) -> Option<String> {
        let words = topic_words(topic);
        let matches = |text: &str| {
            let text = text.to_lowercase();
            words.iter().any(|word| text.contains(word.as_str()))
        };
        // A topic without a word of its own is the user: what they told about themselves.
        let said = self.earlier.iter().filter(|text| matches(text) || (words.is_empty() && !facts(text).is_empty()));
        let memory = self.prompt.iter().skip_while(|line| !line.starts_with("# Core memory"));
        let memory = memory.filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let noted = memory.filter(|line| matches(line) || words.is_empty());
        let mut parts: Vec<String> = said.map(|text| format!("You said: “{}”", text.trim())).collect();
        parts.extend(noted.map(|line| format!("My memory says: “{}”", line.trim())));
        parts.truncate(SAID_MAX);
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// The most quotations one answer holds.
const SAID_MAX: usize = 10;

/// Returns the facts in a text, in order.
pub(super) fn facts(text: &str) -> Vec<Fact> {
    intent::clauses(text).iter().filter_map(|clause| statement(&from_first_person(clause))).collect()
}

/// Returns whether a text asks about what was said.
pub(super) fn asks(text: &str) -> bool {
    intent::clauses(text).iter().any(|clause| question(clause).is_some())
}

/// Skips what leads up to a fact: `remember that my name is Ada`, `- my name is Ada`.
fn from_first_person<'a>(clause: &Clause<'a>) -> Clause<'a> {
    let begins =
        |clause: &Clause<'_>| clause.tokens.first().is_some_and(|token| token.is_word(&["my", "i", "i'm", "call"]));
    if begins(clause) {
        return clause.clone();
    }
    let at = clause.tokens.iter().take(6).position(|token| token.is_word(&["my", "i", "i'm"]));
    let leads = clause.tokens.first().is_some_and(|token| {
        token.is_word(&["remember", "note", "please", "hi", "hello", "that", "well", "human", "user"])
            || token.word().is_none()
    });
    match at
        .filter(|_| leads)
        .and_then(|at| clause.tokens.get(at))
        .and_then(|token| clause.text.get(token.range.start..))
    {
        Some(text) => Clause::sentences(text).into_iter().next().unwrap_or_else(|| clause.clone()),
        None => clause.clone(),
    }
}

/// Says a fact back.
pub(super) fn told(fact: &Fact) -> String {
    match fact {
        Fact::Property { name, value } => format!("Your {name} is {value}."),
        Fact::Habit { verb, rest } => format!("You {verb} {rest}."),
    }
}

fn tidy(text: &str) -> String {
    text.trim().trim_end_matches([',', '.', '!', '?', ';', '"', '”']).trim().to_owned()
}

/// Returns the words worth looking for.
fn topic_words(topic: &str) -> Vec<String> {
    let common = ["the", "a", "an", "my", "me", "of", "and", "in", "on", "to", "is", "it", "i"];
    topic
        .split(|character: char| !character.is_alphanumeric())
        .map(str::to_lowercase)
        .filter(|word| !word.is_empty() && !common.contains(&word.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(text: &str) -> Clause<'_> {
        Clause::sentences(text).remove(0)
    }

    fn property(name: &str, value: &str) -> Fact {
        Fact::Property { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn facts_are_read_from_what_is_told() {
        assert_eq!(
            facts("Hi. My name is Ada Lovelace and I live in Paris!"),
            [property("name", "Ada Lovelace"), Fact::Habit { verb: "live".into(), rest: "in Paris".into() }]
        );
        assert_eq!(facts("- remember that my favourite colour is blue"), [property("favourite colour", "blue")]);
        assert_eq!(facts("call me Bob."), [property("name", "Bob")]);
        assert_eq!(facts("What is my name?"), []);
    }

    #[test]
    fn questions_are_told_apart() {
        for (text, expected) in [
            ("What is my name?", Question::Property("name".into())),
            ("do you know my favourite colour", Question::Property("favourite colour".into())),
            ("who am I", Question::Property("name".into())),
            ("Where do I live?", Question::Habit("live".into())),
            ("what did I say about Paris", Question::Said("Paris".into())),
            ("What was my first question?", Question::First),
            ("What did I ask before?", Question::Last),
            ("What do you know about me?", Question::Known("me".into())),
        ] {
            assert_eq!(question(&clause(text)), Some(expected), "{text}");
        }
        for text in ["my name is Ada", "how many apples do I have"] {
            assert_eq!(question(&clause(text)), None, "{text}");
        }
    }

    #[test]
    fn the_newest_word_counts_and_the_prompt_comes_last() {
        let messages = [
            ChatMessage::system("You help.\n\n# Core memory: human\nmy dog is Rex\nmy name is Grace"),
            ChatMessage::user("My name is Ada."),
            ChatMessage::assistant("Hello."),
            ChatMessage::user("Call me Bob. I saw the sea in Brest."),
        ];
        let said = Said::of(messages.iter(), "what now?");
        let answer = |question: Question| said.answer(&question).unwrap_or_default();
        assert_eq!(answer(Question::Property("name".into())), "Your name is Bob.");
        assert_eq!(answer(Question::Property("dog".into())), "Your dog is Rex.");
        assert_eq!(answer(Question::First), "Your first message was: “My name is Ada.”");
        assert!(answer(Question::Said("the sea".into())).contains("in Brest"));
        assert!(answer(Question::Known("Rex".into())).starts_with("My memory says"));
        assert_eq!(said.answer(&Question::Property("cat".into())), None);
    }
}
