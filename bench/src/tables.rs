//! The views: described once, from which come their SQL and (in [`crate::twin`]) their plain recomputation.
//!
//! The seven are those of the clickstream script. Seventy are ten of each, which differ in a filter or in the group.

use crate::clicks::BYTES;
use std::fmt::Write as _;

/// A column to group by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    User,
    Username,
    Ip,
    City,
    Status,
    Code,
    Definition,
}

/// Which clicks count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Requests for pages.
    Page,
    /// Codes above 400.
    Error,
    /// Answers of another size than this one of [`BYTES`].
    NotBytes(usize),
}

/// Sizes in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Tumbling(i64),
    Hopping(i64, i64),
    Session(i64),
}

/// A table of counts.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) group: Vec<Column>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) window: Window,
    /// Only groups that count more than this.
    pub(crate) more_than: u64,
}

impl Column {
    fn sql(self) -> &'static str {
        match self {
            Column::User => "userid",
            Column::Username => "username",
            Column::Ip => "ip",
            Column::City => "city",
            Column::Status => "status",
            Column::Code => "code",
            Column::Definition => "definition",
        }
    }
}

impl Filter {
    fn sql(self) -> String {
        match self {
            Filter::Page => "request LIKE '%html%'".into(),
            Filter::Error => "status > 400".into(),
            Filter::NotBytes(i) => format!("bytes <> {}", BYTES[i]),
        }
    }
}

/// The clickstream script's tables, the simplest first.
fn seven() -> Vec<Table> {
    use Column::{City, Code, Definition, Ip, Status, User, Username};
    let table = |name: &str, group: &[Column], filters: &[Filter], window, more_than| Table {
        name: name.into(),
        group: group.into(),
        filters: filters.into(),
        window,
        more_than,
    };
    vec![
        table("EVENTS_PER_MIN", &[User], &[], Window::Tumbling(60), 0),
        table("PAGES_PER_MIN", &[User], &[Filter::Page], Window::Hopping(60, 5), 0),
        table("CLICK_USER_SESSIONS", &[Username], &[], Window::Session(30), 0),
        table("ERRORS_PER_MIN_ALERT", &[Status], &[Filter::Error], Window::Hopping(60, 20), 5),
        table("ERRORS_PER_MIN", &[Status], &[Filter::Error], Window::Hopping(60, 5), 0),
        table("ENRICHED_ERROR_CODES_COUNT", &[Code, Definition], &[], Window::Tumbling(30), 1),
        table("USER_IP_ACTIVITY", &[Username, Ip, City], &[], Window::Tumbling(60), 1),
    ]
}

/// So many tables: those of the script, then variants of them.
pub(crate) fn tables(count: usize) -> Vec<Table> {
    let seven = seven();
    let variants = (0..count.div_ceil(seven.len())).flat_map(|round| {
        seven.iter().map(move |table| {
            let mut table = table.clone();
            if round > 0 {
                table.name = format!("{}_{round}", table.name);
                let by_status = table.group.iter().any(|c| matches!(c, Column::Status | Column::Code));
                // Every fourth differs in the group, where it can, the others in a filter.
                if round % 4 == 0 && !by_status {
                    table.group.push(Column::Status);
                }
                if round % 4 != 0 || by_status || round > 4 {
                    table.filters.push(Filter::NotBytes(round % BYTES.len()));
                }
            }
            table
        })
    });
    variants.take(count).collect()
}

/// The views that a script of these tables has: streams with what is known of the user, or of the code.
const ENRICHED: &str = "
CREATE STREAM user_clickstream AS
SELECT userid, u.username, ip, u.city, request, status, bytes
FROM clickstream c LEFT JOIN web_users u ON c.userid = u.user_id;
CREATE STREAM enriched_error_codes AS
SELECT code, definition, bytes
FROM clickstream LEFT JOIN clickstream_codes ON clickstream.status = clickstream_codes.code;
";

/// The script that keeps these tables; windows are forgotten after `retention` seconds, when given. Topics have
/// `prefix` before their usual names.
pub(crate) fn script(tables: &[Table], retention: Option<u64>, prefix: &str) -> String {
    let mut sql = format!(
        "CREATE STREAM clickstream (
    _time BIGINT, time VARCHAR, ip VARCHAR, request VARCHAR, status INT, userid INT, bytes BIGINT, agent VARCHAR
) WITH (kafka_topic = '{prefix}clickstream', value_format = 'json');
CREATE TABLE clickstream_codes (code INT PRIMARY KEY, definition VARCHAR)
WITH (kafka_topic = '{prefix}clickstream_codes', value_format = 'json');
CREATE TABLE web_users (
    user_id INT PRIMARY KEY, registered_at BIGINT, username VARCHAR, first_name VARCHAR, last_name VARCHAR,
    city VARCHAR, level VARCHAR
) WITH (kafka_topic = '{prefix}clickstream_users', value_format = 'json');
"
    );
    let joined = |t: &&Table| t.source() != "clickstream";
    if tables.iter().any(|t| joined(&t)) {
        sql.push_str(ENRICHED);
    }
    for table in tables {
        // Writing to a string does not fail.
        let _ = writeln!(sql, "{}", table.sql(retention));
    }
    sql
}

impl Table {
    fn source(&self) -> &'static str {
        let has = |c| self.group.contains(&c);
        match () {
            () if has(Column::Code) => "enriched_error_codes",
            () if has(Column::Username) => "user_clickstream",
            () => "clickstream",
        }
    }

    fn sql(&self, retention: Option<u64>) -> String {
        let columns = || self.group.iter().map(|c| c.sql());
        let keys: Vec<String> = columns().enumerate().map(|(i, c)| format!("{c} AS k{}", i + 1)).collect();
        let copies: Vec<String> = columns().map(|c| format!("AS_VALUE({c}) AS {c}")).collect();
        let kept = retention.map_or(String::new(), |s| format!(", RETENTION {s} SECONDS, GRACE PERIOD 1 MINUTE"));
        let window = match self.window {
            Window::Tumbling(size) => format!("TUMBLING (SIZE {size} SECONDS{kept})"),
            Window::Hopping(size, advance) => {
                format!("HOPPING (SIZE {size} SECONDS, ADVANCE BY {advance} SECONDS{kept})")
            }
            Window::Session(gap) => format!("SESSION ({gap} SECONDS{kept})"),
        };
        let filters: Vec<String> = self.filters.iter().map(|f| f.sql()).collect();
        let (name, source) = (&self.name, self.source());
        let format = if self.group.len() > 1 { " WITH (key_format = 'json')" } else { "" };
        let (keys, copies) = (keys.join(", "), copies.join(", "));
        let mut sql =
            format!("CREATE TABLE {name}{format} AS SELECT {keys}, {copies}, WINDOWSTART AS event_ts, COUNT(*) AS n ");
        let _ = write!(sql, "FROM {source} WINDOW {window}");
        if !filters.is_empty() {
            let _ = write!(sql, " WHERE {}", filters.join(" AND "));
        }
        let _ = write!(sql, " GROUP BY {}", columns().collect::<Vec<_>>().join(", "));
        if self.more_than > 0 {
            let _ = write!(sql, " HAVING COUNT(*) > {}", self.more_than);
        }
        sql.push(';');
        sql
    }
}
