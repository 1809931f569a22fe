//! What the parser says when it cannot go on: ksqlDB's words, our hints.

use super::super::error::{Diagnostic, Span, line_column};
use super::super::lexer::{Flaw, Token, TokenKind};
use super::super::words;
use super::{Parser, STATEMENTS};

impl Parser<'_> {
    /// The error that something else than `expected` stands next: words and symbols as they are written, or the
    /// name of a kind of token.
    pub(super) fn unexpected(&self, expected: &[&'static str]) -> Diagnostic {
        let token = self.token();
        if let TokenKind::Bad(flaw) = token.kind {
            return self.flawed(token, flaw);
        }
        let quote = |what: &&str| match *what {
            "STRING" | "INTEGER_VALUE" | "IDENTIFIER" => (*what).to_owned(),
            "TYPE STRING" => "'STRING'".to_owned(),
            _ => format!("'{what}'"),
        };
        let detail = match expected {
            [")"] if self.at_symbol(",") => "missing ')' at ','".to_owned(),
            [one] => format!("Expecting {}", quote(one)),
            [_, ..] if expected.len() <= 3 => {
                format!("Expecting {{{}}}", expected.iter().map(quote).collect::<Vec<_>>().join(", "))
            }
            _ => self.at_or_near(token),
        };
        let error = self.syntax_error(token.span, &detail);
        match self.guess() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// The error that a statement begins with a word that begins none.
    pub(super) fn unknown_statement(&self) -> Diagnostic {
        let token = self.token();
        if token.kind != TokenKind::Word {
            return self.unexpected(&[]).hint("a statement begins with a word, such as CREATE, INSERT or SELECT");
        }
        let word = self.text_of(token);
        match words::nearest(word, STATEMENTS) {
            Some(meant) => self
                .syntax_error(token.span, &format!("Unknown statement '{word}'\nDid you mean '{meant}'?"))
                .hint(format!("did you mean {meant}?")),
            None => self.syntax_error(token.span, &format!("Unknown statement '{word}'")).hint(format!(
                "statements begin with {} or {}",
                STATEMENTS[..STATEMENTS.len() - 1].join(", "),
                STATEMENTS[STATEMENTS.len() - 1]
            )),
        }
    }

    /// The error that no name stands where one must.
    pub(super) fn no_name(&self) -> Diagnostic {
        let token = self.token();
        let word = self.text_of(token);
        if token.kind == TokenKind::Word {
            let detail = format!(
                "\"{word}\" is a reserved keyword and it can't be used as an identifier. You can use it as an \
                 identifier by escaping it as '{word}' "
            );
            let error = self.syntax_error(token.span, &detail);
            return error
                .hint(self.guess().unwrap_or(format!("a name was expected; as one, write `{word}` in backquotes")));
        }
        if token.kind == TokenKind::Variable {
            return self.undefined(token);
        }
        let error = self.unexpected(&["IDENTIFIER"]);
        if token.kind == TokenKind::String {
            return error.hint("names stand in backquotes or without quotes, only texts in single quotes");
        }
        error
    }

    /// The error that a variable is left where variables should have been replaced.
    pub(super) fn undefined(&self, token: Token) -> Diagnostic {
        let name = self.text_of(token).trim_start_matches("${").trim_end_matches('}');
        self.syntax_error(token.span, &self.at_or_near(token)).hint(format!("define it first: DEFINE {name} = '…';"))
    }

    /// ksqlDB's error for what is read and then not accepted. It counts the columns of these from 2.
    pub(super) fn refuse(&self, span: Span, message: &str) -> Diagnostic {
        let (line, column) = line_column(self.text, span.start as usize);
        let message = format!("Failed to prepare statement: line {line}:{}: {message}", column + 1);
        Diagnostic::at(span, message)
    }

    /// The error that a statement nests deeper, or has longer chains, than can be worked on.
    pub(super) fn too_large(&self) -> Diagnostic {
        let message = "Error processing statement: Statement is too large to parse. \
                       This may be caused by having too many nested expressions in the statement.";
        Diagnostic::at(self.token().span, message)
            .hint("nest less deep, or write a long chain of OR as IN (…), or take the statement apart")
    }

    pub(super) fn syntax_error(&self, span: Span, detail: &str) -> Diagnostic {
        let (line, column) = line_column(self.text, span.start as usize);
        let source = self.text.lines().nth(line - 1).unwrap_or_default().trim_end();
        Diagnostic::at(span, format!("line {line}:{column}: Syntax Error\n{detail}\nStatement: {source}"))
    }

    fn at_or_near(&self, token: Token) -> String {
        let (line, column) = line_column(self.text, token.span.start as usize);
        let text = if token.kind == TokenKind::End { "<EOF>" } else { self.text_of(token) };
        format!("Syntax error at or near '{text}' at line {line}:{column}")
    }

    fn flawed(&self, token: Token, flaw: Flaw) -> Diagnostic {
        let (detail, hint) = match flaw {
            Flaw::Character => (
                format!("'{}' begins nothing", self.text_of(token)),
                "names with characters other than letters, digits, '_' and '@' stand in backquotes",
            ),
            Flaw::OpenString => {
                ("the string has no end".to_owned(), "end it with ', and write '' for a quote inside of it")
            }
            Flaw::OpenName => ("the quoted name has no end".to_owned(), "end it with the quote it begins with"),
            Flaw::OpenComment => ("the comment has no end".to_owned(), "end it with */"),
        };
        self.syntax_error(token.span, &detail).hint(hint)
    }

    /// The keyword that was probably meant by the next word, or by the alias before it.
    fn guess(&self) -> Option<String> {
        let token = self.token();
        let keyword = words::is_reserved(self.text_of(token)) || self.at_start();
        if token.kind == TokenKind::Word
            && !keyword
            && let Some(meant) = words::nearest(self.text_of(token), self.wanted.iter().copied())
        {
            return Some(format!("did you mean {meant}?"));
        }
        let alias = self.tokens.get(self.alias.filter(|alias| alias + 1 == self.pos)?)?;
        let text = self.text_of(*alias);
        let meant = words::nearest(text, self.wanted.iter().copied())?;
        Some(format!("did you mean {meant} where '{text}' stands?"))
    }
}
