//! Processes of the binary, and HTTP by hand: a test sees each byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of one test: the working directory of its processes.
pub(crate) struct Place(tempfile::TempDir);

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Returns a command without any of the surroundings' settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_beluga"));
        command.current_dir(self.path()).args(arguments).env_clear().stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        outcome(self.command(arguments))
    }

    /// Starts a node on a free port and waits until it listens.
    pub(crate) fn node(&self, arguments: &[&str]) -> NodeProcess {
        self.node_with(arguments, &[])
    }

    pub(crate) fn node_at(&self, address: &str, arguments: &[&str]) -> NodeProcess {
        let all: Vec<&str> = ["node", "--http", address].into_iter().chain(arguments.iter().copied()).collect();
        start(self.command(&all))
    }

    pub(crate) fn node_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> NodeProcess {
        let all: Vec<&str> = ["node", "--http", "127.0.0.1:0"].into_iter().chain(arguments.iter().copied()).collect();
        let mut command = self.command(&all);
        command.envs(variables.iter().copied());
        start(command)
    }
}

/// Starts a node and waits until it listens.
fn start(mut command: Command) -> NodeProcess {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let log = collect(child.stderr.take().unwrap());
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let Some(url) = line.trim().strip_prefix("listening on ") else {
        let _ = child.kill();
        panic!("the node did not start: {line:?} {}", log.recv().unwrap());
    };
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    NodeProcess { child, url: url.to_owned(), address, log: Some(log) }
}

/// Runs a command to its end.
pub(crate) fn outcome(mut command: Command) -> Outcome {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let status = wait(&mut child);
    Outcome { code: status.code(), stdout: stdout.recv().unwrap(), stderr: stderr.recv().unwrap() }
}

fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// Waits for a process; one that does not end is a failure.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let status = wait_until(|| child.try_wait().unwrap());
    status.unwrap_or_else(|| {
        let _ = child.kill();
        panic!("the process did not end");
    })
}

/// Looks again and again until something is there.
pub(crate) fn wait_until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A node in a process of its own; killed when it drops.
pub(crate) struct NodeProcess {
    child: Child,
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    log: Option<mpsc::Receiver<String>>,
}

