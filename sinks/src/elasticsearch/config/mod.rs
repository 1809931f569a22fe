//! A connector's properties, as typed, into what they mean.
//!
//! The names and most defaults are those of Confluent's ElasticsearchSinkConnector. Three defaults differ, each where
//! the connector's own gives up: a malformed document is reported and passed over (theirs: the task fails), retries
//! have no end (theirs: five), and an answer may take 30 s (theirs: 3 s, after which everything is sent again).

mod typed;

use crate::delivery::Options;
use reqwest::Url;
use std::collections::BTreeMap;
use std::time::Duration;
use typed::{Typed, index_of};

/// What an Elasticsearch connector is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The servers, one after the other when one does not answer.
    pub urls: Vec<Url>,
    /// Name and password, when the servers ask for them.
    pub login: Option<Login>,
    /// PEM file of the authorities that sign the servers' certificates; `None`: the system's.
    pub authorities: Option<String>,
    /// The topics that are delivered.
    pub topics: Vec<String>,
    /// Index by topic, where it is not the topic in lower case.
    pub indices: BTreeMap<String, String>,
    /// What becomes of the changes.
    pub documents: Documents,
    /// What becomes of rows without a value.
    pub nulls: Nulls,
    /// What becomes of documents that the server does not understand.
    pub malformed: Malformed,
    /// How a document is written.
    pub write: WriteMethod,
    /// The type's name, for servers before version 7.
    pub type_name: String,
    /// Most documents of a request.
    pub batch_size: usize,
    /// Most bytes of a request.
    pub bulk_bytes: usize,
    /// Most requests at a time.
    pub in_flight: usize,
    /// How long to wait for more rows.
    pub linger: Duration,
    /// Most rows that wait in memory.
    pub buffered: usize,
    /// The first pause after a failed attempt.
    pub backoff: Duration,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub read_timeout: Duration,
    /// The time a stop leaves for what is pending.
    pub drain: Duration,
}

/// Name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Without the password.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// `key.ignore`: the two ways of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Documents {
    /// A new document for each change.
    Changes,
    /// One document for each key and window, with its present row.
    Rows,
}

/// `behavior.on.null.values`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    /// They are passed over.
    Ignore,
    /// They delete the document.
    Delete,
    /// They fail the connector.
    Fail,
}

/// `behavior.on.malformed.documents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// They are passed over without a word.
    Ignore,
    /// They are reported.
    Warn,
    /// They are reported, and fail the connector.
    Fail,
}

/// `write.method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMethod {
    /// The document as it is.
    Insert,
    /// The fields of the document; others that it may have stay.
    Upsert,
}

/// Why properties cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A property without which there is nothing to do.
    #[error("property \"{key}\" is missing (hint: {hint})")]
    Missing {
        /// The property.
        key: &'static str,
        /// What to give.
        hint: &'static str,
    },
    /// A value that the property cannot have.
    #[error("property \"{key}\" cannot be \"{value}\": {expected}")]
    Value {
        /// The property.
        key: String,
        /// What was typed.
        value: String,
        /// What it can be.
        expected: String,
    },
    /// A property that would change what is written, and that weir does not have.
    #[error("property \"{key}\" is not supported: {hint}")]
    Unsupported {
        /// The property.
        key: String,
        /// What to do instead.
        hint: &'static str,
    },
}

impl Config {
    /// What the properties mean, and a warning for each that is unknown or is not followed to the letter.
    ///
    /// # Errors
    /// When one is missing, has a value that it cannot have, or asks for what weir does not do.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Result<(Config, Vec<String>), ConfigError> {
        let typed = Typed::new(properties);
        let mut warnings = typed.unknown();
        typed.refuse_unsupported()?;
        let filter_nulls = typed.transforms()?;
        let topics = typed.topics()?;
        let indices = typed.indices(&topics)?;
        let (urls, login) = typed.servers()?;

