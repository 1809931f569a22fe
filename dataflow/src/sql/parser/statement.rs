//! Statements.

use super::super::ast::{
    ColumnDef, ColumnRole, ConnectorKind, CreateAs, CreateSource, DropKind, Ident, Properties, Property, QueryRef,
    ShowKind, Statement, StatementKind,
};
use super::super::error::{Diagnostic, Span};
use super::super::lexer::{TokenKind, unquote};
use super::{Parsed, Parser};

impl Parser<'_> {
    /// A statement and its semicolon, which only the last one of a script may lack.
    pub(super) fn statement_and_semicolon(&mut self) -> Parsed<Statement> {
        let mut statement = self.statement()?;
        if self.at_end() {
            return Ok(statement);
        }
        if !self.at_symbol(";") {
            let error = self.unexpected(&[";"]);
            let guessed = error.hint.as_ref().is_some_and(|hint| hint.starts_with("did you mean"));
            return Err(match self.misplaced_clause() {
                Some(hint) => error.hint(hint),
                None if guessed => error,
                None if self.at_start() => error.hint("a ';' is missing before this statement"),
                None => error,
            });
        }
        statement.span = statement.span.to(self.bump().span);
        statement.text = self.slice(statement.span);
        Ok(statement)
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let start = self.token().span;
        let kind = self.nested(Self::statement_kind)?;
        let span = start.to(self.last_span());
        Ok(Statement { kind, span, text: self.slice(span) })
    }

    fn slice(&self, span: Span) -> String {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default().to_owned()
    }

    fn statement_kind(&mut self) -> Parsed<StatementKind> {
        if self.is_word(0, "SELECT") {
            return Ok(StatementKind::Query(self.query()?));
        }
        let token = self.token();
        let word = self.text_of(token).to_ascii_uppercase();
        let rule = match (token.kind, word.as_str()) {
            (TokenKind::Word, "CREATE") => Self::create,
            (TokenKind::Word, "INSERT") => Self::insert,
            (TokenKind::Word, "DROP") => Self::drop_object,
            (TokenKind::Word, "SHOW" | "LIST") => Self::show,
            (TokenKind::Word, "DESCRIBE") => Self::describe,
            (TokenKind::Word, "EXPLAIN") => Self::explain,
            (TokenKind::Word, "PRINT") => Self::print,
            (TokenKind::Word, "SET") => Self::set,
            (TokenKind::Word, "UNSET") => Self::unset,
            (TokenKind::Word, "DEFINE") => Self::define,
            (TokenKind::Word, "UNDEFINE") => Self::undefine,
            (TokenKind::Word, "TERMINATE") => |parser: &mut Self| Ok(StatementKind::Terminate(parser.query_ref()?)),
            (TokenKind::Word, "PAUSE") => |parser: &mut Self| Ok(StatementKind::Pause(parser.query_ref()?)),
            (TokenKind::Word, "RESUME") => |parser: &mut Self| Ok(StatementKind::Resume(parser.query_ref()?)),
            (TokenKind::Word, "ALTER") => Self::alter,
            (TokenKind::Word, "ASSERT") => return self.assert(),
            (TokenKind::Word, "RUN") => Self::run_script,
            _ => return Err(self.unknown_statement()),
        };
        self.bump();
        rule(self)
    }

    fn create(&mut self) -> Parsed<StatementKind> {
        let or_replace = self.eat_word("OR");
        if or_replace {
            self.expect_word("REPLACE")?;
        }
        if !or_replace && self.eat_word("TYPE") {
            return self.create_type();
        }
        if !or_replace && self.eat_word("SINK") {
            return self.create_connector(ConnectorKind::Sink);
        }
        let source = self.eat_word("SOURCE");
        if source && !or_replace && self.at_word("CONNECTOR") {
            return self.create_connector(ConnectorKind::Source);
        }
        let table = self.eat_word("TABLE");
        if !table && !self.eat_word("STREAM") {
            return Err(self.unexpected(match (or_replace, source) {
                (_, true) => &["STREAM", "TABLE", "CONNECTOR"],
                (true, false) => &["STREAM", "TABLE", "SOURCE"],
                (false, false) => &["STREAM", "TABLE", "SOURCE", "SINK", "TYPE", "OR"],
            }));
        }
        let if_not_exists = self.if_not_exists()?;
        let name = self.source_name()?;
        let columns = if self.at_symbol("(") { Some(self.bracketed(Self::column)?) } else { None };
        let with = self.with()?;
        if !source && columns.is_none() && self.eat_word("AS") {
            let query = self.query()?;
            if query.limit.is_some() {
                let what = if table { "TABLE" } else { "STREAM" };
                let message = format!("CREATE {what} AS SELECT statements don't support LIMIT clause.");
                return Err(Diagnostic::at(query.span, message).hint("put the LIMIT into the query that reads it"));
            }
            return Ok(StatementKind::CreateAs(CreateAs { table, or_replace, if_not_exists, name, with, query }));
        }
        if self.is_word(0, "AS") {
            return Err(self.unexpected(&[";"]).hint(if source {
                "a SOURCE stream or table is declared over a topic; leave SOURCE out to derive one by AS SELECT"
            } else {
                "columns come from the query: leave the column list out, or leave AS SELECT out"
            }));
        }
        let columns = columns.unwrap_or_default();
        let created = CreateSource { table, or_replace, source, if_not_exists, name, columns, with };
        Ok(StatementKind::CreateSource(created))
    }

    fn column(&mut self) -> Parsed<ColumnDef> {
        let name = self.name()?;
        let ty = self.type_name()?;
        let role = if self.eat_word("PRIMARY") {
            self.expect_word("KEY")?;
            ColumnRole::PrimaryKey
        } else if self.eat_word("KEY") {
            ColumnRole::Key
        } else if self.eat_word("HEADERS") {
            ColumnRole::Headers
        } else if self.eat_word("HEADER") {
            self.expect_symbol("(")?;
            let header = self.string()?;
            self.expect_symbol(")")?;
            ColumnRole::Header(header)
        } else {
            ColumnRole::Value
        };
        Ok(ColumnDef { name, ty, role })
    }

    fn if_not_exists(&mut self) -> Parsed<bool> {
        let found = self.is_word(1, "NOT") && self.eat_word("IF");
        if found {
            self.expect_word("NOT")?;
            self.expect_word("EXISTS")?;
        }
        Ok(found)
    }

    fn if_exists(&mut self) -> Parsed<bool> {
        let found = self.is_word(1, "EXISTS") && self.eat_word("IF");
        if found {
            self.expect_word("EXISTS")?;
        }
        Ok(found)
    }

    fn with(&mut self) -> Parsed<Properties> {
        if !self.eat_word("WITH") {
            return Ok(Properties::default());
        }
        self.expect_symbol("(")?;
        let properties = self.list(Self::property)?;
        if self.eat_symbol(")") { Ok(Properties(properties)) } else { Err(self.unexpected(&[",", ")"])) }
    }

    fn property(&mut self) -> Parsed<Property> {
        let token = self.token();
        let name = if token.kind == TokenKind::String { self.string()? } else { self.name_as_written()?.name };
        self.expect_symbol("=")?;
        let start = self.token();
        let Some(value) = self.literal()? else {
            let error = if start.kind == TokenKind::Variable { self.undefined(start) } else { self.unexpected(&[]) };
            return Err(error.hint("a literal was expected: 'text', a number, TRUE or FALSE"));
        };
        Ok(Property { name, value, span: token.span, value_span: start.span.to(self.last_span()) })
    }

    fn create_type(&mut self) -> Parsed<StatementKind> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.name()?;
        self.expect_word("AS")?;
        Ok(StatementKind::CreateType { name, if_not_exists, ty: self.type_name()? })
    }

    fn create_connector(&mut self, kind: ConnectorKind) -> Parsed<StatementKind> {
        self.expect_word("CONNECTOR")?;
        let if_not_exists = self.if_not_exists()?;
        let name = self.name()?;
        if !self.at_word("WITH") {
            return Err(self.unexpected(&["WITH"]));
        }
        Ok(StatementKind::CreateConnector { kind, name, if_not_exists, with: self.with()? })
    }

    fn insert(&mut self) -> Parsed<StatementKind> {
        self.expect_word("INTO")?;
        let target = self.source_name()?;
        let columns = if self.at_symbol("(") { Some(self.bracketed(Self::name)?) } else { None };
        if self.eat_word("VALUES") {
            self.expect_symbol("(")?;
            let values = if self.at_symbol(")") { Vec::new() } else { self.list(Self::value)? };
            if !self.eat_symbol(")") {
                return Err(self.unexpected(&[",", ")"]));
            }
            return Ok(StatementKind::InsertValues { target, columns: columns.unwrap_or_default(), values });
        }
        if columns.is_some() {
            let error = self.unexpected(&["VALUES"]);
            let select = self.is_word(0, "SELECT");
            return Err(if select { error.hint("a query names its columns by AS; leave the list out") } else { error });
        }
        let with = self.with()?;
        if !self.at_word("SELECT") {
            return Err(self.unexpected(if with.0.is_empty() { &["VALUES", "WITH", "SELECT"] } else { &["SELECT"] }));
        }
        Ok(StatementKind::InsertInto { target, with, query: self.query()? })
    }

    fn drop_object(&mut self) -> Parsed<StatementKind> {
        let kind = if self.eat_word("STREAM") {
            DropKind::Stream
        } else if self.eat_word("TABLE") {
            DropKind::Table
        } else if self.eat_word("CONNECTOR") {
            DropKind::Connector
        } else if self.eat_word("TYPE") {
            DropKind::Type
        } else {
            return Err(self.unexpected(&["STREAM", "TABLE", "CONNECTOR", "TYPE"]));
        };
        let if_exists = self.if_exists()?;
        let of_topic = matches!(kind, DropKind::Stream | DropKind::Table);
        let name = if of_topic { self.source_name()? } else { self.name()? };
        let delete_topic = of_topic && self.eat_word("DELETE");
        if delete_topic {
            self.expect_word("TOPIC")?;
        }
        Ok(StatementKind::Drop { kind, name, if_exists, delete_topic })
    }

    fn show(&mut self) -> Parsed<StatementKind> {
        let all = self.eat_word("ALL");
        let what = if self.eat_word("TOPICS") {
            ShowKind::Topics { all }
        } else if all {
            return Err(self.unexpected(&["TOPICS"]));
        } else if self.eat_word("STREAMS") {
            ShowKind::Streams
        } else if self.eat_word("TABLES") {
            ShowKind::Tables
        } else if self.eat_word("QUERIES") {
            ShowKind::Queries
        } else if self.eat_word("FUNCTIONS") {
            ShowKind::Functions
        } else if self.eat_word("PROPERTIES") {
            ShowKind::Properties
        } else if self.eat_word("TYPES") {
            ShowKind::Types
        } else if self.eat_word("VARIABLES") {
            ShowKind::Variables
        } else if self.eat_word("CONNECTORS") {
            ShowKind::Connectors(None)
        } else if self.eat_word("SOURCE") {
            self.expect_word("CONNECTORS")?;
            ShowKind::Connectors(Some(ConnectorKind::Source))
        } else if self.eat_word("SINK") {
            self.expect_word("CONNECTORS")?;
            ShowKind::Connectors(Some(ConnectorKind::Sink))
        } else if self.eat_word("CONNECTOR") {
            self.expect_word("PLUGINS")?;
            ShowKind::ConnectorPlugins
        } else {
            return Err(self.unexpected(&[
                "STREAMS",
                "TABLES",
                "TOPICS",
                "QUERIES",
                "FUNCTIONS",
                "PROPERTIES",
                "TYPES",
                "VARIABLES",
                "CONNECTORS",
            ]));
        };
        let details =
            matches!(what, ShowKind::Topics { .. } | ShowKind::Streams | ShowKind::Tables | ShowKind::Queries);
        let extended = details && self.eat_word("EXTENDED");
        Ok(StatementKind::Show { what, extended })
    }

    fn describe(&mut self) -> Parsed<StatementKind> {
        let alone = matches!(self.look(1).kind, TokenKind::End | TokenKind::Symbol(_)) || self.is_word(1, "EXTENDED");
        for (word, tables) in [("STREAMS", false), ("TABLES", true)] {
            if alone && self.eat_word(word) {
                return Ok(StatementKind::DescribeAll { tables, extended: self.eat_word("EXTENDED") });
            }
        }
        if !alone && self.eat_word("FUNCTION") {
            return Ok(StatementKind::DescribeFunction(self.name()?));
        }
        if !alone && self.eat_word("CONNECTOR") {
            return Ok(StatementKind::DescribeConnector(self.name()?));
        }
        let name = self.source_name()?;
        Ok(StatementKind::Describe { name, extended: self.eat_word("EXTENDED") })
    }

    fn explain(&mut self) -> Parsed<StatementKind> {
        let alone = matches!(self.look(1).kind, TokenKind::End | TokenKind::Symbol(";"));
        if alone && self.is_name(0) {
            return Ok(StatementKind::ExplainQuery(self.name()?));
        }
        Ok(StatementKind::Explain(Box::new(self.statement()?)))
    }

    fn print(&mut self) -> Parsed<StatementKind> {
        let token = self.token();
        let topic = if token.kind == TokenKind::String {
            self.bump();
            Ident { name: unquote(self.text_of(token)), quoted: true, span: token.span }
        } else {
            self.name_as_written()?
        };
        let from_beginning = self.eat_word("FROM");
        if from_beginning {
            self.expect_word("BEGINNING")?;
        }
        let every = self.eat_word("INTERVAL") || self.eat_word("SAMPLE");
        let interval =
            if every { Some(self.whole_number("Value must be integer for command: INTERVAL")?) } else { None };
        let limit = if self.eat_word("LIMIT") {
            Some(self.whole_number("Value must be integer for command: LIMIT")?)
        } else {
            None
        };
        Ok(StatementKind::Print { topic, from_beginning, interval, limit })
    }

    fn set(&mut self) -> Parsed<StatementKind> {
        let (name, value) = self.setting()?;
        Ok(StatementKind::Set(name, value))
    }

    /// `'name' = 'value'`.
    fn setting(&mut self) -> Parsed<(String, String)> {
        let name = self.string()?;
        self.expect_symbol("=")?;
        let quoted = self.token().kind == TokenKind::String;
        let value = self.string().map_err(|error| if quoted { error } else { error.hint("quote the value: '…'") })?;
        Ok((name, value))
    }

    fn unset(&mut self) -> Parsed<StatementKind> {
        Ok(StatementKind::Unset(self.string()?))
    }

    fn define(&mut self) -> Parsed<StatementKind> {
        let name = self.variable_name()?;
        self.expect_symbol("=")?;
        Ok(StatementKind::Define(name, self.string()?))
    }

    fn undefine(&mut self) -> Parsed<StatementKind> {
        Ok(StatementKind::Undefine(self.variable_name()?))
    }

    /// A word, kept as written; here even reserved ones are names.
    fn variable_name(&mut self) -> Parsed<Ident> {
        if self.token().kind != TokenKind::Word {
            return Err(self.unexpected(&["IDENTIFIER"]));
        }
        let token = self.bump();
        Ok(Ident { name: self.text_of(token).to_owned(), quoted: false, span: token.span })
    }

    fn query_ref(&mut self) -> Parsed<QueryRef> {
        if self.eat_word("ALL") { Ok(QueryRef::All) } else { Ok(QueryRef::Id(self.name()?)) }
    }

    fn alter(&mut self) -> Parsed<StatementKind> {
        if self.eat_word("SYSTEM") {
            let (name, value) = self.setting()?;
            return Ok(StatementKind::AlterSystem(name, value));
        }
        let table = self.eat_word("TABLE");
        if !table && !self.eat_word("STREAM") {
            return Err(self.unexpected(&["STREAM", "TABLE", "SYSTEM"]));
        }
        let name = self.source_name()?;
        let columns = self.list(|parser| {
            parser.expect_word("ADD")?;
            if parser.is_word(0, "COLUMN") && parser.is_name(1) && parser.is_name(2) {
                parser.bump();
            }
            Ok((parser.name()?, parser.type_name()?))
        })?;
        Ok(StatementKind::AlterAdd { table, name, columns })
    }

    /// The statement's text up to its semicolon, once its first words are right.
    fn assert(&mut self) -> Parsed<StatementKind> {
        let start = self.bump().span;
        if self.eat_word("NOT") {
            self.expect_word("EXISTS")?;
        }
        if !self.eat_word("TOPIC") && !self.eat_word("SCHEMA") {
            return Err(self.unexpected(&["TOPIC", "SCHEMA", "NOT", "EXISTS"]));
        }
        while !self.at_end() && !self.at_symbol(";") {
            if matches!(self.token().kind, TokenKind::Bad(_)) {
                return Err(self.unexpected(&[]));
            }
            self.bump();
        }
        Ok(StatementKind::Assert(self.slice(start.to(self.last_span()))))
    }

    fn run_script(&mut self) -> Parsed<StatementKind> {
        self.expect_word("SCRIPT")?;
        Ok(StatementKind::RunScript(self.string()?))
    }
}
