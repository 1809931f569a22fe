import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;

/**
 * The clickstream script as one Kafka Streams application with the settings that ksqlDB gives it: a cache of 10 MB, commits every 2 s,
 * stores in RocksDB with changelogs, a grace of 24 h. It has read all when the committed offsets are the topics' ends.
 * Arguments: BROKER THREADS EVENTS STATE [OUT].
 */
public final class KStreamsPeer {
  @JsonIgnoreProperties(ignoreUnknown = true)
  record Click(String ip, int userid, String request, int status, long bytes) {}

  @JsonIgnoreProperties(ignoreUnknown = true)
  record User(int user_id, String username, String city) {}

  @JsonIgnoreProperties(ignoreUnknown = true)
  record Code(int code, String definition) {}

  record UserClick(int userid, String username, String ip, String city, String request, int status, long bytes) {}

  record Place(String username, String ip, String city) {}

  /** Its own for each run: the broker forgets groups and topics some time after they are deleted. */
  static final String APPLICATION = "peer-" + System.currentTimeMillis();
  static final String OUT = APPLICATION + "-out-";
  static final Serde<Integer> INT = Serdes.Integer();
  static final Duration GRACE = Duration.ofHours(24);
  static final ObjectMapper JSON = new ObjectMapper();
  static final List<String> TABLES = List.of("events_per_min", "pages_per_min", "click_user_sessions", "errors_per_min_alert",
      "errors_per_min", "enriched_error_codes_count", "user_ip_activity");

