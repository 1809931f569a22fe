CREATE STREAM s (a INT, b VARCHAR) WITH (kafka_topic = 's', value_format = 'json');
SELEC * FROM s;
CREATE TABLE t AS SELECT a, COUNT(*) AS n FROM s GROUP BY;
CREATE STREAM u AS SELECT 'never closed FROM s;
