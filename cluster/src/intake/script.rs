//! A text's statements, judged before any of them is carried out.
//!
//! [`read`] parses all of it, [`judge`] binds statement after statement against a copy of the catalog that takes in
//! what each would make. So all errors are found, each with its place, and nothing is half done because of an error
//! further down.

use super::cut;
use super::session::Session;
use crate::command::Offset;
use crate::connect;
use anyhow::{Context, anyhow};
use std::collections::BTreeSet;
use std::path::PathBuf;
use weir_dataflow::bind::{Bound, Catalog, bind};
use weir_dataflow::sql::ast::{Statement, StatementKind};
use weir_dataflow::sql::error::{Diagnostic, Span};
use weir_dataflow::sql::{define, parse, parse_with};

/// The statements of a text and the errors of those that cannot be read; places are in `text`.
///
/// Variables of the session, and those that the text defines, are put in.
pub fn read(text: &str, session: &Session) -> (Vec<Statement>, Vec<Diagnostic>) {
    if session.substitutes() { parse_with(text, &mut session.bound.variables.clone()) } else { parse(text) }
}

/// What each statement means after those before it; `session` takes in what they SET. An error that only follows
/// from an earlier one (what a faulty CREATE would have made does not exist) is left out.
pub fn judge(
    catalog: &Catalog,
    session: &mut Session,
    text: &str,
    statements: &[Statement],
    unread: &[Diagnostic],
) -> Vec<(usize, Result<Bound, Diagnostic>)> {
    let mut catalog = catalog.clone();
    let mut missing: BTreeSet<String> = unread.iter().filter_map(|e| creates(text, e.span?)).collect();
    let mut judged = Vec::new();
    for (i, statement) in statements.iter().enumerate() {
        if let Err(message) = apply_settings(session, statement) {
            judged.push((i, Err(Diagnostic::at(statement.span, message))));
            continue;
        }
        match bind(&catalog, &session.bound, statement) {
            Ok(bound) => {
                catalog.add(&bound, &statement.text);
                judged.push((i, Ok(bound)));
            }
            Err(error) => {
                let follows = missing.iter().any(|name| error.message.contains(&format!("{name} does not exist")));
                missing.extend(name_of(statement));
                if !follows {
                    judged.push((i, Err(error)));
                }
            }
        }
    }
    judged
}

/// What to think of a DROP or TERMINATE of something that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is an error as any other.
    Wrong,
    /// It is told when it comes to it, and the script goes on.
    PassedOver,
}

/// True for statements that only take something away: a script goes on when there is nothing to take.
pub fn takes_away(statement: &Statement) -> bool {
    matches!(statement.kind, StatementKind::Drop { .. } | StatementKind::Terminate(_))
}

/// What the statements of scripts mean, given as name and text, one script after the other.
///
/// # Errors
/// All errors of all scripts, each with its place.
pub fn bind_texts(catalog: &Catalog, scripts: &[(String, String)], missing: Missing) -> anyhow::Result<Vec<Bound>> {
    let (mut catalog, mut session) = (catalog.clone(), Session::with_offset(Offset::Earliest));
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for (name, text) in scripts {
        let (statements, mut errors) = read(text, &session);
        for (i, bound) in judge(&catalog, &mut session, text, &statements, &errors.clone()) {
            match bound {
                Ok(bound) => {
                    catalog.add(&bound, &statements[i].text);
                    errors.extend(connector_error(&statements[i]));
                    all.push(bound);
                }
                Err(_) if missing == Missing::PassedOver && takes_away(&statements[i]) => {}
                Err(error) => errors.push(error),
            }
        }
        errors.sort_by_key(|e| e.span);
        wrong.extend(errors.iter().map(|e| e.render(name, text)));
    }
    if wrong.is_empty() { Ok(all) } else { Err(anyhow!(wrong.join("\n"))) }
}

/// What is wrong with the properties of a CREATE CONNECTOR.
fn connector_error(statement: &Statement) -> Option<Diagnostic> {
    let StatementKind::CreateConnector { with, .. } = &statement.kind else { return None };
    let error = connect::check(&connect::properties(with)).err()?;
    Some(Diagnostic::at(statement.span, error.to_string()))
}

/// Names and texts of script files.
///
/// # Errors
/// A file cannot be read.
pub fn texts(paths: &[PathBuf]) -> anyhow::Result<Vec<(String, String)>> {
    let text = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read '{}'", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    paths.iter().map(text).collect()
}

/// Takes SET and its like into the session.
///
/// # Errors
/// The property is unknown or cannot have the value.
pub fn apply_settings(session: &mut Session, statement: &Statement) -> Result<(), String> {
    match &statement.kind {
        StatementKind::Set(name, value) => session.set(name, value),
        StatementKind::Unset(name) => session.unset(name),
        kind => {
            define(kind, &mut session.bound.variables);
            Ok(())
        }
    }
}

/// The stream or table that a statement makes.
fn name_of(statement: &Statement) -> Option<String> {
    match &statement.kind {
        StatementKind::CreateSource(create) => Some(create.name.name.clone()),
        StatementKind::CreateAs(create) => Some(create.name.name.clone()),
        _ => None,
    }
}

/// The stream or table that the unreadable statement around a place would have made, by its first words.
fn creates(text: &str, place: Span) -> Option<String> {
    let at = place.start as usize;
    let range = cut::statements(text).into_iter().find(|r| r.start <= at && at <= r.end)?;
    let code = text[range].lines().map(|line| line.split("--").next().unwrap_or("")).collect::<Vec<_>>().join(" ");
    let mut words = code.split(|c: char| c.is_whitespace() || c == '(').filter(|w| !w.is_empty());
    if !words.next()?.eq_ignore_ascii_case("create") {
        return None;
    }
    const BEFORE: [&str; 8] = ["OR", "REPLACE", "SOURCE", "STREAM", "TABLE", "IF", "NOT", "EXISTS"];
    let name = words.find(|w| !BEFORE.iter().any(|b| w.eq_ignore_ascii_case(b)))?;
    let quoted = name.strip_prefix(['`', '"']).and_then(|n| n.strip_suffix(['`', '"']));
    Some(quoted.map_or_else(|| name.to_ascii_uppercase(), str::to_owned))
}
