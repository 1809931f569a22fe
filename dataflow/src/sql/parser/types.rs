//! Types as written.

use super::super::ast::{Ident, TypeKind, TypeName};
use super::super::lexer::TokenKind;
use super::{Parsed, Parser};

impl Parser<'_> {
    pub(super) fn type_name(&mut self) -> Parsed<TypeName> {
        self.nested(|parser| {
            let start = parser.token().span;
            let kind = parser.type_kind()?;
            let mut ty = TypeName { kind, span: start.to(parser.last_span()) };
            let mut wrapped = 0;
            while parser.is_word(0, "ARRAY") {
                wrapped += 1;
                if wrapped > super::MAX_DEPTH {
                    return Err(parser.too_large());
                }
                parser.bump();
                ty = TypeName { kind: TypeKind::Array(Box::new(ty)), span: start.to(parser.last_span()) };
            }
            Ok(ty)
        })
    }

    fn type_kind(&mut self) -> Parsed<TypeKind> {
        if !self.is_name(0) {
            return Err(self.unexpected(&[]).hint("a type was expected, such as INT, STRING or ARRAY<DOUBLE>"));
        }
        if self.is_word(0, "ARRAY") && self.is_symbol(1, "<") {
            self.skip(2);
            let element = self.type_name()?;
            self.expect_symbol(">")?;
            return Ok(TypeKind::Array(Box::new(element)));
        }
        if self.is_word(0, "MAP") && self.is_symbol(1, "<") {
            self.skip(2);
            let key = self.type_name()?;
            self.expect_symbol(",")?;
            let value = self.type_name()?;
            self.expect_symbol(">")?;
            return Ok(TypeKind::Map(Box::new(key), Box::new(value)));
        }
        if self.is_word(0, "STRUCT") && (self.is_symbol(1, "<") || self.is_symbol(1, "<>")) {
            self.bump();
            return self.fields();
        }
        let name = self.name()?;
        if !self.at_symbol("(") {
            return Ok(TypeKind::Name(name));
        }
        self.bump();
        if !name.quoted && ["DECIMAL", "DEC", "NUMERIC"].contains(&name.name.as_str()) {
            return self.decimal();
        }
        self.sized(name)
    }

    fn fields(&mut self) -> Parsed<TypeKind> {
        if self.eat_symbol("<>") {
            return Ok(TypeKind::Struct(Vec::new()));
        }
        self.bump();
        if self.eat_symbol(">") {
            return Ok(TypeKind::Struct(Vec::new()));
        }
        let fields = self.list(|parser| Ok((parser.name()?, parser.type_name()?)))?;
        if self.eat_symbol(">") { Ok(TypeKind::Struct(fields)) } else { Err(self.unexpected(&[",", ">"])) }
    }

    /// `p, s)`.
    fn decimal(&mut self) -> Parsed<TypeKind> {
        let precision = self.size()?;
        let hint = "write DECIMAL(precision, scale), such as DECIMAL(12, 2)";
        self.expect_symbol(",").map_err(|error| error.hint(hint))?;
        let scale = self.size()?;
        self.expect_symbol(")")?;
        Ok(TypeKind::Decimal(precision, scale))
    }

    /// `n)`, which changes nothing; ksqlDB also reads several of them, and the word STRING.
    fn sized(&mut self, name: Ident) -> Parsed<TypeKind> {
        let mut size = None;
        loop {
            if self.is_word(0, "STRING") {
                self.bump();
            } else if self.token().kind == TokenKind::Integer {
                size = Some(self.size()?);
            } else {
                return Err(self.unexpected(&["TYPE STRING", "INTEGER_VALUE"]));
            }
            if self.eat_symbol(")") {
                return Ok(size.map_or(TypeKind::Name(name.clone()), |size| TypeKind::Sized(name, size)));
            }
            if !self.eat_symbol(",") {
                return Err(self.unexpected(&[",", ")"]));
            }
        }
    }

    fn size(&mut self) -> Parsed<u32> {
        let token = self.token();
        if token.kind != TokenKind::Integer {
            return Err(self.unexpected(&["INTEGER_VALUE"]));
        }
        self.bump();
        let text = self.text_of(token);
        text.parse().map_err(|_| self.refuse(token.span, &format!("Invalid numeric literal: {text}")))
    }
}
