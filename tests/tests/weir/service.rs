//! Real servers for a test: a Kafka broker, Elasticsearch 8, OpenSearch 2, by `tests/services/service`.

use crate::program::workspace;
use crate::server::free_ports;
use crate::turn;
use anyhow::{Context as _, Result, bail, ensure};
use libtest_mimic::Trial;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The kinds of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kafka,
    Elasticsearch,
    Opensearch,
}

impl Kind {
    /// Its name in the script and in the names of tests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Kafka => "kafka",
            Kind::Elasticsearch => "elasticsearch",
            Kind::Opensearch => "opensearch",
        }
    }
}

/// A server with a data folder and a port of its own. Killed and its data removed when dropped.
pub(crate) struct Service {
    kind: Kind,
    folder: tempfile::TempDir,
    port: u16,
    /// `127.0.0.1:PORT` of Kafka, `http://127.0.0.1:PORT` of the others.
    pub(crate) address: String,
}

impl Service {
    /// Starts one on an empty folder.
    pub(crate) fn start(kind: Kind) -> Result<Service> {
        let folder = tempfile::tempdir()?;
        let ports = adjacent_ports()?;
        let mut service = Service { kind, folder, port: ports, address: String::new() };
        service.address = service.start_again()?;
        Ok(service)
    }

    /// Starts it on the data that it left, at the same address.
    pub(crate) fn start_again(&self) -> Result<String> {
        let data = self.data();
        script(&["start", self.kind.name(), &data, &self.port.to_string()])
    }

    /// kill -9.
    pub(crate) fn kill(&self) -> Result<()> {
        script(&["kill", &self.data()]).map(drop)
    }

    fn data(&self) -> String {
        self.folder.path().display().to_string()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The script says itself what went wrong; a test has its verdict already.
        let _ended = self.kill();
    }
}

/// The servers that tests share: one a kind, started by the first test that asks.
static SHARED: [Mutex<Option<Arc<Service>>>; 3] = [const { Mutex::new(None) }; 3];

/// The server of a kind that several tests use side by side, each with topics and indices of its own.
pub(crate) fn shared(kind: Kind) -> Result<Arc<Service>> {
    let mut shared = SHARED[kind as usize].lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(service) = &*shared {
        return Ok(Arc::clone(service));
    }
    let service = Arc::new(Service::start(kind)?);
    Ok(Arc::clone(shared.insert(service)))
}

/// Ends the servers that tests shared.
pub(crate) fn end_shared() {
    for service in &SHARED {
        drop(service.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A port whose successor is free too.
fn adjacent_ports() -> Result<u16> {
    for _ in 0..50 {
        let ports = free_ports(2)?;
        if ports[1] == ports[0] + 1 {
            return Ok(ports[0]);
        }
    }
    bail!("no two adjacent free ports")
}

fn script(args: &[&str]) -> Result<String> {
    let script: PathBuf = workspace().join("tests/services/service");
    let mut command = Command::new(&script);
    command.args(args).env("SERVICES_OWNER", std::process::id().to_string()).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run '{}'", script.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "service {}: {said}", args.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A test that needs servers, left out where they cannot be started.
pub(crate) fn trial(name: &str, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    turn::shared(name, test).with_ignored_flag(MISSING.is_some())
}

/// Why no servers can be started, told once.
static MISSING: LazyLock<Option<String>> = LazyLock::new(|| {
    let missing = missing();
    if let Some(reason) = &missing {
        println!("services: left out; {reason}");
    }
    missing
});

/// What is missing here to start services: the reason why their tests are left out. In CI nothing is left out.
fn missing() -> Option<String> {
    let tools = ["bash", "java", "javac", "mvn", "curl", "flock"];
    let found = |tool: &&str| {
        let probe = Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
        probe.is_ok_and(|s| s.success())
    };
    let absent: Vec<&str> = tools.into_iter().filter(|tool| !found(tool)).collect();
    (!absent.is_empty() && !turn::in_ci()).then(|| format!("not installed here: {}", absent.join(", ")))
}
