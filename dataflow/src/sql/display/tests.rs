use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::ast::*;
use super::super::cases;
use super::super::error::Span;
use super::super::lexer::lex;
use super::super::{parse, parse_one, without_spans};
use super::words;

fn expr(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn idents() -> impl Strategy<Value = Ident> {
    let plain = prop_oneof![
        "[0-9]{1,2}[A-Z_]{1,2}",
        "[A-Z_][A-Z0-9_@]{0,5}",
        prop::sample::select(vec!["TIME", "SIZE", "TYPE", "EMIT", "MAP"]).prop_map(str::to_owned)
    ];
    let plain = plain.prop_filter("reserved", |name| words::is_plain(name));
    let plain = plain.prop_map(|name| Ident { name, quoted: false, span: Span::default() });
    let quoted = "[a-zA-Z0-9 `\"';.-]{0,5}".prop_map(|name| Ident { name, quoted: true, span: Span::default() });
    prop_oneof![4 => plain, 1 => quoted]
}

fn source_names() -> impl Strategy<Value = Ident> {
    let fits = |name: &Ident| name.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    idents().prop_filter("no source name", fits)
}

fn strings() -> impl Strategy<Value = String> {
    "[a-z '`\"\\-;${}\nä]{0,6}"
}

fn literals() -> impl Strategy<Value = Literal> {
    prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Boolean),
        any::<i32>().prop_map(Literal::Integer),
        any::<i64>().prop_filter("small", |n| i32::try_from(*n).is_err()).prop_map(Literal::Bigint),
        "-?([0-9]{1,3}\\.[0-9]{0,3}|\\.[0-9]{1,3})".prop_map(Literal::Decimal),
        "-?([0-9]{1,3}(\\.[0-9]{0,3})?|\\.[0-9]{1,3})[eE][+-]?[0-9]{1,2}".prop_map(Literal::Double),
        strings().prop_map(Literal::String),
    ]
}

fn types() -> impl Strategy<Value = TypeName> {
    let ty = |kind| TypeName { kind, span: Span::default() };
    let leaf = prop_oneof![
        idents().prop_map(TypeKind::Name),
        (0..50u32, 0..9u32).prop_map(|(p, s)| TypeKind::Decimal(p, s)),
        (0..50u32).prop_map(|n| {
            TypeKind::Sized(Ident { name: "VARCHAR".to_owned(), quoted: false, span: Span::default() }, n)
        }),
    ];
    leaf.prop_map(ty).prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            inner.clone().prop_map(move |t| ty(TypeKind::Array(Box::new(t)))),
            (inner.clone(), inner.clone()).prop_map(move |(k, v)| ty(TypeKind::Map(Box::new(k), Box::new(v)))),
            vec((idents(), inner), 0..3).prop_map(move |fields| ty(TypeKind::Struct(fields))),
        ]
    })
}

fn units() -> impl Strategy<Value = Unit> {
    prop::sample::select(vec![Unit::Days, Unit::Hours, Unit::Minutes, Unit::Seconds, Unit::Milliseconds])
}

const OPS: [BinaryOp; 16] = [
    BinaryOp::Add,
    BinaryOp::Subtract,
    BinaryOp::Multiply,
    BinaryOp::Divide,
    BinaryOp::Modulo,
    BinaryOp::Concat,
    BinaryOp::Equal,
    BinaryOp::NotEqual,
    BinaryOp::Less,
    BinaryOp::LessOrEqual,
    BinaryOp::Greater,
    BinaryOp::GreaterOrEqual,
    BinaryOp::Distinct,
    BinaryOp::NotDistinct,
    BinaryOp::And,
    BinaryOp::Or,
];

fn columns() -> impl Strategy<Value = Expr> {
    (option::of(idents()), idents()).prop_map(|(qualifier, name)| expr(ExprKind::Column { qualifier, name }))
}

/// A function's name: an unquoted MAP or STRUCT before a bracket is a constructor.
fn function_names() -> impl Strategy<Value = Ident> {
    idents().prop_filter("constructor", |name| name.quoted || !["MAP", "STRUCT"].contains(&name.name.as_str()))
}