        let documents = if typed.flag("key.ignore")?.unwrap_or(false) { Documents::Changes } else { Documents::Rows };
        let nulls = typed.one_of(
            "behavior.on.null.values",
            &[("ignore", Nulls::Ignore), ("delete", Nulls::Delete), ("fail", Nulls::Fail)],
        )?;
        let nulls = match (documents, nulls) {
            _ if filter_nulls => Nulls::Ignore,
            (Documents::Changes, Some(Nulls::Delete)) => {
                warnings.push(
                    "property \"behavior.on.null.values\": with key.ignore=true no document stands for a key, so \
                     rows without a value are ignored, not deleted"
                        .into(),
                );
                Nulls::Ignore
            }
            (_, Some(nulls)) => nulls,
            (Documents::Changes, None) => Nulls::Ignore,
            (Documents::Rows, None) => Nulls::Delete,
        };
        let malformed = typed.one_of(
            "behavior.on.malformed.documents",
            &[("ignore", Malformed::Ignore), ("warn", Malformed::Warn), ("fail", Malformed::Fail)],
        )?;
        let write = typed
            .one_of("write.method", &[("insert", WriteMethod::Insert), ("upsert", WriteMethod::Upsert)])?
            .unwrap_or(WriteMethod::Insert);
        if let Some(retries) = typed.number::<u32>("max.retries")? {
            warnings.push(format!(
                "property \"max.retries\" = {retries} is not followed: what can pass is tried again until it does, \
                 for giving up would lose rows"
            ));
        }
        typed.flag("schema.ignore")?;
        typed.flag("drop.invalid.message")?;

