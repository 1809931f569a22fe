//! `weir`.
use clap::Parser;
use weir_cluster::*;
#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() -> anyhow::Result<()> {
    let a = args::Args::parse();
    if let args::Verb::Replay(r) = &a.verb {
        let config = config::ReplayConfig::new(r)?;
        println!("{}", serde_json::to_string(&replay::run(replay::Replay::new(&config)?)?)?);
    }
    Ok(())
}