fn exprs() -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![literals().prop_map(|l| expr(ExprKind::Literal(l))), columns()];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        let lambda = (vec(idents(), 1..3), boxed()).prop_map(|(params, body)| expr(ExprKind::Lambda { params, body }));
        let unit = units().prop_map(|unit| expr(ExprKind::Unit(unit)));
        let argument = prop_oneof![6 => inner.clone(), 1 => lambda, 1 => unit];
        let kind = prop_oneof![
            (boxed(), idents()).prop_map(|(base, field)| ExprKind::Field { base, field }),
            (boxed(), boxed()).prop_map(|(base, index)| ExprKind::Subscript { base, index }),
            (any::<bool>(), boxed()).prop_map(|(negative, operand)| ExprKind::Unary { negative, operand }),
            (prop::sample::select(OPS.to_vec()), boxed(), boxed()).prop_map(|(op, left, right)| ExprKind::Binary {
                op,
                left,
                right
            }),
            boxed().prop_map(ExprKind::Not),
            (boxed(), any::<bool>()).prop_map(|(operand, negated)| ExprKind::IsNull { operand, negated }),
            (boxed(), boxed(), boxed(), any::<bool>()).prop_map(|(operand, low, high, negated)| ExprKind::Between {
                operand,
                low,
                high,
                negated
            }),
            (boxed(), vec(inner.clone(), 1..3), any::<bool>()).prop_map(|(operand, list, negated)| ExprKind::In {
                operand,
                list,
                negated
            }),
            (boxed(), boxed(), option::of(any::<char>()), any::<bool>())
                .prop_map(|(operand, pattern, escape, negated)| ExprKind::Like { operand, pattern, escape, negated }),
            (option::of(boxed()), vec((inner.clone(), inner.clone()), 1..3), option::of(boxed()))
                .prop_map(|(operand, branches, otherwise)| ExprKind::Case { operand, branches, otherwise }),
            (boxed(), types()).prop_map(|(operand, ty)| ExprKind::Cast { operand, ty }),
            (function_names(), vec(argument, 0..3)).prop_map(|(name, args)| ExprKind::Call { name, args, star: false }),
            function_names().prop_map(|name| ExprKind::Call { name, args: Vec::new(), star: true }),
            vec(inner.clone(), 0..3).prop_map(ExprKind::Array),
            vec((inner.clone(), inner.clone()), 0..3).prop_map(ExprKind::Map),
            vec((idents(), inner.clone()), 0..3).prop_map(ExprKind::Struct),
        ];
        kind.prop_map(expr)
    })
    .boxed()
}

fn durations() -> impl Strategy<Value = Duration> {
    (any::<u64>(), units()).prop_map(|(number, unit)| Duration { number, unit, span: Span::default() })
}

fn windows() -> impl Strategy<Value = Window> {
    let kind = prop_oneof![
        durations().prop_map(|size| WindowKind::Tumbling { size }),
        (durations(), durations()).prop_map(|(size, advance)| WindowKind::Hopping { size, advance }),
        durations().prop_map(|gap| WindowKind::Session { gap }),
    ];
    let window = |(kind, retention, grace)| Window { kind, retention, grace, span: Span::default() };
    (kind, option::of(durations()), option::of(durations())).prop_map(window)
}

fn relations() -> impl Strategy<Value = Relation> {
    let named =
        || (source_names(), option::of(source_names())).prop_map(|(name, alias)| Relation::Named { name, alias });
    let kinds = prop::sample::select(vec![JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full]);
    let within = (durations(), option::of(durations()), option::of(durations())).prop_map(|(before, after, grace)| {
        Within { after: after.clone().unwrap_or(before.clone()), symmetric: after.is_none(), before, grace }
    });
    (named(), vec((named(), kinds, option::of(within), exprs()), 0..3)).prop_map(|(first, joins)| {
        joins.into_iter().fold(first, |left, (right, kind, within, on)| {
            Relation::Join(Box::new(Join { left, right, kind, within, on, span: Span::default() }))
        })
    })
}

fn select_items() -> impl Strategy<Value = SelectItem> {
    let span = Span::default();
    prop_oneof![
        4 => (exprs(), option::of(idents())).prop_map(|(expr, alias)| SelectItem::Expr { expr, alias }),
        1 => option::of(idents()).prop_map(move |qualifier| SelectItem::All { qualifier, span }),
        1 => exprs().prop_map(move |base| SelectItem::AllFields { base, span }),
    ]
}

fn queries() -> impl Strategy<Value = Query> {
    let emit = option::of(prop::sample::select(vec![Emit::Changes, Emit::Final]));
    let keys = || vec(exprs(), 0..3);
    let clauses = (option::of(windows()), option::of(exprs()), keys(), keys(), option::of(exprs()));
    (vec(select_items(), 1..4), relations(), clauses, emit, option::of(any::<u64>())).prop_map(
        |(select, from, (window, filter, group_by, partition_by, having), emit, limit)| Query {
            select,
            from,
            window,
            filter,
            group_by,
            partition_by,
            having,
            emit,
            limit,
            span: Span::default(),
        },
    )
}

