//! Drives the weir program from outside, as its users do: command line, files, HTTP, a real Kafka broker and real
//! search servers. Nothing in here links the program; what it does is what a shell could see.
//!
//! ```text
//! data/NAME/SHAPE      tests/data/NAME.test replayed in one cluster shape, against the file's own expected rows
//! errors/NAME          `weir check` of tests/data/errors/NAME.sql, against NAME.expected beside it
//! commands/…           exit statuses and messages of the command line
//! cases/…              `weir test` of tests/cases, and of ksqlDB's own cases where ../shared is there
//! clickstream/…        generated clicks, against a plain recomputation with hash maps
//! random/…             random scripts over random records, against a naive evaluator
//! peers/…              the same against DuckDB, where ../shared is there
//! demo/…               `weir demo` and its HTTP
//! rest/…               statements and queries over HTTP
//! processes/…          two processes as one weir
//! kafka/… elasticsearch/… opensearch/…   real servers, started by tests/services/service
//! layers/…             which crate may depend on which
//! ```
//!
//! The program is built before the first test, so that a stale one is never tested; `WEIR=FILE` names another.
//! A test that cannot run here prints why and is counted as ignored; with `CI=true` it fails.
#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unit_arg,
    reason = "a test runner talks to the terminal"
)]

mod case;
mod clicks;
mod clickstream;
mod commands;
mod conformance;
mod data;
mod demo;
mod errors;
mod http;
mod kafka;
mod layers;
mod peers;
mod pipeline;
mod processes;
mod program;
mod random;
mod rest;
mod search;
mod server;
mod service;
mod sinks;
mod topics;
mod turn;
mod twin;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let trials: Vec<Trial> = [
        layers::trials(),
        data::trials(),
        errors::trials(),
        commands::trials(),
        conformance::trials(),
        clickstream::trials(),
        random::trials(),
        peers::trials(),
        demo::trials(),
        rest::trials(),
        processes::trials(),
        pipeline::trials(),
        topics::trials(),
        sinks::trials(),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !args.list
        && let Err(error) = program::build()
    {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let conclusion = libtest_mimic::run(&args, trials);
    service::end_shared();
    conclusion.exit_code()
}
