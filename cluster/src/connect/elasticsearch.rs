//! Elasticsearch sink connectors: a feed for each of their topics.

use super::feed::{Feed, Followed, Setting, followed};
use super::{ConnectError, Context, Properties, State, invalid};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use weir_dataflow::bind::Catalog;
use weir_sinks::delivery::{Delivery, OnRejected, Options};
use weir_sinks::elasticsearch::ElasticsearchSink;
use weir_sinks::elasticsearch::config::Config;

/// A running connector.
pub(super) struct Run {
    feeds: Vec<Feed>,
    paused: AtomicBool,
}

/// Whether the properties can be followed.
pub(super) fn check(properties: &Properties) -> Result<(), ConnectError> {
    Config::from_properties(properties).map(|_| ()).map_err(invalid)
}

/// Starts a connector; also its topics.
pub(super) async fn start(
    name: &str,
    properties: &Properties,
    context: &Context,
) -> Result<(Run, Vec<String>), ConnectError> {
    let (config, warnings) = Config::from_properties(properties).map_err(invalid)?;
    for warning in warnings {
        tracing::warn!(connector = name, "{warning}");
    }
    let config = Arc::new(config);
    let mut feeds: Vec<Feed> = config.topics.iter().map(|topic| feed(name, topic.clone(), &config, context)).collect();
    for feed in &mut feeds {
        feed.begun().await;
    }
    Ok((Run { feeds, paused: AtomicBool::new(false) }, config.topics.clone()))
}

fn feed(name: &str, topic: String, config: &Arc<Config>, context: &Context) -> Feed {
    let setting = Setting {
        name: name.into(),
        workers: context.workers.clone(),
        catalog: context.catalog.clone(),
        metrics: Arc::clone(&context.metrics),
        log: context.log.clone(),
        generation: context.generation,
    };
    let generation = context.generation;
    let find = move |catalog: &Catalog| find(catalog, &topic, generation);
    let (config, spill) = (Arc::clone(config), context.spill.clone());
    let make = move |followed: &Followed, on_rejected: OnRejected| {
        let sink = ElasticsearchSink::new(&config, followed.target.clone()).map_err(|e| e.to_string())?;
        let options = config.delivery_options(Options::new(&spill));
        Ok(Delivery::start(sink, &followed.target, options, on_rejected, &tokio::runtime::Handle::current()))
    };
    Feed::start(setting, Box::new(find), Box::new(make), None)
}

/// What has the topic: a view before a declared stream or table.
fn find(catalog: &Catalog, topic: &str, generation: u32) -> Option<Followed> {
    let over = || catalog.entries().filter(|e| e.topic().topic == topic);
    over().find(|e| e.view().is_some()).or_else(|| over().next()).map(|e| followed(e, generation))
}

impl Run {
    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        self.feeds.iter().for_each(|feed| feed.set_paused(paused));
    }

    pub(super) fn state(&self) -> State {
        match self.feeds.iter().find_map(Feed::failure) {
            Some(trace) => State::Failed(trace),
            None if self.paused.load(Ordering::Relaxed) => State::Paused,
            None => State::Running,
        }
    }

    pub(super) async fn stop(self, drain: Duration) {
        futures_util::future::join_all(self.feeds.into_iter().map(|feed| feed.stop(drain))).await;
    }
}