fn properties() -> impl Strategy<Value = Properties> {
    let name = prop_oneof!["[a-z_]{1,8}", strings()];
    let span = Span::default();
    let property = (name, literals()).prop_map(move |(name, value)| Property { name, value, span, value_span: span });
    vec(property, 0..3).prop_map(Properties)
}

fn columns_declared() -> impl Strategy<Value = Vec<ColumnDef>> {
    let role = prop_oneof![
        Just(ColumnRole::Value),
        Just(ColumnRole::Key),
        Just(ColumnRole::PrimaryKey),
        Just(ColumnRole::Headers),
        strings().prop_map(ColumnRole::Header),
    ];
    vec((idents(), types(), role).prop_map(|(name, ty, role)| ColumnDef { name, ty, role }), 0..3)
}

fn shows() -> impl Strategy<Value = ShowKind> {
    prop::sample::select(vec![
        ShowKind::Streams,
        ShowKind::Tables,
        ShowKind::Topics { all: true },
        ShowKind::Topics { all: false },
        ShowKind::Queries,
        ShowKind::Connectors(None),
        ShowKind::Connectors(Some(ConnectorKind::Source)),
        ShowKind::Connectors(Some(ConnectorKind::Sink)),
        ShowKind::ConnectorPlugins,
        ShowKind::Functions,
        ShowKind::Properties,
        ShowKind::Types,
        ShowKind::Variables,
    ])
}

