//! Embedding: an axum service of one's own asks an agent. It makes one request to itself and stops.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use beluga::prelude::*;
use beluga::providers::http::{HttpClient, HttpRequest, Network};

/// The error of a handler: Beluga's codes have a status and a problem document.
struct Failure(Error);

impl IntoResponse for Failure {
    fn into_response(self) -> axum::response::Response {
        let status = StatusCode::from_u16(self.0.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0.problem())).into_response()
    }
}

/// `POST /chats/{session}` with a text as its body. A client that hangs up drops this future, which cancels the turn.
async fn chat(
    State(agent): State<AgentRef>,
    Path(session): Path<String>,
    text: String,
) -> std::result::Result<Json<Reply>, Failure> {
    let session = SessionId::parse(session).map_err(Failure)?;
    agent.ask(text).session(session).await.map(Json).map_err(Failure)
}

async fn request(address: std::net::SocketAddr, path: &str, text: &'static str) -> Result<()> {
    let url = format!("http://{address}{path}").parse().map_err(|_| Error::invalid_input("url"))?;
    let request = HttpRequest { method: Method::POST, url, headers: HeaderMap::new(), body: text.into() };
    let response = HttpClient::new(Network::LoopbackOnly)?.send(request).await?;
    let status = response.status;
    let (body, _) = response.collect(64 * 1024).await?;
    println!("POST {path} {text:?}\n  {status} {}", String::from_utf8_lossy(&body));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let agents = beluga::in_memory("service").await?;
    let model = OfflineModel::new(agents.system().host());
    let agent = Agent::builder("assistant").model(model).tool(calculator).spawn(&agents).await?;

    let service = Router::new().route("/chats/{session}", post(chat)).with_state(agent);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("listening on {address}");

    let requests = async {
        request(address, "/chats/ada", "What is 6 * 7?").await?;
        request(address, "/chats/not%20a%20name", "Hello").await
    };
    tokio::select! {
        served = axum::serve(listener, service) => served?,
        asked = requests => asked?,
    }
    agents.system().shutdown_gracefully().await
}
