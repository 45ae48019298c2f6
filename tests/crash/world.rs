//! What surrounds the processes of one case: a data directory, a model, tools. It outlives them.

use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};

use crate::model::{Answer, Ask, Model};
use crate::support::{NodeProcess, Place, Reader};
use crate::tools::Tools;

/// The session of every case.
pub(crate) const SESSION: &str = "s";

/// The paths of a turn.
const STREAM: &str = "/api/v1/agents/assistant/stream";
const INVOKE: &str = "/api/v1/agents/assistant/invoke";

/// How many cases run at once; each is a process that mostly waits.
const CASES_AT_ONCE: usize = 4;

/// The surroundings.
pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) model: Model,
    pub(crate) tools: Arc<Tools>,
}

impl World {
    /// Makes surroundings; the script is given the tools' server for its addresses.
    pub(crate) fn new(script: impl Fn(&Ask, &Tools) -> Answer + Send + Sync + 'static) -> Self {
        let tools = Arc::new(Tools::start());
        let shared = Arc::clone(&tools);
        let model = Model::start(move |ask| script(ask, &shared));
        let place = Place::new();
        place.write(
            "beluga.toml",
            format!(
                "[providers.main]\nkind = \"openai-compatible\"\nmodel = \"played\"\nbase_url = \"http://{}/v1\"\n\
                 retry = {{ attempts = 1 }}\n\
                 [tools.http]\nallow = [\"{}\"]\n\
                 [agents.assistant]\ntools = [\"calculator\", \"http\"]\nmemory = []\n",
                model.address, tools.address
            ),
        );
        Self { place, model, tools }
    }

    /// Starts a process.
    pub(crate) fn node(&self) -> NodeProcess {
        self.place.node(&[])
    }

    /// Starts a process that dies around an append.
    pub(crate) fn dying(&self, fault: &str) -> NodeProcess {
        self.place.node_with(&[], &[("BELUGA_FAULT", fault)])
    }

    /// Asks what the model is sent in one more turn: the history as it sees it, with the tools' address left out.
    pub(crate) fn history(&self, node: &NodeProcess) -> Value {
        let before = self.model.asked();
        let reply = node.invoke(&json!({"input": LOOK_BACK, "session": SESSION}));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let asks = self.model.asks();
        assert_eq!(asks.len(), before + 1, "the turn asks once");
        let mut messages = asks[before].messages.clone();
        messages.pop();
        let text = self.without_address(vec![Value::from(messages).to_string()]);
        serde_json::from_str(&text[0]).unwrap()
    }

    /// Replaces the tools' address, which differs between runs.
    pub(crate) fn without_address(&self, lines: Vec<String>) -> Vec<String> {
        let address = self.tools.address.to_string();
        lines.into_iter().map(|line| line.replace(&address, "TOOLS")).collect()
    }
}

/// The question whose answer is of no interest.
pub(crate) const LOOK_BACK: &str = "look back";

/// Streams a turn under a key; `None` if the process died before it answered.
pub(crate) fn stream(node: &NodeProcess, input: &str, key: &str) -> Option<Reader> {
    let body = json!({"input": input, "session": SESSION}).to_string();
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    Reader::try_open(node.address, "POST", STREAM, &headers, body.as_bytes())
}

/// Sends a streamed turn under a key and does not wait for its answer.
pub(crate) fn send_stream(node: &NodeProcess, input: &str, key: &str) -> impl Sized + use<> {
    let body = json!({"input": input, "session": SESSION});
    send(node, STREAM, &body, key)
}

/// Sends an invoke under a key and does not wait for its answer: dropping what is returned hangs up.
pub(crate) fn send_invoke(node: &NodeProcess, body: &Value, key: &str) -> impl Sized + use<> {
    send(node, INVOKE, body, key)
}

fn send(node: &NodeProcess, path: &str, body: &Value, key: &str) -> std::io::BufReader<std::net::TcpStream> {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    crate::support::connect(node.address, "POST", path, &headers, body.to_string().as_bytes())
}

/// Invokes under a key.
pub(crate) fn invoke(node: &NodeProcess, body: &Value, key: &str) -> crate::support::Response {
    node.post_with(INVOKE, body, &[("Idempotency-Key", key)])
}

/// Waits for a process that dies by itself: by a signal, not by an exit.
pub(crate) fn died(node: NodeProcess, place: &str) {
    let (code, log) = node.end();
    assert_eq!(code, None, "{place}: the process ends by a signal\n{log}");
}

/// Kills a process with signal 9 and waits for its end.
pub(crate) fn kill(node: NodeProcess) {
    node.signal("KILL");
    assert_eq!(node.end().0, None);
}

/// Runs cases side by side.
pub(crate) fn side_by_side<T: Send>(cases: Vec<T>, run: impl Fn(T) + Sync) {
    let waiting = Mutex::new(cases.into_iter());
    let failed = OnceLock::new();
    std::thread::scope(|scope| {
        for _ in 0..CASES_AT_ONCE {
            scope.spawn(|| {
                while failed.get().is_none() {
                    let Some(case) = waiting.lock().unwrap().next() else { return };
                    let run = std::panic::AssertUnwindSafe(|| run(case));
                    if let Err(panic) = std::panic::catch_unwind(run) {
                        let _ = failed.set(());
                        std::panic::resume_unwind(panic);
                    }
                }
            });
        }
    });
}