fn statements() -> impl Strategy<Value = StatementKind> {
    let flags = || (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let ids = || prop_oneof![Just(QueryRef::All), idents().prop_map(QueryRef::Id)];
    let created = prop_oneof![
        (flags(), source_names(), columns_declared(), properties()).prop_map(
            |((table, or_replace, source, if_not_exists), name, columns, with)| {
                StatementKind::CreateSource(CreateSource {
                    table,
                    or_replace,
                    source,
                    if_not_exists,
                    name,
                    columns,
                    with,
                })
            }
        ),
        (flags(), source_names(), properties(), queries()).prop_map(
            |((table, or_replace, if_not_exists, _), name, with, query)| {
                let query = Query { limit: None, ..query };
                StatementKind::CreateAs(CreateAs { table, or_replace, if_not_exists, name, with, query })
            }
        ),
        (any::<bool>(), idents(), any::<bool>(), properties())
            .prop_filter("no properties", |(.., p)| !p.0.is_empty())
            .prop_map(|(sink, name, if_not_exists, with)| {
                let kind = if sink { ConnectorKind::Sink } else { ConnectorKind::Source };
                StatementKind::CreateConnector { kind, name, if_not_exists, with }
            }),
        (idents(), any::<bool>(), types()).prop_map(|(name, if_not_exists, ty)| StatementKind::CreateType {
            name,
            if_not_exists,
            ty
        }),
    ];
    let changed = prop_oneof![
        (source_names(), properties(), queries()).prop_map(|(target, with, query)| StatementKind::InsertInto {
            target,
            with,
            query
        }),
        (source_names(), vec(idents(), 0..3), vec(exprs(), 0..3))
            .prop_map(|(target, columns, values)| StatementKind::InsertValues { target, columns, values }),
        (any::<bool>(), source_names(), any::<bool>(), any::<bool>()).prop_map(
            |(table, name, if_exists, delete_topic)| {
                let kind = if table { DropKind::Table } else { DropKind::Stream };
                StatementKind::Drop { kind, name, if_exists, delete_topic }
            }
        ),
        (any::<bool>(), source_names(), vec((idents(), types()), 1..3))
            .prop_map(|(table, name, columns)| StatementKind::AlterAdd { table, name, columns }),
        ids().prop_map(StatementKind::Terminate),
        ids().prop_map(StatementKind::Pause),
        ids().prop_map(StatementKind::Resume),
    ];
    let asked = prop_oneof![
        (shows(), any::<bool>()).prop_map(|(what, extended)| {
            let details =
                matches!(what, ShowKind::Streams | ShowKind::Tables | ShowKind::Topics { .. } | ShowKind::Queries);
            StatementKind::Show { what, extended: extended && details }
        }),
        (source_names(), any::<bool>()).prop_map(|(name, extended)| StatementKind::Describe { name, extended }),
        idents().prop_map(StatementKind::DescribeFunction),
        idents().prop_map(StatementKind::DescribeConnector),
        (any::<bool>(), any::<bool>()).prop_map(|(tables, extended)| StatementKind::DescribeAll { tables, extended }),
        (idents(), any::<bool>(), option::of(any::<u64>()), option::of(any::<u64>())).prop_map(
            |(topic, from_beginning, interval, limit)| StatementKind::Print { topic, from_beginning, interval, limit }
        ),
        idents().prop_map(StatementKind::ExplainQuery),
        (strings(), strings()).prop_map(|(name, value)| StatementKind::Set(name, value)),
        (strings(), strings()).prop_map(|(name, value)| StatementKind::AlterSystem(name, value)),
        strings().prop_map(StatementKind::Unset),
        strings().prop_map(StatementKind::RunScript),
    ];
    prop_oneof![2 => queries().prop_map(StatementKind::Query), 3 => created, 2 => changed, 2 => asked]
}

proptest! {
    #[test]
    fn a_printed_statement_parses_to_itself(kind in statements(), explained in any::<bool>()) {
        let mut statement = Statement { kind, span: Span::default(), text: String::new() };
        if explained {
            let kind = StatementKind::Explain(Box::new(statement));
            statement = Statement { kind, span: Span::default(), text: String::new() };
        }
        let printed = statement.to_string();
        let parsed = parse_one(&printed).map_err(|e| TestCaseError::fail(format!("{printed}: {e:?}")))?;
        prop_assert_eq!(without_spans(&parsed), statement, "{}", printed);
    }

    #[test]
    fn what_still_parses_after_a_change_prints_and_parses(
        kind in statements(),
        at in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        change in 0..3,
    ) {
        let printed = kind.to_string();
        let mut words: Vec<&str> = lex(&printed)
            .iter()
            .map(|token| &printed[token.span.start as usize..token.span.end as usize])
            .collect();
        let (at, from) = (at.index(words.len()), from.index(words.len()));
        match change {
            0 => drop(words.remove(at)),
            1 => words.swap(at, from),
            _ => words.insert(at, words[from]),
        }
        for statement in parse(&words.join(" ")).0 {
            let printed = statement.to_string();
            let again = parse_one(&printed).map_err(|e| TestCaseError::fail(format!("{printed}: {e:?}")))?;
            prop_assert_eq!(without_spans(&again), without_spans(&statement), "{}", printed);
        }
    }
}

#[test]
fn messages_quote_expressions_as_ksqldb_does() {
    let forms = [
        ("STATUS > 400", "(STATUS > 400)"),
        ("a.id = null", "(A.ID = null)"),
        ("s1.k = s2.k and s1.`k2` != 'it''s'", "((S1.K = S2.K) AND (S1.k2 <> 'it''s'))"),
        ("a is not distinct from b", "(NOT (A IS DISTINCT FROM B))"),
        ("a not between 1 and -2", "(NOT (A BETWEEN 1 AND -2))"),
        ("a || 'x' not like '!%' escape '!'", "(NOT (concat(A, 'x') LIKE '!%' ESCAPE '!'))"),
        ("not a in (1, 2)", "(NOT (A IN (1, 2)))"),
        ("- -a + -(3) * count(*)", "(- -A + (-3 * COUNT(*)))"),
        ("cast(a as varchar)", "CAST(A AS STRING)"),
        ("a->b[1]", "A->B[1]"),
        ("case when a then true else 1e3 end", "(CASE WHEN A THEN true ELSE 1E3 END)"),
        ("transform(a, x => x + 1)", "TRANSFORM(A, (X) => (X + 1))"),
        ("map('a' := 1)", "MAP('a':=1)"),
    ];
    for (text, form) in forms {
        let statement = parse_one(&format!("SELECT * FROM t WHERE {text};")).expect("parses");
        let StatementKind::Query(query) = statement.kind else { panic!("a query") };
        assert_eq!(format!("{:#}", query.filter.expect("WHERE")), form);
    }
}

#[test]
fn statements_of_the_cases_are_printed_and_read_again() {
    for statement in cases::scripts().iter().flat_map(|script| parse(&script.text).0) {
        let printed = statement.to_string();
        let again = parse_one(&printed).unwrap_or_else(|e| panic!("{printed}: {e:?}"));
        assert_eq!(without_spans(&again), without_spans(&statement), "{printed}");
    }
}
