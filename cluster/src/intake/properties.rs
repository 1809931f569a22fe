//! The properties that SET and `streamsProperties` may name.
//!
//! Some have an effect here; others steer Kafka Streams or a Kafka client in ksqlDB and are accepted, so that
//! scripts run unchanged, and shown as without effect. A name that ksqlDB would not know is an error.

/// A property and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// Its value unless it is set.
    pub default: &'static str,
    /// What weir does with it; `None`: nothing.
    pub effect: Option<&'static str>,
}

const fn has(name: &'static str, default: &'static str, effect: &'static str) -> Known {
    Known { name, default, effect: Some(effect) }
}

const fn accepted(name: &'static str, default: &'static str) -> Known {
    Known { name, default, effect: None }
}

/// All of them.
pub const KNOWN: &[Known] = &[
    has("auto.offset.reset", "latest", "where a query starts to read streams: earliest or latest"),
    has("ksql.output.topic.name.prefix", "", "put before the names of output topics"),
    has("ksql.query.pull.table.scan.enabled", "true", "pull queries may read all rows of a table"),
    has("ksql.query.pull.range.scan.enabled", "true", "pull queries may read a range of keys where scans are off"),
    has("ksql.query.pull.stream.enabled", "true", "pull queries may read streams"),
    has(
        "ksql.query.push.v2.enabled",
        "false",
        "from the latest on, push queries on a query's table begin without its rows",
    ),
    has("ksql.variable.substitution.enable", "true", "${name} stands for a variable's value"),
    has("ksql.functions.collect_list.limit", "2147483647", "most elements of COLLECT_LIST"),
    has("ksql.functions.collect_set.limit", "2147483647", "most elements of COLLECT_SET"),
    accepted("ksql.timestamp.throw.on.invalid", "false"),
    accepted("ksql.fail.on.deserialization.error", "false"),
    accepted("ksql.fail.on.production.error", "true"),
    accepted("ksql.query.pull.enable.standby.reads", "false"),
    accepted("ksql.query.pull.interpreter.enabled", "true"),
    accepted("ksql.query.pull.limit.clause.enabled", "true"),
    accepted("ksql.query.pull.max.allowed.offset.lag", "9223372036854775807"),
    accepted("ksql.query.pull.consistency.token.enabled", "false"),
    accepted("ksql.query.push.v2.interpreter.enabled", "true"),
    accepted("ksql.query.push.v2.registry.installed", "false"),
    accepted("ksql.query.error.max.queue.size", "10"),
    accepted("ksql.query.retry.backoff.initial.ms", "15000"),
    accepted("ksql.query.retry.backoff.max.ms", "900000"),
    accepted("ksql.suppress.enabled", "true"),
    accepted("ksql.suppress.buffer.size.bytes", "-1"),
    accepted("ksql.internal.topic.replicas", "1"),
    accepted("ksql.internal.topic.min.insync.replicas", "1"),
    accepted("ksql.persistence.default.format.key", "KAFKA"),
    accepted("ksql.persistence.default.format.value", ""),
    accepted("ksql.persistence.wrap.single.values", ""),
    accepted("ksql.insert.into.values.enabled", "true"),
    accepted("ksql.schema.registry.url", ""),
    accepted("ksql.udfs.enabled", "true"),
    accepted("ksql.udf.collect.metrics", "false"),
    accepted("ksql.headers.columns.enabled", "true"),
    accepted("ksql.lambdas.enabled", "true"),
    accepted("ksql.rowpartition.rowoffset.enabled", "true"),
    accepted("ksql.source.table.materialization.enabled", "true"),
    accepted("ksql.stream.stream.join.grace.enabled", "true"),
    accepted("ksql.service.id", "default_"),
    accepted("application.id", ""),
    accepted("application.server", ""),
    accepted("bootstrap.servers", ""),
    accepted("buffered.records.per.partition", "1000"),
    accepted("cache.max.bytes.buffering", "10000000"),
    accepted("statestore.cache.max.bytes", "10000000"),
    accepted("client.id", ""),
    accepted("commit.interval.ms", "2000"),
    accepted("max.task.idle.ms", "0"),
    accepted("max.warmup.replicas", "2"),
    accepted("num.standby.replicas", "0"),
    accepted("num.stream.threads", "4"),
    accepted("poll.ms", "100"),
    accepted("processing.guarantee", "at_least_once"),
    accepted("replication.factor", "1"),
    accepted("rocksdb.config.setter", ""),
    accepted("state.cleanup.delay.ms", "600000"),
    accepted("state.dir", ""),
    accepted("task.timeout.ms", "300000"),
    accepted("topology.optimization", "all"),
    accepted("windowstore.changelog.additional.retention.ms", "86400000"),
    accepted("fetch.max.bytes", "52428800"),
    accepted("fetch.max.wait.ms", "500"),
    accepted("fetch.min.bytes", "1"),
    accepted("group.id", ""),
    accepted("heartbeat.interval.ms", "3000"),
    accepted("isolation.level", "read_uncommitted"),
    accepted("max.partition.fetch.bytes", "1048576"),
    accepted("max.poll.interval.ms", "300000"),
    accepted("max.poll.records", "500"),
    accepted("metadata.max.age.ms", "300000"),
    accepted("request.timeout.ms", "30000"),
    accepted("session.timeout.ms", "45000"),
    accepted("acks", "all"),
    accepted("batch.size", "16384"),
    accepted("buffer.memory", "33554432"),
    accepted("compression.type", "none"),
    accepted("delivery.timeout.ms", "120000"),
    accepted("enable.idempotence", "true"),
    accepted("linger.ms", "100"),
    accepted("max.block.ms", "60000"),
    accepted("max.request.size", "1048576"),
    accepted("retries", "2147483647"),
];

