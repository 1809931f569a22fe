//! What is refused: the place, the words and the hint.

use super::*;

/// The error of the last statement after the shop's declarations, as a user sees it.
fn refused(text: &str, expected: Expect) {
    let mut catalog = Catalog::default();
    bind_all(&mut catalog, SHOP).expect("the shop");
    let (statements, errors) = parse(text);
    assert!(errors.is_empty(), "{errors:?}");
    let mut said = String::new();
    for statement in &statements {
        match bind(&catalog, &Session::default(), statement) {
            Ok(bound) => catalog.add(&bound, &statement.text),
            Err(error) => said = error.render("shop.sql", text),
        }
    }
    expected.assert_eq(&said);
}

#[test]
fn misspelt_names_have_hints() {
    refused(
        "SELECT id, itm FROM orders EMIT CHANGES;",
        expect![[r#"
        shop.sql:1:12: SELECT column 'ITM' cannot be resolved.
            SELECT id, itm FROM orders EMIT CHANGES;
                       ^^^
          hint: did you mean ITEM?"#]],
    );
    refused(
        "SELECT id FROM order EMIT CHANGES;",
        expect![[r#"
        shop.sql:1:16: ORDER does not exist.
            SELECT id FROM order EMIT CHANGES;
                           ^^^^^
          hint: did you mean ORDERS?"#]],
    );
    refused(
        "SELECT SUBSTRNG(item, 1) FROM orders EMIT CHANGES;",
        expect![[r#"
        shop.sql:1:8: Can't find any functions with the name 'SUBSTRNG'
            SELECT SUBSTRNG(item, 1) FROM orders EMIT CHANGES;
                   ^^^^^^^^
          hint: did you mean SUBSTRING?"#]],
    );
    refused(
        "CREATE STREAM a (b INTT) WITH (kafka_topic='a', value_format='json');",
        expect![[r#"
        shop.sql:1:20: Cannot resolve unknown type: INTT
            CREATE STREAM a (b INTT) WITH (kafka_topic='a', value_format='json');
                               ^^^^
          hint: did you mean INT?"#]],
    );
    refused(
        "CREATE STREAM a (b INT) WITH (kafka_topik='a', value_format='json');",
        expect![[r#"
        shop.sql:1:31: Invalid config variable(s) in the WITH clause: KAFKA_TOPIK
            CREATE STREAM a (b INT) WITH (kafka_topik='a', value_format='json');
                                          ^^^^^^^^^^^
          hint: did you mean KAFKA_TOPIC?"#]],
    );
}

#[test]
fn keys_must_be_selected() {
    refused(
        "CREATE STREAM a AS SELECT item FROM orders;",
        expect![[r#"
        shop.sql:1:27: Key missing from projection (ie, SELECT). See https://cnfl.io/2LV7ouS.
        The query used to build `A` must include the key column ID in its projection (eg, SELECT ID...).
            CREATE STREAM a AS SELECT item FROM orders;
                                      ^^^^"#]],
    );
    refused(
        "CREATE TABLE a AS SELECT COUNT(*) AS n FROM orders GROUP BY item;",
        expect![[r#"
        shop.sql:1:26: Key missing from projection (ie, SELECT). See https://cnfl.io/2LV7ouS.
        The query used to build `A` must include the grouping expression ITEM in its projection (eg, SELECT ITEM...).
            CREATE TABLE a AS SELECT COUNT(*) AS n FROM orders GROUP BY item;
                                     ^^^^^^^^^^^^^"#]],
    );
    refused(
        "CREATE TABLE a AS SELECT item, customer, COUNT(*) AS n FROM orders GROUP BY item;",
        expect![[r#"
        shop.sql:1:32: Non-aggregate SELECT expression(s) not part of GROUP BY: CUSTOMER
        Either add the column(s) to the GROUP BY or remove them from the SELECT.
            CREATE TABLE a AS SELECT item, customer, COUNT(*) AS n FROM orders GROUP BY item;
                                           ^^^^^^^^"#]],
    );
}

#[test]
fn joins_say_what_they_need() {
    refused(
        "CREATE STREAM clicks (id INT KEY) WITH (kafka_topic='c', format='json');
        CREATE STREAM a AS SELECT * FROM orders o JOIN clicks p ON o.id = p.id;",
        expect![[r#"
            shop.sql:2:42: ORDERS [INNER] JOIN CLICKS must specify a WITHIN clause. Stream-stream joins require one.
                        CREATE STREAM a AS SELECT * FROM orders o JOIN clicks p ON o.id = p.id;
                                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              hint: add WITHIN 1 HOUR before ON"#]],
    );
    refused(
        "CREATE TABLE a AS SELECT * FROM customers c FULL JOIN cities d ON c.city = d.city;",
        expect![[r#"
        shop.sql:1:33: Invalid join type: FULL OUTER join not supported for foreign-key table-table join. Got CUSTOMERS [FULL] OUTER JOIN CITIES ON (C.CITY = D.CITY).
            CREATE TABLE a AS SELECT * FROM customers c FULL JOIN cities d ON c.city = d.city;
                                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          hint: use LEFT JOIN or JOIN"#]],
    );
    refused(
        "CREATE TABLE a AS SELECT c.name, d.country FROM customers c JOIN cities d ON c.city = d.city;",
        expect![[r#"
            shop.sql:1:26: Primary key column missing in projection. For foreign-key table-table joins, the projection must include all primary key columns from the left input table (`C`). Missing column: `ID`.
                CREATE TABLE a AS SELECT c.name, d.country FROM customers c JOIN cities d ON c.city = d.city;
                                         ^^^^^^^^^^^^^^^^^"#]],
    );
    refused(
        "CREATE TABLE a AS SELECT * FROM customers c JOIN cities d ON c.id = d.country;",
        expect![[r#"
        shop.sql:1:62: Invalid join condition: table-table joins require to join on the primary key of the right input table. Got C.ID = D.COUNTRY.
            CREATE TABLE a AS SELECT * FROM customers c JOIN cities d ON c.id = d.country;
                                                                         ^^^^^^^^^^^^^^^^
          hint: the primary key of CITIES is CITY"#]],
    );
    refused(
        "CREATE STREAM clicks (id BIGINT KEY) WITH (kafka_topic='c', format='json');
        CREATE STREAM a AS SELECT * FROM orders o JOIN clicks p WITHIN 1 HOUR ON o.id = p.id;",
        expect![[r#"
            shop.sql:2:82: Invalid join condition: types don't match. Got O.ID{INTEGER} = P.ID{BIGINT}.
                        CREATE STREAM a AS SELECT * FROM orders o JOIN clicks p WITHIN 1 HOUR ON o.id = p.id;
                                                                                                 ^^^^^^^^^^^
              hint: CAST one side to the other's type"#]],
    );
}

#[test]
fn what_is_not_supported_is_named() {
    refused(
        "CREATE STREAM a (b INT) WITH (kafka_topic='a', value_format='avro');",
        expect![[r#"
        shop.sql:1:61: weir does not support the format AVRO
            CREATE STREAM a (b INT) WITH (kafka_topic='a', value_format='avro');
                                                                        ^^^^^^
          hint: use JSON, DELIMITED or KAFKA"#]],
    );
}

#[test]
fn what_is_read_is_not_dropped() {
    refused(
        "CREATE STREAM a AS SELECT id, item FROM orders; DROP STREAM orders;",
        expect![[r#"
        shop.sql:1:61: Cannot drop ORDERS.
        The following streams and/or tables read from this source: [A].
        You need to drop them before dropping ORDERS.
            CREATE STREAM a AS SELECT id, item FROM orders; DROP STREAM orders;
                                                                        ^^^^^^"#]],
    );
    refused(
        "DROP TABLE orders;",
        expect![[r#"
        shop.sql:1:12: Incompatible data source type is STREAM, but statement was DROP TABLE
            DROP TABLE orders;
                       ^^^^^^
          hint: use DROP STREAM ORDERS"#]],
    );
    refused(
        "SELECT * FROM customers WHERE id = 1;",
        expect![[r#"
        shop.sql:1:15: The `CUSTOMERS` table isn't queryable. To derive a queryable table, you can do 'CREATE TABLE QUERYABLE_CUSTOMERS AS SELECT * FROM CUSTOMERS'. See https://cnfl.io/queries for more info.
            SELECT * FROM customers WHERE id = 1;
                          ^^^^^^^^^
          hint: add EMIT CHANGES to follow its changes"#]],
    );
    refused(
        "SELECT item, COUNT(*) FROM orders GROUP BY item;",
        expect![[r#"
        shop.sql:1:44: Pull queries don't support GROUP BY clauses. See https://cnfl.io/queries for more info.
        Add EMIT CHANGES if you intended to issue a push query.
            SELECT item, COUNT(*) FROM orders GROUP BY item;
                                                       ^^^^
          hint: add EMIT CHANGES, or put it into a CREATE TABLE … AS SELECT and query that"#]],
    );
}
