//! Functions and operators on literals: what an expression gives.

use super::*;
use crate::row::Value;
use crate::row::text::value_text;

/// The text of an expression's value, or what is wrong with it.
fn value(expr: &str) -> String {
    let mut catalog = Catalog::default();
    let source = "CREATE STREAM s (k INT KEY, v INT) WITH (kafka_topic = 's', format = 'json');";
    let text = format!("{source} SELECT {expr} AS x FROM s EMIT CHANGES;");
    match bind_all(&mut catalog, &text).map(|mut all| all.pop()) {
        Ok(Some(Bound::Push(p))) => match p.query.project[0].expr.constant() {
            Ok(Value::Null) => "null".into(),
            Ok(v) => value_text(&v, p.query.project[0].expr.ty()).unwrap_or_default(),
            Err(message) => format!("error: {message}"),
        },
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("refused: {}", error.message),
    }
}

fn all(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|(expr, expected)| (expr, value(expr), expected))
        .filter(|(_, got, expected)| got != *expected)
        .map(|(expr, got, expected)| format!("{expr} is {got}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn on_strings() {
    all(&[
        ("UCASE('aß')", "ASS"),
        ("LEN('añ')", "2"),
        ("TRIM('  a b ')", "a b"),
        ("SUBSTRING('stream', 2, 3)", "tre"),
        ("SUBSTRING('stream', -3)", "eam"),
        ("SUBSTRING('stream', 0, 2)", "st"),
        ("SUBSTRING('s', 2, 5)", ""),
        ("SUBSTRING('s', CAST(NULL AS INT))", "null"),
        ("CONCAT('a', NULL, 'b')", "ab"),
        ("'a' || 'b' || 'c'", "abc"),
        ("CONCAT_WS('-', 'a', NULL, 'b')", "a-b"),
        ("REPLACE('anaconda', 'a', 'o')", "onocondo"),
        ("SPLIT('..a', '.')", "[, , a]"),
        ("SPLIT('ab', '')", "[a, b]"),
        ("SPLIT_TO_MAP('a:1/b:2/c', '/', ':')", "{a=1, b=2}"),
        ("INSTR('corporate floor', 'or', 4, 2)", "14"),
        ("INSTR('corporate floor', 'or', -4, 2)", "2"),
        ("INSTR('short', 'or', 4)", "0"),
        ("LPAD('foo', 7, 'Bar')", "BarBfoo"),
        ("RPAD('foo', 2, 'Bar')", "fo"),
        ("LPAD('foo', -1, 'Bar')", "null"),
        ("INITCAP('the QUICK fox')", "The Quick Fox"),
        ("CHR('\\u004b')", "K"),
        ("CHR(75)", "K"),
        ("ELT(2, 'a', 'b')", "b"),
        ("FIELD('b', 'a', 'b')", "2"),
        ("MASK('My 1st!')", "Xx-nxx-"),
        ("REGEXP_EXTRACT('(.*) (.*)', 'steven zhang', 2)", "zhang"),
        ("REGEXP_REPLACE('baababaa', '(ab)+', 'cat')", "bacataa"),
        ("REGEXP_SPLIT_TO_ARRAY('aabdcda', '(ab|cd)')", "[a, d, a]"),
        ("REGEXP_EXTRACT('(', 'a')", "error: Invalid regular expression pattern: ("),
        ("ENCODE('4578616d706C6521', 'hex', 'base64')", "RXhhbXBsZSE="),
        (
            "UCASE(1)",
            "refused: Function 'ucase' does not accept parameters (INTEGER).\nValid alternatives are:\nUCASE(VARCHAR)",
        ),
        ("UCASS('a')", "refused: Can't find any functions with the name 'UCASS'"),
    ]);
}

#[test]
fn on_numbers() {
    all(&[
        ("1 / 2 + 7 % 4", "3"),
        ("2147483647 + 1", "-2147483648"),
        ("2147483647 + CAST(1 AS BIGINT)", "2147483648"),
        ("1.5 * 2", "3.0"),
        ("1.5 + 1E0", "2.5"),
        ("10 / 4.0", "2.500000"),
        ("1 / 0", "error: division by zero"),
        ("ABS(-1.5)", "1.5"),
        ("CEIL(1.2)", "2.0"),
        ("FLOOR(-1.2E0)", "-2.0"),
        ("ROUND(2.5E0)", "3"),
        ("ROUND(-2.5E0)", "-2"),
        ("ROUND(1.245, 2)", "1.250"),
        ("ROUND(1234.5E0, -2)", "1200.0"),
        ("SQRT(2)", "1.4142135623730951"),
        ("SIGN(-3.5E0)", "-1"),
        ("GREATEST(1, 3, NULL, 2)", "3"),
        ("LEAST('b', 'a')", "a"),
        ("GREATEST(1, 2.5)", "2.5"),
        ("LN(EXP(1))", "1.0"),
        ("-(1 + 2)", "-3"),
    ]);
}

#[test]
fn on_nulls_and_conditions() {
    all(&[
        ("COALESCE(NULL, CAST(NULL AS INT), 3)", "3"),
        ("IFNULL(CAST(NULL AS STRING), 'a')", "a"),
        ("NULLIF('a', 'a')", "null"),
        ("CAST(NULL AS INT) = 1", "false"),
        ("NOT (CAST(NULL AS INT) = 1)", "true"),
        ("CAST(NULL AS INT) IS DISTINCT FROM 1", "true"),
        ("1 BETWEEN 1 AND 2 AND 'a' LIKE '_' AND 2 IN (1, '2')", "true"),
        ("CASE WHEN 1 > 2 THEN 1 WHEN 2 > 1 THEN 2.5 END", "2.5"),
        ("CASE 3 WHEN 1 THEN 'a' ELSE 'b' END", "b"),
        ("CAST('x' AS INT)", "error: invalid input syntax for type INTEGER: \"x\""),
        (
            "1 = NULL",
            "refused: Comparison with NULL not supported: INTEGER = NULL\nUse 'IS NULL' or 'IS NOT NULL' instead.\nStatement: (1 = null)",
        ),
    ]);
}

#[test]
fn on_times() {
    all(&[
        ("TIMESTAMPTOSTRING(1582416000000, 'yyyy-MM-dd HH:mm', 'Europe/Berlin')", "2020-02-23 01:00"),
        ("STRINGTOTIMESTAMP('2020-02-23T01:00:00+01', 'yyyy-MM-dd''T''HH:mm:ssX')", "1582416000000"),
        ("PARSE_TIMESTAMP('23 Feb 2020', 'd MMM yyyy')", "2020-02-23T00:00:00.000"),
        ("FORMAT_DATE(PARSE_DATE('2020-02-23', 'yyyy-MM-dd'), 'dd/MM/yy')", "23/02/20"),
        ("DATEADD(DAYS, 10, FROM_DAYS(10))", "1970-01-21"),
        ("TIMEADD(HOURS, 2, PARSE_TIME('23:30', 'HH:mm'))", "01:30"),
        ("CAST('2020-02-23' AS TIMESTAMP) < '2020-02-24'", "true"),
        ("UNIX_TIMESTAMP(FROM_UNIXTIME(5))", "5"),
        ("CONVERT_TZ(FROM_UNIXTIME(0), '+0200', '+0500')", "1970-01-01T03:00:00.000"),
    ]);
}

#[test]
fn on_json_urls_and_collections() {
    all(&[
        ("EXTRACTJSONFIELD('{\"a\": {\"b\": [1.50, \"x\"]}}', '$.a.b[0]')", "1.50"),
        ("EXTRACTJSONFIELD('{\"a\": [1]}}', '$.a')", "[1]"),
        ("EXTRACTJSONFIELD('{', '$.a')", "null"),
        ("JSON_ARRAY_LENGTH('[1, 2]')", "2"),
        ("JSON_CONCAT('{\"a\": 1}', '{\"b\": 2}')", "{\"a\":1,\"b\":2}"),
        ("TO_JSON_STRING(STRUCT(a := 1, b := ARRAY['x']))", "{\"A\":1,\"B\":[\"x\"]}"),
        ("URL_EXTRACT_HOST('http://me@here.org:80/a/b?c=d%20e#f')", "here.org"),
        ("URL_EXTRACT_PARAMETER('http://here.org/?a=1&b=x%20y', 'b')", "x y"),
        ("URL_EXTRACT_PORT('http://me@here.org:80/')", "80"),
        ("URL_DECODE_PARAM('%3Ffoo+%24bar')", "?foo $bar"),
        ("URL_ENCODE_PARAM('a b&c')", "a+b%26c"),
        ("ARRAY[1, 2, 3][-1]", "3"),
        ("MAP('a' := 1)['b']", "null"),
        ("STRUCT(a := 5)->a", "5"),
        ("ARRAY_SORT(ARRAY[2, 1, NULL], 'DESC')", "[2, 1, null]"),
        ("ARRAY_JOIN(ARRAY['a', 'b'], '-')", "a-b"),
        ("SLICE(ARRAY[1, 2, 3], 2, 3)", "[2, 3]"),
        ("GENERATE_SERIES(3, 1)", "[3, 2, 1]"),
        ("MAP_UNION(MAP('a' := 1), MAP('a' := 2, 'b' := 3))", "{a=2, b=3}"),
    ]);
}