  static <T> Serde<T> json(Class<T> type) {
    ObjectReader reader = JSON.readerFor(type);
    ObjectWriter writer = JSON.writerFor(type);
    return Serdes.serdeFrom((topic, value) -> {
      try {
        return value == null ? null : writer.writeValueAsBytes(value);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }, (topic, bytes) -> {
      try {
        return bytes == null ? null : reader.readValue(bytes);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    });
  }

  static TimeWindows windows(int seconds, int every) {
    return TimeWindows.ofSizeAndGrace(Duration.ofSeconds(seconds), GRACE).advanceBy(Duration.ofSeconds(every));
  }

  /** Writes a table's changes to its topic: key and window as text, count. */
  static <K> void write(String name, KTable<Windowed<K>, Long> table, Function<K, String> key) {
    boolean session = name.equals("click_user_sessions");
    table.toStream((k, n) -> key.apply(k.key()) + "," + k.window().start() + (session ? "," + k.window().end() : ""))
        .to(OUT + name, Produced.with(Serdes.String(), Serdes.Long()));
  }

  static Topology topology() {
    StreamsBuilder builder = new StreamsBuilder();
    Serde<Click> click = json(Click.class);
    Serde<User> user = json(User.class);
    Serde<Code> code = json(Code.class);
    Serde<UserClick> userClick = json(UserClick.class);
    Serde<Place> place = json(Place.class);
    KTable<Integer, User> users = builder.table("users", Consumed.with(INT, user));
    KTable<Integer, Code> codes = builder.table("codes", Consumed.with(INT, code));
    KStream<byte[], Click> clicks = builder.stream("clicks", Consumed.with(Serdes.ByteArray(), click));
    KStream<Integer, Click> byUser = clicks.selectKey((k, c) -> c.userid).repartition(Repartitioned.with(INT, click).withName("user"));
    KStream<Integer, Integer> byStatus =
        clicks.map((k, c) -> KeyValue.pair(c.status, c.status)).repartition(Repartitioned.with(INT, INT).withName("status"));
    KStream<Integer, UserClick> userClicks = byUser.leftJoin(users,
        (c, u) -> new UserClick(c.userid, u == null ? null : u.username, c.ip, u == null ? null : u.city, c.request, c.status, c.bytes),
        Joined.with(INT, click, user));
    userClicks.to(OUT + "user_clickstream", Produced.with(INT, userClick));
    KStream<Integer, Code> coded = byStatus.leftJoin(codes, (s, c) -> c, Joined.with(INT, INT, code));
    coded.to(OUT + "enriched_error_codes", Produced.with(INT, code));

    write("events_per_min", byUser.groupByKey(Grouped.with(INT, click)).windowedBy(windows(60, 60)).count(), k -> "" + k);
    write("pages_per_min", byUser.filter((k, c) -> c.request.contains("html")).groupByKey(Grouped.with(INT, click))
        .windowedBy(windows(60, 5)).count(), k -> "" + k);
    KStream<Integer, Integer> errors = byStatus.filter((k, status) -> status > 400);
    write("errors_per_min_alert",
        errors.groupByKey(Grouped.with(INT, INT)).windowedBy(windows(60, 20)).count().filter((k, n) -> n > 5), k -> "" + k);
    write("errors_per_min", errors.groupByKey(Grouped.with(INT, INT)).windowedBy(windows(60, 5)).count(), k -> "" + k);
    write("enriched_error_codes_count", coded.filter((k, c) -> c != null).map((k, c) -> KeyValue.pair(c, k))
        .groupByKey(Grouped.with(code, INT)).windowedBy(windows(30, 30)).count().filter((k, n) -> n > 1), k -> k.code + "," + k.definition);
    KStream<Integer, UserClick> known = userClicks.filter((k, c) -> c.username != null);
    write("click_user_sessions", known.map((k, c) -> KeyValue.pair(c.username, k)).groupByKey(Grouped.with(Serdes.String(), INT))
        .windowedBy(SessionWindows.ofInactivityGapAndGrace(Duration.ofSeconds(30), GRACE)).count(), k -> k);
    write("user_ip_activity", known.map((k, c) -> KeyValue.pair(new Place(c.username, c.ip, c.city), k))
        .groupByKey(Grouped.with(place, INT)).windowedBy(windows(60, 60)).count().filter((k, n) -> n > 1),
        k -> k.username + "," + k.ip + "," + k.city);
    return builder.build();
  }

  /**
   * True when what the application has committed is the end of every topic that it reads clicks from, and stays so: a commit
   * between the two questions would cover what had just been written.
   */
  static boolean drained(Admin admin) throws Exception {
    var topics = admin.listTopics().names().get().stream()
        .filter(t -> t.equals("clicks") || t.startsWith(APPLICATION) && t.endsWith("repartition")).toList();
    Map<TopicPartition, OffsetSpec> latest = new HashMap<>();
    admin.describeTopics(topics).allTopicNames().get().values()
        .forEach(t -> t.partitions().forEach(p -> latest.put(new TopicPartition(t.name(), p.partition()), OffsetSpec.latest())));
    var ends = admin.listOffsets(latest).all().get();
    var committed = admin.listConsumerGroupOffsets(APPLICATION).partitionsToOffsetAndMetadata().get();
    var after = admin.listOffsets(latest).all().get();
    return ends.entrySet().stream().allMatch(end -> {
      var at = committed.get(end.getKey());
      if (after.get(end.getKey()).offset() != end.getValue().offset()) return false;
      return end.getValue().offset() == 0 || at != null && at.offset() >= end.getValue().offset();
    });
  }

  public static void main(String[] args) throws Exception {
    Properties settings = new Properties();
    settings.putAll(Map.of("application.id", APPLICATION, "bootstrap.servers", args[0], "num.stream.threads", args[1], "state.dir", args[3],
        "auto.offset.reset", "earliest", "commit.interval.ms", "2000", "statestore.cache.max.bytes", "10000000"));
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
      admin.createTopics(Stream.concat(TABLES.stream(), Stream.of("user_clickstream", "enriched_error_codes"))
          .map(name -> new NewTopic(OUT + name, 4, (short) 1)).toList()).all().get();
      CountDownLatch running = new CountDownLatch(1);
      KafkaStreams streams = new KafkaStreams(topology(), settings);
      streams.setStateListener((now, before) -> {
        if (now == KafkaStreams.State.RUNNING) running.countDown();
      });
      streams.start();
      running.await();
      long began = System.nanoTime();
      do {
        Thread.sleep(200);
      } while (!drained(admin));
      double seconds = (System.nanoTime() - began) / 1e9;
      streams.close(Duration.ofSeconds(60));
      if (args.length > 4) {
        for (String table : TABLES) save(args[0], table, Path.of(args[4]));
      }
      var left = admin.listTopics().names().get().stream().filter(t -> t.startsWith(APPLICATION)).collect(Collectors.toSet());
      admin.deleteTopics(left).all().get();
      System.out.printf("{\"events\": %s, \"seconds\": %.3f}%n", args[2], seconds);
    }
    System.exit(0);
  }

  /** A table's rows: the last value of each key of its topic. */
  static void save(String broker, String table, Path folder) throws Exception {
    Files.createDirectories(folder);
    Map<String, Long> rows = new HashMap<>();
    try (var consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", broker), new StringDeserializer(), new LongDeserializer())) {
      var partitions = consumer.partitionsFor(OUT + table).stream().map(p -> new TopicPartition(p.topic(), p.partition())).toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      var ends = consumer.endOffsets(partitions);
      while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
        consumer.poll(Duration.ofMillis(500)).forEach(r -> {
          if (r.value() == null) rows.remove(r.key());
          else rows.put(r.key(), r.value());
        });
      }
    }
    try (var out = new PrintWriter(Files.newBufferedWriter(folder.resolve(table + ".csv")))) {
      rows.forEach((key, n) -> out.println(key + "," + n));
    }
  }
}
