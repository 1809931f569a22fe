-- Clicks of a web site, the codes of their answers, and the users behind them.
CREATE STREAM clickstream (
    _time BIGINT, time VARCHAR, ip VARCHAR, request VARCHAR, status INT, userid INT, bytes BIGINT, agent VARCHAR
) WITH (kafka_topic = 'clickstream', value_format = 'json');
CREATE TABLE clickstream_codes (code INT PRIMARY KEY, definition VARCHAR)
WITH (kafka_topic = 'clickstream_codes', value_format = 'json');
CREATE TABLE web_users (
    user_id INT PRIMARY KEY, registered_at BIGINT, username VARCHAR, first_name VARCHAR, last_name VARCHAR,
    city VARCHAR, level VARCHAR
) WITH (kafka_topic = 'clickstream_users', value_format = 'json');

-- Clicks with what is known of their user, and of their code.
CREATE STREAM user_clickstream AS
SELECT userid, u.username, ip, u.city, request, status, bytes
FROM clickstream c LEFT JOIN web_users u ON c.userid = u.user_id;
CREATE STREAM enriched_error_codes AS
SELECT code, definition
FROM clickstream LEFT JOIN clickstream_codes ON clickstream.status = clickstream_codes.code;

-- A user's events a minute, and pages in the last minute, every five seconds.
CREATE TABLE events_per_min AS
SELECT userid AS k1, AS_VALUE(userid) AS userid, WINDOWSTART AS event_ts, COUNT(*) AS events
FROM clickstream WINDOW TUMBLING (SIZE 60 SECOND) GROUP BY userid;
CREATE TABLE pages_per_min AS
SELECT userid AS k1, AS_VALUE(userid) AS userid, WINDOWSTART AS event_ts, COUNT(*) AS pages
FROM clickstream WINDOW HOPPING (SIZE 60 SECOND, ADVANCE BY 5 SECOND) WHERE request LIKE '%html%' GROUP BY userid;

-- Visits: a user's events with no silence of more than 30 seconds.
CREATE TABLE click_user_sessions AS
SELECT username AS k, AS_VALUE(username) AS username, WINDOWEND AS event_ts, COUNT(*) AS events
FROM user_clickstream WINDOW SESSION (30 SECOND) GROUP BY username;

-- Errors by code in the last minute: those that pile up, and all.
CREATE TABLE errors_per_min_alert AS
SELECT status AS k1, AS_VALUE(status) AS status, WINDOWSTART AS event_ts, COUNT(*) AS errors
FROM clickstream WINDOW HOPPING (SIZE 60 SECOND, ADVANCE BY 20 SECOND) WHERE status > 400 GROUP BY status
HAVING COUNT(*) > 5 AND COUNT(*) IS NOT NULL;
CREATE TABLE errors_per_min AS
SELECT status AS k1, AS_VALUE(status) AS status, WINDOWSTART AS event_ts, COUNT(*) AS errors
FROM clickstream WINDOW HOPPING (SIZE 60 SECOND, ADVANCE BY 5 SECOND) WHERE status > 400 GROUP BY status;

-- Codes with their meaning, and what users do from where, when it is more than once.
CREATE TABLE enriched_error_codes_count WITH (key_format = 'json') AS
SELECT code AS k1, definition AS k2, AS_VALUE(code) AS code, WINDOWSTART AS event_ts,
       AS_VALUE(definition) AS definition, COUNT(*) AS count
FROM enriched_error_codes WINDOW TUMBLING (SIZE 30 SECOND) GROUP BY code, definition HAVING COUNT(*) > 1;
CREATE TABLE user_ip_activity WITH (key_format = 'json') AS
SELECT username AS k1, ip AS k2, city AS k3, AS_VALUE(username) AS username, WINDOWSTART AS event_ts,
       AS_VALUE(ip) AS ip, AS_VALUE(city) AS city, COUNT(*) AS count
FROM user_clickstream WINDOW TUMBLING (SIZE 60 SECOND) GROUP BY username, ip, city HAVING COUNT(*) > 1;
