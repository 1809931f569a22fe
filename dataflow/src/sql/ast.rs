//! What a script says, as written: statements, queries and expressions, each with its place.
//!
//! Nothing here has been checked against a catalog; names are already folded (upper case unless they were
//! quoted), keywords are gone, and everything that the grammar accepts has a place to live. `Display` on a
//! [`Statement`] prints SQL that parses to the same statement again.

use super::error::Span;

/// A name after case folding: `foo` is `FOO`, `` `foo` `` and `"foo"` stay `foo`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ident {
    /// The folded name.
    pub name: String,
    /// True when it was written in quotes.
    pub quoted: bool,
    /// Where it stands.
    pub span: Span,
}

/// A statement with the text it was parsed from.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it says.
    pub kind: StatementKind,
    /// Byte range in the script, from its first token to its semicolon (included when there is one).
    pub span: Span,
    /// The text of `span`.
    pub text: String,
}

/// The statements of the dialect.
#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    /// `CREATE [OR REPLACE] [SOURCE] STREAM|TABLE [IF NOT EXISTS] name [(columns)] WITH (…)`.
    CreateSource(CreateSource),
    /// `CREATE [OR REPLACE] STREAM|TABLE [IF NOT EXISTS] name [WITH (…)] AS query`.
    CreateAs(CreateAs),
    /// `INSERT INTO name [WITH (…)] query`.
    InsertInto {
        /// The stream written to.
        target: Ident,
        /// `WITH (QUERY_ID = …)`.
        with: Properties,
        /// What is written.
        query: Query,
    },
    /// `INSERT INTO name [(columns)] VALUES (…)`.
    InsertValues {
        /// The stream or table written to.
        target: Ident,
        /// The named columns; empty: all, keys first.
        columns: Vec<Ident>,
        /// One expression a column.
        values: Vec<Expr>,
    },
    /// `SELECT …` on its own: a pull query, or with `EMIT CHANGES` a push query.
    Query(Query),
    /// `CREATE SOURCE|SINK CONNECTOR [IF NOT EXISTS] name WITH (…)`.
    CreateConnector {
        /// Source or sink.
        kind: ConnectorKind,
        /// The connector's name.
        name: Ident,
        /// No error when it exists.
        if_not_exists: bool,
        /// Its configuration, keys as written.
        with: Properties,
    },
    /// `DROP STREAM|TABLE|CONNECTOR|TYPE [IF EXISTS] name [DELETE TOPIC]`.
    Drop {
        /// What kind of thing.
        kind: DropKind,
        /// Its name.
        name: Ident,
        /// No error when it is not there.
        if_exists: bool,
        /// `DELETE TOPIC`.
        delete_topic: bool,
    },
    /// `SHOW|LIST what [EXTENDED]`.
    Show {
        /// What to list.
        what: ShowKind,
        /// With details.
        extended: bool,
    },
    /// `DESCRIBE name [EXTENDED]`; a stream, a table or a connector's name may follow.
    Describe {
        /// The stream or table.
        name: Ident,
        /// With statistics.
        extended: bool,
    },
    /// `DESCRIBE FUNCTION name`.
    DescribeFunction(Ident),
    /// `DESCRIBE CONNECTOR name`.
    DescribeConnector(Ident),
    /// `DESCRIBE STREAMS|TABLES [EXTENDED]`.
    DescribeAll {
        /// Streams or tables.
        tables: bool,
        /// With statistics.
        extended: bool,
    },
    /// `EXPLAIN query-id`.
    ExplainQuery(Ident),
    /// `EXPLAIN statement`.
    Explain(Box<Statement>),
    /// `PRINT topic [FROM BEGINNING] [INTERVAL n] [LIMIT n]`.
    Print {
        /// The topic, as written.
        topic: Ident,
        /// From its first record, not from now on.
        from_beginning: bool,
        /// Every n-th record.
        interval: Option<u64>,
        /// End after n records.
        limit: Option<u64>,
    },
    /// `SET 'property' = 'value'`.
    Set(String, String),
    /// `ALTER SYSTEM 'property' = 'value'`.
    AlterSystem(String, String),
    /// `UNSET 'property'`.
    Unset(String),
    /// `DEFINE name = 'value'`.
    Define(Ident, String),
    /// `UNDEFINE name`.
    Undefine(Ident),
    /// `TERMINATE query-id`, or all.
    Terminate(QueryRef),
    /// `PAUSE query-id`, or all.
    Pause(QueryRef),
    /// `RESUME query-id`, or all.
    Resume(QueryRef),
    /// `CREATE TYPE [IF NOT EXISTS] name AS type`.
    CreateType {
        /// The new type's name.
        name: Ident,
        /// No error when it exists.
        if_not_exists: bool,
        /// What it stands for.
        ty: TypeName,
    },
    /// `ALTER STREAM|TABLE name ADD [COLUMN] column type, …`.
    AlterAdd {
        /// A table, not a stream.
        table: bool,
        /// Its name.
        name: Ident,
        /// The new columns.
        columns: Vec<(Ident, TypeName)>,
    },
    /// `ASSERT [NOT EXISTS] TOPIC …`, `ASSERT SCHEMA …`, kept as text: weir names it as not supported.
    Assert(String),
    /// `RUN SCRIPT 'file'`.
    RunScript(String),
}

