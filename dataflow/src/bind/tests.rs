use super::*;
use crate::sql::parse;
use expect_test::{Expect, expect};

mod cases;
mod functions;
mod messages;

/// Binds all statements of a text one after the other; the first error, with the statement's number.
fn bind_all(catalog: &mut Catalog, text: &str) -> Result<Vec<Bound>, Diagnostic> {
    let (statements, errors) = parse(text);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    let mut all = Vec::new();
    for statement in &statements {
        let bound = bind(catalog, &Session::default(), statement)?;
        catalog.add(&bound, &statement.text);
        all.push(bound);
    }
    Ok(all)
}

const SHOP: &str = "
    CREATE STREAM orders (id INT KEY, customer INT, item VARCHAR, price DECIMAL(6, 2), amount INT, placed BIGINT)
        WITH (kafka_topic = 'orders', value_format = 'json', timestamp = 'placed');
    CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR, city VARCHAR)
        WITH (kafka_topic = 'customers', value_format = 'delimited', value_delimiter = 'TAB');
    CREATE TABLE cities (city VARCHAR PRIMARY KEY, country VARCHAR) WITH (kafka_topic = 'cities', format = 'json');
";

/// The plan of the last statement's view, after the shop's declarations.
fn explain(text: &str, expected: Expect) {
    let mut catalog = Catalog::default();
    let bound = bind_all(&mut catalog, &format!("{SHOP}{text}"));
    let plan = match bound.map(|mut all| all.pop()) {
        Ok(Some(Bound::View(view) | Bound::Insert(view))) => view.to_string(),
        Ok(Some(Bound::Source(source))) => source.to_string(),
        other => format!("{other:#?}"),
    };
    expected.assert_eq(&plan);
}