impl NodeProcess {
    pub(crate) fn get(&self, path: &str) -> Response {
        request(self.address, "GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.post_with(path, body, &[])
    }

    pub(crate) fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Response {
        let headers: Vec<_> =
            [("Content-Type", "application/json")].into_iter().chain(headers.iter().copied()).collect();
        request(self.address, "POST", path, &headers, body.to_string().as_bytes())
    }

    /// Asks the default agent.
    pub(crate) fn invoke(&self, body: &Value) -> Response {
        self.post("/api/v1/agents/assistant/invoke", body)
    }

    /// Starts a streamed turn of the default agent.
    pub(crate) fn stream(&self, body: &Value) -> Reader {
        let text = body.to_string();
        let headers = [("Content-Type", "application/json")];
        Reader::open(self.address, "POST", "/api/v1/agents/assistant/stream", &headers, text.as_bytes())
    }

    /// Reads a session's events.
    pub(crate) fn events(&self, session: &str, query: &str, cursor: Option<u64>) -> Reader {
        let path = format!("/api/v1/sessions/{session}/events{query}");
        let cursor = cursor.map(|cursor| cursor.to_string());
        let headers: Vec<_> = cursor.iter().map(|cursor| ("Last-Event-ID", cursor.as_str())).collect();
        Reader::open(self.address, "GET", &path, &headers, b"")
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end of the process; returns its exit code and its log.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = wait(&mut self.child);
        (status.code(), self.log.take().unwrap().recv().unwrap())
    }

    /// Tells the node to stop and waits.
    pub(crate) fn stop(self) -> (Option<i32>, String) {
        self.signal("TERM");
        self.end()
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// Checks that it is a problem of this status and code; returns its detail.
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Sends one request and reads the answer to its end.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut connection = connect(address, method, path, headers, body);
    let (status, headers) = read_head(&mut connection);
    let mut body = Vec::new();
    if header(&headers, "transfer-encoding").is_some() {
        while let Some(chunk) = read_chunk(&mut connection) {
            body.extend(chunk);
        }
    } else {
        connection.read_to_end(&mut body).unwrap();
    }
    Response { status, headers, body }
}

/// Opens a connection and sends a request on it.
pub(crate) fn connect(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if header(&headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>(), "host").is_none() {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A server may refuse and close before it has read a large body.
    let _ = stream.write_all(body);
    BufReader::new(stream)
}

pub(crate) fn read_head(connection: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    try_read_head(connection).expect("the server answers")
}

/// Returns `None` if the server went away before it answered.
fn try_read_head(connection: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let status = lines.first()?.split(' ').nth(1).and_then(|status| status.parse().ok());
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    Some((status.unwrap_or_else(|| panic!("no status in {lines:?}")), headers))
}

fn read_chunk(connection: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut size = String::new();
    if connection.read_line(&mut size).ok()? == 0 {
        return None;
    }
    let size = usize::from_str_radix(size.trim(), 16).ok()?;
    let mut chunk = vec![0; size + 2];
    connection.read_exact(&mut chunk).ok()?;
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}

/// One server-sent event, or a comment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SseItem {
    pub(crate) id: Option<u64>,
    pub(crate) event: String,
    pub(crate) data: Value,
    pub(crate) comment: Option<String>,
}

/// Reads server-sent events one by one.
pub(crate) struct Reader {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    connection: BufReader<TcpStream>,
    pending: String,
}

impl Reader {
    pub(crate) fn open(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::try_open(address, method, path, headers, body).expect("the server answers")
    }

    /// Returns `None` if the server went away before it answered.
    pub(crate) fn try_open(
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Self> {
        let mut connection = connect(address, method, path, headers, body);
        let (status, headers) = try_read_head(&mut connection)?;
        Some(Self { status, headers, connection, pending: String::new() })
    }

    pub(crate) fn session(&self) -> String {
        header(&self.headers, "x-beluga-session").unwrap().to_owned()
    }

    /// Returns the next event or comment; `None` at the end of the stream.
    pub(crate) fn item(&mut self) -> Option<SseItem> {
        loop {
            if let Some((item, rest)) = self.pending.split_once("\n\n") {
                let parsed = parse(item);
                self.pending = rest.to_owned();
                return Some(parsed);
            }
            let chunk = read_chunk(&mut self.connection)?;
            self.pending.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Returns the next event; comments are skipped.
    pub(crate) fn event(&mut self) -> Option<SseItem> {
        loop {
            let item = self.item()?;
            if item.comment.is_none() {
                return Some(item);
            }
        }
    }

    /// Reads to the end.
    pub(crate) fn rest(&mut self) -> Vec<SseItem> {
        std::iter::from_fn(|| self.event()).collect()
    }

    /// Reads up to and with the first event of a name.
    pub(crate) fn until(&mut self, name: &str) -> Vec<SseItem> {
        let mut seen = Vec::new();
        while let Some(event) = self.event() {
            let found = event.event == name;
            seen.push(event);
            if found {
                return seen;
            }
        }
        let ids: Vec<u64> = seen.iter().filter_map(|event| event.id).collect();
        panic!("no {name} among {} events, {:?} to {:?}", seen.len(), ids.first(), ids.last());
    }
}

fn parse(text: &str) -> SseItem {
    let mut item = SseItem { id: None, event: String::new(), data: Value::Null, comment: None };
    for line in text.lines() {
        match line.split_once(':').unwrap_or((line, "")) {
            ("id", value) => item.id = value.trim().parse().ok(),
            ("event", value) => item.event = value.trim().to_owned(),
            ("data", value) => item.data = serde_json::from_str(value.trim()).unwrap(),
            (_, value) => item.comment = Some(value.trim().to_owned()),
        }
    }
    item
}

/// Returns the answer's text as the pieces told it.
pub(crate) fn text_of(events: &[SseItem]) -> String {
    events.iter().filter(|event| event.event == "text").filter_map(|event| event.data["text"].as_str()).collect()
}
