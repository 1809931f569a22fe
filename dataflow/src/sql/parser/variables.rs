//! Session variables: `${name}` stands for a text that DEFINE gave it.
//!
//! A variable outside of quotes may only become one name or one literal, and inside of a string its quotes are
//! doubled, so a value never changes what kind of statement it stands in.

use std::collections::BTreeMap;

use super::super::ast::{Statement, StatementKind};
use super::super::error::{Diagnostic, Span, line_column};
use super::super::lexer::{Token, TokenKind, lex};
use super::super::spans::each_span;
use super::super::words;
use super::{Parsed, Parser, parse_one};

/// The variables of a session by name, as it was written when it was defined; it is found in any case.
pub type Variables = BTreeMap<String, String>;

/// Takes a DEFINE or UNDEFINE into the variables; other statements change nothing.
pub fn define(statement: &StatementKind, variables: &mut Variables) {
    let (name, value) = match statement {
        StatementKind::Define(name, value) => (&name.name, Some(value)),
        StatementKind::Undefine(name) => (&name.name, None),
        _ => return,
    };
    variables.retain(|known, _| !known.eq_ignore_ascii_case(name));
    variables.extend(value.map(|value| (name.clone(), value.clone())));
}

fn value<'a>(variables: &'a Variables, name: &str) -> Option<&'a String> {
    variables.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The text with the values of its variables. What looks like a variable in a string, but is none, stays; `$${name}`
/// there is the text `${name}`.
///
/// # Errors
/// When a variable outside of strings has no value, or its value is neither one name nor one literal.
pub fn substitute(text: &str, variables: &Variables) -> Result<String, Diagnostic> {
    replace(text, &lex(text), Span { start: 0, end: place(text.len()) }, variables).map(|(replaced, _)| replaced)
}

/// Like [`super::parse`], with the values of the variables, which DEFINE and UNDEFINE change as the script goes on.
///
/// A statement with variables has the text with their values, and its spans are as near as they can be: a place in
/// a value is the place of its variable.
pub fn parse_with(text: &str, variables: &mut Variables) -> (Vec<Statement>, Vec<Diagnostic>) {
    Parser::new(text).script(|parser| {
        let statement = match parser.replaced_statement(variables)? {
            Some(statement) => statement,
            None => parser.statement_and_semicolon()?,
        };
        define(&statement.kind, variables);
        Ok(statement)
    })
}

impl Parser<'_> {
    /// The next statement, when variables stand in it.
    fn replaced_statement(&mut self, variables: &Variables) -> Parsed<Option<Statement>> {
        let last = |token: &Token| matches!(token.kind, TokenKind::Symbol(";") | TokenKind::End);
        let rest = self.tokens.get(self.pos..).unwrap_or_default();
        let tokens = rest.get(..=rest.iter().position(last).unwrap_or_default()).unwrap_or_default();
        let (Some(first), Some(end)) = (tokens.first(), tokens.last()) else { return Ok(None) };
        let span = first.span.to(end.span);
        let (replaced, edits) = replace(self.text, tokens, span, variables)?;
        if edits.is_empty() {
            return Ok(None);
        }
        let moved =
            |place: Span| Span { start: original(&edits, span, place.start), end: original(&edits, span, place.end) };
        let mut statement =
            parse_one(&replaced).map_err(|error| Diagnostic { span: error.span.map(moved), ..error })?;
        each_span(&mut statement, &mut |place| *place = moved(*place));
        self.pos += tokens.len() - 1;
        self.eat_symbol(";");
        Ok(Some(statement))
    }
}

/// A variable and the value that took its place.
struct Edit {
    /// The variable in the script.
    variable: Span,
    /// The bytes of its value.
    length: u32,
}

/// The place in the script of a byte of a statement whose variables were replaced.
fn original(edits: &[Edit], statement: Span, byte: u32) -> u32 {
    // Where the text since the last variable begins: in the script, and in the replaced text.
    let (mut script, mut replaced) = (statement.start, 0);
    for edit in edits {
        let value = replaced + (edit.variable.start - script);
        if byte < value {
            break;
        }
        if byte < value + edit.length {
            return edit.variable.start;
        }
        (script, replaced) = (edit.variable.end, value + edit.length);
    }
    (script + byte.saturating_sub(replaced)).min(statement.end)
}

fn place(byte: usize) -> u32 {
    u32::try_from(byte).unwrap_or(u32::MAX)
}

/// A part of the text with values for the variables in its tokens.
fn replace(text: &str, tokens: &[Token], part: Span, variables: &Variables) -> Parsed<(String, Vec<Edit>)> {
    let (mut replaced, mut edits) = (String::new(), Vec::new());
    let mut at = part.start as usize;
    for token in tokens {
        let found = if token.kind == TokenKind::Variable {
            vec![token.span]
        } else if token.kind == TokenKind::String {
            variables_in(text, token.span)
        } else {
            continue;
        };
        for variable in found {
            let name = slice(text, variable.start as usize, variable.end as usize);
            let name = name.trim_start_matches(['$', '{']).trim_end_matches('}');
            let value = match (value(variables, name), token.kind) {
                (_, TokenKind::String) if slice(text, variable.start as usize, text.len()).starts_with("$$") => {
                    format!("${{{name}}}")
                }
                (Some(value), TokenKind::String) => value.replace('\'', "''"),
                (None, TokenKind::String) => continue,
                (value, _) => bare(text, variable, name, value)?,
            };
            replaced.push_str(slice(text, at, variable.start as usize));
            replaced.push_str(&value);
            at = variable.end as usize;
            edits.push(Edit { variable, length: place(value.len()) });
        }
    }
    replaced.push_str(slice(text, at, part.end as usize));
    Ok((replaced, edits))
}

fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

/// The places of `${name}` and `$${name}` in a string.
fn variables_in(text: &str, string: Span) -> Vec<Span> {
    let mut found = Vec::new();
    let mut at = string.start as usize;
    while let Some(start) = slice(text, at, string.end as usize).find("${").map(|offset| at + offset) {
        let name = slice(text, start + 2, string.end as usize);
        let length = name.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_@".contains(byte)).count();
        at = start + 2 + length;
        if length > 0 && text.as_bytes().get(at) == Some(&b'}') {
            at += 1;
            let escaped = start > string.start as usize && text.as_bytes().get(start - 1) == Some(&b'$');
            found.push(Span { start: place(start - usize::from(escaped)), end: place(at) });
        }
    }
    found
}

/// The value of a variable outside of strings.
fn bare(text: &str, variable: Span, name: &str, value: Option<&String>) -> Parsed<String> {
    let (line, column) = line_column(text, variable.start as usize);
    let place = format!("Illegal argument at {line}:{column}");
    let Some(value) = value else {
        let message = format!("{place}. Got: '{}'", slice(text, variable.start as usize, variable.end as usize));
        return Err(Diagnostic::at(variable, message).hint(format!("define it first: DEFINE {name} = '…';")));
    };
    if is_one(value) {
        return Ok(value.clone());
    }
    let message = format!("{place}. Got: '{value}'");
    let hint = "outside of quotes, a variable holds one name, number, TRUE, FALSE, or a string with its quotes";
    Err(Diagnostic::at(variable, message).hint(hint))
}

/// True for the text of one name or one literal.
fn is_one(value: &str) -> bool {
    let tokens = lex(value);
    match tokens.iter().map(|token| token.kind).collect::<Vec<_>>().as_slice() {
        [TokenKind::Word, TokenKind::End] => {
            let word = value.trim();
            !words::is_reserved(word) || ["TRUE", "FALSE", "NULL"].iter().any(|w| w.eq_ignore_ascii_case(word))
        }
        [TokenKind::Quoted | TokenKind::String | TokenKind::DigitWord, TokenKind::End] => true,
        [number, TokenKind::End] | [TokenKind::Symbol("-"), number, TokenKind::End] => number.is_number(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let pairs = [("name", "clicks"), ("n", "3"), ("who", "O'Brien"), ("bad", "a; DROP TABLE b"), ("s", "'x'")];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn values_stand_in_for_variables() {
        let replaced = substitute("SELECT ${n}, '${who} ${none}' FROM ${name} -- ${bad}\n;", &variables());
        assert_eq!(replaced.as_deref(), Ok("SELECT 3, 'O''Brien ${none}' FROM clicks -- ${bad}\n;"));
        assert_eq!(substitute("  no variables  ", &variables()).as_deref(), Ok("  no variables  "));
        assert_eq!(substitute("'$${n} ${N}' ${NAME}", &variables()).as_deref(), Ok("'${n} 3' clicks"));
    }

    #[test]
    fn a_value_cannot_change_the_statement() {
        for (text, start) in [("SELECT * FROM ${bad};", 14), ("SELECT * FROM ${none};", 14)] {
            let error = substitute(text, &variables()).expect_err("refused");
            assert_eq!(error.span.map(|span| span.start), Some(start));
            assert!(error.message.starts_with("Illegal argument at 1:15"), "{error}");
        }
    }

    #[test]
    fn a_script_defines_its_variables_as_it_goes() {
        let text = "DEFINE t = 'clicks'; SELECT a FROM ${t} WHERE b = 1; UNDEFINE T; SELECT a FROM ${t};";
        let (statements, errors) = parse_with(text, &mut Variables::new());
        assert_eq!(statements.len(), 3);
        assert_eq!(statements[1].text, "SELECT a FROM clicks WHERE b = 1;");
        assert_eq!(
            &text[statements[1].span.start as usize..statements[1].span.end as usize],
            "SELECT a FROM ${t} WHERE b = 1;"
        );
        assert_eq!(errors.len(), 1);
        let span = errors[0].span.expect("a place");
        assert_eq!(&text[span.start as usize..span.end as usize], "${t}");
    }

    #[test]
    fn an_error_after_a_value_keeps_its_place() {
        let text = "SELECT a FROM ${t} WHERE WHERE;";
        let (_, errors) = parse_with(text, &mut [("t".to_owned(), "a_long_name".to_owned())].into_iter().collect());
        assert_eq!(errors[0].span, Some(Span { start: 25, end: 30 }));
    }
}
