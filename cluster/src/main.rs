//! `weir`: reads the command line and hands over.
//!
//! Exit status: 0 done, 1 the work failed (why, on stderr), 2 the command line is wrong.

use clap::Parser;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use weir_cluster::args::{Args, CheckArgs, GenerateArgs, Verb};
use weir_cluster::config::{ConfigError, ReplayConfig, ServeConfig};
use weir_cluster::conformance::{self, Selection};
use weir_cluster::intake::script::{self, Missing};
use weir_cluster::replay::{self, Replay};
use weir_cluster::{demo, generate, pages, serve, threads};
use weir_dataflow::bind::{Bound, Catalog};

/// Freed memory stays with the process for a while: a batch's memory is the next one's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // warp tells of every client that goes away in the middle of a request; that is no fault of the server's.
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEIR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,warp=off"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    pages::prepare();
    match run(&Args::parse().verb) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            let wrong_command_line = error.downcast_ref::<ConfigError>().is_some();
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::from(if wrong_command_line { 2 } else { 1 })
        }
    }
}

/// False when the work is done and what it found is bad, which has been said.
fn run(verb: &Verb) -> anyhow::Result<bool> {
    match verb {
        Verb::Test(args) => return conformance::run(&Selection::new(args)?, &mut std::io::stdout()),
        Verb::Demo(args) => block_on(serve::serve(ServeConfig::demo(args, demo::scripts())?))?,
        Verb::Run(args) => block_on(serve::serve(ServeConfig::run(args)?))?,
        Verb::Replay(args) => {
            let summary = replay::run(Replay::new(&ReplayConfig::new(args)?)?)?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&summary)?)?;
        }
        Verb::Check(args) => check(args)?,
        Verb::Generate(args) => make(args)?,
    }
    Ok(true)
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    threads::runtime()?.block_on(work)
}

/// The plan of each view.
fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for bound in script::bind_texts(&Catalog::default(), &script::texts(&args.scripts)?, Missing::Wrong)? {
        if let Bound::View(view) | Bound::Insert(view) = bound {
            writeln!(out, "{view}\n")?;
        }
    }
    Ok(())
}

fn make(args: &GenerateArgs) -> anyhow::Result<()> {
    generate::run(args)
}