/// A property by its name, with or without `ksql.streams.` and the client's prefix before it.
pub fn find(name: &str) -> Option<&'static Known> {
    let exact = |name: &str| KNOWN.iter().find(|k| k.name == name);
    let bare = name.strip_prefix("ksql.streams.").unwrap_or(name);
    let client = ["consumer.", "producer.", "main.consumer.", "restore.consumer."]
        .iter()
        .find_map(|prefix| bare.strip_prefix(prefix))
        .unwrap_or(bare);
    exact(name).or_else(|| exact(client))
}

/// The name under which a property is kept: `ksql.streams.auto.offset.reset` is `auto.offset.reset`.
///
/// # Errors
/// No property has this name; the text says so.
pub fn canonical(name: &str) -> Result<&'static str, String> {
    find(name)
        .map(|k| k.name)
        .ok_or_else(|| format!("Not recognizable as ksql, streams, consumer, or producer property: '{name}'"))
}

/// Whether a name may be set.
///
/// # Errors
/// It is not a property, or it is the server's own.
pub fn check(name: &str) -> Result<(), String> {
    match canonical(name)? {
        "bootstrap.servers" | "application.id" | "ksql.service.id" | "state.dir" => {
            Err(format!("Cannot override property '{name}'"))
        }
        _ => Ok(()),
    }
}

/// Whether a value fits its property.
///
/// # Errors
/// It does not; the text says what would.
pub fn check_value(name: &str, value: &str) -> Result<(), String> {
    let one_of = |allowed: &[&str]| {
        if allowed.iter().any(|a| a.eq_ignore_ascii_case(value)) {
            Ok(())
        } else {
            Err(format!("Invalid value {value} for property {name}: must be one of {}", allowed.join(", ")))
        }
    };
    match name {
        "auto.offset.reset" => one_of(&["earliest", "latest"]),
        "ksql.query.pull.table.scan.enabled"
        | "ksql.query.pull.range.scan.enabled"
        | "ksql.query.pull.stream.enabled"
        | "ksql.query.push.v2.enabled"
        | "ksql.variable.substitution.enable" => one_of(&["true", "false"]),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_their_prefixes() {
        assert_eq!(canonical("ksql.streams.auto.offset.reset"), Ok("auto.offset.reset"));
        assert_eq!(canonical("ksql.streams.consumer.max.poll.records"), Ok("max.poll.records"));
        assert!(canonical("ksql.foo").unwrap_err().contains("'ksql.foo'"));
        assert!(check("bootstrap.servers").is_err());
        assert!(check_value("auto.offset.reset", "none").is_err());
        assert!(check_value("auto.offset.reset", "EARLIEST").is_ok());
    }
}
