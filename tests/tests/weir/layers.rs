//! Which crate may use what: the layers of ARCHITECTURE.md, held against the manifests.

use crate::program::workspace;
use crate::turn;
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use std::process::Command;

/// A dependency and the only crates of the workspace that may name it (development dependencies are free).
const ALLOWED: [(&str, &[&str]); 10] = [
    ("weir-dataflow", &["weir-ingest", "weir-sinks", "weir-cluster", "weir-bench"]),
    ("weir-ingest", &["weir-cluster", "weir-bench"]),
    ("weir-sinks", &["weir-cluster"]),
    ("weir-cluster", &["weir-bench"]),
    ("timely", &["weir-dataflow", "weir-cluster"]),
    ("differential-dataflow", &["weir-dataflow"]),
    ("tokio", &["weir-sinks", "weir-cluster", "weir-bench"]),
    ("warp", &["weir-cluster"]),
    ("rdkafka", &["weir-ingest", "weir-sinks", "weir-cluster", "weir-bench"]),
    ("reqwest", &["weir-sinks", "weir-cluster", "weir-bench"]),
];

/// One test.
pub(crate) fn trials() -> Vec<Trial> {
    vec![turn::shared("layers/dependencies", dependencies)]
}

fn dependencies() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(workspace());
    let metadata: Value = serde_json::from_slice(&command.output()?.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    ensure!(packages.len() >= 6, "the workspace has its six crates");
    for package in packages {
        let user = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten().filter(|d| d["kind"].is_null()) {
            let used = dependency["name"].as_str().unwrap_or_default();
            let allowed = ALLOWED.iter().find(|(name, _)| *name == used);
            ensure!(allowed.is_none_or(|(_, users)| users.contains(&user)), "{user} may not depend on {used}");
        }
    }
    Ok(())
}
