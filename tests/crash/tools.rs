//! The server behind the tool `http`: it counts every effect, which makes it the witness of what really ran.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::server::{self, Gate};
use crate::support::wait_until;

/// One effect: method, path and idempotency key.
pub(crate) type Effect = (String, String, Option<String>);

/// A running tool server.
pub(crate) struct Tools {
    pub(crate) address: SocketAddr,
    effects: Arc<Mutex<Vec<Effect>>>,
    held: Gate,
}

impl Tools {
    /// `/held` answers when [`release`](Self::release) is called; everything else at once.
    pub(crate) fn start() -> Self {
        let effects = Arc::<Mutex<Vec<Effect>>>::default();
        let held = Gate::default();
        let (shared, gate) = (Arc::clone(&effects), held.clone());
        let address = server::start(move |request, mut stream| {
            let effect = (request.method.clone(), request.path.clone(), request.idempotency_key.clone());
            shared.lock().unwrap().push(effect);
            if request.path == "/held" {
                gate.wait();
            }
            let body = format!("{} of {} done", request.method, request.path);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes())
        });
        Self { address, effects, held }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Counts the effects of a method.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.effects.lock().unwrap().iter().filter(|effect| effect.0 == method).count()
    }

    /// Returns all effects, oldest first.
    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.effects.lock().unwrap().clone()
    }

    /// Waits until a method has had an effect.
    pub(crate) fn wait_for(&self, method: &str) {
        wait_until(|| (self.count(method) > 0).then_some(())).expect("the tool is called");
    }

    /// Lets held answers go.
    pub(crate) fn release(&self) {
        self.held.open();
    }
}
