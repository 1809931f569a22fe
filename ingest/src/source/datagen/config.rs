//! A datagen connector's properties, as people write them, and what they mean.

use super::quickstart::Quickstart;
use std::collections::BTreeMap;

/// What a datagen connector is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct DatagenConfig {
    /// The topic that it writes to (`kafka.topic`).
    pub topic: String,
    /// What it makes (`quickstart`).
    pub quickstart: Quickstart,
    /// How keys are written (`key.converter`).
    pub key_format: KeyFormat,
    /// The longest pause before a record in ms that the connector honours (`max.interval`, default 500).
    pub max_interval_ms: u64,
    /// The longest pause in ms that was meant: `maxInterval`, which the connector does not know, else `max.interval`.
    pub intended_interval_ms: u64,
    /// It ends, FAILED, after so many records (`iterations`); `None`: never.
    pub iterations: Option<u64>,
    /// It makes the same records again (`random.seed`); `None`: others each time.
    pub seed: Option<u64>,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormat {
    /// `StringConverter`: as text.
    Text,
    /// `IntegerConverter`: four bytes, big-endian.
    Int,
    /// `LongConverter`: eight bytes, big-endian.
    Long,
    /// `JsonConverter`: as JSON.
    Json,
}

/// Why a connector cannot be made of some properties.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagenError {
    /// A property that there must be.
    #[error("missing property '{0}'")]
    Missing(&'static str),
    /// A property's value.
    #[error("property '{name}' cannot be '{value}'; {hint}")]
    Value {
        /// The property.
        name: String,
        /// Its value.
        value: String,
        /// What it may be.
        hint: String,
    },
    /// A property that would change what is made.
    #[error("property '{0}' is not supported; the data sets are those of the clickstream demo")]
    Unsupported(String),
}

/// What users may write, with no effect here.
const IGNORED: [&str; 5] =
    ["name", "connector.class", "generate.timeout", "value.converter.schemas.enable", "key.converter.schemas.enable"];

impl DatagenConfig {
    /// Reads a connector's properties. The second part are warnings: what has no effect, or another than meant.
    ///
    /// # Errors
    /// When something is missing, or would make other records than asked for.
    pub fn from_properties(properties: &BTreeMap<String, String>) -> Result<(Self, Vec<String>), DatagenError> {
        let get = |name: &str| properties.get(name).map(|v| v.trim());
        let mut warnings = Vec::new();
        let name = get("quickstart").ok_or(DatagenError::Missing("quickstart"))?;
        let quickstart = Quickstart::find(name).ok_or_else(|| {
            let names = Quickstart::ALL.map(Quickstart::name).join(", ");
            value_error("quickstart", name, &format!("one of {names}"))
        })?;
        let topic = get("kafka.topic").filter(|t| !t.is_empty()).ok_or(DatagenError::Missing("kafka.topic"))?;
        let key_format = match get("key.converter") {
            None => KeyFormat::Text,
            Some(class) => key_format(class, quickstart)?,
        };
        if let Some(class) = get("value.converter").filter(|c| !c.ends_with("JsonConverter")) {
            return Err(value_error("value.converter", class, "values are JSON (JsonConverter)"));
        }
        let with_schemas = |name| get(name).filter(|v| v.eq_ignore_ascii_case("true"));
        if let Some(value) = with_schemas("value.converter.schemas.enable") {
            return Err(value_error("value.converter.schemas.enable", value, "values are JSON without schemas"));
        }
        let max_interval = number(properties, "max.interval")?.map(|n| u64::try_from(n).unwrap_or(0));
        let meant = number(properties, "maxInterval")?.map(|n| u64::try_from(n).unwrap_or(0));
        let max_interval_ms = max_interval.unwrap_or(500);
        if let Some(meant) = meant {
            warnings.push(format!(
                "property 'maxInterval' is unknown to the datagen connector, which pauses up to {max_interval_ms} ms \
                 ('max.interval'); at the intended rate it counts as {meant} ms"
            ));
        }
        // The connector takes a negative number for no end.
        let iterations = number(properties, "iterations")?.and_then(|n| u64::try_from(n).ok());
        let seed = number(properties, "random.seed")?.map(|n| n as u64);
        if number(properties, "tasks.max")?.is_some_and(|n| n != 1) {
            warnings.push("property 'tasks.max' is 1: a generator is one task".into());
        }
        const KNOWN: [&str; 9] = [
            "quickstart",
            "kafka.topic",
            "key.converter",
            "value.converter",
            "max.interval",
            "maxInterval",
            "iterations",
            "random.seed",
            "tasks.max",
        ];
        for name in properties.keys() {
            if name.starts_with("schema.") || name.starts_with("transforms") {
                return Err(DatagenError::Unsupported(name.clone()));
            }
            if !KNOWN.contains(&name.as_str()) && !IGNORED.contains(&name.as_str()) {
                warnings.push(format!("property '{name}' is unknown to the datagen connector and has no effect"));
            }
        }
        let config = DatagenConfig {
            topic: topic.to_owned(),
            quickstart,
            key_format,
            max_interval_ms,
            intended_interval_ms: meant.unwrap_or(max_interval_ms),
            iterations,
            seed,
        };
        Ok((config, warnings))
    }
}