/// A query id, or all queries.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryRef {
    /// `ALL`.
    All,
    /// One query's id.
    Id(Ident),
}

/// Which way a connector goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorKind {
    /// Into a topic.
    Source,
    /// Out of a topic.
    Sink,
}

/// What `DROP` drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropKind {
    /// A stream.
    Stream,
    /// A table.
    Table,
    /// A connector.
    Connector,
    /// A custom type.
    Type,
}

/// What `SHOW` lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShowKind {
    /// Streams.
    Streams,
    /// Tables.
    Tables,
    /// Topics; `ALL` includes internal ones.
    Topics {
        /// With internal topics.
        all: bool,
    },
    /// Persistent and push queries.
    Queries,
    /// Connectors: all, or only sources or sinks.
    Connectors(Option<ConnectorKind>),
    /// `CONNECTOR PLUGINS`: the kinds of connectors that can be created.
    ConnectorPlugins,
    /// Functions.
    Functions,
    /// Properties.
    Properties,
    /// Custom types.
    Types,
    /// Session variables.
    Variables,
}

/// `name = value` pairs of a WITH clause, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties(pub Vec<Property>);

/// One pair of a WITH clause.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// The name, as written without quotes (compare case-insensitively for KAFKA_TOPIC and its like).
    pub name: String,
    /// A literal.
    pub value: Literal,
    /// Where the name stands.
    pub span: Span,
    /// Where the value stands.
    pub value_span: Span,
}

impl Properties {
    /// The property with this name, without regard to case; the last one when it stands twice.
    pub fn get(&self, name: &str) -> Option<&Property> {
        self.0.iter().rev().find(|p| p.name.eq_ignore_ascii_case(name))
    }
}

/// `CREATE … STREAM|TABLE name (columns) WITH (…)`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSource {
    /// A table, not a stream.
    pub table: bool,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `SOURCE` (read only, materialized when a table).
    pub source: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: Ident,
    /// Its columns.
    pub columns: Vec<ColumnDef>,
    /// Its properties.
    pub with: Properties,
}

/// `CREATE … STREAM|TABLE name [WITH (…)] AS query`.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateAs {
    /// A table, not a stream.
    pub table: bool,
    /// `OR REPLACE`.
    pub or_replace: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// Its name.
    pub name: Ident,
    /// Its properties.
    pub with: Properties,
    /// What it is.
    pub query: Query,
}

/// A declared column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub ty: TypeName,
    /// Value, KEY, PRIMARY KEY or HEADERS.
    pub role: ColumnRole,
}

/// Where a declared column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnRole {
    /// The record's value.
    Value,
    /// `KEY`: a stream's record key.
    Key,
    /// `PRIMARY KEY`: a table's record key.
    PrimaryKey,
    /// `HEADERS`: all headers.
    Headers,
    /// `HEADER('name')`: one header.
    Header(String),
}

/// A type as written.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeName {
    /// What it says.
    pub kind: TypeKind,
    /// Where.
    pub span: Span,
}

