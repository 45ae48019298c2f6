//! Where and of what a run was made.

use std::process::Command;

/// The versions this binary was built from.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// Returns what stands above the figures: what, and which.
pub(crate) fn facts() -> Vec<(&'static str, String)> {
    let peers: Vec<String> = ["tokio", "ractor", "kameo", "actix", "actix-rt"].map(version).into();
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    vec![
        ("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("machine", format!("{}, {} cores, {}", processor(), cores(), said("uname", &["-srm"]))),
        ("versions", format!("beluga {} ({commit}), {}", env!("CARGO_PKG_VERSION"), peers.join(", "))),
        ("compiler", said("rustc", &["--version"])),
    ]
}

/// Returns the version of a crate in the lock file.
fn version(name: &str) -> String {
    let head = format!("name = \"{name}\"\nversion = \"");
    let version = LOCK.split_once(&head).and_then(|(_, rest)| rest.split('"').next());
    format!("{name} {}", version.unwrap_or("?"))
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    model.trim_start_matches(['\t', ' ', ':']).to_owned()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// Returns what a program prints; a question mark if it cannot be asked.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| "?".to_owned(), |text| text.trim().to_owned())
}
