//! A case: statements, records in, and what has to come of them.
//!
//! Fields are those of the normalised form, one JSON object a line; numbers keep their text, so that a decimal's scale is
//! not lost. [`super::public`] brings the public suite's own files into this form.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// Which way a case is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Records through the persistent queries of a script.
    #[default]
    Qtt,
    /// Statements and queries over HTTP.
    Rqtt,
}

/// One case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Case {
    /// How it is run.
    pub suite: Suite,
    /// The file that it comes from.
    pub file: String,
    /// Its name, the format included where a case has several.
    pub name: String,
    /// The name without the format.
    pub base: String,
    /// The format that stands for `{FORMAT}`.
    pub format: Option<String>,
    /// What the session has set.
    #[serde(deserialize_with = "or_default")]
    pub properties: Map<String, Json>,
    /// The statements, in order.
    pub statements: Vec<String>,
    /// Topics that need more than the defaults.
    #[serde(deserialize_with = "or_default")]
    pub topics: Vec<Topic>,
    /// The records that are written, in order.
    #[serde(deserialize_with = "or_default")]
    pub inputs: Vec<Record>,
    /// The records that must come, in order within each topic.
    #[serde(deserialize_with = "or_default")]
    pub outputs: Vec<Record>,
    /// How the last statement must fail (qtt).
    #[serde(alias = "expectedException")]
    pub expected_exception: Option<Refusal>,
    /// How the last statement must fail (rqtt).
    #[serde(alias = "expectedError")]
    pub expected_error: Option<Refusal>,
    /// What must be there afterwards.
    pub post: Option<Post>,
    /// Answers to statements (rqtt), as they stand in the case.
    #[serde(deserialize_with = "or_default")]
    pub responses: Vec<Json>,
    /// When the records are written (rqtt).
    #[serde(alias = "inputConditions")]
    pub input_conditions: Option<Json>,
    /// How the answers are compared (rqtt).
    #[serde(alias = "outputConditions")]
    pub output_conditions: Option<Json>,
    /// Functions that the statements use.
    #[serde(deserialize_with = "or_default")]
    pub functions: Vec<String>,
    /// What the case is about.
    #[serde(deserialize_with = "or_default")]
    pub family: String,
    /// 1 the demo and the core, 2 common, 3 rarer, 4 needs what only ksqlDB's test classpath has.
    #[serde(deserialize_with = "or_default")]
    pub tier: u32,
    /// Uses only what the clickstream script uses.
    #[serde(deserialize_with = "or_default")]
    pub demo_core: bool,
}

/// A topic.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The format of its values.
    #[serde(alias = "valueFormat")]
    pub format: Option<Json>,
    /// The format of its keys.
    #[serde(alias = "keyFormat")]
    pub key_format: Option<Json>,
    /// Its partitions.
    #[serde(alias = "numPartitions")]
    pub partitions: Option<u32>,
    /// Its replicas.
    pub replicas: Option<u16>,
}

/// A record, in or out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Its topic.
    pub topic: String,
    /// Its key in the topic's format; null: none.
    pub key: Json,
    /// Its value in the topic's format; null: a tombstone.
    pub value: Json,
    /// Milliseconds; `None`: 0 for a record in, any for a record out.
    pub timestamp: Option<i64>,
    /// The window of a windowed key.
    pub window: Option<Window>,
    /// Its headers.
    pub headers: Option<Vec<Header>>,
}

/// A windowed key's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Window {
    /// First millisecond.
    pub start: i64,
    /// End, as in ksqlDB: exclusive for time windows, the last event for sessions.
    pub end: i64,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: WindowKind,
}

/// The kinds of windowed keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum WindowKind {
    /// Tumbling or hopping.
    #[serde(alias = "time", rename = "TIME")]
    Time,
    /// Session.
    #[serde(alias = "session", rename = "SESSION")]
    Session,
}

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// Its name.
    #[serde(rename = "KEY", alias = "key")]
    pub key: String,
    /// Its bytes in base64.
    #[serde(rename = "VALUE", alias = "value", default)]
    pub value: Option<String>,
}

/// How something fails.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// ksqlDB's class of it: information only.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// A part of the message.
    #[serde(deserialize_with = "or_default")]
    pub message: String,
    /// The status of the HTTP answer.
    pub status: Option<u16>,
}

/// What must be there in the end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Post {
    /// Streams and tables.
    #[serde(deserialize_with = "or_default")]
    pub sources: Vec<PostSource>,
    /// Topics.
    pub topics: Option<PostTopics>,
}

/// A stream or table that must be there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PostSource {
    /// Its name.
    pub name: String,
    /// `stream` or `table`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its columns, as in a CREATE statement.
    pub schema: Option<String>,
    /// The format of its keys: a name, or an object with it.
    pub key_format: Option<Json>,
    /// The format of its values.
    pub value_format: Option<Json>,
    /// `WRAP_SINGLES` or `UNWRAP_SINGLES`.
    pub value_features: Option<Vec<String>>,
    /// Declared with SOURCE.
    pub is_source: Option<bool>,
}

/// The topics that must be there, or must not.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PostTopics {
    /// A pattern of names that no topic may have.
    pub blacklist: Option<String>,
    /// Topics.
    pub topics: Vec<Topic>,
}

impl Case {
    /// File and name: unique within a suite.
    pub fn title(&self) -> String {
        format!("{} {}", self.file, self.name)
    }

    /// What it is about; of a case that does not say, its file without `.json`.
    pub fn family(&self) -> &str {
        if self.family.is_empty() { self.file.trim_end_matches(".json") } else { &self.family }
    }

    /// How the case must fail, if it must.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.expected_exception.as_ref().or(self.expected_error.as_ref())
    }
}

/// `null` where a value is missing.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