/// The forms of a type.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeKind {
    /// `INT`, `VARCHAR`, a custom type's name: folded to upper case unless quoted.
    Name(Ident),
    /// `DECIMAL(p, s)` (also `NUMERIC`, `DEC`).
    Decimal(u32, u32),
    /// `VARCHAR(n)`: the length is read and has no meaning, as in ksqlDB.
    Sized(Ident, u32),
    /// `ARRAY<t>`.
    Array(Box<TypeName>),
    /// `MAP<k, v>`.
    Map(Box<TypeName>, Box<TypeName>),
    /// `STRUCT<a t, …>`.
    Struct(Vec<(Ident, TypeName)>),
}

/// A SELECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The select list.
    pub select: Vec<SelectItem>,
    /// FROM, with joins, left-deep.
    pub from: Relation,
    /// WINDOW.
    pub window: Option<Window>,
    /// WHERE.
    pub filter: Option<Expr>,
    /// GROUP BY, in order.
    pub group_by: Vec<Expr>,
    /// PARTITION BY, in order.
    pub partition_by: Vec<Expr>,
    /// HAVING.
    pub having: Option<Expr>,
    /// EMIT.
    pub emit: Option<Emit>,
    /// LIMIT.
    pub limit: Option<u64>,
    /// From SELECT to its end.
    pub span: Span,
}

/// `EMIT CHANGES` or `EMIT FINAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Every change.
    Changes,
    /// Only a window's last value, when it closes.
    Final,
}

/// One entry of a select list.
#[derive(Clone, Debug, PartialEq)]
pub enum SelectItem {
    /// `*`, `alias.*`.
    All {
        /// The alias before the star.
        qualifier: Option<Ident>,
        /// Where.
        span: Span,
    },
    /// `struct->*`.
    AllFields {
        /// The struct.
        base: Expr,
        /// Where.
        span: Span,
    },
    /// `expr [AS alias]`.
    Expr {
        /// The expression.
        expr: Expr,
        /// The alias.
        alias: Option<Ident>,
    },
}

/// FROM.
#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    /// `name [AS alias]`.
    Named {
        /// The stream or table.
        name: Ident,
        /// Its alias.
        alias: Option<Ident>,
    },
    /// `left JOIN right ON …`.
    Join(Box<Join>),
}

/// A join.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The left side.
    pub left: Relation,
    /// The right side, never itself a join.
    pub right: Relation,
    /// Which rows stay.
    pub kind: JoinKind,
    /// `WITHIN …`: before and after, and its grace.
    pub within: Option<Within>,
    /// `ON`.
    pub on: Expr,
    /// The whole join.
    pub span: Span,
}

/// Which rows of a join stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum JoinKind {
    /// Matches only.
    Inner,
    /// All of the left.
    Left,
    /// All of the right.
    Right,
    /// All of both.
    Full,
}

/// `WITHIN n unit`, `WITHIN (n unit, m unit)` [`GRACE PERIOD n unit`].
#[derive(Clone, Debug, PartialEq)]
pub struct Within {
    /// How far before.
    pub before: Duration,
    /// How far after.
    pub after: Duration,
    /// Written as one duration.
    pub symmetric: bool,
    /// Grace.
    pub grace: Option<Duration>,
}

/// `n unit` as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Duration {
    /// The number.
    pub number: u64,
    /// The unit.
    pub unit: Unit,
    /// Where.
    pub span: Span,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `DAY[S]`.
    Days,
    /// `HOUR[S]`.
    Hours,
    /// `MINUTE[S]`.
    Minutes,
    /// `SECOND[S]`.
    Seconds,
    /// `MILLISECOND[S]`.
    Milliseconds,
}

impl Duration {
    /// In milliseconds; saturates.
    pub fn millis(&self) -> i64 {
        let unit = match self.unit {
            Unit::Days => 86_400_000,
            Unit::Hours => 3_600_000,
            Unit::Minutes => 60_000,
            Unit::Seconds => 1000,
            Unit::Milliseconds => 1,
        };
        i64::try_from(self.number.saturating_mul(unit)).unwrap_or(i64::MAX)
    }
}

/// `WINDOW [name] kind (…)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Tumbling, hopping or session.
    pub kind: WindowKind,
    /// `RETENTION n unit`.
    pub retention: Option<Duration>,
    /// `GRACE PERIOD n unit`.
    pub grace: Option<Duration>,
    /// The clause.
    pub span: Span,
}

