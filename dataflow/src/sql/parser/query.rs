//! SELECT and its clauses, in the one order in which they may stand.

use super::super::ast::{
    Duration, Emit, Expr, Join, JoinKind, Query, Relation, SelectItem, Unit, Window, WindowKind, Within,
};
use super::super::error::{Diagnostic, Span};
use super::super::lexer::TokenKind;
use super::{MAX_DEPTH, Parsed, Parser};

/// Words that begin a clause of a query.
const CLAUSES: [&str; 9] = ["FROM", "WINDOW", "WHERE", "GROUP", "PARTITION", "HAVING", "EMIT", "LIMIT", "JOIN"];

impl Parser<'_> {
    pub(super) fn query(&mut self) -> Parsed<Query> {
        let start = self.token().span;
        self.expect_word("SELECT")?;
        let select = self.list(Self::select_item)?;
        if !self.eat_word("FROM") {
            return Err(self.unexpected(&[",", "FROM"]));
        }
        let from = self.relation()?;
        let window = if self.eat_word("WINDOW") { Some(self.window()?) } else { None };
        let filter = if self.eat_word("WHERE") { Some(self.expression()?) } else { None };
        let group_by = self.keys("GROUP")?;
        let partition_by = self.keys("PARTITION")?;
        let having = if self.eat_word("HAVING") { Some(self.expression()?) } else { None };
        let emit = self.emit()?;
        let limit = if self.eat_word("LIMIT") { Some(self.limit(emit.is_some())?) } else { None };
        let span = start.to(self.last_span());
        Ok(Query { select, from, window, filter, group_by, partition_by, having, emit, limit, span })
    }

    /// A hint when what stands after a query is a clause that belongs elsewhere.
    pub(super) fn misplaced_clause(&self) -> Option<&'static str> {
        if CLAUSES.iter().any(|clause| self.is_word(0, clause)) {
            return Some(
                "the clauses of a query stand in the order FROM, JOIN, WINDOW, WHERE, GROUP BY, PARTITION BY, HAVING, \
                 EMIT, LIMIT",
            );
        }
        let after_alias = |word: &str| {
            let alias = self.alias.filter(|alias| alias + 1 == self.pos).and_then(|alias| self.tokens.get(alias));
            self.is_word(0, word) || alias.is_some_and(|alias| self.text_of(*alias).eq_ignore_ascii_case(word))
        };
        ["ORDER", "UNION", "OFFSET"]
            .into_iter()
            .any(after_alias)
            .then_some("ORDER BY, UNION and OFFSET are not part of ksqlDB's SQL")
    }

    fn select_item(&mut self) -> Parsed<SelectItem> {
        let start = self.token().span;
        if self.eat_symbol("*") {
            return Ok(SelectItem::All { qualifier: None, span: start });
        }
        if self.is_name(0) && self.is_symbol(1, ".") && self.is_symbol(2, "*") {
            let qualifier = Some(self.name()?);
            self.skip(2);
            return Ok(SelectItem::All { qualifier, span: start.to(self.last_span()) });
        }
        if let Some(base) = self.all_fields_of() {
            return Ok(SelectItem::AllFields { base, span: start.to(self.last_span()) });
        }
        let expr = self.expression()?;
        if self.eat_word("AS") {
            return Ok(SelectItem::Expr { expr, alias: Some(self.name()?) });
        }
        let alias = if self.is_name(0) { Some(self.bare_alias()?) } else { None };
        Ok(SelectItem::Expr { expr, alias })
    }

    /// The `base` of `base->*`; nothing is read when something else stands next.
    fn all_fields_of(&mut self) -> Option<Expr> {
        let before = self.pos;
        let base = self.chained(Self::primary).ok();
        if base.is_some() && self.at_symbol("->") && self.is_symbol(1, "*") {
            self.skip(2);
            return base;
        }
        self.pos = before;
        self.wanted.clear();
        None
    }

    /// An alias without AS, which a misspelt keyword is taken for too.
    fn bare_alias(&mut self) -> Parsed<super::Ident> {
        let at = self.pos;
        let name = self.name()?;
        self.alias = Some(at);
        Ok(name)
    }

    fn relation(&mut self) -> Parsed<Relation> {
        let start = self.token().span;
        let mut left = self.named_relation()?;
        let mut joins = 0;
        while let Some(kind) = self.join_kind()? {
            joins += 1;
            if joins > MAX_DEPTH {
                return Err(self.too_large());
            }
            let right = self.named_relation()?;
            let within = if self.eat_word("WITHIN") { Some(self.within()?) } else { None };
            self.expect_word("ON")?;
            let on = self.expression()?;
            let span = start.to(self.last_span());
            left = Relation::Join(Box::new(Join { left, right, kind, within, on, span }));
        }
        Ok(left)
    }

    fn named_relation(&mut self) -> Parsed<Relation> {
        if self.at_symbol("(") {
            return Err(self.unexpected(&["IDENTIFIER"]).hint("subqueries are not part of ksqlDB's SQL; name a view"));
        }
        let name = self.source_name()?;
        if self.at_symbol("(") {
            let error = self.unexpected(&[]);
            return Err(error.hint("a stream or table stands here; functions that make rows stand after SELECT"));
        }
        if self.eat_word("AS") {
            return Ok(Relation::Named { name, alias: Some(self.source_name()?) });
        }
        if !self.is_name(0) || self.at_clause() {
            return Ok(Relation::Named { name, alias: None });
        }
        let at = self.pos;
        let alias = Some(self.source_name()?);
        self.alias = Some(at);
        Ok(Relation::Named { name, alias })
    }

    /// Clauses whose word is no reserved one: EMIT and PARTITION may also be aliases.
    fn at_clause(&self) -> bool {
        let word_follows = self.look(1).kind == TokenKind::Word && self.is_name(1);
        self.is_word(0, "PARTITION") && self.is_word(1, "BY") || self.is_word(0, "EMIT") && word_follows
    }

    /// `[INNER | LEFT [OUTER] | RIGHT [OUTER] | FULL [OUTER]] JOIN`, if it stands next.
    fn join_kind(&mut self) -> Parsed<Option<JoinKind>> {
        let kind = if self.eat_word("JOIN") {
            return Ok(Some(JoinKind::Inner));
        } else if self.eat_word("INNER") {
            JoinKind::Inner
        } else if self.eat_word("LEFT") {
            JoinKind::Left
        } else if self.eat_word("RIGHT") {
            JoinKind::Right
        } else if self.eat_word("FULL") {
            JoinKind::Full
        } else {
            return Ok(None);
        };
        if kind != JoinKind::Inner {
            self.eat_word("OUTER");
        }
        self.expect_word("JOIN")?;
        Ok(Some(kind))
    }

    fn within(&mut self) -> Parsed<Within> {
        let symmetric = !self.eat_symbol("(");
        let before = self.duration()?;
        let after = if symmetric {
            before.clone()
        } else {
            self.expect_symbol(",")?;
            let after = self.duration()?;
            self.expect_symbol(")")?;
            after
        };
        let grace = if self.at_word("GRACE") { Some(self.grace()?) } else { None };
        Ok(Within { before, after, symmetric, grace })
    }

    fn window(&mut self) -> Parsed<Window> {
        let start = self.last_span();
        let mut kind = self.window_kind()?;
        if kind.is_none() && self.is_name(0) {
            self.bare_alias()?;
            kind = self.window_kind()?;
        }
        let Some(kind) = kind else { return Err(self.unexpected(&["TUMBLING", "HOPPING", "SESSION"])) };
        let (mut retention, mut grace) = (None, None);
        while self.eat_symbol(",") {
            if retention.is_none() && grace.is_none() && self.eat_word("RETENTION") {
                retention = Some(self.duration()?);
            } else if grace.is_none() && self.at_word("GRACE") {
                grace = Some(self.grace()?);
            } else {
                let rest: &[_] = if retention.is_some() { &["GRACE"] } else { &["RETENTION", "GRACE"] };
                return Err(self.unexpected(rest));
            }
        }
        if !self.eat_symbol(")") {
            return Err(self.unexpected(&[",", ")"]));
        }
        Ok(Window { kind, retention, grace, span: start.to(self.last_span()) })
    }

    /// The kind and its own sizes, up to the first comma that is not theirs.
    fn window_kind(&mut self) -> Parsed<Option<WindowKind>> {
        if self.eat_word("TUMBLING") {
            self.expect_symbol("(")?;
            self.expect_word("SIZE")?;
            return Ok(Some(WindowKind::Tumbling { size: self.duration()? }));
        }
        if self.eat_word("HOPPING") {
            self.expect_symbol("(")?;
            self.expect_word("SIZE")?;
            let size = self.duration()?;
            self.expect_symbol(",")?;
            self.expect_word("ADVANCE")?;
            self.expect_word("BY")?;
            return Ok(Some(WindowKind::Hopping { size, advance: self.duration()? }));
        }
        if self.at_word("SESSION") && self.is_symbol(1, "(") {
            self.skip(2);
            return Ok(Some(WindowKind::Session { gap: self.duration()? }));
        }
        Ok(None)
    }

    fn grace(&mut self) -> Parsed<Duration> {
        self.expect_word("GRACE")?;
        self.expect_word("PERIOD")?;
        self.duration()
    }

    /// A number and a unit.
    pub(super) fn duration(&mut self) -> Parsed<Duration> {
        let start = self.token().span;
        let number = self.whole_number("A duration is a whole number that is not negative")?;
        let units = [
            ("SECONDS", Unit::Seconds),
            ("SECOND", Unit::Seconds),
            ("MINUTES", Unit::Minutes),
            ("MINUTE", Unit::Minutes),
            ("HOURS", Unit::Hours),
            ("HOUR", Unit::Hours),
            ("DAYS", Unit::Days),
            ("DAY", Unit::Days),
            ("MILLISECONDS", Unit::Milliseconds),
            ("MILLISECOND", Unit::Milliseconds),
        ];
        for (word, unit) in units {
            if self.eat_word(word) {
                return Ok(Duration { number, unit, span: start.to(self.last_span()) });
            }
        }
        let error = self.unexpected(&[]);
        if error.hint.is_some() {
            return Err(error);
        }
        Err(error.hint("a unit was expected: DAYS, HOURS, MINUTES, SECONDS or MILLISECONDS"))
    }

    /// A number without a sign, a point or an exponent; what to say of one with them.
    pub(super) fn whole_number(&mut self, otherwise: &str) -> Parsed<u64> {
        let negative = self.at_symbol("-");
        let token = self.look(usize::from(negative));
        if !token.kind.is_number() {
            return Err(self.unexpected(&["INTEGER_VALUE"]));
        }
        if negative || token.kind != TokenKind::Integer {
            let hint = "write a number without sign, point and exponent";
            return Err(self.refuse(self.token().span, otherwise).hint(hint));
        }
        self.bump();
        let text = self.text_of(token);
        text.parse().map_err(|_| self.refuse(token.span, &format!("Invalid numeric literal: {text}")))
    }

    fn limit(&mut self, push: bool) -> Parsed<u64> {
        if self.at_symbol("-") && self.look(1).kind == TokenKind::Integer {
            let which = if push { "Push" } else { "Pull" };
            let message = format!(
                "{which} queries don't support negative integers in the LIMIT clause. See https://cnfl.io/queries for \
                 more info."
            );
            return Err(Diagnostic::at(self.token().span.to(self.look(1).span), message).hint("write LIMIT 0 or more"));
        }
        self.whole_number("Value must be integer for command: LIMIT")
    }

    fn emit(&mut self) -> Parsed<Option<Emit>> {
        if !self.eat_word("EMIT") {
            return Ok(None);
        }
        if self.eat_word("CHANGES") {
            return Ok(Some(Emit::Changes));
        }
        if self.eat_word("FINAL") {
            return Ok(Some(Emit::Final));
        }
        Err(self.unexpected(&["CHANGES", "FINAL"]))
    }

    /// GROUP BY or PARTITION BY: a list, in brackets as a whole or not.
    fn keys(&mut self, clause: &'static str) -> Parsed<Vec<Expr>> {
        if !self.eat_word(clause) {
            return Ok(Vec::new());
        }
        self.expect_word("BY")?;
        if !self.all_in_brackets() {
            return self.list(Self::value);
        }
        let start = self.bump().span;
        if self.eat_symbol(")") {
            let span: Span = start.to(self.last_span());
            return Err(Diagnostic::at(span, format!("{clause} BY requires at least one expression"))
                .hint("name a column or write an expression between the brackets"));
        }
        let keys = self.list(Self::expression)?;
        if self.eat_symbol(")") { Ok(keys) } else { Err(self.unexpected(&[",", ")"])) }
    }

    /// True when a bracket opens here and closes at the clause's end. `(a) + b` and `(a), (b)` are no such lists.
    fn all_in_brackets(&self) -> bool {
        let mut open = 0;
        for (index, token) in self.tokens.iter().enumerate().skip(self.pos) {
            if let TokenKind::Symbol(symbol) = token.kind {
                open += i32::from(symbol == "(") - i32::from(symbol == ")");
            }
            if matches!(token.kind, TokenKind::Symbol(";") | TokenKind::End) {
                return false;
            }
            if open == 0 {
                let after = self.tokens.get(index + 1).map(|token| token.kind);
                return index > self.pos
                    && matches!(after, None | Some(TokenKind::End | TokenKind::Word | TokenKind::Symbol(";")));
            }
        }
        false
    }
}
