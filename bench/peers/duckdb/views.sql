-- The clickstream script's tables over all of the input at once. $data is the folder of the files.
CREATE TABLE clicks AS
SELECT ts, ip, userid, request, status::INT AS status
FROM read_json('$data/clicks.jsonl', format = 'newline_delimited', columns = {
    ts: 'BIGINT', ip: 'VARCHAR', userid: 'INT', _time: 'BIGINT', time: 'VARCHAR', request: 'VARCHAR', status: 'VARCHAR',
    bytes: 'VARCHAR', agent: 'VARCHAR'});
CREATE TABLE users AS
SELECT user_id, username, city
FROM read_json('$data/users.jsonl', format = 'newline_delimited', columns = {user_id: 'INT', username: 'VARCHAR', city: 'VARCHAR'});
CREATE TABLE codes AS
SELECT * FROM read_json('$data/codes.jsonl', format = 'newline_delimited', columns = {code: 'INT', definition: 'VARCHAR'});

CREATE TABLE user_clicks AS
SELECT ts, username, ip, city FROM clicks JOIN users ON userid = user_id WHERE username IS NOT NULL AND city IS NOT NULL;

CREATE TABLE events_per_min AS
SELECT userid, ts // 60000 * 60000 AS start, count(*) AS n FROM clicks GROUP BY ALL;
-- Hopping windows: counts of five (twenty) seconds first, each added to the windows that hold it.
CREATE TABLE pages_per_min AS
WITH panes AS (SELECT userid, ts // 5000 AS pane, count(*) AS n FROM clicks WHERE request LIKE '%html%' GROUP BY ALL)
SELECT userid, (pane - back) * 5000 AS start, sum(n)::BIGINT AS n FROM panes, range(12) AS hops(back) GROUP BY ALL;
CREATE TABLE errors_per_min AS
WITH panes AS (SELECT status, ts // 5000 AS pane, count(*) AS n FROM clicks WHERE status > 400 GROUP BY ALL)
SELECT status, (pane - back) * 5000 AS start, sum(n)::BIGINT AS n FROM panes, range(12) AS hops(back) GROUP BY ALL;
CREATE TABLE errors_per_min_alert AS
WITH panes AS (SELECT status, ts // 20000 AS pane, count(*) AS n FROM clicks WHERE status > 400 GROUP BY ALL)
SELECT status, (pane - back) * 20000 AS start, sum(n)::BIGINT AS n FROM panes, range(3) AS hops(back)
GROUP BY ALL HAVING sum(n) > 5;
CREATE TABLE click_user_sessions AS
-- Of clicks at one time the one that begins a session goes first: so counting rows, which is fast, is exact.
WITH steps AS (
    SELECT username, ts, coalesce(ts - lag(ts) OVER (PARTITION BY username ORDER BY ts) > 30000, true)::INT AS new
    FROM user_clicks),
sessions AS (
    SELECT username, ts,
        sum(new) OVER (PARTITION BY username ORDER BY ts, new DESC ROWS UNBOUNDED PRECEDING) AS session FROM steps)
SELECT username, min(ts) AS start, max(ts) AS last, count(*) AS n FROM sessions GROUP BY username, session;
CREATE TABLE enriched_error_codes_count AS
SELECT code, definition, ts // 30000 * 30000 AS start, count(*) AS n FROM clicks JOIN codes ON status = code
GROUP BY ALL HAVING count(*) > 1;
CREATE TABLE user_ip_activity AS
SELECT username, ip, city, ts // 60000 * 60000 AS start, count(*) AS n FROM user_clicks GROUP BY ALL HAVING count(*) > 1;