fn key_format(class: &str, quickstart: Quickstart) -> Result<KeyFormat, DatagenError> {
    let (field, is_number) = quickstart.key();
    let format = match class.rsplit('.').next() {
        Some("StringConverter") => KeyFormat::Text,
        Some("IntegerConverter") => KeyFormat::Int,
        Some("LongConverter") => KeyFormat::Long,
        Some("JsonConverter") => KeyFormat::Json,
        _ => {
            let hint = "one of StringConverter, IntegerConverter, LongConverter, JsonConverter";
            return Err(value_error("key.converter", class, hint));
        }
    };
    if !is_number && matches!(format, KeyFormat::Int | KeyFormat::Long) {
        let hint = format!("the key of {}, '{field}', is text: StringConverter", quickstart.name());
        return Err(value_error("key.converter", class, &hint));
    }
    Ok(format)
}

fn number(properties: &BTreeMap<String, String>, name: &str) -> Result<Option<i64>, DatagenError> {
    let Some(text) = properties.get(name) else {
        return Ok(None);
    };
    text.trim().parse().map(Some).map_err(|_| value_error(name, text, "it is a whole number"))
}

fn value_error(name: &str, value: &str, hint: &str) -> DatagenError {
    DatagenError::Value { name: name.to_owned(), value: value.to_owned(), hint: hint.to_owned() }
}

impl KeyFormat {
    /// Appends a key; `text` is what the value's JSON holds, without quotes.
    pub(super) fn write(self, out: &mut Vec<u8>, text: &str, quoted: bool) {
        let number = || text.parse::<i64>().unwrap_or(0);
        match self {
            KeyFormat::Json if quoted => weir_dataflow::row::json::write_string(out, text),
            KeyFormat::Text | KeyFormat::Json => out.extend_from_slice(text.as_bytes()),
            KeyFormat::Int => out.extend_from_slice(&(number() as i32).to_be_bytes()),
            KeyFormat::Long => out.extend_from_slice(&number().to_be_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(properties: &[(&str, &str)]) -> Result<(DatagenConfig, Vec<String>), DatagenError> {
        DatagenConfig::from_properties(&properties.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
    }

    #[test]
    fn the_demos_properties_are_read_and_warned_of() {
        let (config, warnings) = read(&[
            ("connector.class", "io.confluent.kafka.connect.datagen.DatagenConnector"),
            ("kafka.topic", "clickstream_users"),
            ("quickstart", "clickstream_users"),
            ("maxInterval", "10"),
            ("format", "json"),
            ("key.converter", "org.apache.kafka.connect.converters.IntegerConverter"),
        ])
        .unwrap();
        assert_eq!(
            config,
            DatagenConfig {
                topic: "clickstream_users".into(),
                quickstart: Quickstart::Users,
                key_format: KeyFormat::Int,
                max_interval_ms: 500,
                intended_interval_ms: 10,
                iterations: None,
                seed: None,
            }
        );
        expect_test::expect![[r#"
            [
                "property 'maxInterval' is unknown to the datagen connector, which pauses up to 500 ms ('max.interval'); at the intended rate it counts as 10 ms",
                "property 'format' is unknown to the datagen connector and has no effect",
            ]
        "#]]
        .assert_debug_eq(&warnings);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |p: &[(&str, &str)]| read(p).unwrap_err().to_string();
        let base = [("quickstart", "clickstream"), ("kafka.topic", "t")];
        assert_eq!(error(&base[1..]), "missing property 'quickstart'");
        assert_eq!(error(&base[..1]), "missing property 'kafka.topic'");
        assert_eq!(
            error(&[("quickstart", "orders")]),
            "property 'quickstart' cannot be 'orders'; one of clickstream_codes, clickstream_users, clickstream"
        );
        assert_eq!(
            error(&[base[0], base[1], ("key.converter", "a.b.IntegerConverter")]),
            "property 'key.converter' cannot be 'a.b.IntegerConverter'; the key of clickstream, 'ip', is text: StringConverter"
        );
        assert_eq!(
            error(&[base[0], base[1], ("iterations", "many")]),
            "property 'iterations' cannot be 'many'; it is a whole number"
        );
        assert_eq!(
            error(&[base[0], base[1], ("schema.filename", "x.avro")]),
            "property 'schema.filename' is not supported; the data sets are those of the clickstream demo"
        );
    }
}
