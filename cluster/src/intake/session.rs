//! What a client has set for its statements: properties and variables, on top of the server's defaults.

use super::Intake;
use super::failure::{Code, Failure};
use super::properties;
use crate::command::Offset;
use serde_json::{Map, Value as Json};
use weir_dataflow::bind;

/// A client's settings. Over HTTP they last for one request.
#[derive(Clone, Debug)]
pub struct Session {
    /// What binding needs to know: properties and variables, as far as they are set.
    pub bound: bind::Session,
    /// Where streams start when `auto.offset.reset` is not set.
    pub default_offset: Offset,
}

impl Session {
    /// With nothing set.
    pub fn with_offset(default_offset: Offset) -> Self {
        Session { bound: bind::Session::default(), default_offset }
    }

    /// Of a request.
    ///
    /// # Errors
    /// A property is unknown or has a value that it cannot have.
    pub fn new(
        intake: &Intake,
        properties: Option<&Map<String, Json>>,
        variables: Option<&Map<String, Json>>,
    ) -> Result<Self, Failure> {
        let mut session = Session::with_offset(intake.settings().http_offset);
        for (name, value) in properties.into_iter().flatten() {
            session.set(name, &text(value)).map_err(|message| Failure::request(Code::BadRequest, message))?;
        }
        for (name, value) in variables.into_iter().flatten() {
            session.bound.variables.insert(name.clone(), text(value));
        }
        Ok(session)
    }

    /// `SET 'name' = 'value'`.
    ///
    /// # Errors
    /// The property is unknown or cannot have the value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        properties::check(name)?;
        let known = properties::canonical(name)?;
        properties::check_value(known, value)?;
        if properties::find(name).is_some_and(|p| p.effect.is_none()) {
            tracing::info!(property = name, "is accepted and has no effect in weir");
        }
        self.bound.properties.insert(known.into(), value.into());
        Ok(())
    }

    /// `UNSET 'name'`.
    ///
    /// # Errors
    /// The property is unknown.
    pub fn unset(&mut self, name: &str) -> Result<(), String> {
        self.bound.properties.remove(properties::canonical(name)?);
        Ok(())
    }

    /// Where queries of this session start to read streams.
    pub fn offset(&self) -> Offset {
        match self.bound.properties.get("auto.offset.reset") {
            Some(value) if value.eq_ignore_ascii_case("earliest") => Offset::Earliest,
            Some(_) => Offset::Latest,
            None => self.default_offset,
        }
    }

    /// True when `${name}` stands for a variable's value.
    pub fn substitutes(&self) -> bool {
        self.bound.properties.get("ksql.variable.substitution.enable").is_none_or(|v| !v.eq_ignore_ascii_case("false"))
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}