#[test]
fn joins_are_nodes_before_the_view() {
    explain(
        "CREATE STREAM payments (id INT KEY, order_id INT, paid DOUBLE, card VARCHAR)
             WITH (kafka_topic = 'payments', value_format = 'json');
         CREATE STREAM paid AS SELECT o.customer, o.item, p.paid, c.name, p.ROWTIME AS moment
             FROM orders o LEFT JOIN payments p WITHIN (1 MINUTE, 1 HOUR) GRACE PERIOD 5 MINUTES ON o.id = p.order_id
             LEFT JOIN customers c ON o.customer = c.id WHERE p.paid > 2;",
        expect![[r#"
            CSAS_PAID_4 stream PAID
              schema `CUSTOMER` INTEGER KEY, `ITEM` STRING, `PAID` DOUBLE, `NAME` STRING, `MOMENT` BIGINT
              CSAS_PAID_4 join 1: left join within 1 min before and 1 h after, grace 5 min
                left: read ORDERS: ID, CUSTOMER, ITEM
                left: by ID for CUSTOMER AS O_CUSTOMER, ITEM AS O_ITEM
                right: read PAYMENTS: ORDER_ID, PAID
                right: by ORDER_ID for PAID AS P_PAID, ROWTIME AS P_ROWTIME
              read CSAS_PAID_4 join 1: O_CUSTOMER, O_ITEM, P_PAID, P_ROWTIME
              lookup left CUSTOMERS by O_CUSTOMER for CUSTOMERS.NAME
              filter (P_PAID > 2.0)
              project O_CUSTOMER AS CUSTOMER, O_ITEM AS ITEM, P_PAID AS PAID, CUSTOMERS.NAME AS NAME, P_ROWTIME AS MOMENT
              to topic PAID, key KAFKA, value JSON"#]],
    );
    explain(
        "CREATE TABLE where_from AS SELECT c.id, name, d.country FROM customers c LEFT JOIN cities d ON c.city = d.city;",
        expect![[r#"
            CTAS_WHERE_FROM_3 table WHERE_FROM
              schema `ID` INTEGER KEY, `NAME` STRING, `COUNTRY` STRING
              CTAS_WHERE_FROM_3 join 1: left join of tables by foreign key
                left: read CUSTOMERS: ID, NAME, CITY
                left: by CITY for ID AS C_ID, NAME AS C_NAME
                right: read CITIES: CITY, COUNTRY
                right: by CITY for COUNTRY AS D_COUNTRY
              read CTAS_WHERE_FROM_3 join 1: C_ID, C_NAME, D_COUNTRY
              project C_ID AS ID, C_NAME AS NAME, D_COUNTRY AS COUNTRY
              to topic WHERE_FROM, key KAFKA, value DELIMITED(\t)"#]],
    );
}

#[test]
fn only_the_columns_that_are_read_are_demanded() {
    explain(
        "CREATE STREAM big AS SELECT o.customer, c.name, price * amount AS total
             FROM orders o LEFT JOIN customers c ON o.customer = c.id WHERE item LIKE 'a%' AND amount > 2;",
        expect![[r#"
            CSAS_BIG_3 stream BIG
              schema `CUSTOMER` INTEGER KEY, `NAME` STRING, `TOTAL` DECIMAL(17, 2)
              read ORDERS: CUSTOMER, ITEM, PRICE, AMOUNT
              lookup left CUSTOMERS by CUSTOMER for CUSTOMERS.NAME
              filter ((ITEM LIKE 'a%') AND (AMOUNT > 2))
              project CUSTOMER, CUSTOMERS.NAME AS NAME, (PRICE * CAST(AMOUNT AS DECIMAL(10, 0))) AS TOTAL
              to topic BIG, key KAFKA, value JSON"#]],
    );
}

#[test]
fn a_lookup_can_follow_another_on_its_columns() {
    explain(
        "CREATE STREAM placed AS SELECT cities.city AS city, item, country
             FROM orders o JOIN customers c ON c.id = o.customer JOIN cities ON c.city = cities.city;",
        expect![[r#"
            CSAS_PLACED_3 stream PLACED
              schema `CITY` STRING KEY, `ITEM` STRING, `COUNTRY` STRING
              read ORDERS: CUSTOMER, ITEM
              lookup inner CUSTOMERS by CUSTOMER for CUSTOMERS.CITY
              lookup inner CITIES by CUSTOMERS.CITY for CITIES.COUNTRY
              project CUSTOMERS.CITY AS CITY, ITEM, CITIES.COUNTRY AS COUNTRY
              to topic PLACED, key KAFKA, value JSON"#]],
    );
}

#[test]
fn groups_have_keys_aggregates_and_bounds() {
    explain(
        "CREATE TABLE sold WITH (key_format = 'json') AS
             SELECT item AS k1, LCASE(item) AS k2, AS_VALUE(item) AS item, WINDOWSTART AS since, COUNT(*) AS n,
                    SUM(amount) + 1 AS amounts, AVG(price), SUM(amount) AS again
             FROM orders o WINDOW HOPPING (SIZE 1 HOUR, ADVANCE BY 20 MINUTES, GRACE PERIOD 10 MINUTES)
             GROUP BY item, LCASE(item) HAVING COUNT(*) > 5 AND MAX(price) IS NOT NULL;",
        expect![[r#"
            CTAS_SOLD_3 table SOLD
              schema `K1` STRING KEY, `K2` STRING KEY, `ITEM` STRING, `SINCE` BIGINT, `N` BIGINT, `AMOUNTS` INTEGER, `KSQL_COL_0` DOUBLE, `AGAIN` INTEGER
              read ORDERS: ITEM, PRICE, AMOUNT
              window hopping of 1 h every 20 min, grace 10 min, retention 70 min
              group by ITEM AS K1, LCASE(ITEM) AS K2
              aggregate COUNT(*), SUM(AMOUNT), AVG(CAST(PRICE AS DOUBLE)), MAX(PRICE)
              having ((COUNT(*) > 5) AND (MAX(PRICE) IS NOT NULL))
              project K1 AS ITEM, WINDOWSTART AS SINCE, COUNT(*) AS N, (SUM(AMOUNT) + 1) AS AMOUNTS, AVG(CAST(PRICE AS DOUBLE)) AS KSQL_COL_0, SUM(AMOUNT) AS AGAIN
              to topic SOLD, key JSON, value JSON, windows of 1 h"#]],
    );
}

#[test]
fn sessions_and_final_results_have_their_own_defaults() {
    explain(
        "CREATE TABLE visits AS SELECT customer, COUNT(amount) AS n FROM orders WINDOW SESSION (30 SECONDS) GROUP BY customer;",
        expect![[r#"
            CTAS_VISITS_3 table VISITS
              schema `CUSTOMER` INTEGER KEY, `N` BIGINT
              read ORDERS: CUSTOMER, AMOUNT
              window session with a gap of 30 s, grace 86370 s, retention 1 d
              group by CUSTOMER
              aggregate COUNT(AMOUNT)
              project COUNT(AMOUNT) AS N
              to topic VISITS, key KAFKA, value JSON, sessions"#]],
    );
    explain(
        "CREATE TABLE visits AS SELECT customer, COUNT(*) AS n FROM orders
             WINDOW TUMBLING (SIZE 2 DAYS, RETENTION 5 DAYS) GROUP BY customer EMIT FINAL;",
        expect![[r#"
            CTAS_VISITS_3 table VISITS
              schema `CUSTOMER` INTEGER KEY, `N` BIGINT
              read ORDERS: CUSTOMER
              window tumbling of 2 d, grace 0 ms, retention 5 d, final results only
              group by CUSTOMER
              aggregate COUNT(*)
              project COUNT(*) AS N
              to topic VISITS, key KAFKA, value JSON, windows of 2 d"#]],
    );
}

#[test]
fn tables_are_projected_and_grouped_with_retraction() {
    explain(
        "CREATE TABLE named AS SELECT id, UCASE(name) AS name FROM customers WHERE city <> 'X';",
        expect![[r#"
        CTAS_NAMED_3 table NAMED
          schema `ID` INTEGER KEY, `NAME` STRING
          read CUSTOMERS: ID, NAME, CITY
          filter (CITY <> 'X')
          project ID, UCASE(NAME) AS NAME
          to topic NAMED, key KAFKA, value DELIMITED(\t)"#]],
    );
    explain(
        "CREATE TABLE per_city AS SELECT city, COUNT(*) AS n FROM customers GROUP BY city;",
        expect![[r#"
        CTAS_PER_CITY_3 table PER_CITY
          schema `CITY` STRING KEY, `N` BIGINT
          read CUSTOMERS: CITY
          group by CITY, rows of a table leave their groups
          aggregate COUNT(*)
          project COUNT(*) AS N
          to topic PER_CITY, key KAFKA, value DELIMITED(\t)"#]],
    );
}

#[test]
fn streams_are_rekeyed_and_inserted_into() {
    explain(
        "CREATE STREAM by_item AS SELECT * FROM orders PARTITION BY item;",
        expect![[r#"
        CSAS_BY_ITEM_3 stream BY_ITEM
          schema `ITEM` STRING KEY, `CUSTOMER` INTEGER, `PRICE` DECIMAL(6, 2), `AMOUNT` INTEGER, `PLACED` BIGINT, `ID` INTEGER
          read ORDERS: ID, CUSTOMER, ITEM, PRICE, AMOUNT, PLACED
          project ITEM, CUSTOMER, PRICE, AMOUNT, PLACED, ID
          keep tombstones
          to topic BY_ITEM, key KAFKA, value JSON"#]],
    );
    explain(
        "CREATE STREAM cheap AS SELECT id, item FROM orders WHERE price < 1;
         INSERT INTO cheap SELECT id, item FROM orders WHERE price IN (1, 2.5);",
        expect![[r#"
            INSERTQUERY_4 stream CHEAP
              schema `ID` INTEGER KEY, `ITEM` STRING
              read ORDERS: ID, ITEM, PRICE
              filter (CAST(PRICE AS DECIMAL(12, 2)) IN (1.00, 2.50))
              project ID, ITEM
              to topic CHEAP, key KAFKA, value JSON"#]],
    );
}

/// What a client's query asks for, after a windowed and an unwindowed table.
fn asks(query: &str, expected: Expect) {
    let mut catalog = Catalog::default();
    let tables = "
        CREATE TABLE hourly AS SELECT item, COUNT(*) AS n FROM orders WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY item;
        CREATE TABLE pairs WITH (key_format = 'json') AS
            SELECT item, customer, COUNT(*) AS n FROM orders GROUP BY item, customer;";
    let bound = bind_all(&mut catalog, &format!("{SHOP}{tables}{query}"));
    let text = match bound.map(|mut all| all.pop()) {
        Ok(Some(Bound::Pull(p))) => {
            let columns: Vec<String> = p
                .columns
                .iter()
                .map(|(c, key)| format!("{} {}{}", c.name, c.ty, if *key { " KEY" } else { "" }))
                .collect();
            format!(
                "pull {} keys {:?} windows {:?} filter {} limit {:?}\n{}",
                p.query.input,
                p.query.keys,
                p.query.window_starts,
                p.query.filter.is_some(),
                p.query.limit,
                columns.join(", ")
            )
        }
        Ok(Some(Bound::Push(p))) => {
            let columns: Vec<String> = p.columns.iter().map(|c| format!("{} {}", c.name, c.ty)).collect();
            let view = p.view.map(|v| format!("\n{v}")).unwrap_or_default();
            format!("push {} table {} limit {:?}\n{}{view}", p.query.input, p.table, p.query.limit, columns.join(", "))
        }
        other => format!("{other:#?}"),
    };
    expected.assert_eq(&text);
}

#[test]
fn keys_and_windows_of_a_pull_query_are_found() {
    asks(
        "SELECT * FROM hourly WHERE item = 'a' AND WINDOWSTART >= '2020-02-23T00:00' AND 1600000000000 > WINDOWSTART;",
        expect![[r#"
        pull HOURLY keys Some([[String("a")]]) windows (1582416000000, 1599999999999) filter true limit None
        ITEM STRING KEY, WINDOWSTART BIGINT KEY, WINDOWEND BIGINT KEY, N BIGINT"#]],
    );
    asks(
        "SELECT n, item FROM pairs WHERE (item = 'a' OR item = 'b') AND customer IN (1, 2) AND n > 3 LIMIT 5;",
        expect![[r#"
        pull PAIRS keys Some([[String("a"), Int(1)], [String("a"), Int(2)], [String("b"), Int(1)], [String("b"), Int(2)]]) windows (-9223372036854775808, 9223372036854775807) filter true limit Some(5)
        N BIGINT, ITEM STRING KEY"#]],
    );
    asks(
        "SELECT n FROM pairs WHERE item = 'a' OR n = 1;",
        expect![[r#"
        pull PAIRS keys None windows (-9223372036854775808, 9223372036854775807) filter true limit None
        N BIGINT"#]],
    );
    asks(
        "SELECT item FROM orders WHERE id = 1;",
        expect![[r#"
        pull ORDERS keys None windows (-9223372036854775808, 9223372036854775807) filter true limit None
        ITEM STRING"#]],
    );
}

#[test]
fn push_queries_follow_a_view_or_make_their_own() {
    asks(
        "SELECT n, ROWTIME AS t FROM hourly WHERE n > 3 EMIT CHANGES LIMIT 2;",
        expect![[r#"
        push HOURLY table true limit Some(2)
        N BIGINT, T BIGINT"#]],
    );
    asks(
        "SELECT item, COUNT(*) FROM orders GROUP BY item EMIT CHANGES;",
        expect![[r#"
        push transient_ORDERS_5 table true limit None
        ITEM STRING, KSQL_COL_0 BIGINT
        transient_ORDERS_5 table transient_ORDERS_5
          schema `KSQL_GROUP_0` STRING KEY, `ITEM` STRING, `KSQL_COL_0` BIGINT
          read ORDERS: ITEM
          group by ITEM AS KSQL_GROUP_0
          aggregate COUNT(*)
          project KSQL_GROUP_0 AS ITEM, COUNT(*) AS KSQL_COL_0
          to topic transient_ORDERS_5, key KAFKA, value JSON"#]],
    );
}
