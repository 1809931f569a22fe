//! Expressions. From loose to tight: OR, AND, NOT, one predicate, `||`, `+ -`, `* / %`, signs, then what
//! follows a value (`->field`, `[index]`).

use super::super::ast::{BinaryOp, Expr, ExprKind, Ident, Literal, Unit};
use super::super::error::Span;
use super::super::lexer::{TokenKind, unquote};
use super::{Parsed, Parser};

/// Binding strengths of the boolean operators.
const AND: u8 = 2;
const OR: u8 = 1;

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.chained(|parser| parser.boolean(OR))
    }

    fn boolean(&mut self, loosest: u8) -> Parsed<Expr> {
        let mut left = if self.is_word(0, "NOT") {
            let start = self.bump().span;
            let operand = self.nested(|parser| parser.boolean(AND + 1))?;
            Expr { span: start.to(operand.span), kind: ExprKind::Not(Box::new(operand)) }
        } else {
            self.predicate()?
        };
        loop {
            let (op, strength) = if self.at_word("AND") {
                (BinaryOp::And, AND)
            } else if self.at_word("OR") {
                (BinaryOp::Or, OR)
            } else {
                return Ok(left);
            };
            if strength < loosest {
                return Ok(left);
            }
            self.link()?;
            self.bump();
            let right = self.boolean(strength + 1)?;
            left = binary(op, left, right);
        }
    }

    /// A value, and at most one predicate about it.
    fn predicate(&mut self) -> Parsed<Expr> {
        let operand = self.arithmetic(1)?;
        if let TokenKind::Symbol(symbol) = self.token().kind
            && let Some(op) = comparison(symbol)
        {
            self.bump();
            let right = self.arithmetic(1)?;
            return Ok(binary(op, operand, right));
        }
        if self.eat_word("IS") {
            return self.is(operand);
        }
        let negated = self.is_word(0, "NOT");
        if negated {
            self.bump();
        }
        let start = operand.span;
        let operand = Box::new(operand);
        let kind = if self.eat_word("BETWEEN") {
            let low = Box::new(self.arithmetic(1)?);
            self.expect_word("AND")?;
            ExprKind::Between { operand, low, high: Box::new(self.arithmetic(1)?), negated }
        } else if self.eat_word("IN") {
            ExprKind::In { operand, list: self.bracketed(Self::expression)?, negated }
        } else if self.eat_word("LIKE") {
            let pattern = Box::new(self.arithmetic(1)?);
            let escape = if self.eat_word("ESCAPE") { Some(self.escape()?) } else { None };
            ExprKind::Like { operand, pattern, escape, negated }
        } else if negated {
            return Err(self.unexpected(&["BETWEEN", "IN", "LIKE"]));
        } else {
            return Ok(*operand);
        };
        Ok(Expr { kind, span: start.to(self.last_span()) })
    }

    /// After `operand IS`.
    fn is(&mut self, operand: Expr) -> Parsed<Expr> {
        let negated = self.eat_word("NOT");
        if self.eat_word("NULL") {
            let span = operand.span.to(self.last_span());
            return Ok(Expr { kind: ExprKind::IsNull { operand: Box::new(operand), negated }, span });
        }
        if !self.eat_word("DISTINCT") {
            return Err(self.unexpected(if negated { &["NULL", "DISTINCT"] } else { &["NULL", "NOT", "DISTINCT"] }));
        }
        self.expect_word("FROM")?;
        let right = self.arithmetic(1)?;
        Ok(binary(if negated { BinaryOp::NotDistinct } else { BinaryOp::Distinct }, operand, right))
    }

    fn escape(&mut self) -> Parsed<char> {
        let span = self.token().span;
        let text = self.string()?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(self.refuse(span, &format!("Expected single character escape but got: {text}"))),
        }
    }

    /// An expression without predicates and boolean operators; those need brackets here.
    pub(super) fn value(&mut self) -> Parsed<Expr> {
        self.chained(|parser| parser.arithmetic(1))
    }

    fn arithmetic(&mut self, loosest: u8) -> Parsed<Expr> {
        let mut left = self.signed()?;
        while let TokenKind::Symbol(symbol) = self.token().kind {
            let (op, strength) = match symbol {
                "||" => (BinaryOp::Concat, 1),
                "+" => (BinaryOp::Add, 2),
                "-" => (BinaryOp::Subtract, 2),
                "*" => (BinaryOp::Multiply, 3),
                "/" => (BinaryOp::Divide, 3),
                "%" => (BinaryOp::Modulo, 3),
                _ => break,
            };
            if strength < loosest {
                break;
            }
            self.link()?;
            self.bump();
            let right = self.arithmetic(strength + 1)?;
            left = binary(op, left, right);
        }
        Ok(left)
    }

    /// A sign and what it stands before; a minus before a number belongs to the number.
    fn signed(&mut self) -> Parsed<Expr> {
        let negative = self.at_symbol("-");
        if !negative && !self.at_symbol("+") || negative && self.look(1).kind.is_number() {
            return self.primary();
        }
        let start = self.bump().span;
        let operand = Box::new(self.nested(Self::signed)?);
        Ok(Expr { span: start.to(operand.span), kind: ExprKind::Unary { negative, operand } })
    }

    /// A value and the fields and elements taken from it. Stops before `->*`.
    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        let mut base = self.operand()?;
        loop {
            let start = base.span;
            let kind = if self.at_symbol("->") && !self.is_symbol(1, "*") {
                self.bump();
                ExprKind::Field { base: Box::new(base), field: self.name()? }
            } else if self.eat_symbol("[") {
                let index = Box::new(self.value()?);
                self.expect_symbol("]")?;
                ExprKind::Subscript { base: Box::new(base), index }
            } else {
                return Ok(base);
            };
            self.link()?;
            base = Expr { kind, span: start.to(self.last_span()) };
        }
    }

    fn operand(&mut self) -> Parsed<Expr> {
        let start = self.token().span;
        if self.eat_symbol("(") {
            let inner = self.expression()?;
            self.expect_symbol(")")?;
            return Ok(Expr { kind: inner.kind, span: start.to(self.last_span()) });
        }
        let kind = match self.literal()? {
            Some(literal) => ExprKind::Literal(literal),
            None => self.named()?,
        };
        Ok(Expr { kind, span: start.to(self.last_span()) })
    }

    /// What begins with a word: constructors, calls, columns.
    fn named(&mut self) -> Parsed<ExprKind> {
        if self.is_word(0, "CASE") {
            self.bump();
            return self.case();
        }
        if self.is_word(0, "CAST") {
            self.bump();
            return self.cast();
        }
        if self.is_word(0, "ARRAY") && self.is_symbol(1, "[") {
            self.bump();
            return Ok(ExprKind::Array(self.elements("[", "]", Self::expression)?));
        }
        if self.is_word(0, "MAP") && self.is_symbol(1, "(") {
            self.bump();
            let entry = |parser: &mut Self| {
                let key = parser.expression()?;
                parser.expect_symbol(":=")?;
                Ok((key, parser.expression()?))
            };
            return Ok(ExprKind::Map(self.elements("(", ")", entry)?));
        }
        if self.is_word(0, "STRUCT") && self.is_symbol(1, "(") {
            self.bump();
            let field = |parser: &mut Self| {
                let name = parser.name()?;
                parser.expect_symbol(":=")?;
                Ok((name, parser.expression()?))
            };
            return Ok(ExprKind::Struct(self.elements("(", ")", field)?));
        }
        if !self.is_name(0) {
            return Err(self.no_operand());
        }
        let name = self.name()?;
        if self.at_symbol("(") {
            return self.call(name);
        }
        if self.token().kind == TokenKind::String {
            let hint = format!("write CAST(… AS {})", name.name);
            return Err(self.refuse(name.span, &format!("Unknown type: {}", name.name)).hint(hint));
        }
        if self.at_symbol(".") && !self.is_symbol(1, "*") {
            self.bump();
            return Ok(ExprKind::Column { qualifier: Some(name), name: self.name()? });
        }
        Ok(ExprKind::Column { qualifier: None, name })
    }

    fn no_operand(&mut self) -> super::Diagnostic {
        let token = self.token();
        if token.kind == TokenKind::Variable {
            return self.undefined(token);
        }
        let error = self.unexpected(&[]);
        if error.hint.is_some() {
            return error;
        }
        if self.is_word(0, "DISTINCT") {
            return error.hint("DISTINCT is not part of ksqlDB's SQL; GROUP BY, or COUNT_DISTINCT(…), may do");
        }
        if token.kind == TokenKind::Word {
            let word = self.text_of(token);
            return error.hint(format!("an expression was expected; as a name, write `{word}` in backquotes"));
        }
        error.hint("an expression was expected")
    }

    /// Zero or more of something in brackets, the opening one next.
    fn elements<T>(
        &mut self,
        open: &'static str,
        close: &'static str,
        one: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.expect_symbol(open)?;
        if self.eat_symbol(close) {
            return Ok(Vec::new());
        }
        let all = self.list(one)?;
        if self.eat_symbol(close) { Ok(all) } else { Err(self.unexpected(&[",", close])) }
    }

    fn case(&mut self) -> Parsed<ExprKind> {
        let operand = if self.at_word("WHEN") { None } else { Some(Box::new(self.value()?)) };
        let mut branches = Vec::new();
        while self.eat_word("WHEN") {
            let condition = self.expression()?;
            self.expect_word("THEN")?;
            branches.push((condition, self.expression()?));
        }
        if branches.is_empty() {
            return Err(self.unexpected(&["WHEN"]));
        }
        let otherwise = if self.eat_word("ELSE") { Some(Box::new(self.expression()?)) } else { None };
        if self.eat_word("END") {
            return Ok(ExprKind::Case { operand, branches, otherwise });
        }
        Err(self.unexpected(if otherwise.is_some() { &["END"] } else { &["WHEN", "ELSE", "END"] }))
    }

    fn cast(&mut self) -> Parsed<ExprKind> {
        self.expect_symbol("(")?;
        let operand = Box::new(self.expression()?);
        self.expect_word("AS")?;
        let ty = self.type_name()?;
        self.expect_symbol(")")?;
        Ok(ExprKind::Cast { operand, ty })
    }

    fn call(&mut self, name: Ident) -> Parsed<ExprKind> {
        if self.is_symbol(1, "*") && self.is_symbol(2, ")") {
            self.skip(3);
            return Ok(ExprKind::Call { name, args: Vec::new(), star: true });
        }
        let args = self.elements("(", ")", Self::argument)?;
        Ok(ExprKind::Call { name, args, star: false })
    }

    fn argument(&mut self) -> Parsed<Expr> {
        let start = self.token().span;
        if let Some(unit) = self.reserved_unit() {
            self.bump();
            return Ok(Expr { kind: ExprKind::Unit(unit), span: start });
        }
        let Some(params) = self.lambda_params() else { return self.expression() };
        let body = Box::new(self.expression()?);
        Ok(Expr { span: start.to(body.span), kind: ExprKind::Lambda { params, body } })
    }

    /// A unit that is no name: the plurals, and MILLISECOND. DAY and its like are columns here, as in ksqlDB.
    fn reserved_unit(&self) -> Option<Unit> {
        let units = [
            ("DAYS", Unit::Days),
            ("HOURS", Unit::Hours),
            ("MINUTES", Unit::Minutes),
            ("SECONDS", Unit::Seconds),
            ("MILLISECOND", Unit::Milliseconds),
            ("MILLISECONDS", Unit::Milliseconds),
        ];
        units.into_iter().find(|(word, _)| self.is_word(0, word)).map(|(_, unit)| unit)
    }

    /// `x =>` or `(x, y) =>`, and nothing is read when something else stands next.
    fn lambda_params(&mut self) -> Option<Vec<Ident>> {
        let in_brackets = self.at_symbol("(");
        let mut ahead = usize::from(in_brackets);
        loop {
            if !self.is_name(ahead) {
                return None;
            }
            ahead += 1;
            if !(in_brackets && self.is_symbol(ahead, ",")) {
                break;
            }
            ahead += 1;
        }
        if in_brackets && !self.is_symbol(ahead, ")") || !self.is_symbol(ahead + usize::from(in_brackets), "=>") {
            return None;
        }
        self.eat_symbol("(");
        let params = self.list(Self::name).ok()?;
        self.eat_symbol(")");
        self.eat_symbol("=>");
        Some(params)
    }

    /// A literal, or nothing when none stands next.
    ///
    /// # Errors
    /// When it is a number that no type holds.
    pub(super) fn literal(&mut self) -> Parsed<Option<Literal>> {
        let token = self.token();
        let literal = if token.kind == TokenKind::String {
            Literal::String(unquote(self.text_of(token)))
        } else if self.is_word(0, "NULL") {
            Literal::Null
        } else if self.is_word(0, "TRUE") || self.is_word(0, "FALSE") {
            Literal::Boolean(self.is_word(0, "TRUE"))
        } else {
            return self.number();
        };
        self.bump();
        Ok(Some(literal))
    }

    fn number(&mut self) -> Parsed<Option<Literal>> {
        let start = self.token().span;
        let negative = self.at_symbol("-") && self.look(1).kind.is_number();
        let token = self.look(usize::from(negative));
        if !token.kind.is_number() {
            return Ok(None);
        }
        let text = format!("{}{}", if negative { "-" } else { "" }, self.text_of(token));
        let literal = if token.kind == TokenKind::Decimal {
            Some(Literal::Decimal(text.clone()))
        } else if token.kind == TokenKind::Integer {
            text.parse().map(Literal::Integer).or_else(|_| text.parse().map(Literal::Bigint)).ok()
        } else if text.parse().is_ok_and(f64::is_finite) {
            Some(Literal::Double(text.clone()))
        } else {
            let error = self.refuse(start, &format!("Number overflows DOUBLE: {text}"));
            return Err(error.hint("a DOUBLE goes up to 1.7976931348623157E308"));
        };
        if literal.is_none() {
            let hint = "whole numbers go up to 9223372036854775807; with a point it is a DECIMAL";
            return Err(self.refuse(start, &format!("Invalid numeric literal: {text}")).hint(hint));
        }
        if negative {
            self.bump();
        }
        self.bump();
        Ok(literal)
    }
}

fn comparison(symbol: &str) -> Option<BinaryOp> {
    Some(match symbol {
        "=" => BinaryOp::Equal,
        "<>" | "!=" => BinaryOp::NotEqual,
        "<" => BinaryOp::Less,
        "<=" => BinaryOp::LessOrEqual,
        ">" => BinaryOp::Greater,
        ">=" => BinaryOp::GreaterOrEqual,
        _ => return None,
    })
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    let span: Span = left.span.to(right.span);
    Expr { kind: ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, span }
}
