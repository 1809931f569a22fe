//! Making a view's topic ready.

use super::context::Context;
use super::{Config, Producer};
use crate::{SinkError, Target};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer as _;
use std::time::Duration;
use weir_dataflow::plan::TopicSpec;

/// How long the brokers may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Records of a windowed table stay at least this long, as ksqlDB has it: seven days, in milliseconds.
const WINDOWED_RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// A topic as it is made when it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    name: String,
    partitions: i32,
    replicas: i32,
    settings: Vec<(&'static str, String)>,
}

/// The view's topic: a stream's records are deleted in time, a table's are compacted, a windowed table's both.
pub(super) fn wanted(config: &Config, target: &Target, topic: &TopicSpec) -> Wanted {
    let settings = match (target.table, target.window) {
        (false, _) => vec![("cleanup.policy", "delete".to_owned())],
        (true, None) => vec![("cleanup.policy", "compact".to_owned())],
        (true, Some(_)) => {
            let retention = config.retention_ms.unwrap_or(0).max(WINDOWED_RETENTION_MS);
            vec![("cleanup.policy", "compact,delete".to_owned()), ("retention.ms", retention.to_string())]
        }
    };
    let partitions = topic.partitions.unwrap_or(config.partitions).max(1);
    let replicas = topic.replicas.unwrap_or(config.replicas).max(1);
    Wanted {
        name: topic.topic.clone(),
        partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
        replicas: i32::from(replicas.min(i16::MAX.unsigned_abs())),
        settings,
    }
}

/// Makes the topic if it is not there; one that is there stays as it is.
///
/// # Errors
/// When the brokers do not answer, or do not want the topic.
pub(super) async fn make_ready(
    config: &ClientConfig,
    context: &Context,
    producer: &Producer,
    wanted: Wanted,
) -> Result<(), SinkError> {
    let (asked, name) = (producer.clone(), wanted.name.clone());
    // All topics are listed, for a broker may make one that is asked for by its name.
    let listed = tokio::task::spawn_blocking(move || {
        let metadata = asked.client().fetch_metadata(None, ANSWER)?;
        Ok::<bool, rdkafka::error::KafkaError>(metadata.topics().iter().any(|t| t.name() == name))
    });
    match listed.await {
        Ok(Ok(true)) => return Ok(()),
        Ok(Ok(false)) => {}
        Ok(Err(error)) => {
            let reason = context.last_error().unwrap_or_else(|| error.to_string());
            return Err(SinkError::Unavailable(reason));
        }
        Err(ended) => return Err(SinkError::Unavailable(ended.to_string())),
    }
    let admin: AdminClient<DefaultClientContext> =
        admin_config(config).create().map_err(|e| SinkError::Failed(format!("the Kafka client: {e}")))?;
    let mut topic = NewTopic::new(&wanted.name, wanted.partitions, TopicReplication::Fixed(wanted.replicas));
    for (key, value) in &wanted.settings {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER));
    let made = admin.create_topics([&topic], &options).await;
    let made = made.map_err(|e| SinkError::Unavailable(format!("topic \"{}\" is not made: {e}", wanted.name)))?;
    match made.into_iter().next() {
        Some(Err((name, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
            let reason = format!("topic \"{name}\" is not made: {code}");
            Err(if is_for_somebody(code) { SinkError::Failed(reason) } else { SinkError::Unavailable(reason) })
        }
        _ => Ok(()),
    }
}

/// The settings that are not a producer's alone; librdkafka warns of each that is.
fn admin_config(config: &ClientConfig) -> ClientConfig {
    let producers = [
        "enable.idempotence",
        "acks",
        "message.timeout.ms",
        "partitioner",
        "linger.ms",
        "queue.buffering.max.messages",
        "queue.buffering.max.kbytes",
    ];
    let mut admin = config.clone();
    for key in producers {
        admin.remove(key);
    }
    admin
}

/// True for an error that stays until somebody changes something.
pub(super) fn is_for_somebody(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidConfig
            | Code::PolicyViolation
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_dataflow::plan::{Format, KeyWindow};
    use weir_dataflow::row::Schema;

    #[test]
    fn a_topic_is_made_by_what_the_view_is() {
        let topic = |partitions| TopicSpec { partitions, ..TopicSpec::new("T", Format::Kafka, Format::Json) };
        let target = |table, window| Target {
            view: "V".into(),
            topic: "T".into(),
            schema: Schema::default(),
            table,
            window,
            generation: 0,
        };
        let config = Config { retention_ms: Some(8 * 24 * 3_600_000), ..Config::default() };
        let text = |w: Wanted| format!("{} {} {:?}", w.partitions, w.replicas, w.settings);
        assert_eq!(
            text(wanted(&config, &target(false, None), &topic(Some(4)))),
            r#"4 1 [("cleanup.policy", "delete")]"#
        );
        assert_eq!(text(wanted(&config, &target(true, None), &topic(None))), r#"1 1 [("cleanup.policy", "compact")]"#);
        assert_eq!(
            text(wanted(&config, &target(true, Some(KeyWindow::Session)), &topic(None))),
            r#"1 1 [("cleanup.policy", "compact,delete"), ("retention.ms", "691200000")]"#
        );
    }
}
