CREATE STREAM a (x INT) WITH (value_format = 'json');
CREATE STREAM b (x INT) WITH (kafka_topic = 'b', value_format = 'xml');
CREATE TABLE c (x INT) WITH (kafka_topic = 'c', value_format = 'json');
CREATE STREAM d (x INT PRIMARY KEY) WITH (kafka_topic = 'd', value_format = 'json');
CREATE STREAM e (x INT) WITH (kafka_topic = 'e', value_format = 'json', no_such_property = 1);
CREATE STREAM f (x INT) WITH (kafka_topic = 'f', value_format = 'json', timestamp = 'y');
CREATE STREAM g (x INT, y INT) WITH (kafka_topic = 'g', value_format = 'json', timestamp = 'y');
CREATE STREAM ok (x INT) WITH (kafka_topic = 'ok', value_format = 'json');
CREATE TABLE h AS SELECT x, COUNT(*) AS n FROM ok WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 20 SECONDS) GROUP BY x;
