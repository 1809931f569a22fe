//! What statements answer, in ksqlDB's JSON shapes.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use weir_dataflow::row::{Column, SqlType};

/// The answer to one statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entity {
    /// What was done or found.
    #[serde(flatten)]
    pub body: Body,
    /// The statement.
    #[serde(rename = "statementText")]
    pub statement: String,
    /// What the client should know besides.
    pub warnings: Vec<Warning>,
}

/// Something that a client should know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Warning {
    /// What.
    pub message: String,
}

/// The kinds of answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "@type", rename_all_fields = "camelCase")]
pub enum Body {
    /// Of statements that change something.
    #[serde(rename = "currentStatus")]
    CurrentStatus {
        /// ``stream/`X`/create``.
        command_id: String,
        /// How it went.
        command_status: CommandStatus,
        /// Number of the change, from 0.
        command_sequence_number: u64,
    },
    /// Nothing was done, and that is no error.
    #[serde(rename = "warning_entity")]
    Warning {
        /// Why.
        message: String,
    },
    /// SHOW STREAMS.
    #[serde(rename = "streams")]
    Streams {
        /// The streams.
        streams: Vec<SourceInfo>,
    },
    /// SHOW TABLES.
    #[serde(rename = "tables")]
    Tables {
        /// The tables.
        tables: Vec<SourceInfo>,
    },
    /// SHOW QUERIES.
    #[serde(rename = "queries")]
    Queries {
        /// The queries.
        queries: Vec<QueryInfo>,
    },
    /// DESCRIBE.
    #[serde(rename = "sourceDescription")]
    SourceDescription {
        /// The stream or table.
        source_description: Box<SourceDescription>,
    },
    /// SHOW STREAMS EXTENDED, DESCRIBE STREAMS.
    #[serde(rename = "source_descriptions")]
    SourceDescriptions {
        /// The streams or tables.
        source_descriptions: Vec<SourceDescription>,
    },
    /// EXPLAIN.
    #[serde(rename = "queryDescription")]
    QueryDescription {
        /// The query.
        query_description: Box<QueryDescription>,
    },
    /// SHOW QUERIES EXTENDED.
    #[serde(rename = "queryDescriptions")]
    QueryDescriptions {
        /// The queries.
        query_descriptions: Vec<QueryDescription>,
    },
    /// SHOW TOPICS.
    #[serde(rename = "kafka_topics")]
    Topics {
        /// The topics.
        topics: Vec<TopicInfo>,
    },
    /// SHOW TOPICS EXTENDED.
    #[serde(rename = "kafka_topics_extended")]
    TopicsExtended {
        /// The topics.
        topics: Vec<TopicInfo>,
    },
    /// SHOW PROPERTIES.
    #[serde(rename = "properties")]
    Properties {
        /// The properties.
        properties: Vec<PropertyInfo>,
        /// Names of those that the server's operator has set.
        overwritten_properties: Vec<String>,
        /// Names of those at their default.
        default_properties: Vec<String>,
    },
    /// SHOW FUNCTIONS.
    #[serde(rename = "function_names")]
    Functions {
        /// The functions.
        functions: Vec<FunctionInfo>,
    },
    /// DESCRIBE FUNCTION.
    #[serde(rename = "describe_function")]
    DescribeFunction(Box<FunctionDescription>),
    /// SHOW TYPES.
    #[serde(rename = "type_list")]
    Types {
        /// By name.
        types: BTreeMap<String, SchemaInfo>,
    },
    /// SHOW VARIABLES.
    #[serde(rename = "variables")]
    Variables {
        /// The variables.
        variables: Vec<Variable>,
    },
    /// SHOW CONNECTORS.
    #[serde(rename = "connector_list")]
    Connectors {
        /// The connectors.
        connectors: Vec<ConnectorInfo>,
    },
    /// CREATE CONNECTOR.
    #[serde(rename = "connector_info")]
    ConnectorCreated {
        /// As Connect's REST shows it.
        info: Json,
    },
    /// DESCRIBE CONNECTOR.
    #[serde(rename = "connector_description")]
    ConnectorDescription {
        /// `connector.class`.
        connector_class: String,
        /// As Connect's REST shows it.
        status: Json,
        /// Streams and tables over its topics.
        sources: Vec<SourceDescription>,
        /// Its topics.
        topics: Vec<String>,
    },
    /// DROP CONNECTOR.
    #[serde(rename = "drop_connector")]
    ConnectorDropped {
        /// Its name.
        connector_name: String,
    },
}

