CREATE STREAM c (userid INT, status INT, ip VARCHAR) WITH (kafka_topic = 'c', value_format = 'json');
CREATE TABLE u (user_id INT PRIMARY KEY, name VARCHAR, age INT) WITH (kafka_topic = 'u', value_format = 'json');
CREATE STREAM a AS SELECT c.userid, name FROM c LEFT JOIN u ON c.userid = u.age;
CREATE STREAM b AS SELECT status, name FROM c LEFT JOIN u ON c.userid = u.user_id;
CREATE STREAM d AS SELECT c.userid, name FROM c LEFT JOIN u ON c.ip = u.user_id;
CREATE STREAM e AS SELECT c.userid, name FROM c LEFT JOIN u ON c.userid > u.user_id;
CREATE STREAM f AS SELECT c.userid, name FROM c FULL OUTER JOIN u ON c.userid = u.user_id;
