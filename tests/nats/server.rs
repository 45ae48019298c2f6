//! A nats-server as a child of the test that needs it: on a free port of loopback, gone with the test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running server. Killed when it drops.
pub struct Server {
    child: Child,
    directory: tempfile::TempDir,
    configuration: Option<PathBuf>,
    port: u16,
}

impl Server {
    /// Starts a server that lets everybody do everything.
    pub fn start() -> Self {
        Self::with("")
    }

    /// Starts a server with a configuration.
    pub fn with(configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let configuration = (!configuration.is_empty()).then(|| {
            let path = directory.path().join("server.conf");
            std::fs::write(&path, configuration).unwrap();
            path
        });
        let (child, port) = spawn(&directory, configuration.as_ref(), None);
        Self { child, directory, configuration, port }
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills the server, and starts it again on the same port.
    pub fn restart(&mut self) {
        self.stop();
        let (child, port) = spawn(&self.directory, self.configuration.as_ref(), Some(self.port));
        (self.child, self.port) = (child, port);
    }

    /// Kills the server.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The server writes the port it took into a file named after its process.
fn spawn(directory: &tempfile::TempDir, configuration: Option<&PathBuf>, port: Option<u16>) -> (Child, u16) {
    let mut command = Command::new("nats-server");
    command.args(["-a", "127.0.0.1", "-p"]).arg(port.map_or("-1".to_owned(), |port| port.to_string()));
    command.arg("--ports_file_dir").arg(directory.path()).arg("-sd").arg(directory.path().join("store"));
    if let Some(path) = configuration {
        command.arg("-c").arg(path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("nats-server is missing (Debian: apt-get install nats-server)");
    let file = directory.path().join(format!("nats-server_{}.ports", child.id()));
    let end = Instant::now() + PATIENCE;
    loop {
        let ports = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        if let Some(url) = ports.as_ref().and_then(|ports| ports["nats"][0].as_str()) {
            let port = url.rsplit(':').next().unwrap().parse().unwrap();
            return (child, port);
        }
        if let Some(status) = child.try_wait().unwrap() {
            panic!("nats-server ended at once: {status}");
        }
        assert!(Instant::now() < end, "nats-server does not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}