/// How a statement went.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandStatus {
    /// `SUCCESS`.
    pub status: &'static str,
    /// `Stream created`.
    pub message: String,
    /// The query that it began.
    pub query_id: Option<String>,
}

/// A stream or table in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceInfo {
    /// `STREAM` or `TABLE`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// Encoding of keys.
    pub key_format: &'static str,
    /// Encoding of values.
    pub value_format: &'static str,
    /// Windowed keys.
    pub is_windowed: bool,
}

/// A query in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryInfo {
    /// Its statement.
    pub query_string: String,
    /// Where it writes.
    pub sinks: Vec<String>,
    /// Their topics.
    pub sink_kafka_topics: Vec<String>,
    /// Its id.
    pub id: String,
    /// States and how many have each.
    pub status_count: BTreeMap<String, u64>,
    /// `PERSISTENT`, `PUSH` or `PULL`.
    pub query_type: &'static str,
    /// `RUNNING` or `PAUSED`.
    pub state: String,
}

/// A stream or table in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceDescription {
    /// Its name.
    pub name: String,
    /// `TUMBLING`, `HOPPING`, `SESSION`.
    pub window_type: Option<&'static str>,
    /// Queries that read it.
    pub read_queries: Vec<QueryInfo>,
    /// Queries that write it.
    pub write_queries: Vec<QueryInfo>,
    /// Its columns.
    pub fields: Vec<Field>,
    /// `STREAM` or `TABLE`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The column that ROWTIME is taken from.
    pub timestamp: String,
    /// Counters as text.
    pub statistics: String,
    /// Error counters as text.
    pub error_stats: String,
    /// With statistics.
    pub extended: bool,
    /// Encoding of keys.
    pub key_format: &'static str,
    /// Encoding of values.
    pub value_format: &'static str,
    /// Its topic.
    pub topic: String,
    /// The topic's partitions; 0 while it does not exist.
    pub partitions: u32,
    /// The topic's replicas.
    pub replication: u16,
    /// The statement that declared it.
    pub statement: String,
    /// Positions of its readers.
    pub query_offset_summaries: Vec<Json>,
    /// Names of sources that must be dropped first.
    pub source_constraints: Vec<String>,
    /// Counters by host.
    pub cluster_statistics: Vec<Json>,
    /// Error counters by host.
    pub cluster_error_stats: Vec<Json>,
}

/// A query in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryDescription {
    /// Its id.
    pub id: String,
    /// Its statement.
    pub statement_text: String,
    /// `TUMBLING`, `HOPPING`, `SESSION`.
    pub window_type: Option<&'static str>,
    /// Its columns.
    pub fields: Vec<Field>,
    /// What it reads.
    pub sources: Vec<String>,
    /// Where it writes.
    pub sinks: Vec<String>,
    /// Where its data flows, one line a stage.
    pub topology: String,
    /// Its plan.
    pub execution_plan: String,
    /// Properties that were in force.
    pub overridden_properties: BTreeMap<String, String>,
    /// States by host.
    pub ksql_host_query_status: BTreeMap<String, String>,
    /// `PERSISTENT` or `PUSH`.
    pub query_type: &'static str,
    /// Errors.
    pub query_errors: Vec<Json>,
    /// Tasks.
    pub tasks_metadata: Vec<Json>,
    /// `RUNNING` or `PAUSED`.
    pub state: Option<String>,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Replicas of each partition.
    pub replica_info: Vec<u16>,
    /// Who reads it; only in the extended list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_count: Option<usize>,
    /// Groups that read it; only in the extended list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_group_count: Option<usize>,
}

/// A property in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PropertyInfo {
    /// Its name.
    pub name: String,
    /// `KSQL`, `KAFKA STREAMS`, …
    pub scope: &'static str,
    /// Its value.
    pub value: String,
    /// SET may change it.
    pub editable: bool,
    /// `SERVER` or `SESSION`.
    pub level: &'static str,
}

/// A function in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// `SCALAR`, `AGGREGATE` or `TABLE`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its family.
    pub category: String,
}

