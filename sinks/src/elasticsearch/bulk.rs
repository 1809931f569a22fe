//! Bulk requests: operations into bodies, and answers into what to do with each operation.
//!
//! Everything here is a function of its arguments; [`super::flush`] does the sending.

use serde::Deserialize;
use std::ops::Range;
use weir_dataflow::row::json::write_string;

/// One operation on one document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operation {
    /// The document's id.
    pub(super) id: String,
    /// What to do.
    pub(super) action: Action,
    /// The document's version from then on; an older one loses.
    pub(super) version: Option<u64>,
    /// The document as JSON; empty for a delete.
    pub(super) document: Vec<u8>,
    /// ROWTIME of its row.
    pub(super) time: i64,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Adds a document, unless there is one with the id.
    Create,
    /// Puts a document in the place of what was there.
    Index,
    /// Puts the document's fields into what was there.
    Upsert,
    /// Takes the document away.
    Delete,
}

impl Operation {
    /// Appends the operation's lines.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let name: &[u8] = match self.action {
            Action::Create => br#"{"create":{"_id":"#,
            Action::Index => br#"{"index":{"_id":"#,
            Action::Upsert => br#"{"update":{"_id":"#,
            Action::Delete => br#"{"delete":{"_id":"#,
        };
        out.extend_from_slice(name);
        write_string(out, &self.id);
        if let Some(version) = self.version {
            out.extend_from_slice(format!(r#","version":{version},"version_type":"external_gte""#).as_bytes());
        }
        out.extend_from_slice(b"}}\n");
        match self.action {
            Action::Create | Action::Index => out.extend_from_slice(&self.document),
            Action::Upsert => {
                out.extend_from_slice(br#"{"doc":"#);
                out.extend_from_slice(&self.document);
                out.extend_from_slice(br#","doc_as_upsert":true}"#);
            }
            Action::Delete => return,
        }
        out.push(b'\n');
    }

    /// How long its lines are, at most, in bytes.
    pub(super) fn size(&self) -> usize {
        self.document.len() + 2 * self.id.len() + 120
    }
}

/// How much goes into one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Most operations.
    pub(super) count: usize,
    /// Most bytes; an operation that is larger by itself gets a request of its own.
    pub(super) bytes: usize,
}

/// Cuts operations into requests, in order.
pub(super) fn cut(operations: &[Operation], limits: Limits) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, operation) in operations.iter().enumerate() {
        let size = operation.size();
        if i > start && (i - start >= limits.count || bytes + size > limits.bytes) {
            ranges.push(start..i);
            (start, bytes) = (i, 0);
        }
        bytes += size;
    }
    if start < operations.len() {
        ranges.push(start..operations.len());
    }
    ranges
}

/// What the answer to a request as a whole says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A verdict on each operation, in order.
    Items(Vec<Verdict>),
    /// Too large, or with something in it that spoils the whole: send it in halves, or refuse its only operation.
    Halve(String),
    /// Send it again later.
    Later(String),
    /// Nothing like it will be taken.
    Failed(String),
}

/// What the answer says of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Done, or found done.
    Done,
    /// Send it again later.
    Later(String),
    /// Send it again when the index is there again.
    NoIndex(String),
    /// It will never be taken.
    Refused(String),
    /// Nothing like it will be taken.
    Failed(String),
}

/// Reads the answer to a request with these actions.
pub(super) fn read_answer(status: u16, body: &[u8], actions: impl ExactSizeIterator<Item = Action>) -> Answer {
    match status {
        200..=299 => {}
        400 | 413 => return Answer::Halve(reason(status, body)),
        401 | 403 | 405 => return Answer::Failed(reason(status, body)),
        _ => return Answer::Later(reason(status, body)),
    }
    let answer: Bulk = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => return Answer::Later(format!("the answer to a bulk request is not understood: {error}")),
    };
    if answer.items.len() != actions.len() {
        let (got, sent) = (answer.items.len(), actions.len());
        return Answer::Later(format!("the answer to a bulk request of {sent} operations has {got} items"));
    }
    Answer::Items(answer.items.into_iter().zip(actions).map(|(item, action)| judge(action, item)).collect())
}

#[derive(Deserialize)]
struct Bulk {
    items: Vec<Item>,
}

/// An item stands in an object under the name of its action.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Item {
    Create(ItemAnswer),
    Index(ItemAnswer),
    Update(ItemAnswer),
    Delete(ItemAnswer),
}

#[derive(Deserialize)]
struct ItemAnswer {
    status: u16,
    error: Option<Cause>,
}

/// An error as the server tells it.
#[derive(Deserialize)]
struct Cause {
    #[serde(default, rename = "type")]
    kind: String,
    reason: Option<String>,
    caused_by: Option<Box<Cause>>,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        match &self.caused_by {
            Some(cause) => write!(f, " (because of {cause})"),
            None => Ok(()),
        }
    }
}

fn judge(action: Action, item: Item) -> Verdict {
    let (Item::Create(ItemAnswer { status, error })
    | Item::Index(ItemAnswer { status, error })
    | Item::Update(ItemAnswer { status, error })
    | Item::Delete(ItemAnswer { status, error })) = item;
    let kind = error.as_ref().map_or("", |e| e.kind.as_str());
    let reason = || error.as_ref().map_or_else(|| format!("status {status}"), Cause::to_string);
    match status {
        200..=299 => Verdict::Done,
        // A create that was done before; an index or delete that something newer was quicker than.
        409 if action != Action::Upsert => Verdict::Done,
        409 | 429 | 500..=599 => Verdict::Later(reason()),
        404 if kind.starts_with("index_not_found") => Verdict::NoIndex(reason()),
        404 if action == Action::Delete => Verdict::Done,
        // A full disk makes indices read-only until there is room again.
        403 if kind.starts_with("cluster_block") => Verdict::Later(reason()),
        400 if kind.starts_with("index_closed") => Verdict::Later(reason()),
        401 | 403 => Verdict::Failed(reason()),
        _ => Verdict::Refused(reason()),
    }
}

