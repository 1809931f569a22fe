CREATE STREAM s (a INT, b VARCHAR) WITH (kafka_topic = 's', value_format = 'json');
CREATE STREAM s (a INT) WITH (kafka_topic = 's2', value_format = 'json');
CREATE STREAM t (a INTEGR) WITH (kafka_topic = 't', value_format = 'json');
CREATE STREAM u (a INT, a INT) WITH (kafka_topic = 'u', value_format = 'json');
CREATE STREAM v AS SELECT s.nope FROM s;
CREATE STREAM w AS SELECT x.a FROM s;
DROP STREAM no_such;
