//! A complaint about a script: what is wrong, where, and what to do about it.

use std::fmt;

/// A byte range in a script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// An error of a script. `message` alone is what ksqlDB would have said, where ksqlDB has words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where, when it has a place.
    pub span: Option<Span>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn at(span: Span, message: impl Into<String>) -> Self {
        Diagnostic { message: message.into(), span: Some(span), hint: None }
    }

    /// An error of the whole statement.
    pub fn new(message: impl Into<String>) -> Self {
        Diagnostic { message: message.into(), span: None, hint: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The message without what [`Diagnostic::render`] says anyway: ksqlDB's words for an error of the syntax have
    /// its place before and after, the guess on a line of its own, and the statement at the end.
    fn summary(&self) -> &str {
        let message = self.message.strip_prefix("Failed to prepare statement: ").unwrap_or(&self.message);
        let place = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        let message = match message.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
            Some((before, rest)) if place(before) => rest,
            _ => message,
        };
        let Some(detail) = message.strip_prefix("Syntax Error\n") else { return message };
        let detail = detail.lines().next().unwrap_or_default().trim_end();
        detail.rsplit_once(" at line ").filter(|(_, after)| place(after)).map_or(detail, |(detail, _)| detail)
    }

    /// `file:line:column: message`, then the line with a marker, then the hint. Lines and columns count from 1,
    /// columns in characters.
    pub fn render(&self, file: &str, text: &str) -> String {
        let mut out = String::new();
        match self.span {
            None => out.push_str(&format!("{file}: {}", self.summary())),
            Some(span) => {
                let (line, column) = line_column(text, span.start as usize);
                out.push_str(&format!("{file}:{line}:{column}: {}", self.summary()));
                if let Some(source) = text.lines().nth(line - 1) {
                    let source: String = source.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
                    let left = source.chars().count().saturating_sub(column - 1);
                    let width = text.get(span.start as usize..span.end as usize).map_or(1, |s| s.chars().count());
                    let marker = "^".repeat(width.clamp(1, left.max(1)));
                    out.push_str(&format!("\n    {source}\n    {}{marker}", " ".repeat(column - 1)));
                }
            }
        }
        if let Some(hint) = &self.hint {
            out.push_str(&format!("\n  hint: {hint}"));
        }
        out
    }
}

/// Line and column, from 1, of a byte of a text.
pub fn line_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}