/// The reason of an error answer: the server's own, if it gives one, else the beginning of the text.
pub(super) fn reason(status: u16, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Error {
        error: Cause,
    }
    match serde_json::from_slice::<Error>(body) {
        Ok(Error { error }) => format!("status {status}: {error}"),
        Err(_) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
            match text.trim() {
                "" => format!("status {status}"),
                text => format!("status {status}: {text}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn operation(id: &str, size: usize) -> Operation {
        Operation { id: id.into(), action: Action::Create, version: None, document: vec![b'x'; size], time: 0 }
    }

    #[test]
    fn requests_are_cut_by_count_and_by_size() {
        let operations: Vec<Operation> = [10, 10, 10, 5000, 10, 900, 900].map(|size| operation("", size)).into();
        let cut = |count, bytes| cut(&operations, Limits { count, bytes });
        assert_eq!(cut(100, 100_000), vec![0..7]);
        assert_eq!(cut(3, 100_000), [0..3, 3..6, 6..7]);
        assert_eq!(cut(100, 2000), [0..3, 3..4, 4..6, 6..7]);
        assert_eq!(cut(1, 1), (0..7).map(|i| i..i + 1).collect::<Vec<_>>());
        assert!(super::cut(&[], Limits { count: 1, bytes: 1 }).is_empty());
    }

    #[test]
    fn the_size_is_an_upper_bound() {
        for action in [Action::Create, Action::Index, Action::Upsert, Action::Delete] {
            let mut out = Vec::new();
            let operation = Operation { action, version: Some(u64::MAX), ..operation("\"\"", 10) };
            operation.write(&mut out);
            assert!(out.len() <= operation.size(), "{action:?}");
        }
    }

    #[test]
    fn each_item_is_judged_by_itself() {
        use Action::{Create, Delete, Index, Upsert};
        let items = [
            (Create, r#"{"create":{"status":201}}"#),
            (
                Create,
                r#"{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"exists"}}}"#,
            ),
            (
                Index,
                r#"{"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"newer"}}}"#,
            ),
            (
                Upsert,
                r#"{"update":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"busy"}}}"#,
            ),
            (Index, r#"{"index":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}}"#),
            (Index, r#"{"index":{"status":503,"error":{"type":"unavailable_shards_exception","reason":null}}}"#),
            (Delete, r#"{"delete":{"status":404}}"#),
            (
                Delete,
                r#"{"delete":{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index"}}}"#,
            ),
            (Index, r#"{"index":{"status":403,"error":{"type":"cluster_block_exception","reason":"disk"}}}"#),
            (Index, r#"{"index":{"status":403,"error":{"type":"security_exception","reason":"not you"}}}"#),
            (
                Create,
                r#"{"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse field [A]",
                    "caused_by":{"type":"number_format_exception","reason":"For input string"}}}}"#,
            ),
        ];
        let body = format!(r#"{{"errors":true,"items":[{}]}}"#, items.map(|(_, text)| text).join(","));
        let answer = read_answer(200, body.as_bytes(), items.iter().map(|(action, _)| *action));
        expect![[r#"
            Items(
                [
                    Done,
                    Done,
                    Done,
                    Later(
                        "version_conflict_engine_exception: busy",
                    ),
                    Later(
                        "es_rejected_execution_exception: full",
                    ),
                    Later(
                        "unavailable_shards_exception",
                    ),
                    Done,
                    NoIndex(
                        "index_not_found_exception: no such index",
                    ),
                    Later(
                        "cluster_block_exception: disk",
                    ),
                    Failed(
                        "security_exception: not you",
                    ),
                    Refused(
                        "mapper_parsing_exception: failed to parse field [A] (because of number_format_exception: For input string)",
                    ),
                ],
            )
        "#]].assert_debug_eq(&answer);
    }

    #[test]
    fn an_answer_as_a_whole() {
        let read = |status, body: &str| read_answer(status, body.as_bytes(), [Action::Create].into_iter());
        let answers = [
            read(413, ""),
            read(
                400,
                r#"{"error":{"type":"action_request_validation_exception","reason":"id is too long"},"status":400}"#,
            ),
            read(429, r#"{"error":{"type":"circuit_breaking_exception","reason":"Data too large"},"status":429}"#),
            read(502, "<html>Bad gateway</html>"),
            read(401, r#"{"error":{"type":"security_exception","reason":"missing credentials"}}"#),
            read(200, "<html>"),
            read(200, r#"{"items":[]}"#),
        ];
        expect![[r#"
            [
                Halve(
                    "status 413",
                ),
                Halve(
                    "status 400: action_request_validation_exception: id is too long",
                ),
                Later(
                    "status 429: circuit_breaking_exception: Data too large",
                ),
                Later(
                    "status 502: <html>Bad gateway</html>",
                ),
                Failed(
                    "status 401: security_exception: missing credentials",
                ),
                Later(
                    "the answer to a bulk request is not understood: expected value at line 1 column 1",
                ),
                Later(
                    "the answer to a bulk request of 1 operations has 0 items",
                ),
            ]
        "#]]
        .assert_debug_eq(&answers);
    }
}