/// A function in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionDescription {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Who wrote it.
    pub author: String,
    /// Its version.
    pub version: String,
    /// Where it comes from.
    pub path: String,
    /// Its forms.
    pub functions: Vec<Signature>,
    /// `SCALAR`, `AGGREGATE` or `TABLE`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// One form of a function.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Its result's type.
    pub return_type: String,
    /// What this form does.
    pub description: String,
}

/// An argument of a function.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// What it is for.
    pub description: String,
    /// Any number of them.
    pub is_variadic: bool,
}

/// A session variable.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A connector in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorInfo {
    /// Its name.
    pub name: String,
    /// `source` or `sink`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `connector.class`.
    pub class_name: String,
    /// `RUNNING (1/1 tasks RUNNING)`.
    pub state: String,
}

/// A column with its type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub schema: SchemaInfo,
    /// `KEY`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
}

/// A type.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaInfo {
    /// `STRING`, `ARRAY`, …
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// Of a STRUCT.
    pub fields: Option<Vec<Field>>,
    /// Of an ARRAY or MAP.
    pub member_schema: Option<Box<SchemaInfo>>,
    /// Precision and scale of a DECIMAL.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Json>,
}

impl SchemaInfo {
    /// Of a type.
    pub fn of(ty: &SqlType) -> Self {
        let name = match ty {
            SqlType::Boolean => "BOOLEAN",
            SqlType::Int => "INTEGER",
            SqlType::Bigint => "BIGINT",
            SqlType::Double => "DOUBLE",
            SqlType::Decimal(..) => "DECIMAL",
            SqlType::String => "STRING",
            SqlType::Bytes => "BYTES",
            SqlType::Date => "DATE",
            SqlType::Time => "TIME",
            SqlType::Timestamp => "TIMESTAMP",
            SqlType::Array(_) => "ARRAY",
            SqlType::Map(..) => "MAP",
            SqlType::Struct(_) => "STRUCT",
        };
        let mut info = SchemaInfo { ty: name, fields: None, member_schema: None, parameters: Map::new() };
        match ty {
            SqlType::Decimal(precision, scale) => {
                info.parameters.insert("precision".into(), json!(precision));
                info.parameters.insert("scale".into(), json!(scale));
            }
            SqlType::Array(member) | SqlType::Map(_, member) => {
                info.member_schema = Some(Box::new(SchemaInfo::of(member)));
            }
            SqlType::Struct(fields) => {
                let field = |(name, ty): &(String, SqlType)| Field {
                    name: name.clone(),
                    schema: SchemaInfo::of(ty),
                    kind: None,
                };
                info.fields = Some(fields.iter().map(field).collect());
            }
            _ => {}
        }
        info
    }
}

impl Field {
    /// Of a column; `key` marks it as one of the record's key.
    pub fn of(column: &Column, key: bool) -> Self {
        Field { name: column.name.clone(), schema: SchemaInfo::of(&column.ty), kind: key.then_some("KEY") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_have_ksqldbs_shape() {
        let entity = Entity {
            body: Body::CurrentStatus {
                command_id: "stream/`X`/create".into(),
                command_status: CommandStatus { status: "SUCCESS", message: "Stream created".into(), query_id: None },
                command_sequence_number: 3,
            },
            statement: "CREATE STREAM X …;".into(),
            warnings: vec![],
        };
        expect_test::expect![[r#"{"@type":"currentStatus","commandId":"stream/`X`/create","commandStatus":{"status":"SUCCESS","message":"Stream created","queryId":null},"commandSequenceNumber":3,"statementText":"CREATE STREAM X …;","warnings":[]}"#]]
            .assert_eq(&serde_json::to_string(&entity).unwrap());
        let ty = SqlType::Struct(vec![("A".into(), SqlType::Array(Box::new(SqlType::Decimal(4, 2))))]);
        let field = Field::of(&Column { name: "C".into(), ty }, true);
        expect_test::expect![[r#"{"name":"C","schema":{"type":"STRUCT","fields":[{"name":"A","schema":{"type":"ARRAY","fields":null,"memberSchema":{"type":"DECIMAL","fields":null,"memberSchema":null,"parameters":{"precision":4,"scale":2}}}}],"memberSchema":null},"type":"KEY"}"#]]
            .assert_eq(&serde_json::to_string(&field).unwrap());
    }
}
