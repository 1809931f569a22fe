CREATE STREAM clicks (userid INT, status INT, request VARCHAR)
    WITH (kafka_topic = 'clicks', value_format = 'json');
CREATE TABLE a AS SELECT userid, COUNT(*) AS n FROM clicks GROUP BY usrid;
CREATE TABLE b AS SELECT userid, COUNT(*) AS n FROM klicks GROUP BY userid;
CREATE STREAM c AS SELECT userid FORM clicks;
CREATE STREAM d AS SELECT userid FROM clicks WHERE request > 5;
CREATE TABLE e AS SELECT userid, NO_SUCH(status) AS x, COUNT(*) AS n FROM clicks GROUP BY userid;