        let config = Config {
            urls,
            login,
            authorities: typed.text("elastic.https.ssl.truststore.location").map(str::to_owned),
            topics,
            indices,
            documents,
            nulls,
            malformed: malformed.unwrap_or(Malformed::Warn),
            write,
            type_name: typed.text("type.name").unwrap_or("_doc").to_owned(),
            batch_size: typed.number("batch.size")?.unwrap_or(2_000).max(1),
            bulk_bytes: typed.number("bulk.size.bytes")?.unwrap_or(5 << 20).max(1),
            in_flight: typed.number("max.in.flight.requests")?.unwrap_or(5).clamp(1, 100),
            linger: typed.milliseconds("linger.ms")?.unwrap_or(Duration::from_millis(1)),
            buffered: typed.number("max.buffered.records")?.unwrap_or(20_000),
            backoff: typed.milliseconds("retry.backoff.ms")?.unwrap_or(Duration::from_millis(100)),
            connect_timeout: typed.milliseconds("connection.timeout.ms")?.unwrap_or(Duration::from_secs(1)),
            read_timeout: typed.milliseconds("read.timeout.ms")?.unwrap_or(Duration::from_secs(30)),
            drain: typed.milliseconds("flush.timeout.ms")?.unwrap_or(Duration::from_secs(10)),
        };
        Ok((config, warnings))
    }

    /// The index of a topic: as mapped, else the topic in lower case, without what an index may not begin with.
    pub fn index(&self, topic: &str) -> String {
        match self.indices.get(topic) {
            Some(index) => index.clone(),
            None => index_of(topic),
        }
    }

    /// `options` with what the properties say about batches, memory and pauses.
    pub fn delivery_options(&self, mut options: Options) -> Options {
        options.queue.rows = self.buffered;
        options.write_rows = self.batch_size.saturating_mul(self.in_flight);
        options.write_bytes = self.bulk_bytes.saturating_mul(self.in_flight);
        options.linger = self.linger;
        options.backoff.first = self.backoff;
        options.backoff.longest = options.backoff.longest.max(self.backoff);
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    pub(super) fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    /// As the clickstream demo posts them.
    const DEMO: &[(&str, &str)] = &[
        ("connector.class", "io.confluent.connect.elasticsearch.ElasticsearchSinkConnector"),
        ("tasks.max", "1"),
        ("topics", "CLICK_USER_SESSIONS"),
        ("topic.index.map", "CLICK_USER_SESSIONS:click_user_sessions"),
        ("connection.url", "http://elasticsearch:9200"),
        ("key.ignore", "true"),
        ("schema.ignore", "true"),
        ("type.name", "type.name=kafkaconnect"),
        ("key.converter", "org.apache.kafka.connect.converters.ByteArrayConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
        ("transforms", "FilterNulls"),
        ("transforms.FilterNulls.type", "io.confluent.transforms.NullFilter"),
    ];

    fn error(changes: &[(&str, &str)]) -> String {
        let mut typed = properties(DEMO);
        typed.extend(properties(changes));
        Config::from_properties(&typed).unwrap_err().to_string()
    }

    #[test]
    fn the_demo_is_understood_without_a_warning() {
        let (config, warnings) = Config::from_properties(&properties(DEMO)).unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(config.documents, Documents::Changes);
        assert_eq!(config.nulls, Nulls::Ignore);
        assert_eq!(config.malformed, Malformed::Warn);
        assert_eq!(config.index("CLICK_USER_SESSIONS"), "click_user_sessions");
        assert_eq!(config.index("_Other Topic"), "other-topic");
        assert_eq!((config.batch_size, config.in_flight, config.buffered), (2000, 5, 20_000));
        let options = config.delivery_options(Options::new("/tmp"));
        assert_eq!(options.write_rows, 10_000);
    }

    #[test]
    fn present_rows_are_deleted_when_they_go_unless_told_otherwise() {
        let base = [("topics", "A"), ("connection.url", "http://h:1"), ("key.ignore", "false")];
        let nulls = |more: &[(&str, &str)]| {
            let mut typed = properties(&base);
            typed.extend(properties(more));
            Config::from_properties(&typed).unwrap().0.nulls
        };
        assert_eq!(nulls(&[]), Nulls::Delete);
        assert_eq!(nulls(&[("behavior.on.null.values", "IGNORE")]), Nulls::Ignore);
        assert_eq!(
            nulls(&[("transforms", "F"), ("transforms.F.type", "io.confluent.transforms.NullFilter")]),
            Nulls::Ignore
        );
    }

    #[test]
    fn what_is_not_followed_is_said() {
        let mut typed = properties(DEMO);
        typed.extend(properties(&[
            ("batchsize", "10"),
            ("max.retries", "5"),
            ("colour", "blue"),
            ("behavior.on.null.values", "delete"),
            ("transforms", ""),
        ]));
        let warnings = Config::from_properties(&typed).unwrap().1.join("\n");
        expect![[r#"
            property "batchsize" is unknown and has no effect; did you mean "batch.size"?
            property "colour" is unknown and has no effect
            property "transforms.FilterNulls.type" is unknown and has no effect
            property "behavior.on.null.values": with key.ignore=true no document stands for a key, so rows without a value are ignored, not deleted
            property "max.retries" = 5 is not followed: what can pass is tried again until it does, for giving up would lose rows"#]]
        .assert_eq(&warnings);
    }

    #[test]
    fn errors_say_what_would_do() {
        let errors = [
            error(&[("topics", " , ")]),
            error(&[("connection.url", "")]),
            error(&[("connection.url", "elasticsearch:9200")]),
            error(&[("connection.username", "elastic")]),
            error(&[("batch.size", "many")]),
            error(&[("key.ignore", "yes")]),
            error(&[("topic.index.map", "CLICK_USER_SESSION:x")]),
            error(&[("topic.index.map", "CLICK_USER_SESSIONS:Clicks")]),
            error(&[("transforms.FilterNulls.type", "org.apache.kafka.connect.transforms.ReplaceField$Value")]),
            error(&[("topics.regex", "A.*")]),
            error(&[("elastic.https.ssl.truststore.location", "/etc/ca.jks")]),
        ];
        expect![[r#"
            property "topics" is missing (hint: the topic of a view, such as EVENTS_PER_MIN)
            property "connection.url" is missing (hint: the server's address, such as http://localhost:9200)
            property "connection.url" cannot be "elasticsearch:9200": expected an address such as http://localhost:9200
            property "connection.password" is missing (hint: it goes with "connection.username")
            property "batch.size" cannot be "many": expected a whole number, not below 0
            property "key.ignore" cannot be "yes": expected one of true, false
            property "topic.index.map" cannot be "CLICK_USER_SESSION:x": "CLICK_USER_SESSION" is not among the connector's topics; did you mean "CLICK_USER_SESSIONS"?
            property "topic.index.map" cannot be "CLICK_USER_SESSIONS:Clicks": an index cannot be named so; "clicks" would do
            property "transforms.FilterNulls.type" is not supported: the only transform there is is io.confluent.transforms.NullFilter; write the change into the view's SELECT
            property "topics.regex" is not supported: name the topics in "topics"
            property "elastic.https.ssl.truststore.location" is not supported: only a PEM file can be read (set "elastic.https.ssl.truststore.type" to "PEM")"#]]
        .assert_eq(&errors.join("\n"));
    }

    #[test]
    fn a_login_in_the_address_is_taken_out_of_it_and_never_printed() {
        let typed = properties(&[("topics", "A"), ("connection.url", "https://me:s%40cret@host/es, http://other:1")]);
        let (config, _) = Config::from_properties(&typed).unwrap();
        assert_eq!(config.urls.iter().map(Url::as_str).collect::<Vec<_>>(), ["https://host/es/", "http://other:1/"]);
        assert_eq!(config.login.as_ref().map(|l| l.password.as_str()), Some("s@cret"));
        assert!(!format!("{config:?}").contains("cret"));
    }
}
