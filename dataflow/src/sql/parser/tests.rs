use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::ast::{ExprKind, StatementKind};
use super::super::cases;
use super::*;

#[test]
fn every_statement_of_the_cases_is_read() {
    let (mut read, mut wrong) = (0, Vec::new());
    for script in cases::scripts() {
        let (statements, errors) = parse(&script.text);
        read += statements.len();
        if script.is_refused && errors.is_empty() {
            wrong.push(format!("{}: is read, expected {:?}", script.name, script.expected));
        }
        for error in errors {
            if !script.expected.as_ref().is_some_and(|expected| error.message.contains(expected)) {
                wrong.push(format!("{}: {error:?}, expected {:?}", script.name, script.expected));
            }
        }
    }
    println!("{read} statements of cases");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// All errors of a script, as a person sees them.
fn complaints(script: &str, expected: Expect) {
    let (_, errors) = parse(script);
    let rendered: Vec<String> = errors.iter().map(|error| error.render("s.sql", script)).collect();
    expected.assert_eq(&rendered.join("\n"));
}

#[test]
fn every_broken_statement_is_reported() {
    complaints(
        "CRAETE STREAM a (x INT) WITH (kafka_topic = 't');\n\
         CREATE STREM a (x INT) WITH (kafka_topic = 't');\n\
         SELECT a FORM b;\n\
         SELECT * FORM b;\n\
         SELECT a FROM b WHER a = 1;\n\
         SELECT a FROM b GRUOP BY a;\n\
         SELECT a FROM b WINDOW TUMBLNG (SIZE 1 MINUTE);\n\
         SELECT a FROM b EMIT CHANGE;\n\
         SELECT a FROM b;",
        expect![[r#"
            s.sql:1:1: Unknown statement 'CRAETE'
                CRAETE STREAM a (x INT) WITH (kafka_topic = 't');
                ^^^^^^
              hint: did you mean CREATE?
            s.sql:2:8: Syntax error at or near 'STREM'
                CREATE STREM a (x INT) WITH (kafka_topic = 't');
                       ^^^^^
              hint: did you mean STREAM?
            s.sql:3:15: Expecting {',', 'FROM'}
                SELECT a FORM b;
                              ^
              hint: did you mean FROM where 'FORM' stands?
            s.sql:4:10: Expecting {',', 'FROM'}
                SELECT * FORM b;
                         ^^^^
              hint: did you mean FROM?
            s.sql:5:22: Expecting ';'
                SELECT a FROM b WHER a = 1;
                                     ^
              hint: did you mean WHERE where 'WHER' stands?
            s.sql:6:23: Expecting ';'
                SELECT a FROM b GRUOP BY a;
                                      ^^
              hint: did you mean GROUP where 'GRUOP' stands?
            s.sql:7:32: Expecting {'TUMBLING', 'HOPPING', 'SESSION'}
                SELECT a FROM b WINDOW TUMBLNG (SIZE 1 MINUTE);
                                               ^
              hint: did you mean TUMBLING where 'TUMBLNG' stands?
            s.sql:8:22: Expecting {'CHANGES', 'FINAL'}
                SELECT a FROM b EMIT CHANGE;
                                     ^^^^^^
              hint: did you mean CHANGES?"#]],
    );
}

#[test]
fn a_missing_semicolon_does_not_hide_the_next_statement() {
    complaints(
        "DROP STREAM a\nDROP STREAM b;\nCREATE STREAM c AS SELECT * FROM d\nDROP TABEL c;",
        expect![[r#"
            s.sql:2:1: Expecting ';'
                DROP STREAM b;
                ^^^^
              hint: a ';' is missing before this statement
            s.sql:4:1: Expecting ';'
                DROP TABEL c;
                ^^^^
              hint: a ';' is missing before this statement
            s.sql:4:6: Syntax error at or near 'TABEL'
                DROP TABEL c;
                     ^^^^^
              hint: did you mean TABLE?"#]],
    );
}

#[test]
fn clauses_out_of_order_and_of_other_dialects() {
    complaints(
        "SELECT a FROM b WHERE a = 1 WINDOW TUMBLING (SIZE 1 HOUR);\n\
         SELECT a FROM b ORDER BY a;\n\
         SELECT DISTINCT a FROM b;\n\
         SELECT a FROM (SELECT a FROM b);\n\
         SELECT a FROM explode(b);\n\
         CREATE STREAM a (x INT) AS SELECT x FROM b;\n\
         INSERT INTO a (x) SELECT x FROM b;",
        expect![[r#"
            s.sql:1:29: Expecting ';'
                SELECT a FROM b WHERE a = 1 WINDOW TUMBLING (SIZE 1 HOUR);
                                            ^^^^^^
              hint: the clauses of a query stand in the order FROM, JOIN, WINDOW, WHERE, GROUP BY, PARTITION BY, HAVING, EMIT, LIMIT
            s.sql:2:23: Expecting ';'
                SELECT a FROM b ORDER BY a;
                                      ^^
              hint: ORDER BY, UNION and OFFSET are not part of ksqlDB's SQL
            s.sql:3:8: Syntax error at or near 'DISTINCT'
                SELECT DISTINCT a FROM b;
                       ^^^^^^^^
              hint: DISTINCT is not part of ksqlDB's SQL; GROUP BY, or COUNT_DISTINCT(…), may do
            s.sql:4:15: Expecting IDENTIFIER
                SELECT a FROM (SELECT a FROM b);
                              ^
              hint: subqueries are not part of ksqlDB's SQL; name a view
            s.sql:5:22: Syntax error at or near '('
                SELECT a FROM explode(b);
                                     ^
              hint: a stream or table stands here; functions that make rows stand after SELECT
            s.sql:6:25: Expecting ';'
                CREATE STREAM a (x INT) AS SELECT x FROM b;
                                        ^^
              hint: columns come from the query: leave the column list out, or leave AS SELECT out
            s.sql:7:19: Expecting 'VALUES'
                INSERT INTO a (x) SELECT x FROM b;
                                  ^^^^^^
              hint: a query names its columns by AS; leave the list out"#]],
    );
}

#[test]
fn brackets_types_and_names() {
    complaints(
        "SELECT (a FROM b;\n\
         SELECT count(a FROM b;\n\
         SELECT a[1 FROM b;\n\
         CREATE TABLE a (select INT PRIMARY KEY);\n\
         CREATE TABLE a (b INT PRIMERY KEY);\n\
         CREATE TABLE a (b ARRAY<>);\n\
         CREATE TABLE a (b DECIMAL(4));\n\
         CREATE TABLE a (b INT) WITH (kafka_topic = topic);\n\
         CREATE TABLE `a b` (b INT);\n\
         DROP TABLE 'a';\n\
         SELECT a FROM ${b};\n\
         SELECT DATE '2020-01-01' FROM b;\n\
         SET a = 'b';",
        expect![[r#"
            s.sql:1:11: Expecting ')'
                SELECT (a FROM b;
                          ^^^^
            s.sql:2:16: Expecting {',', ')'}
                SELECT count(a FROM b;
                               ^^^^
            s.sql:3:12: Expecting ']'
                SELECT a[1 FROM b;
                           ^^^^
            s.sql:4:17: "select" is a reserved keyword and it can't be used as an identifier. You can use it as an identifier by escaping it as 'select'
                CREATE TABLE a (select INT PRIMARY KEY);
                                ^^^^^^
              hint: a name was expected; as one, write `select` in backquotes
            s.sql:5:23: Expecting {',', ')'}
                CREATE TABLE a (b INT PRIMERY KEY);
                                      ^^^^^^^
              hint: did you mean PRIMARY?
            s.sql:6:24: Expecting {',', ')'}
                CREATE TABLE a (b ARRAY<>);
                                       ^^
            s.sql:7:28: Expecting ','
                CREATE TABLE a (b DECIMAL(4));
                                           ^
              hint: write DECIMAL(precision, scale), such as DECIMAL(12, 2)
            s.sql:8:44: Syntax error at or near 'topic'
                CREATE TABLE a (b INT) WITH (kafka_topic = topic);
                                                           ^^^^^
              hint: a literal was expected: 'text', a number, TRUE or FALSE
            s.sql:9:14: Source names may only contain alphanumeric values, '_' or '-'. Got: 'a b'
                CREATE TABLE `a b` (b INT);
                             ^^^^^
            s.sql:10:12: Expecting IDENTIFIER
                DROP TABLE 'a';
                           ^^^
              hint: names stand in backquotes or without quotes, only texts in single quotes
            s.sql:11:15: Syntax error at or near '${b}'
                SELECT a FROM ${b};
                              ^^^^
              hint: define it first: DEFINE b = '…';
            s.sql:12:8: Unknown type: DATE
                SELECT DATE '2020-01-01' FROM b;
                       ^^^^
              hint: write CAST(… AS DATE)
            s.sql:13:5: Expecting STRING
                SET a = 'b';
                    ^"#]],
    );
}

#[test]
fn numbers_that_fit_nowhere() {
    complaints(
        "SELECT 9223372036854775808 FROM a;\n\
         SELECT 1E400 FROM a;\n\
         SELECT a FROM b LIMIT -1;\n\
         SELECT a FROM b LIMIT 1.5;\n\
         SELECT a FROM b WINDOW TUMBLING (SIZE -1 HOUR);\n\
         SELECT a FROM b WINDOW TUMBLING (SIZE 1 YEAR);",
        expect![[r#"
            s.sql:1:8: Invalid numeric literal: 9223372036854775808
                SELECT 9223372036854775808 FROM a;
                       ^^^^^^^^^^^^^^^^^^^
              hint: whole numbers go up to 9223372036854775807; with a point it is a DECIMAL
            s.sql:2:8: Number overflows DOUBLE: 1E400
                SELECT 1E400 FROM a;
                       ^^^^^
              hint: a DOUBLE goes up to 1.7976931348623157E308
            s.sql:3:23: Pull queries don't support negative integers in the LIMIT clause. See https://cnfl.io/queries for more info.
                SELECT a FROM b LIMIT -1;
                                      ^^
              hint: write LIMIT 0 or more
            s.sql:4:23: Value must be integer for command: LIMIT
                SELECT a FROM b LIMIT 1.5;
                                      ^^^
              hint: write a number without sign, point and exponent
            s.sql:5:39: A duration is a whole number that is not negative
                SELECT a FROM b WINDOW TUMBLING (SIZE -1 HOUR);
                                                      ^
              hint: write a number without sign, point and exponent
            s.sql:6:41: Syntax error at or near 'YEAR'
                SELECT a FROM b WINDOW TUMBLING (SIZE 1 YEAR);
                                                        ^^^^
              hint: a unit was expected: DAYS, HOURS, MINUTES, SECONDS or MILLISECONDS"#]],
    );
}

#[test]
fn what_is_no_token() {
    complaints(
        "SELECT a ? b FROM c;\nSELECT 'a FROM b;\nSELECT `a FROM b;\nSELECT a /* FROM b;",
        expect![[r#"
            s.sql:1:10: '?' begins nothing
                SELECT a ? b FROM c;
                         ^
              hint: names with characters other than letters, digits, '_' and '@' stand in backquotes
            s.sql:2:8: the string has no end
                SELECT 'a FROM b;
                       ^^^^^^^^^^
              hint: end it with ', and write '' for a quote inside of it
            s.sql:3:8: the quoted name has no end
                SELECT `a FROM b;
                       ^^^^^^^^^^
              hint: end it with the quote it begins with
            s.sql:4:10: the comment has no end
                SELECT a /* FROM b;
                         ^^^^^^^^^^
              hint: end it with */"#]],
    );
}

#[test]
fn ksqldb_has_words_for_errors() {
    let messages = |script: &str| parse(script).1.into_iter().map(|error| error.message).collect::<Vec<_>>();
    assert_eq!(
        messages("\nSELECT a FROM b GROUP BY c, (d, e);"),
        ["line 2:31: Syntax Error\nmissing ')' at ','\nStatement: SELECT a FROM b GROUP BY c, (d, e);"]
    );
    assert_eq!(
        messages("CREATE STREAM a (b INT (KEY));"),
        ["line 1:25: Syntax Error\nExpecting {'STRING', INTEGER_VALUE}\nStatement: CREATE STREAM a (b INT (KEY));"]
    );
    assert_eq!(
        messages("ASSERT VALUES a (b) VALUES (1);"),
        ["line 1:8: Syntax Error\nSyntax error at or near 'VALUES' at line 1:8\n\
          Statement: ASSERT VALUES a (b) VALUES (1);"]
    );
    assert_eq!(
        messages("CREATE STREAM a AS SELECT b FROM c LIMIT 1;"),
        ["CREATE STREAM AS SELECT statements don't support LIMIT clause."]
    );
    assert_eq!(messages("SELECT a FROM b GROUP BY ();"), ["GROUP BY requires at least one expression"]);
}

#[test]
fn operators_bind_as_in_ksqldb() {
    let filter = |text: &str| {
        let statement = parse_one(&format!("SELECT * FROM t WHERE {text}")).expect("parses");
        let StatementKind::Query(query) = statement.kind else { panic!("a query") };
        query.filter.expect("WHERE").to_string()
    };
    assert_eq!(filter("a or b and not c = d"), "(A OR (B AND (NOT (C = D))))");
    assert_eq!(filter("not a and b"), "((NOT A) AND B)");
    assert_eq!(filter("a + b * c || d % e - f"), "((A + (B * C)) || ((D % E) - F))");
    assert_eq!(filter("-a * b - -1 = - b->c[1]"), "(((-A * B) - -1) = -B->C[1])");
    assert_eq!(filter("a between b + 1 and c and d"), "((A BETWEEN (B + 1) AND C) AND D)");
    assert_eq!(filter("f(x => x > 1, (x, y) => x, hours, day)"), "F((X) => (X > 1), (X, Y) => X, HOURS, DAY)");
    assert!(parse("SELECT * FROM t WHERE a = b = c").1.len() == 1, "predicates do not chain");
}

#[test]
fn words_that_are_keywords_elsewhere_are_names() {
    let text = "SELECT time, date, timestamp, type, size, topic, emit, key, id, `select` AS value, partition final \
                FROM query changes WINDOW w TUMBLING (SIZE 1 day, grace period 2 seconds) \
                GROUP BY (time, date) PARTITION BY (size) + 1 EMIT CHANGES;";
    let statement = parse_one(text).expect("parses");
    assert_eq!(
        statement.to_string(),
        "SELECT TIME, DATE, TIMESTAMP, TYPE, SIZE, TOPIC, EMIT, KEY, ID, `select` AS VALUE, PARTITION AS FINAL \
         FROM QUERY AS CHANGES WINDOW TUMBLING (SIZE 1 DAYS, GRACE PERIOD 2 SECONDS) \
         GROUP BY TIME, DATE PARTITION BY (SIZE + 1) EMIT CHANGES;"
    );
}

#[test]
fn a_statement_keeps_its_text_and_places() {
    let script = "-- first\nDROP STREAM a; ;\n SELECT b + 1 FROM c -- last\n";
    let (statements, errors) = parse(script);
    assert_eq!(errors, []);
    assert_eq!(
        statements.iter().map(|s| s.text.as_str()).collect::<Vec<_>>(),
        ["DROP STREAM a;", "SELECT b + 1 FROM c"]
    );
    let StatementKind::Query(query) = &statements[1].kind else { panic!("a query") };
    let super::super::ast::SelectItem::Expr { expr, .. } = &query.select[0] else { panic!("an expression") };
    let ExprKind::Binary { right, .. } = &expr.kind else { panic!("a sum") };
    let of = |span: Span| &script[span.start as usize..span.end as usize];
    assert_eq!((of(expr.span), of(right.span)), ("b + 1", "1"));
}

#[test]
fn one_means_one() {
    assert!(parse_one("DROP STREAM a").is_ok());
    assert!(parse_one(" ; ").is_err());
    assert!(parse_one("DROP STREAM a; DROP STREAM b;").is_err());
}

#[test]
fn deep_and_long_statements_are_refused_and_not_overflowed() {
    let nested = |open: &str, close: &str, n: usize| format!("SELECT {}1{} FROM a;", open.repeat(n), close.repeat(n));
    for (open, close) in
        [("(", ")"), ("f(", ")"), ("NOT ", ""), ("- ", ""), ("a[", "]"), ("x => ", ""), ("CASE WHEN ", " THEN 1 END")]
    {
        assert_eq!(parse(&nested(open, close, 100_000)).1.len(), 1, "{open}");
    }
    assert!(parse(&nested("(", ")", 150)).1.is_empty());
    for chain in [" + 1", " OR a", "->a", "[1]", " || 'a'"] {
        assert_eq!(parse(&format!("SELECT a{} FROM b;", chain.repeat(100_000))).1.len(), 1, "{chain}");
        let (statements, errors) = parse(&format!("SELECT a{} FROM b;", chain.repeat(450)));
        assert!(errors.is_empty() && statements[0].clone().to_string().len() > 900, "{chain}");
    }
    let types = format!("CREATE TYPE a AS {}INT{};", "ARRAY<".repeat(100_000), ">".repeat(100_000));
    assert_eq!(parse(&types).1.len(), 1);
    assert_eq!(parse(&format!("CREATE TYPE a AS INT{};", " ARRAY".repeat(100_000))).1.len(), 1);
    assert_eq!(parse(&format!("SELECT a FROM b{};", " JOIN b ON a".repeat(100_000))).1.len(), 1);
    assert_eq!(parse(&format!("{}DROP STREAM a;", "EXPLAIN ".repeat(100_000))).1.len(), 1);
}

/// Pieces that statements are made of, and some that they are not.
fn soup() -> impl Strategy<Value = String> {
    let words =
        "SELECT CREATE STREAM TABLE AS FROM WHERE GROUP BY HAVING EMIT CHANGES WINDOW TUMBLING SIZE 1 SECOND ( ) , \
                 . * -> => := [ ] < > = a b `c` 'd' 1.5 1e3 NOT AND OR IN LIKE BETWEEN IS NULL CASE WHEN THEN END CAST \
                 INT ARRAY MAP STRUCT JOIN LEFT ON WITHIN WITH INSERT INTO VALUES DROP SHOW EXPLAIN DESCRIBE PRINT SET \
                 DEFINE ALTER ADD ASSERT TOPIC TERMINATE ALL LIMIT - + / % || <> ${x} ; ; ' ` /* -- \n ? ä"
            .split(' ')
            .collect::<Vec<_>>();
    prop::collection::vec(prop::sample::select(words), 0..60).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_is_too_strange(text in prop_oneof![soup(), "\\PC{0,80}"]) {
        let (statements, errors) = parse(&text);
        for span in statements.iter().map(|s| s.span).chain(errors.iter().filter_map(|e| e.span)) {
            prop_assert!(text.get(span.start as usize..span.end as usize).is_some());
        }
        for error in &errors {
            error.render("s.sql", &text);
        }
        parse_with(&text, &mut [("x".to_owned(), "y".to_owned())].into_iter().collect());
    }
}
