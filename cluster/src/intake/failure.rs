//! Why a request was not carried out, in ksqlDB's shape and with its codes.

use super::entity::Entity;
use serde_json::{Value as Json, json};

/// ksqlDB's error codes: the HTTP status and two digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request is malformed.
    BadRequest = 40000,
    /// A statement is wrong.
    BadStatement = 40001,
    /// It belongs on `/query`.
    QueryEndpoint = 40002,
    /// There is no such thing.
    NotFound = 40400,
    /// There is no such method for it.
    Method = 40500,
    /// The body took too long to come.
    Timeout = 40800,
    /// The body is too large.
    TooLarge = 41300,
    /// weir is at fault.
    Server = 50000,
    /// Not yet, or no longer.
    NotReady = 50302,
}

impl Code {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        (self as u32 / 100) as u16
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Which kind.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// The statement that is wrong; `None`: the request.
    pub statement: Option<String>,
    /// The answers of the statements before it.
    pub entities: Vec<Entity>,
}

impl Failure {
    /// Of a request.
    pub fn request(code: Code, message: impl Into<String>) -> Self {
        Failure { code, message: message.into(), statement: None, entities: Vec::new() }
    }

    /// Of a statement.
    pub fn statement(statement: impl Into<String>, message: impl Into<String>) -> Self {
        Failure {
            code: Code::BadStatement,
            message: message.into(),
            statement: Some(statement.into()),
            entities: Vec::new(),
        }
    }

    /// As the body of an answer.
    pub fn body(&self) -> Json {
        match &self.statement {
            Some(statement) => json!({
                "@type": "statement_error",
                "error_code": self.code as u32,
                "message": self.message,
                "statementText": statement,
                "entities": self.entities,
            }),
            None => json!({"@type": "generic_error", "error_code": self.code as u32, "message": self.message}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_have_ksqldbs_shape() {
        assert_eq!(
            Failure::statement("SELECT;", "no").body().to_string(),
            r#"{"@type":"statement_error","error_code":40001,"message":"no","statementText":"SELECT;","entities":[]}"#
        );
        let failure = Failure::request(Code::TooLarge, "big");
        assert_eq!(failure.body().to_string(), r#"{"@type":"generic_error","error_code":41300,"message":"big"}"#);
        assert_eq!(failure.code.status(), 413);
    }
}
