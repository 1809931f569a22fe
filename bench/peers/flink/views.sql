-- The clickstream script in Flink SQL. $data is the folder of the files, $sink what a table is written to.
CREATE TABLE clickstream (
  ts BIGINT, ip STRING, userid INT, `time` STRING, _time BIGINT, request STRING, status INT, `bytes` BIGINT, agent STRING,
  rt AS TO_TIMESTAMP_LTZ(ts, 3), WATERMARK FOR rt AS rt - INTERVAL '1' SECOND
) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '$data/clicks.jsonl');
CREATE TABLE users (
  user_id INT, registered_at BIGINT, username STRING, first_name STRING, last_name STRING, city STRING, level STRING,
  since AS TO_TIMESTAMP_LTZ(0, 3), WATERMARK FOR since AS since, PRIMARY KEY (user_id) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '$data/users.jsonl');
CREATE TABLE codes (
  code INT, definition STRING,
  since AS TO_TIMESTAMP_LTZ(0, 3), WATERMARK FOR since AS since, PRIMARY KEY (code) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '$data/codes.jsonl');

CREATE VIEW user_clicks AS
SELECT c.rt, userid, u.username, ip, u.city, request, status, `bytes`
FROM clickstream c LEFT JOIN users FOR SYSTEM_TIME AS OF c.rt AS u ON c.userid = u.user_id;
CREATE VIEW coded AS
SELECT c.rt, k.code, k.definition FROM clickstream c LEFT JOIN codes FOR SYSTEM_TIME AS OF c.rt AS k ON c.status = k.code;

CREATE TABLE user_clickstream (userid INT, username STRING, ip STRING, city STRING, request STRING, status INT, `bytes` BIGINT)
WITH ('connector' = 'blackhole');
CREATE TABLE enriched_error_codes (code INT, definition STRING) WITH ('connector' = 'blackhole');
CREATE TABLE events_per_min (userid INT, start_at TIMESTAMP(3), n BIGINT) WITH ($sink);
CREATE TABLE pages_per_min (userid INT, start_at TIMESTAMP(3), n BIGINT) WITH ($sink);
CREATE TABLE click_user_sessions (username STRING, start_at TIMESTAMP(3), last_at TIMESTAMP(3), n BIGINT) WITH ($sink);
CREATE TABLE errors_per_min_alert (status INT, start_at TIMESTAMP(3), n BIGINT) WITH ($sink);
CREATE TABLE errors_per_min (status INT, start_at TIMESTAMP(3), n BIGINT) WITH ($sink);
CREATE TABLE enriched_error_codes_count (code INT, definition STRING, start_at TIMESTAMP(3), n BIGINT) WITH ($sink);
CREATE TABLE user_ip_activity (username STRING, ip STRING, city STRING, start_at TIMESTAMP(3), n BIGINT) WITH ($sink);

INSERT INTO user_clickstream SELECT userid, username, ip, city, request, status, `bytes` FROM user_clicks;
INSERT INTO enriched_error_codes SELECT code, definition FROM coded;
INSERT INTO events_per_min
SELECT userid, window_start, COUNT(*) FROM TUMBLE(TABLE clickstream, DESCRIPTOR(rt), INTERVAL '60' SECOND)
GROUP BY userid, window_start, window_end;
INSERT INTO pages_per_min
SELECT userid, window_start, COUNT(*) FROM HOP(TABLE clickstream, DESCRIPTOR(rt), INTERVAL '5' SECOND, INTERVAL '60' SECOND)
WHERE request LIKE '%html%' GROUP BY userid, window_start, window_end;
-- Flink's session ends a gap after its last event, ksqlDB's with its last event.
INSERT INTO click_user_sessions
SELECT username, window_start, window_end - INTERVAL '30' SECOND, COUNT(*)
FROM SESSION(TABLE user_clicks PARTITION BY username, DESCRIPTOR(rt), INTERVAL '30' SECOND)
WHERE username IS NOT NULL GROUP BY username, window_start, window_end;
INSERT INTO errors_per_min_alert
SELECT status, window_start, COUNT(*) FROM HOP(TABLE clickstream, DESCRIPTOR(rt), INTERVAL '20' SECOND, INTERVAL '60' SECOND)
WHERE status > 400 GROUP BY status, window_start, window_end HAVING COUNT(*) > 5;
INSERT INTO errors_per_min
SELECT status, window_start, COUNT(*) FROM HOP(TABLE clickstream, DESCRIPTOR(rt), INTERVAL '5' SECOND, INTERVAL '60' SECOND)
WHERE status > 400 GROUP BY status, window_start, window_end;
INSERT INTO enriched_error_codes_count
SELECT code, definition, window_start, COUNT(*) FROM TUMBLE(TABLE coded, DESCRIPTOR(rt), INTERVAL '30' SECOND)
WHERE code IS NOT NULL GROUP BY code, definition, window_start, window_end HAVING COUNT(*) > 1;
INSERT INTO user_ip_activity
SELECT username, ip, city, window_start, COUNT(*) FROM TUMBLE(TABLE user_clicks, DESCRIPTOR(rt), INTERVAL '60' SECOND)
WHERE username IS NOT NULL GROUP BY username, ip, city, window_start, window_end HAVING COUNT(*) > 1;
