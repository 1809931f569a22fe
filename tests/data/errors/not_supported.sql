CREATE STREAM s (x INT) WITH (kafka_topic = 's', value_format = 'avro');
CREATE STREAM t (x INT) WITH (kafka_topic = 't', value_format = 'protobuf');
ASSERT TOPIC foo;
