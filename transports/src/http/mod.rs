//! The HTTP face: REST and server-sent events for agents and sessions.
//!
//! | route | does |
//! |---|---|
//! | `POST /api/v1/agents/{agent}/invoke` | runs a turn, answers `{result, session, turn, usage}` |
//! | `POST /api/v1/agents/{agent}/stream` | runs a turn, answers its events |
//! | `GET /api/v1/sessions/{id}/events` | reads a session's events from `Last-Event-ID`, or from the first |
//! | `POST /api/v1/sessions/{id}/cancel` | cancels the running turn |
//! | `GET /api/v1/agents`, `/api/v1/tree?root=&depth=&nodes=` | what there is |
//! | `GET /api/v1/usage?tenant=&agent=&model=` | what was spent and is reserved, and the limits |
//! | `GET /api/v1/system`, `/api/v1/actors/{id}` | the system in numbers, one actor in detail |
//! | `POST /api/v1/actors/{id}/pause`, `resume`, `restart`, `stop`, `kill` | changes an actor, answers it as it is then |
//! | `GET /healthz`, `/readyz`, `/metrics` | whether and how it runs |
//!
//! **Errors** are problem details (RFC 9457) of [`beluga_core::Problem`], with `Retry-After` where there is one.
//!
//! **Who may.** With a token every route but the two health routes needs it. Without one the face belongs on loopback,
//! and there a request must name the node by a loopback name ([`FaceSettings::allowed_hosts`] adds others), so that a
//! web page cannot reach it through DNS. `X-Beluga-Tenant` is believed from loopback, or where the settings trust it.
//!
//! **Who may operate.** The routes of `/api/v1/system` and `/api/v1/actors` show what is no tenant's and change what runs.
//! The token suffices for them; without one they are open to this machine alone, under its own name and not through a
//! proxy. A caller that names a tenant is refused. A change must say `Content-Type: application/json`, which a web page
//! cannot send to another origin without asking first. A change that has not taken effect after two seconds is answered
//! with 202.
//!
//! **Who sees usage.** An operator sees everybody's; whoever acts for a tenant sees that tenant's.
//!
//! **Hanging up.** A client that hangs up cancels its invoke, unless it gave an `Idempotency-Key`: then it is expected
//! back. A streamed turn goes on without its reader unless it asked for `cancel_on_disconnect`.
//!
//! **Limits**: [`FaceSettings`], [`ServerSettings`] and the constants of this room. A reader that takes no bytes for
//! [`ServerSettings::write_timeout`] is disconnected; one that falls behind is cut off with a comment that names its
//! cursor, and resumes there without a gap.
//!
//! Not here: the choice of the address, TLS (put a proxy in front).

mod access;
mod body;
mod cluster;
mod control;
mod face;
mod health;
mod identify;
mod introspect;
mod listener;
mod observe;
mod problem;
mod rate;
mod server;
mod session;
mod sse;
mod stall;
mod turn;
mod usage;

pub use face::{Face, FaceSettings};
pub use health::Readiness;
pub use introspect::TREE_NODES_MAX;
pub use listener::Listener;
pub use rate::EndpointRates;
pub use server::{HEAD_MAX_BYTES, HEAD_TIMEOUT, Server, ServerSettings};
pub use sse::BATCH_MAX_BYTES;
