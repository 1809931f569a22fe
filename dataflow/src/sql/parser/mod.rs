//! Tokens to statements, by recursive descent: a function a rule of the grammar.
//!
//! The parser never looks back further than one clause, and it stops a statement at its first error, for what
//! follows an error is guesswork. A script goes on after the next semicolon, so all its statements are judged.
//! Along the way the parser notes which words could have stood where it is; when something else stands there, the
//! nearest of them is the hint.

mod expression;
mod query;
mod report;
mod statement;
mod types;
mod variables;

pub use variables::{Variables, define, parse_with, substitute};

use super::ast::{Ident, Statement};
use super::error::{Diagnostic, Span};
use super::lexer::{Flaw, Token, TokenKind, lex, unquote};
use super::words;

/// How deep brackets, types and operators may nest. What walks the tree later recurses, on stacks of any thread.
const MAX_DEPTH: u32 = 200;

/// How many operators, fields or joins may hang in one chain (`a + b + …`), which is as deep as it is long.
const MAX_CHAIN: u32 = 500;

/// Words that begin a statement, in the order in which they are offered for a misspelt one.
const STATEMENTS: [&str; 19] = [
    "SELECT",
    "CREATE",
    "INSERT",
    "DESCRIBE",
    "PRINT",
    "EXPLAIN",
    "SHOW",
    "LIST",
    "TERMINATE",
    "PAUSE",
    "RESUME",
    "DROP",
    "SET",
    "DEFINE",
    "UNDEFINE",
    "UNSET",
    "ASSERT",
    "ALTER",
    "RUN",
];

/// Those of them that stand nowhere else.
const STARTS: [&str; 10] =
    ["CREATE", "INSERT", "DESCRIBE", "PRINT", "LIST", "TERMINATE", "PAUSE", "RESUME", "DROP", "UNSET"];

type Parsed<T> = Result<T, Diagnostic>;

/// The statements of a script, and all its errors: one for each statement that has one.
///
/// Spans are byte ranges of `text`. The last semicolon may be missing, and empty statements are skipped.
pub fn parse(text: &str) -> (Vec<Statement>, Vec<Diagnostic>) {
    Parser::new(text).script(Parser::statement_and_semicolon)
}

/// The one statement of a text.
///
/// # Errors
/// When it cannot be read, when there is none, and when there is another one after it.
pub fn parse_one(text: &str) -> Result<Statement, Diagnostic> {
    let (mut statements, errors) = parse(text);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    match (statements.pop(), statements.pop()) {
        (Some(one), None) => Ok(one),
        (Some(second), Some(_)) => {
            Err(Diagnostic::at(second.span, "one statement was expected, and here is another one")
                .hint("send the statements one at a time"))
        }
        (None, _) => Err(Diagnostic::new("there is no statement").hint("write a statement that ends with a semicolon")),
    }
}