/// The kinds of windows.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowKind {
    /// `TUMBLING (SIZE n unit)`.
    Tumbling {
        /// SIZE.
        size: Duration,
    },
    /// `HOPPING (SIZE n unit, ADVANCE BY m unit)`.
    Hopping {
        /// SIZE.
        size: Duration,
        /// ADVANCE BY.
        advance: Duration,
    },
    /// `SESSION (n unit)`.
    Session {
        /// The gap.
        gap: Duration,
    },
}

/// An expression with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it says.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `NULL`.
    Null,
    /// `TRUE`, `FALSE`.
    Boolean(bool),
    /// An integer that fits 32 bits. A minus right before a number belongs to it, here and below.
    Integer(i32),
    /// An integer that fits only 64 bits.
    Bigint(i64),
    /// Digits with a point: its text, exact (`12.30`, `-.5`, `1.`).
    Decimal(String),
    /// With an exponent (`1E3`): its text; it is finite.
    Double(String),
    /// `'text'`, with `''` undone.
    String(String),
}

/// The forms of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A literal.
    Literal(Literal),
    /// `column`, `alias.column`.
    Column {
        /// The alias before the point.
        qualifier: Option<Ident>,
        /// The column.
        name: Ident,
    },
    /// `base->field`.
    Field {
        /// The struct.
        base: Box<Expr>,
        /// The field.
        field: Ident,
    },
    /// `base[index]`.
    Subscript {
        /// The array or map.
        base: Box<Expr>,
        /// The index or key.
        index: Box<Expr>,
    },
    /// `-e`, `+e`.
    Unary {
        /// True for minus.
        negative: bool,
        /// The operand.
        operand: Box<Expr>,
    },
    /// `a op b`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
    },
    /// `NOT e`.
    Not(Box<Expr>),
    /// `e IS [NOT] NULL`.
    IsNull {
        /// The operand.
        operand: Box<Expr>,
        /// With NOT.
        negated: bool,
    },
    /// `e [NOT] BETWEEN a AND b`.
    Between {
        /// The operand.
        operand: Box<Expr>,
        /// From, included.
        low: Box<Expr>,
        /// To, included.
        high: Box<Expr>,
        /// With NOT.
        negated: bool,
    },
    /// `e [NOT] IN (…)`.
    In {
        /// The operand.
        operand: Box<Expr>,
        /// The list.
        list: Vec<Expr>,
        /// With NOT.
        negated: bool,
    },
    /// `e [NOT] LIKE p [ESCAPE 'c']`.
    Like {
        /// The operand.
        operand: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// The escape character.
        escape: Option<char>,
        /// With NOT.
        negated: bool,
    },
    /// `CASE [operand] WHEN … THEN … [ELSE …] END`.
    Case {
        /// Of a simple CASE.
        operand: Option<Box<Expr>>,
        /// WHEN and THEN.
        branches: Vec<(Expr, Expr)>,
        /// ELSE.
        otherwise: Option<Box<Expr>>,
    },
    /// `CAST(e AS type)`.
    Cast {
        /// What is cast.
        operand: Box<Expr>,
        /// To what.
        ty: TypeName,
    },
    /// `name(args)`; `COUNT(*)` has no argument and `star`.
    Call {
        /// The function, upper case.
        name: Ident,
        /// Its arguments.
        args: Vec<Expr>,
        /// `(*)`.
        star: bool,
    },
    /// `ARRAY[…]`.
    Array(Vec<Expr>),
    /// `MAP(k := v, …)`.
    Map(Vec<(Expr, Expr)>),
    /// `STRUCT(name := e, …)`.
    Struct(Vec<(Ident, Expr)>),
    /// `x => e`, `(x, y) => e`.
    Lambda {
        /// The parameters.
        params: Vec<Ident>,
        /// The body.
        body: Box<Expr>,
    },
    /// An interval unit as an argument (`DAYS` in `TIMESTAMPADD(DAYS, 1, t)`).
    Unit(Unit),
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum BinaryOp {
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`.
    Divide,
    /// `%`.
    Modulo,
    /// `||`.
    Concat,
    /// `=`.
    Equal,
    /// `<>`, `!=`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `IS DISTINCT FROM`.
    Distinct,
    /// `IS NOT DISTINCT FROM`.
    NotDistinct,
    /// `AND`.
    And,
    /// `OR`.
    Or,
}