/// A cursor over the tokens of a script.
struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// Index of the token to read next; the last token, `End`, is never passed.
    pos: usize,
    /// How many rules that contain themselves are open.
    depth: u32,
    /// How many links the chains of the outermost open expression have, inside of one.
    chain: Option<u32>,
    /// Words that would have been taken at `pos`.
    wanted: Vec<&'static str>,
    /// Index of the last token that was taken for an alias without AS, which a misspelt keyword is too.
    alias: Option<usize>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Parser { text, tokens: lex(text), pos: 0, depth: 0, chain: None, wanted: Vec::new(), alias: None }
    }

    /// All statements and errors, each statement by `one`.
    fn script(mut self, mut one: impl FnMut(&mut Self) -> Parsed<Statement>) -> (Vec<Statement>, Vec<Diagnostic>) {
        let (mut statements, mut errors) = (Vec::new(), Vec::new());
        loop {
            while self.eat_symbol(";") {}
            if self.at_end() {
                return (statements, errors);
            }
            let start = self.pos;
            match one(&mut self) {
                Ok(statement) => statements.push(statement),
                Err(error) => {
                    errors.push(error);
                    self.skip_statement(start);
                }
            }
        }
    }

    /// The token `ahead` places after the next one.
    fn look(&self, ahead: usize) -> Token {
        let end = Token { kind: TokenKind::End, span: Span::default() };
        self.tokens.get(self.pos + ahead).or(self.tokens.last()).copied().unwrap_or(end)
    }

    fn token(&self) -> Token {
        self.look(0)
    }

    fn text_of(&self, token: Token) -> &'a str {
        self.text.get(token.span.start as usize..token.span.end as usize).unwrap_or_default()
    }

    fn bump(&mut self) -> Token {
        let token = self.token();
        if self.pos + 1 < self.tokens.len() {
            self.pos += 1;
        }
        self.wanted.clear();
        token
    }

    fn skip(&mut self, tokens: usize) {
        for _ in 0..tokens {
            self.bump();
        }
    }

    fn at_end(&self) -> bool {
        self.token().kind == TokenKind::End
    }

    /// The place of the token before the next one.
    fn last_span(&self) -> Span {
        self.pos.checked_sub(1).and_then(|before| self.tokens.get(before)).map_or(self.token().span, |t| t.span)
    }

    fn is_symbol(&self, ahead: usize, symbol: &str) -> bool {
        matches!(self.look(ahead).kind, TokenKind::Symbol(found) if found == symbol)
    }

    fn at_symbol(&self, symbol: &str) -> bool {
        self.is_symbol(0, symbol)
    }

    fn eat_symbol(&mut self, symbol: &str) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.bump();
        }
        found
    }

    fn is_word(&self, ahead: usize, word: &str) -> bool {
        let token = self.look(ahead);
        token.kind == TokenKind::Word && self.text_of(token).eq_ignore_ascii_case(word)
    }

    /// True when the word stands next; else it is remembered as one that could have.
    fn at_word(&mut self, word: &'static str) -> bool {
        let found = self.is_word(0, word);
        if !found {
            self.wanted.push(word);
        }
        found
    }

    fn eat_word(&mut self, word: &'static str) -> bool {
        let found = self.at_word(word);
        if found {
            self.bump();
        }
        found
    }

    fn expect_word(&mut self, word: &'static str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(&[word])) }
    }

    fn expect_symbol(&mut self, symbol: &'static str) -> Parsed<()> {
        if self.eat_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&[symbol])) }
    }

    /// Whether the token can be a name. Reserved words cannot.
    fn is_name(&self, ahead: usize) -> bool {
        let token = self.look(ahead);
        match token.kind {
            TokenKind::Word => !words::is_reserved(self.text_of(token)),
            TokenKind::Quoted | TokenKind::DigitWord => true,
            TokenKind::String
            | TokenKind::Integer
            | TokenKind::Decimal
            | TokenKind::Double
            | TokenKind::Variable
            | TokenKind::Symbol(_)
            | TokenKind::Bad(_)
            | TokenKind::End => false,
        }
    }

    fn name(&mut self) -> Parsed<Ident> {
        if !self.is_name(0) {
            return Err(self.no_name());
        }
        let token = self.bump();
        let text = self.text_of(token);
        Ok(if token.kind == TokenKind::Quoted {
            Ident { name: unquote(text), quoted: true, span: token.span }
        } else {
            Ident { name: text.to_ascii_uppercase(), quoted: false, span: token.span }
        })
    }

    /// A name whose case is kept even without quotes.
    fn name_as_written(&mut self) -> Parsed<Ident> {
        let token = self.token();
        let mut name = self.name()?;
        if !name.quoted {
            name.name = self.text_of(token).to_owned();
        }
        Ok(name)
    }

    /// The name of a stream or table.
    fn source_name(&mut self) -> Parsed<Ident> {
        let name = self.name()?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.name.chars().all(fits) {
            return Ok(name);
        }
        let message = "Source names may only contain alphanumeric values, '_' or '-'.";
        Err(self.refuse(name.span, &format!("{message} Got: '{}'", name.name)))
    }

    /// The text of a string.
    fn string(&mut self) -> Parsed<String> {
        if self.token().kind != TokenKind::String {
            return Err(self.unexpected(&["STRING"]));
        }
        let token = self.bump();
        Ok(unquote(self.text_of(token)))
    }

    /// One or more of something, with commas between.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut all = vec![one(self)?];
        while self.eat_symbol(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// Like [`Parser::list`], in round brackets.
    fn bracketed<T>(&mut self, one: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect_symbol("(")?;
        let all = self.list(one)?;
        if self.eat_symbol(")") { Ok(all) } else { Err(self.unexpected(&[",", ")"])) }
    }

    /// One level deeper into a rule that contains itself.
    fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.too_large());
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// A rule that begins an expression, or goes on with one.
    fn chained<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let outer = self.chain;
        self.chain = outer.or(Some(0));
        let result = self.nested(rule);
        if outer.is_none() {
            self.chain = None;
        }
        result
    }

    /// One link more in a chain.
    fn link(&mut self) -> Parsed<()> {
        let links = self.chain.unwrap_or_default() + 1;
        self.chain = Some(links);
        if links > MAX_CHAIN { Err(self.too_large()) } else { Ok(()) }
    }

    /// True when the next word begins statements.
    fn at_start(&self) -> bool {
        STATEMENTS.iter().any(|word| self.is_word(0, word))
    }

    /// Past the next semicolon, or to a word that only begins statements, if the semicolon before it is missing.
    fn skip_statement(&mut self, start: usize) {
        (self.depth, self.chain, self.alias) = (0, None, None);
        while !self.at_end() && !self.eat_symbol(";") {
            if self.pos > start && STARTS.iter().any(|word| self.is_word(0, word)) {
                return;
            }
            let token = self.bump();
            let open = matches!(token.kind, TokenKind::Bad(Flaw::OpenString | Flaw::OpenName));
            if open && self.text_of(token).trim_end().ends_with(';') {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
